// asyncio: zigcoro's async IO namespace.

export { Address } from "./address.ts";
export type { Datagram, Destination, Outgoing } from "./datagram.ts";
export { Loop, runOwner as run } from "./loop.ts";
export { sleep } from "./sleep.ts";
export { type ConnectOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
export { type BindOptions, UDP } from "./udp.ts";
