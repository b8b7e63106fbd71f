// retry: an operation again, with longer and longer pauses, until it succeeds.

import { operationOf, type Waitable } from "./branch.ts";
import { sequence } from "./call.ts";
import { checkFunction, checkInteger, checkMilliseconds, show } from "./check.ts";
import { Cancelled } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import type { Operation } from "./operation.ts";
import { sleep } from "./sleep.ts";

export interface RetryOptions {
  /** How often it is tried in all, from 1 on. Default 5. */
  readonly times?: number;
  /** Milliseconds before the second try. Default 100. */
  readonly delay?: number;
  /** By how much each pause is longer than the one before, from 1 on. Default 2. */
  readonly factor?: number;
  /** Milliseconds that no pause is longer than. Default 30,000. */
  readonly maxDelay?: number;
  /** Which part of a pause is random, from 0 to 1: with 1 it may be anything from nothing to all of it. Default 0.5. */
  readonly jitter?: number;
  /** Whether to try again after `error`, at try number `attempt`, from 1 on. Default: always. */
  readonly when?: (error: unknown, attempt: number) => boolean;
}

/**
 * Tries `attempt` until it succeeds, `times` at most, with pauses that grow by `factor` and are partly random, so that many who failed
 * together do not come back together. A cancel is not retried.
 *
 * @example
 * ```ts
 * const response = yield* retry((attempt) => until((signal) => fetch(url, { signal })), { times: 3 });
 * ```
 * @throws what the last try threw
 * @throws TypeError, RangeError
 */
export function retry<T>(attempt: (attempt: number) => Waitable<T>, options: RetryOptions = {}): Operation<T> {
  checkFunction(attempt, "retry: attempt");
  const times = checkInteger(options.times ?? 5, "retry: options.times", 1, 2 ** 31 - 1);
  const delay = checkMilliseconds(options.delay ?? 100, "retry: options.delay");
  const maxDelay = checkMilliseconds(options.maxDelay ?? 30_000, "retry: options.maxDelay");
  const factor = checkRange(options.factor ?? 2, "retry: options.factor", 1, Number.MAX_VALUE);
  const jitter = checkRange(options.jitter ?? 0.5, "retry: options.jitter", 0, 1);
  const when = options.when ?? (() => true);
  checkFunction(when, "retry: options.when");
  return sequence("succeed after retries", function* (): Coroutine<T> {
    for (let n = 1, pause = Math.min(delay, maxDelay); ; n++, pause = Math.min(pause * factor, maxDelay)) {
      try {
        return yield* operationOf(attempt(n), "retry: what attempt returns");
      } catch (error) {
        if (n === times || error instanceof Cancelled || !when(error, n)) throw error;
      }
      yield* sleep(pause * (1 - jitter * Math.random()));
    }
  });
}

function checkRange(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== "number") throw new TypeError(`${what} must be a number from ${min} on, got ${show(value)}`);
  if (!(value >= min && value <= max))
    throw new RangeError(`${what} must be a number from ${min}${max === 1 ? " to 1" : " on"}, got ${show(value)}`);
  return value;
}
