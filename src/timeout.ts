// withTimeout: an operation with a limit of time. The operation and a timer start together; what ends first takes the other back.
//
// When the time is over, the operation is cancelled and its real end awaited: if it ended with a result all the same, that result
// is returned, for it must not be lost.

import { checkMilliseconds, show } from "./check.ts";
import { TimeoutError } from "./error.ts";
import { release, type Wait } from "./native/env.ts";
import { Operation, parked } from "./operation.ts";
import { ready } from "./scheduler.ts";
import { sleep } from "./sleep.ts";

const timedOut = -20_001;

/** One use of a WithTimeout: both branches and who waits for them. */
class Race<T> {
  readonly operation: Operation<T>;
  readonly timer: Operation<void>;
  readonly outer: Wait;
  readonly main: Branch;
  readonly limit: Branch;
  timeIsOver = false;
  status = parked as number;
  value = 0;

  constructor(operation: Operation<T>, ms: number, outer: Wait) {
    this.operation = operation;
    this.timer = sleep(ms);
    this.outer = outer;
    this.main = new Branch(operation.what, (status, value) => this.mainEnded(operation.advance(status, value, this.main), value));
    this.limit = new Branch(this.timer.what, () => this.limitEnded());
  }

  begin(): number {
    const status = this.operation.begin(this.main);
    if (status !== parked) {
      release(this.main);
      return status;
    }
    this.timer.begin(this.limit);
    return parked;
  }

  mainEnded(status: number, value: number): void {
    if (status === parked) return;
    release(this.main);
    const late = this.timeIsOver && this.operation.wasCancelled(status);
    this.status = late ? timedOut : status;
    this.value = value;
    if (!this.timeIsOver && this.timer.takeBack(this.limit)) release(this.limit);
    ready(this.outer, this.status, this.value);
  }

  limitEnded(): void {
    release(this.limit);
    if (this.status !== parked) return;
    this.timeIsOver = true;
    if (!this.operation.takeBack(this.main)) return;
    release(this.main);
    this.status = timedOut;
    ready(this.outer, timedOut, 0);
  }

  takeBack(): boolean {
    if (this.status !== parked || !this.operation.takeBack(this.main)) return false;
    release(this.main);
    this.status = timedOut;
    if (this.timer.takeBack(this.limit)) release(this.limit);
    return true;
  }
}

class Branch implements Wait {
  token = -1;
  readonly what: string;
  readonly complete: (status: number, value: number) => void;

  constructor(what: string, complete: (status: number, value: number) => void) {
    this.what = what;
    this.complete = complete;
  }
}

class WithTimeout<T> extends Operation<T> {
  readonly #operation: Operation<T>;
  readonly #ms: number;
  readonly #races = new Map<Wait, Race<T>>();

  constructor(ms: number, operation: Operation<T>) {
    super();
    this.#ms = ms;
    this.#operation = operation;
  }

  override begin(wait: Wait): number {
    const race = new Race(this.#operation, this.#ms, wait);
    const status = race.begin();
    if (status === parked) this.#races.set(wait, race);
    return status;
  }

  override advance(status: number, _value: number, wait: Wait): number {
    this.#races.delete(wait);
    return status;
  }

  override finish(status: number, value: number): T {
    if (status === timedOut) throw new TimeoutError(this.#ms, this.#operation.what);
    return this.#operation.finish(status, value);
  }

  override takeBack(wait: Wait): boolean {
    if (!this.#races.get(wait)?.takeBack()) return false;
    this.#races.delete(wait);
    return true;
  }

  override wasCancelled(status: number): boolean {
    return this.#operation.wasCancelled(status);
  }

  override get what(): string {
    return `${this.#operation.what} for at most ${this.#ms} ms`;
  }
}

/**
 * `operation`, but a TimeoutError when it has not ended after `ms` milliseconds. An operation that timed out is over: a receive
 * has consumed nothing, a send was not delivered. A result that comes while it is being cancelled is returned, not lost.
 *
 * @throws TypeError, RangeError
 */
export function withTimeout<T>(ms: number, operation: Operation<T>): Operation<T> {
  checkMilliseconds(ms, "withTimeout: ms");
  if (!(operation instanceof Operation)) throw new TypeError(`withTimeout: operation must be an Operation, got ${show(operation)}`);
  return new WithTimeout(ms, operation);
}
