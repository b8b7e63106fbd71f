// asyncio: zigcoro's async IO namespace.

export { Address } from "./address.ts";
export { type DescriptorOptions, fromDescriptor, pipe, stderr, stdin, stdout } from "./descriptor.ts";
export { Duplex, Reader, Writer } from "./duplex.ts";
export { Loop, runOwner as run } from "./loop.ts";
export { sleep } from "./sleep.ts";
export { type ConnectOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
