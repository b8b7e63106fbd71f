// asyncio: zigcoro's async IO namespace.

export { Address } from "./address.ts";
export { createConnection } from "./connection.ts";
export { Loop, runOwner as run } from "./loop.ts";
export { sleep } from "./sleep.ts";
export type { DuplexOptions, SocketDuplex } from "./socket-duplex.ts";
export { type ConnectOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
