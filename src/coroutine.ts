// zigcoro's functions on coroutines: xasync, xawait, xresume, xsuspend, xframe, inCoro.

import { checkFunction, checkString, show } from "./check.ts";
import { MisuseError } from "./error.ts";
import { type Coroutine, currentFrame, Frame } from "./frame.ts";
import { type NativeArgument, NativeBody, startNative } from "./native-body.ts";
import type { Operation } from "./operation.ts";
import type { Stack } from "./stack.ts";
import { type Prepare, startFrame } from "./start.ts";
import { blockSuspendOperation, type Suspending, safeSuspension, suspendOperation } from "./suspension.ts";

export interface FrameOptions<S = unknown> {
  /** Shown in errors and reports. Default: the function's name. */
  readonly name?: string;
  /** Cancels it when aborted, with the signal's reason; aborted already, the coroutine is cancelled at its first operation. */
  readonly signal?: AbortSignal;
  /** The frame's `storage` when the body begins. */
  readonly storage?: S;
  /** Native bodies only: bytes of its stack, 4,096 to 8,388,608, or one of `stackAlloc`. Default 65,536, see `initEnv`. */
  readonly stack?: number | Stack;
}

/**
 * Starts a coroutine: runs `body` up to its first suspend and returns its frame.
 *
 * The body is a generator function (`yield*` suspends it), an async function, a plain function, or native code (see
 * "zigcoro/native"). An async function's first operation begins in a microtask, after this has returned. What it throws is kept for
 * whoever awaits the frame; a failure that nobody awaits becomes an unhandled rejection. The error's stack names the coroutines that it
 * came through and who spawned them; with ZIGCORO_TRACE=1 in the environment also where.
 *
 * @example
 * ```ts
 * function* double(n: number) {
 *   yield* xsuspend();
 *   return n * 2;
 * }
 * const frame = xasync(double, [21]);
 * xresume(frame);
 * console.log(await xawait(frame)); // 42
 * ```
 */
export function xasync<S = unknown>(body: NativeBody, args?: readonly NativeArgument[], options?: FrameOptions<S>): Frame<number, S>;
export function xasync<A extends readonly unknown[], T, S = unknown>(
  body: (...args: A) => Coroutine<T>,
  args: A,
  options?: FrameOptions<S>,
): Frame<T, S>;
export function xasync<A extends readonly unknown[], T, S = unknown>(
  body: (...args: A) => PromiseLike<T>,
  args: A,
  options?: FrameOptions<S>,
): Frame<T, S>;
export function xasync<A extends readonly unknown[], T, S = unknown>(
  body: (...args: A) => T,
  args: A,
  options?: FrameOptions<S>,
): Frame<T, S>;
export function xasync<T, S = unknown>(body: () => Coroutine<T>, args?: readonly [], options?: FrameOptions<S>): Frame<T, S>;
export function xasync<T, S = unknown>(body: () => PromiseLike<T>, args?: readonly [], options?: FrameOptions<S>): Frame<T, S>;
export function xasync<T, S = unknown>(body: () => T, args?: readonly [], options?: FrameOptions<S>): Frame<T, S>;
export function xasync<T>(
  body: ((...args: never[]) => unknown) | NativeBody,
  args: readonly unknown[] = nothing,
  options: FrameOptions = none,
): Frame<T> | Frame<number> {
  return launch<T>(body, args, options);
}

const nothing: readonly unknown[] = [];
const none: FrameOptions = {};

