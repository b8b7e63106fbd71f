// The package: re-exports only.

export { type AsReady, xawaitAsReady } from "./as-ready.ts";
export * as asyncio from "./asyncio.ts";
export type { Result, Waitable } from "./branch.ts";
export { Broadcast } from "./broadcast.ts";
export { call } from "./call.ts";
export { Channel } from "./channel.ts";
export { type FrameOptions, inCoro, spawn, xasync, xawait, xframe, xresume, xsuspend } from "./coroutine.ts";
export { Cancelled, ChannelClosed, Deadlock, type IoError, TimeoutError } from "./error.ts";
export { Barrier, Event, Latch } from "./event.ts";
export { Executor } from "./executor.ts";
export type { Coroutine, Frame, Status } from "./frame.ts";
export { all, allSettled, any, type GatherOptions, type Results, type Settled, type SettledResults } from "./gather.ts";
export { type Interval, interval } from "./interval.ts";
export { Local } from "./local.ts";
export type { NativeArgument, NativeBody } from "./native-body.ts";
export type { Operation, Suspended } from "./operation.ts";
export { type RetryOptions, retry } from "./retry.ts";
export { run } from "./run.ts";
export { type ErrorPolicy, type Scope, type ScopeOptions, scope } from "./scope.ts";
export { race, type Selected, select } from "./select.ts";
export { Mutex, type Permit, Semaphore } from "./semaphore.ts";
export { shield } from "./shield.ts";
export { now, sleep, sleepUntil } from "./sleep.ts";
export { withDeadline, withTimeout } from "./timeout.ts";
export { until } from "./until.ts";
