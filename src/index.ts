// The package: re-exports only.

export * as asyncio from "./asyncio.ts";
export { Channel } from "./channel.ts";
export { type FrameOptions, inCoro, xasync, xawait, xframe, xresume, xsuspend } from "./coroutine.ts";
export { Cancelled, ChannelClosed, Deadlock, type IoError, TimeoutError } from "./error.ts";
export { Executor } from "./executor.ts";
export type { Coroutine, Frame, Status } from "./frame.ts";
export type { NativeArgument, NativeBody } from "./native-body.ts";
export type { Operation, Suspended } from "./operation.ts";
export { run } from "./run.ts";
export { sleep } from "./sleep.ts";
export { withTimeout } from "./timeout.ts";
export { until } from "./until.ts";
