// asyncio: zigcoro's async IO namespace.

export { Address } from "./address.ts";
export type { Writable } from "./bytes.ts";
export { createConnection } from "./connection.ts";
export type { Datagram, Destination, Outgoing } from "./datagram.ts";
export { type DescriptorOptions, fromDescriptor, pipe, stderr, stdin, stdout } from "./descriptor.ts";
export { Duplex, Reader, type ReadUntilOptions, Writer } from "./duplex.ts";
export { File, type FileOptions, type OpenFlags } from "./file.ts";
export type { Chunks, Lines, LinesOptions, PartOptions } from "./file-lines.ts";
export type { FilePath } from "./file-path.ts";
export type { FileStat } from "./file-stat.ts";
export { Loop, runOwner as run } from "./loop.ts";
export { AsyncNotification, type AsyncNotificationHandle, type Notifier } from "./notification.ts";
export {
  type EndOptions,
  type ExitStatus,
  Process,
  type RunOptions,
  type RunResult,
  type Signal,
  type SpawnOptions,
  type StdioInput,
  type StdioOutput,
} from "./process.ts";
export type { SpawnSettings, Stdio } from "./process-plan.ts";
export { type SignalSource, signals } from "./signal.ts";
export { sleep } from "./sleep.ts";
export type { DuplexOptions, SocketDuplex } from "./socket-duplex.ts";
export { type ConnectOptions, type KeepAliveOptions, type ListenOptions, TCP, TCPServer } from "./tcp.ts";
export { type BindOptions, UDP } from "./udp.ts";
export { Unix, type UnixConnectOptions, type UnixListenOptions, UnixServer } from "./unix.ts";
