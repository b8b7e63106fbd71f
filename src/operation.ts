// Operation: a lazy description of something to wait for. `yield*` starts it in a generator coroutine, `await` anywhere else; until
// then nothing happens. An operation may be used again after it has ended.
//
// A subclass says how to begin, and what its status means. Whoever waits is a `Wait`; the operation keeps no record of it, so
// that one description can serve many uses.

import { codes } from "./native/abi.ts";
import { acquire, env, library, release, type Wait } from "./native/env.ts";
import { poke, type Running, ready, state } from "./scheduler.ts";

/** What a suspended coroutine yields to the scheduler. Bodies never see one. */
declare const suspension: unique symbol;
export interface Suspended {
  readonly [suspension]: never;
}

/** `begin` and `advance` answer this while the operation waits. */
export const parked = codes.parked;

const cancelledErrno = -125;

export abstract class Operation<T> implements PromiseLike<T> {
  /** Starts for `wait`: `parked`, or a status for `finish`. Throws what is wrong with the arguments or the moment. */
  abstract begin(wait: Wait): number;

  /** The result that `status` and `value` stand for, or throws the error they stand for. */
  abstract finish(status: number, value: number): T;

  /** What a report says the waiter waits to do: "receive from channel ...". */
  abstract get what(): string;

  /** After a wait ended with `status`: `parked` when the operation goes on, else the status for `finish`. */
  advance(status: number, _value: number, _wait: Wait): number {
    return status;
  }

  /** Takes it back. True: it never happened. False: `complete` still comes, cancelled or with a result. */
  takeBack(wait: Wait): boolean {
    return library.zc_op_cancel(env, wait.token) === 1;
  }

  /** Whether `status` says that a cancel came through. */
  wasCancelled(status: number): boolean {
    return status === cancelledErrno;
  }

  /** Runs the operation in the current generator coroutine: `const value = yield* operation`. */
  [Symbol.iterator](): Iterator<Suspended, T, unknown> {
    return this as unknown as Iterator<Suspended, T, unknown>;
  }

  /** The iterator protocol of `yield*`; not for direct use. The first call begins, the one after a wait ends. */
  protected next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (frame === undefined) throw new Error(`cannot ${this.what} here: yield* works inside a coroutine; elsewhere write await`);
    if (frame.waiting === this) return this.goOn(frame);
    if (frame.cancelRequest !== undefined) throw takeCancel(frame);
    const status = this.begin(frame);
    if (status === parked) {
      frame.waiting = this;
      return suspend;
    }
    if (--state.budget >= 0) return { done: true, value: this.finish(status, 0) };
    // It ended at once, but the others have waited long enough: to the end of the queue, with the result.
    frame.waiting = this;
    ready(frame, status, 0);
    return suspend;
  }

  private goOn(frame: Running): IteratorResult<undefined, unknown> {
    if (frame.thrown !== undefined) {
      const error = frame.thrown;
      frame.thrown = undefined;
      frame.waiting = undefined;
      throw error;
    }
    const value = frame.endValue;
    // Kept while `advance` may wait again, so that the next resume comes back here.
    const status = this.advance(frame.endStatus, value, frame);
    if (status === parked) return suspend;
    frame.waiting = undefined;
    if (frame.cancelRequest !== undefined && this.wasCancelled(status)) throw takeCancel(frame);
    return { done: true, value: this.finish(status, value) };
  }

  // biome-ignore lint/suspicious/noThenProperty: operations are awaitable by design
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return new Promise<T>((resolve, reject) => new PromiseWait(this, resolve as (value: unknown) => void, reject).start()).then(
      onFulfilled,
      onRejected,
    );
  }
}

const suspend: IteratorResult<undefined, unknown> = { done: false, value: undefined };

function takeCancel(frame: Running): Error {
  const error = frame.cancelRequest as Error;
  frame.cancelRequest = undefined;
  return error;
}

/** The token that `wait` waits with, made when it first needs one. */
export function tokenOf(wait: Wait): number {
  return wait.token >= 0 ? wait.token : acquire(wait);
}

/** Where an operation that is awaited outside of a generator finds the async coroutine it runs in; set by frame.ts. */
export interface AsyncOwner {
  readonly waits: Set<PromiseWait>;
  cancelRequest: Error | undefined;
}
export const asyncOwner: { find: () => AsyncOwner | undefined } = { find: () => undefined };

/** A promise that waits for one operation. */
export class PromiseWait implements Wait {
  token = -1;
  readonly #operation: Operation<unknown>;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;
  readonly #owner = asyncOwner.find();
  #thrown: Error | undefined;

  constructor(operation: Operation<unknown>, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    this.#operation = operation;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  get what(): string {
    return this.#operation.what;
  }

  start(): void {
    const cancelled = this.#owner?.cancelRequest;
    if (this.#owner && cancelled) {
      this.#owner.cancelRequest = undefined;
      this.#reject(cancelled);
      return;
    }
    this.#owner?.waits.add(this);
    this.#settle(() => this.#operation.begin(this), 0);
    poke();
  }

  complete(status: number, value: number): void {
    this.#settle(() => this.#operation.advance(status, value, this), value);
  }

  /** As Frame.cancel, for the one operation. */
  cancel(error: Error): void {
    this.#thrown = error;
    if (this.#operation.takeBack(this)) this.#end(() => this.#reject(error));
  }

  #settle(run: () => number, value: number): void {
    try {
      const status = run();
      if (status === parked) return;
      if (this.#thrown && this.#operation.wasCancelled(status)) throw this.#thrown;
      const result = this.#operation.finish(status, value);
      this.#end(() => this.#resolve(result));
    } catch (error) {
      this.#end(() => this.#reject(error));
    }
  }

  #end(tell: () => void): void {
    release(this);
    this.#owner?.waits.delete(this);
    tell();
  }
}
