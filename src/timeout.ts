// withTimeout: an operation with a limit of time. The operation and a timer start together; what ends first takes the other back.
//
// When the time is over, the operation is cancelled and its real end awaited: if it ended with a result all the same, that result
// is returned, for it must not be lost.

import { checkMilliseconds, show } from "./check.ts";
import { parked } from "./code.ts";
import { TimeoutError } from "./error.ts";
import { release, type Wait } from "./native/env.ts";
import { Operation } from "./operation.ts";
import { ready } from "./scheduler.ts";
import { sleep } from "./sleep.ts";

/** One use of a WithTimeout: the two branches and who waits for them. */
class Race<T> {
  readonly #operation: Operation<T>;
  readonly #timer: Operation<void>;
  readonly #outer: Wait;
  readonly #main: Branch;
  readonly #limit: Branch;
  #status: number = parked;
  #value = 0;
  #timeIsOver = false;
  /** The operation was taken back because the time was over. */
  timedOut = false;

  constructor(operation: Operation<T>, ms: number, outer: Wait) {
    this.#operation = operation;
    this.#timer = sleep(ms);
    this.#outer = outer;
    this.#main = new Branch(operation.what, (status, value) => this.#mainEnded(operation.advance(status, value, this.#main), value));
    this.#limit = new Branch(this.#timer.what, () => this.#limitEnded());
  }

  begin(): number {
    try {
      this.#status = this.#operation.begin(this.#main);
    } catch (error) {
      release(this.#main);
      throw error;
    }
    if (this.#status !== parked) release(this.#main);
    else if (this.#timer.begin(this.#limit) !== parked) release(this.#limit);
    return this.#status;
  }

  finish(): T {
    return this.#operation.finish(this.#status, this.#value, this.#main);
  }

  takeBack(): boolean {
    if (this.#status !== parked || !this.#operation.takeBack(this.#main)) return false;
    release(this.#main);
    this.#stopTimer();
    return true;
  }

  wasCancelled(): boolean {
    return !this.timedOut && this.#operation.wasCancelled(this.#status, this.#main);
  }

  forget(): void {
    this.#operation.forget(this.#main);
  }

  #mainEnded(status: number, value: number): void {
    if (status === parked) {
      // The limit met the end of one part: it is for the next part, too.
      if (this.#timeIsOver) this.#takeBackLate();
      return;
    }
    this.#status = status;
    this.#value = value;
    release(this.#main);
    if (!this.#timeIsOver) this.#stopTimer();
    else if (this.#operation.wasCancelled(status, this.#main)) this.#timeOut();
    ready(this.#outer, 0, 0);
  }

  #limitEnded(): void {
    release(this.#limit);
    if (this.#status !== parked) return;
    this.#timeIsOver = true;
    this.#takeBackLate();
  }

  #takeBackLate(): void {
    if (!this.#operation.takeBack(this.#main)) return;
    release(this.#main);
    this.#status = 0;
    this.timedOut = true;
    ready(this.#outer, 0, 0);
  }

  #timeOut(): void {
    this.#operation.forget(this.#main);
    this.timedOut = true;
  }

  #stopTimer(): void {
    if (this.#timer.takeBack(this.#limit)) release(this.#limit);
  }
}

class Branch implements Wait {
  token = -1;
  scratch = 0;
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
    this.#races.set(wait, race);
    return status === parked ? parked : 0;
  }

  override finish(_status: number, _value: number, wait: Wait): T {
    const race = this.#races.get(wait) as Race<T>;
    this.#races.delete(wait);
    if (race.timedOut) throw new TimeoutError(this.#ms, this.#operation.what);
    return race.finish();
  }

  override takeBack(wait: Wait): boolean {
    if (!this.#races.get(wait)?.takeBack()) return false;
    this.#races.delete(wait);
    return true;
  }

  override wasCancelled(_status: number, wait: Wait): boolean {
    return this.#races.get(wait)?.wasCancelled() ?? false;
  }

  override forget(wait: Wait): void {
    this.#races.get(wait)?.forget();
    this.#races.delete(wait);
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
