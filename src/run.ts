// run: guest mode, our loop inside Bun's. Keeps the process alive while something is in flight and reports a deadlock instead of
// letting it end in silence.

import { AsyncLocalStorage } from "node:async_hooks";
import { isMainThread } from "node:worker_threads";
import { checkFunction } from "./check.ts";
import { type FrameOptions, xasync } from "./coroutine.ts";
import { Deadlock } from "./error.ts";
import type { Coroutine, Frame } from "./frame.ts";
import { deadlockReport } from "./report.ts";

/** Mains that have not ended, each with the way to reject it. */
const mains = new Map<Frame<unknown>, (error: Error) => void>();
let watching = false;

/**
 * Runs `main` as a coroutine beside everything else that Bun does (`fetch`, `Bun.serve`, timers), and resolves with its result.
 *
 * When nothing is left that keeps the process alive while `main` still waits, nothing can wake it any more: the promise is then
 * rejected with a `Deadlock` that lists who waits for what, also under a top-level `await`. (Not in a Worker that awaits it there: Bun
 * ends that in silence.) By Bun's rules what is `unref`ed, a signal handler and `Atomics.waitAsync` keep nothing alive.
 *
 * @example
 * ```ts
 * const answer = await run(function* main() {
 *   yield* asyncio.sleep(10);
 *   return 42;
 * });
 * ```
 */
export function run<A extends readonly unknown[], T>(main: (...args: A) => Coroutine<T>, args: A, options?: FrameOptions): Promise<T>;
export function run<A extends readonly unknown[], T>(main: (...args: A) => PromiseLike<T>, args: A, options?: FrameOptions): Promise<T>;
export function run<A extends readonly unknown[], T>(main: (...args: A) => T, args: A, options?: FrameOptions): Promise<T>;
export function run<T>(main: () => Coroutine<T>, args?: readonly [], options?: FrameOptions): Promise<T>;
export function run<T>(main: () => PromiseLike<T>, args?: readonly [], options?: FrameOptions): Promise<T>;
export function run<T>(main: () => T, args?: readonly [], options?: FrameOptions): Promise<T>;
export function run<T>(main: (...args: never[]) => unknown, args: readonly unknown[] = [], options: FrameOptions = {}): Promise<T> {
  checkFunction(main, "run: main");
  const frame = xasync(main as (...args: readonly unknown[]) => Coroutine<T>, args, {
    ...options,
    name: options.name ?? (main.name || "main"),
  });
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  watchExit();
  mains.set(frame, reject);
  frame.then(resolve, reject).then(() => mains.delete(frame));
  if (!looking) lookOutside(firstLook, 0);
  return promise;
}

/** Mains that still wait get a `Deadlock`: nothing can wake them any more. */
function reportDeadlock(): void {
  // Where this runs tells nobody anything.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  for (const [frame, reject] of mains) {
    mains.delete(frame);
    reject(new Deadlock(deadlockReport([frame])));
  }
  Error.stackTraceLimit = stackTraceLimit;
}

function watchExit(): void {
  if (watching) return;
  watching = true;
  process.on("beforeExit", () => {
    // A Worker ends without looking at rejections, unless it has one more turn.
    if (mains.size > 0 && !isMainThread) setTimeout(() => {}, 0);
    reportDeadlock();
  });
}

// While the program's own top-level `await` waits, Bun 1.4 never comes to `beforeExit`: with nothing left that keeps the process alive
// its loop turns round and round, and collects only timers. An immediate without a reference tells: as long as anything is alive, it
// runs in the next turn; when nothing is, a timer without a reference comes first.

/** Milliseconds between two looks, which grow as long as something is alive. */
const firstLook = 10;
const lastLook = 1000;
let looking = false;

/** `quiet` looks in a row have found nothing alive. Two make sure that nothing is just about to begin. */
function look(after: number, quiet: number): void {
  looking = mains.size > 0;
  if (!looking) return;
  if (quiet === 2) reportDeadlock();
  let alive = false;
  const immediate = setImmediate(() => {
    alive = true;
  });
  immediate.unref();
  setTimeout(() => {
    clearImmediate(immediate);
    if (alive) lookOutside(Math.min(after * 2, lastLook), 0);
    // After a report it counts anew, for a `run` that follows.
    else lookOutside(firstLook, (quiet % 2) + 1);
  }, after).unref();
}

const lookOutside = AsyncLocalStorage.bind(look);
