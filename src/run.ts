// run: guest mode, our loop inside Bun's. Keeps the process alive while something is in flight and reports a deadlock instead of
// letting it end in silence.

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
 * When the process would end while `main` still waits, nothing can wake it any more: the promise is then rejected with a
 * `Deadlock` that lists who waits for what. (Under a top-level `await` Bun never comes to that: it keeps a process whose module
 * waits for ever, as with any other promise.)
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
  const frame = xasync(main as (...args: readonly unknown[]) => Coroutine<T>, args, { name: options.name ?? (main.name || "main") });
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  watchExit();
  mains.set(frame, reject);
  frame.then(resolve, reject).then(() => mains.delete(frame));
  return promise;
}

function watchExit(): void {
  if (watching) return;
  watching = true;
  process.on("beforeExit", () => {
    for (const [frame, reject] of mains) {
      mains.delete(frame);
      reject(new Deadlock(deadlockReport([frame])));
    }
  });
}
