// asyncio: zigcoro's async IO namespace.

export { Address } from "./address.ts";
export { File, type FileOptions, type OpenFlags } from "./file.ts";
export type { Chunks, Lines, LinesOptions, PartOptions } from "./file-lines.ts";
export type { FilePath } from "./file-path.ts";
export type { FileStat } from "./file-stat.ts";
export { Loop, runOwner as run } from "./loop.ts";
export { sleep } from "./sleep.ts";
export { type ConnectOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
