// until: any promise as an operation, so that it can be waited for in a generator, timed out, cancelled.

import { show } from "./check.ts";
import { parked } from "./code.ts";
import type { Wait } from "./native/env.ts";
import { Operation } from "./operation.ts";
import { ready } from "./scheduler.ts";

class Until<T> extends Operation<T> {
  readonly #promise: PromiseLike<T>;
  readonly #waiting = new Set<Wait>();
  #state: "new" | "pending" | "fulfilled" | "rejected" = "new";
  #outcome: unknown;

  constructor(promise: PromiseLike<T>) {
    super();
    this.#promise = promise;
  }

  override begin(wait: Wait): number {
    if (this.#state === "fulfilled" || this.#state === "rejected") return 0;
    this.#waiting.add(wait);
    if (this.#state === "new") {
      this.#state = "pending";
      // As a promise even a careless thenable settles once.
      Promise.resolve(this.#promise).then(
        (value) => this.#settle("fulfilled", value),
        (error) => this.#settle("rejected", error),
      );
    }
    return parked;
  }

  #settle(state: "fulfilled" | "rejected", outcome: unknown): void {
    this.#state = state;
    this.#outcome = outcome;
    for (const wait of this.#waiting) ready(wait, 0, 0);
    this.#waiting.clear();
  }

  override finish(_status: number, _value: number): T {
    if (this.#state === "rejected") throw this.#outcome;
    return this.#outcome as T;
  }

  override takeBack(wait: Wait): boolean {
    return this.#waiting.delete(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return "await a promise";
  }
}

/**
 * The result of a promise, as an operation. A wait that is cancelled or timed out leaves the promise alone.
 *
 * @example `const response = yield* withTimeout(5_000, until(fetch(url)));`
 * @throws TypeError when it is not a promise
 */
export function until<T>(promise: PromiseLike<T>): Operation<T> {
  if (typeof (promise as PromiseLike<T> | undefined)?.then !== "function") {
    throw new TypeError(`until: promise must be a promise, got ${show(promise)}`);
  }
  return new Until(promise);
}
