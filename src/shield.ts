// shield: an operation that a cancel does not reach.

import { operationOf, type Waitable } from "./branch.ts";
import { Operation } from "./operation.ts";
import type { Wait } from "./wait.ts";

class Shield<T> extends Operation<T> {
  readonly #operation: Operation<T>;

  constructor(operation: Operation<T>) {
    super();
    this.#operation = operation;
  }

  override poll(wait: Wait): number {
    return this.#operation.poll(wait);
  }

  override begin(wait: Wait): number {
    return this.#operation.begin(wait);
  }

  override advance(status: number, value: number, wait: Wait): number {
    return this.#operation.advance(status, value, wait);
  }

  override finish(status: number, value: number, wait: Wait): T {
    return this.#operation.finish(status, value, wait);
  }

  override takeBack(): boolean {
    return false;
  }

  override wasCancelled(): boolean {
    return false;
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    this.#operation.giveBack(status, value, wait);
  }

  override putBack(value: T): void {
    this.#operation.putBack(value);
  }

  override waitsFor(wait: Wait): Iterable<object> {
    return this.#operation.waitsFor(wait);
  }

  override get what(): string {
    return this.#operation.what;
  }
}

/**
 * `operation`, but a cancel, a timeout or a select that others win waits until it has ended by itself. The cancel is then delivered at the
 * next operation. For several steps that belong together: `shield(commit(transaction))` with a generator.
 *
 * @example
 * ```ts
 * yield* shield(commit()); // all of it or nothing, whoever cancels
 * ```
 * @throws TypeError
 */
export function shield<T>(operation: Waitable<T>): Operation<T> {
  return new Shield(operationOf(operation, "shield: operation"));
}
