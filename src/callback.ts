// CallbackWait: an operation that ends in a callback, for streams. No coroutine owns it: the one that happens to run while a stream reads
// or writes does not take that along when it is cancelled.
//
// Exactly one of `ended` and `failed` is called, once. Until then it is in flight, and `cancel` makes it end.

import { parked } from "./code.ts";
import { Cancelled } from "./error.ts";
import { release } from "./native/env.ts";
import type { Operation } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import { PlainWait } from "./wait.ts";

export class CallbackWait<T> extends PlainWait {
  readonly #operation: Operation<T>;
  readonly #ended: (value: T) => void;
  readonly #failed: (error: unknown) => void;
  #isOver = false;
  #cancelled: Cancelled | undefined;

  /** Begins it. The callbacks may be called before this returns. */
  constructor(operation: Operation<T>, ended: (value: T) => void, failed: (error: unknown) => void) {
    super();
    this.#operation = operation;
    this.#ended = ended;
    this.#failed = failed;
    let status: number;
    try {
      status = operation.begin(this);
    } catch (error) {
      this.#leave();
      failed(error);
      return;
    }
    if (status !== parked) this.#end(status, 0);
    if (state.submitted) poke();
  }

  get what(): string {
    return this.#operation.what;
  }

  complete(status: number, value: number): void {
    const now = this.#operation.advance(status, value, this);
    if (now !== parked) this.#end(now, value);
    // A cancel that met the end of one part is for the next part, too.
    else if (this.#cancelled) this.cancel(this.#cancelled.cause);
  }

  /** It fails with `Cancelled`, now or when its operation has ended, unless that has a result all the same. */
  cancel(reason?: unknown): void {
    if (this.#isOver) return;
    this.#cancelled = new Cancelled(reason);
    const isTaken = this.#operation.takeBack(this, reason);
    if (state.submitted) poke();
    if (!isTaken) return;
    this.#leave();
    this.#failed(this.#cancelled);
  }

  /** What the callbacks throw is not the operation's error: it goes to the caller. */
  #end(status: number, value: number): void {
    let result: T;
    try {
      result = this.#result(status, value);
    } catch (error) {
      this.#leave();
      this.#failed(error);
      return;
    }
    this.#leave();
    this.#ended(result);
  }

  #result(status: number, value: number): T {
    if (this.#cancelled === undefined || !this.#operation.wasCancelled(status, this)) return this.#operation.finish(status, value, this);
    this.#operation.forget(this);
    throw this.#cancelled;
  }

  #leave(): void {
    this.#isOver = true;
    release(this);
  }
}
