// block: an operation from plain code, with nothing to await it: the loop runs until it is done.

import { operationOf, type Waitable } from "./branch.ts";
import { MisuseError } from "./error.ts";
import { type Coroutine, currentFrame } from "./frame.ts";
import { runToEnd } from "./loop.ts";
import { state } from "./scheduler.ts";
import { startGenerator } from "./start.ts";

/**
 * Runs the loop on this thread until `operation` has ended, and returns its result: zigcoro's calls from outside of any coroutine. Everything
 * in the loop goes on meanwhile, and promises; Bun's own timers and sockets wait.
 *
 * @example
 * ```ts
 * const server = block(asyncio.TCP.listen({ port: 0 }));
 * ```
 * @throws what the operation throws
 * @throws Deadlock when nothing can end it any more
 * @throws Error inside a coroutine: there write `yield*`, or `await` in an async function
 */
export function block<T>(operation: Waitable<T>): T {
  const limited = operationOf(operation, "block: operation");
  if (state.driving || currentFrame() !== undefined) {
    throw new MisuseError(
      `cannot block to ${limited.what} inside a coroutine: the loop runs already; write yield* (or await in an async function)`,
    );
  }
  return runToEnd(() => startGenerator(wait(limited), "block"));
}

function* wait<T>(operation: import("./operation.ts").Operation<T>): Coroutine<T> {
  return yield* operation;
}
