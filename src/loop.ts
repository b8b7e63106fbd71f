// asyncio.Loop and asyncio.run: owner mode, our loop instead of Bun's.

import { drainMicrotasks } from "bun:jsc";
import { checkFunction, show } from "./check.ts";
import { type FrameOptions, xasync } from "./coroutine.ts";
import { Deadlock, MisuseError } from "./error.ts";
import { type Coroutine, currentFrame, type Frame } from "./frame.ts";
import { type Backend, backend } from "./native/env.ts";
import { deadlockReport } from "./report.ts";
import { drive, state } from "./scheduler.ts";

/** The event loop of this thread. There is one per thread; every Loop object is a view of it. */
export class Loop {
  /**
   * What it waits for events with. `ZIGCORO_BACKEND` chooses; the default is the system's best: on Linux io_uring, where the kernel
   * allows it, else epoll; on macOS kqueue; on Windows iocp.
   */
  get backend(): Backend {
    return backend;
  }
}

/**
 * Owner mode: runs `main` as a coroutine and blocks this thread in the loop until it has ended; returns its result or throws
 * its error. The fastest way for scripts and Workers. Promises go on between ticks, so async bodies work; Bun's own timers,
 * sockets and `fetch` stand still until it returns.
 *
 * @throws Deadlock when nothing can wake `main` any more
 * @throws Error inside a coroutine: there the loop runs already
 * @example
 * ```ts
 * const answer = asyncio.run(new asyncio.Loop(), function* (a: number, b: number) {
 *   yield* asyncio.sleep(1);
 *   return a * b;
 * }, [6, 7]);
 * ```
 */
export function runOwner<A extends readonly unknown[], T>(
  loop: Loop,
  main: (...args: A) => Coroutine<T>,
  args: A,
  options?: FrameOptions,
): T;
export function runOwner<A extends readonly unknown[], T>(
  loop: Loop,
  main: (...args: A) => PromiseLike<T>,
  args: A,
  options?: FrameOptions,
): T;
export function runOwner<A extends readonly unknown[], T>(loop: Loop, main: (...args: A) => T, args: A, options?: FrameOptions): T;
export function runOwner<T>(loop: Loop, main: () => Coroutine<T>, args?: readonly [], options?: FrameOptions): T;
export function runOwner<T>(loop: Loop, main: () => PromiseLike<T>, args?: readonly [], options?: FrameOptions): T;
export function runOwner<T>(loop: Loop, main: () => T, args?: readonly [], options?: FrameOptions): T;
export function runOwner<T>(loop: Loop, main: (...args: never[]) => unknown, args: readonly unknown[] = [], options: FrameOptions = {}): T {
  if (!(loop instanceof Loop)) throw new TypeError(`asyncio.run: loop must be an asyncio.Loop, got ${show(loop)}`);
  checkFunction(main, "asyncio.run: main");
  if (state.driving || currentFrame() !== undefined)
    throw new MisuseError("asyncio.run cannot be called inside a coroutine: the loop runs already; write yield*");
  const named = { ...options, name: options.name ?? (main.name || "main") };
  return runToEnd(() => xasync(main as (...args: readonly unknown[]) => Coroutine<T>, args, named));
}

/** Runs the loop on this thread, from the start of a coroutine to its end; its result, or its error. @throws Deadlock */
export function runToEnd<T>(start: () => Frame<T>): T {
  state.owning = true;
  try {
    const frame = start();
    // It is awaited here: a failure is ours to throw.
    frame.observe();
    if (!drive(() => frame.status === "done", drainMicrotasks)) throw new Deadlock(deadlockReport([frame]));
    return frame.outcome();
  } finally {
    state.owning = false;
  }
}
