// withTimeout and withDeadline: an operation with a limit of time. The operation and a timer start together; what ends first takes the
// other back.
//
// When the time is over, the operation is cancelled and its real end awaited: if it ended with a result all the same, that result
// is returned, for it must not be lost.

import { type Branch, operationOf, type Waitable } from "./branch.ts";
import { checkMilliseconds } from "./check.ts";
import { parked } from "./code.ts";
import { Contest, ContestOperation } from "./contest.ts";
import { TimeoutError } from "./error.ts";
import type { Operation } from "./operation.ts";
import { now, sleep, sleepUntil } from "./sleep.ts";
import type { Wait } from "./wait.ts";

/** The first branch is the operation, the second the timer. */
class Limit extends Contest {
  protected override lost(branch: Branch): void {
    // It has a result although the time is over: better late than lost.
    if (branch.index === 0 && !branch.wasCancelled()) this.winner = branch;
    else super.lost(branch);
  }
}

class WithTimeout<T> extends ContestOperation<T> {
  readonly #operation: Operation<T>;
  readonly #timer: () => Operation<void>;
  readonly #ms: number;
  readonly #limit: string;

  /** @param limit how reports say it: "at most 5 ms" */
  constructor(operation: Operation<T>, timer: () => Operation<void>, ms: number, limit: string) {
    super();
    this.#operation = operation;
    this.#timer = timer;
    this.#ms = ms;
    this.#limit = limit;
  }

  override poll(wait: Wait): number {
    const contest = new Limit([this.#operation], wait);
    const branch = contest.branches[0] as Branch;
    const status = this.#operation.poll(branch);
    if (status !== parked) {
      branch.over(status, 0);
      contest.winner = branch;
      wait.payload = contest;
      return 0;
    }
    return status;
  }

  override begin(wait: Wait): number {
    const contest = new Limit([this.#operation, this.#timer()], wait);
    wait.payload = contest;
    return contest.beginInOrder();
  }

  protected override result(contest: Contest): T {
    if (contest.winner?.index === 1) {
      contest.finish();
      throw new TimeoutError(this.#ms, this.#operation.what);
    }
    return contest.finish() as T;
  }

  override putBack(value: T): void {
    this.#operation.putBack(value);
  }

  override get what(): string {
    return `${this.#operation.what} for ${this.#limit}`;
  }
}

/**
 * `operation`, but a TimeoutError when it has not ended after `ms` milliseconds. An operation that timed out is over: a receive
 * has consumed nothing, a send was not delivered. A result that comes while it is being cancelled is returned, not lost.
 *
 * A generator runs as a coroutine of its own, and is cancelled when the time is over. Limits nest: the shorter one ends it.
 *
 * @example
 * ```ts
 * try {
 *   yield* withTimeout(1, inbox.recv());
 * } catch (error) {
 *   console.log((error as Error).message); // timed out after 1 ms waiting to receive from channel "inbox"
 * }
 * ```
 * @throws TypeError, RangeError
 */
export function withTimeout<T>(ms: number, operation: Waitable<T>): Operation<T> {
  checkMilliseconds(ms, "withTimeout: ms");
  return new WithTimeout(operationOf(operation, "withTimeout: operation"), () => sleep(ms), ms, `at most ${ms} ms`);
}

/**
 * `operation`, but a TimeoutError when it has not ended at `deadline`, a time of `now()`: for several operations that share one limit.
 *
 * @example
 * ```ts
 * const deadline = now() + 5_000;
 * const head = yield* withDeadline(deadline, connection.read(4));
 * const rest = yield* withDeadline(deadline, connection.read());
 * ```
 * @throws TypeError, RangeError
 */
export function withDeadline<T>(deadline: number, operation: Waitable<T>): Operation<T> {
  checkMilliseconds(deadline, "withDeadline: deadline");
  const limited = operationOf(operation, "withDeadline: operation");
  return new WithTimeout(limited, () => sleepUntil(deadline), Math.max(0, Math.round(deadline - now())), "a limited time");
}
