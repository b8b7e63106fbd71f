// asyncio: zigcoro's async IO namespace.

export { Loop, runOwner as run } from "./loop.ts";
export { sleep } from "./sleep.ts";
export { Address, type ConnectOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
