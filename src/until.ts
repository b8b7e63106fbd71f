// until: any promise as an operation, so that it can be waited for in a generator, timed out, cancelled.

import { show } from "./check.ts";
import { parked } from "./code.ts";
import { Cancelled } from "./error.ts";
import { Operation } from "./operation.ts";
import { ready } from "./scheduler.ts";
import { type Wait, WaitList } from "./wait.ts";

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

class Until<T> extends Operation<T> {
  readonly #promise: PromiseLike<T>;
  readonly #waiting = new WaitList();
  #state: "new" | "pending" | "settled" = "new";
  #outcome: Outcome<T> | undefined;

  constructor(promise: PromiseLike<T>) {
    super();
    this.#promise = promise;
  }

  override poll(): number {
    return this.#state === "settled" ? 0 : parked;
  }

  override begin(wait: Wait): number {
    if (this.#state === "settled") return 0;
    this.#waiting.push(wait);
    if (this.#state === "new") {
      this.#state = "pending";
      // As a promise even a careless thenable settles once.
      Promise.resolve(this.#promise).then(
        (value) => this.#settle({ value }),
        (error) => this.#settle({ error }),
      );
    }
    return parked;
  }

  #settle(outcome: Outcome<T>): void {
    this.#state = "settled";
    this.#outcome = outcome;
    for (let wait = this.#waiting.shift(); wait !== undefined; wait = this.#waiting.shift()) ready(wait, 0, 0);
  }

  override finish(): T {
    return unwrap(this.#outcome as Outcome<T>);
  }

  override takeBack(wait: Wait): boolean {
    return this.#waiting.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return "await a promise";
  }
}

/** One use of a function that makes a promise. */
class Made<T> {
  readonly controller = new AbortController();
  outcome: Outcome<T> | undefined = undefined;
}

class UntilMade<T> extends Operation<T> {
  readonly #make: (signal: AbortSignal) => PromiseLike<T>;

  constructor(make: (signal: AbortSignal) => PromiseLike<T>) {
    super();
    this.#make = make;
  }

  override begin(wait: Wait): number {
    const made = new Made<T>();
    const settle = (outcome: Outcome<T>) => {
      made.outcome = outcome;
      ready(wait, 0, 0);
    };
    Promise.resolve(checkPromise(this.#make(made.controller.signal))).then(
      (value) => settle({ value }),
      (error) => settle({ error }),
    );
    wait.payload = made;
    return parked;
  }

  override finish(_status: number, _value: number, wait: Wait): T {
    const made = wait.payload as Made<T>;
    wait.payload = undefined;
    return unwrap(made.outcome as Outcome<T>);
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    (wait.payload as Made<T>).controller.abort(new Cancelled(reason));
    return false;
  }

  override wasCancelled(_status: number, wait: Wait): boolean {
    const { controller, outcome } = wait.payload as Made<T>;
    return controller.signal.aborted && outcome !== undefined && "error" in outcome;
  }

  override get what(): string {
    return "await a promise";
  }
}

function unwrap<T>(outcome: Outcome<T>): T {
  if ("error" in outcome) throw outcome.error;
  return outcome.value;
}

function checkPromise<T>(promise: PromiseLike<T>): PromiseLike<T> {
  if (typeof (promise as PromiseLike<T> | undefined)?.then === "function") return promise;
  throw new TypeError(`until: promise must be a promise, got ${show(promise)}`);
}

/**
 * The result of a promise, as an operation. A wait that is cancelled or timed out leaves the promise alone.
 *
 * Given a function, it calls that when it begins, with a signal that is aborted when the wait is cancelled, timed out or has lost; the
 * promise's end is awaited then, too. It fits everything that takes a signal, and leaves nothing running.
 *
 * @example
 * ```ts
 * const response = yield* withTimeout(5_000, until((signal) => fetch(url, { signal })));
 * ```
 * @throws TypeError when it is no promise
 */
export function until<T>(promise: PromiseLike<T> | ((signal: AbortSignal) => PromiseLike<T>)): Operation<T> {
  return typeof promise === "function" && !("then" in promise)
    ? new UntilMade(promise)
    : new Until(checkPromise(promise as PromiseLike<T>));
}
