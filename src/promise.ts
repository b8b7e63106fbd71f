// PromiseWait: an operation that is awaited outside of a generator, as the promise that `await` sees.

import { parked } from "./code.ts";
import { release } from "./native/env.ts";
import type { Operation } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import { PlainWait } from "./wait.ts";

/** The async coroutine that awaits; it cancels its waits. */
export interface AsyncOwner {
  readonly waits: Set<PromiseWait>;
  /** A cancel that waits for the next operation. */
  cancelRequest: Error | undefined;
}

/** Finds the async coroutine that runs right now; set by start.ts, which knows. */
export const asyncOwner: { find: () => AsyncOwner | undefined } = { find: () => undefined };

export class PromiseWait extends PlainWait {
  readonly #operation: Operation<unknown>;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  readonly #owner = asyncOwner.find();
  /** Set by a cancel whose operation has still to end. */
  #cancelled: Error | undefined;

  constructor(operation: Operation<unknown>, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    super();
    this.#operation = operation;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get what(): string {
    return this.#operation.what;
  }

  get waitsFor(): Iterable<object> {
    return this.#operation.waitsFor(this);
  }

  start(): void {
    const owner = this.#owner;
    if (owner?.cancelRequest) {
      const error = owner.cancelRequest;
      owner.cancelRequest = undefined;
      this.#reject(error);
      return;
    }
    owner?.waits.add(this);
    try {
      this.#continue(this.#operation.begin(this), 0);
    } catch (error) {
      this.#leave();
      this.#reject(error);
    }
    if (state.submitted) poke();
  }

  complete(status: number, value: number): void {
    try {
      this.#continue(this.#operation.advance(status, value, this), value);
    } catch (error) {
      this.#leave();
      this.#reject(error);
    }
  }

  /** Rejects with `error` once the operation has ended; if it ends with a result all the same, the next one is cancelled. */
  cancel(error: Error): void {
    this.#cancelled = error;
    if (!this.#operation.takeBack(this, error.cause)) return;
    this.#leave();
    this.#reject(error);
  }

  #continue(status: number, value: number): void {
    if (status === parked) {
      // A cancel that met the end of one part is for the next part, too.
      if (this.#cancelled) this.cancel(this.#cancelled);
      return;
    }
    this.#leave();
    this.#resolve(this.#result(status, value));
  }

  #result(status: number, value: number): unknown {
    const error = this.#cancelled;
    if (error !== undefined) {
      if (this.#operation.wasCancelled(status, this)) {
        this.#operation.forget(this);
        throw error;
      }
      if (this.#owner) this.#owner.cancelRequest = error;
    }
    return this.#operation.finish(status, value, this);
  }

  #leave(): void {
    release(this);
    this.#owner?.waits.delete(this);
  }
}

let resolveNew: (value: unknown) => void;
let rejectNew: (error: unknown) => void;

/** One for all: a closure for each promise costs more than the promise. */
function executor(resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  resolveNew = resolve;
  rejectNew = reject;
}

/** Starts `operation`: the promise of its result. */
export function awaiting<T>(operation: Operation<T>): Promise<T> {
  const promise = new Promise<unknown>(executor);
  new PromiseWait(operation, resolveNew, rejectNew).start();
  return promise as Promise<T>;
}