/** `xasync`, with something to see to before the first suspend. */
export function launch<T>(
  body: ((...args: never[]) => unknown) | NativeBody,
  args: readonly unknown[],
  options: FrameOptions,
  also?: Prepare,
): Frame<T> | Frame<number> {
  const signal = checkSignal(options.signal, "xasync: options.signal");
  const prepare: Prepare | undefined =
    signal === undefined
      ? also
      : (frame) => {
          also?.(frame);
          frame.cancelBy(signal);
        };
  if (body instanceof NativeBody) {
    const frame = startNative(body, args, options);
    if (options.storage !== undefined) frame.storage = options.storage;
    prepare?.(frame as Frame<unknown>);
    return frame;
  }
  if (typeof body !== "function") throw new TypeError(`xasync: body must be a function or a NativeBody, got ${show(body)}`);
  if (!Array.isArray(args)) throw new TypeError(`xasync: args must be an array, got ${show(args)}`);
  const name = options.name === undefined ? body.name : checkString(options.name, "xasync: options.name");
  return startFrame<T>(body, args, name, prepare, options.storage);
}

/** `xasync` by the name that most languages have for it. `scope` spawns coroutines that cannot outlive it. */
export const spawn: typeof xasync = xasync;

/** Waits for the coroutine's end: its result, or what it threw. Any number of coroutines may await one frame. */
export function xawait<T>(frame: Frame<T>): Operation<T> {
  return checkFrame(frame, "xawait");
}

/**
 * Resumes a coroutine that is suspended in `xsuspend`, which returns `value` there. Returns at the coroutine's next suspend or
 * its end; resumes nest. An async function goes on in a microtask instead, after this has returned.
 *
 * @throws Error when the coroutine has finished, is running, or waits for something else.
 */
export function xresume(frame: Frame<unknown>, value?: unknown): void {
  if (!(frame instanceof Frame)) checkFrame(frame, "xresume");
  frame.resume(value);
}

/** Suspends the current coroutine until `xresume`, and gives what that brought. */
export function xsuspend(): Operation<unknown> {
  return suspendOperation();
}

/**
 * `xsuspend` for code that may run outside of any coroutine: there it says so in its result and does not throw. Await it there.
 *
 * @example
 * ```ts
 * const how = await xsuspendSafe();
 * console.log(how.suspended); // false: nobody could have resumed the top level
 * ```
 */
export function xsuspendSafe(): Operation<Suspending> {
  return safeSuspension;
}

/**
 * Suspends the current coroutine, then calls `block` with its frame, on the side of whoever resumed it last: there the frame may be
 * handed to what will resume it, or be resumed at once. What `block` throws is thrown here.
 *
 * @example
 * ```ts
 * const data = yield* xsuspendBlock((frame) => readFile("data.txt", (_error, text) => xresume(frame, text)));
 * ```
 * @throws TypeError; Error outside of any coroutine
 */
export function xsuspendBlock(block: (frame: Frame<unknown>) => void): Operation<unknown> {
  checkFunction(block, "xsuspendBlock: block");
  return blockSuspendOperation(block);
}

/**
 * The coroutine that runs right now. `S` is what its `storage` holds: that is known where it was spawned, not here, so it is taken on trust,
 * as zigcoro's `getStorage(T)` does. Where a body may be spawned by anybody, a `Local` is the checked way.
 *
 * @example
 * ```ts
 * function* count() {
 *   xframe<{ calls: number }>().storage.calls++;
 * }
 * const frame = xasync(count, [], { storage: { calls: 0 } });
 * console.log(frame.storage.calls); // 1
 * ```
 * @throws Error outside of any coroutine.
 */
export function xframe<S = unknown>(): Frame<unknown, S> {
  const frame = currentFrame();
  if (frame === undefined) throw new MisuseError("xframe was called outside of any coroutine");
  return frame as Frame<unknown, S>;
}

/** Whether a coroutine runs right now. */
export function inCoro(): boolean {
  return currentFrame() !== undefined;
}

export function checkSignal(signal: unknown, what: string): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(`${what} must be an AbortSignal, got ${show(signal)}`);
}

export function checkFrame<T>(frame: Frame<T>, what: string): Frame<T> {
  if (!(frame instanceof Frame)) throw new TypeError(`${what}: frame must be a Frame, got ${show(frame)}`);
  return frame;
}
