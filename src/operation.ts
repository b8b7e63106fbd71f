// Operation: a lazy description of something to wait for. `yield*` starts it in a generator coroutine, `await` anywhere else; until
// then nothing happens. An operation may be used again after it has ended.
//
// A subclass says how to begin, and what its status means. Whoever waits is a `Wait`. What belongs to one use of an operation is
// kept with its wait (`payload`), so that one description serves many uses, also at the same time.
//
// One use, in order:   begin  advance*  ( finish | forget | giveBack )      or      begin  advance*  takeBack, answered with true
//   `poll` may stand in for `begin`: it ends at once or has done nothing.
//   `advance` comes after each wait that native code ended, and once after a `begin` that ended at once when its waiter had to let
//   others run.
//   `takeBack` may come at any time after `begin`. After one that answered false, `forget` comes in place of `finish` when the
//   operation was cancelled, and `giveBack` when it has a result that nobody wants.

import { parked } from "./code.ts";
import { Cancelled, errnos, MisuseError } from "./error.ts";
import { acquire, env, library } from "./native/env.ts";
import { awaiting } from "./promise.ts";
import { poke, type Running, ready, state, turns } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** What a suspended coroutine yields to the scheduler. Bodies never see one. */
declare const suspension: unique symbol;
export interface Suspended {
  readonly [suspension]: never;
}

export abstract class Operation<T> implements PromiseLike<T> {
  /** Starts for `wait`: `parked`, or a status for `finish`. Throws what is wrong with the arguments or the moment. */
  abstract begin(wait: Wait): number;

  /** The result that `status` and `value` stand for, or throws the error. */
  abstract finish(status: number, value: number, wait: Wait): T;

  /** What a report says the waiter waits to do: "receive from channel ...". */
  abstract get what(): string;

  /** Ends at once, as `begin` may, or answers `parked` and has done nothing. What cannot know without beginning has done nothing. */
  poll(_wait: Wait): number {
    return parked;
  }

  /** Whether `poll` never tells. */
  get canOnlyBegin(): boolean {
    return this.poll === Operation.prototype.poll;
  }

  /** A wait ended with `status`: `parked` when the operation goes on waiting, else the status for `finish`. Does not throw. */
  advance(status: number, _value: number, _wait: Wait): number {
    return status;
  }

  /**
   * Takes it back. True: it never happened, and is over. False: it still ends by itself, cancelled or with a result. `reason` is the
   * cancel's, for coroutines that run on its behalf.
   */
  takeBack(wait: Wait, _reason?: unknown): boolean {
    // A cancel of a kernel operation is submitted by the next tick.
    state.submitted = true;
    return library.zc_op_cancel(env, wait.token) === 1;
  }

  /** After a `takeBack` that gave false: whether the operation ended because of it, and not with a result. */
  wasCancelled(status: number, _wait: Wait): boolean {
    return status === errnos.ECANCELED;
  }

  /** It was cancelled: lets go of what is kept for `wait`, as `finish` does. */
  forget(wait: Wait): void {
    wait.payload = undefined;
  }

  /** It ended with a result, but another operation won: the result goes back to where it came from. */
  giveBack(_status: number, _value: number, wait: Wait): void {
    this.forget(wait);
  }

  /** Its result, which `finish` gave, is not wanted after all: it goes back to where it came from, if it can. */
  putBack(_value: T): void {}

  /** Who could end it, for reports of deadlocks: frames that it waits for. */
  waitsFor(_wait: Wait): Iterable<object> {
    return [];
  }

  /** Runs the operation in the current generator coroutine: `const value = yield* operation`. */
  [Symbol.iterator](): Iterator<Suspended, T, unknown> {
    return this as unknown as Iterator<Suspended, T, unknown>;
  }

  /**
   * The iterator protocol of `yield*`; not for direct use. The first call begins, the one after a wait ends. The operations that
   * coroutines use most have a short cut of their own before this.
   */
  protected next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (frame === undefined) throw new MisuseError(`cannot ${this.what} here: yield* works inside a coroutine; elsewhere write await`);
    if (frame.waiting === this) return this.goOn(frame);
    if (frame.cancelRequest !== undefined) throw takeCancel(frame);
    const status = this.begin(frame);
    if (status === parked) {
      frame.waiting = this;
      return suspend;
    }
    if (--state.budget >= 0) return give(this.finish(status, 0, frame));
    // It ended at once, but the others have waited long enough: to the end of the queue, with the result.
    frame.waiting = this;
    ready(frame, status, 0);
    return suspend;
  }

  private goOn(frame: Running): IteratorResult<undefined, unknown> {
    if (frame.turn === turns.takenBack) {
      frame.turn = turns.ended;
      frame.waiting = undefined;
      throw takeCancel(frame);
    }
    const value = frame.endValue;
    // Kept while `advance` may wait again, so that the next resume comes back here.
    const status = this.advance(frame.endStatus, value, frame);
    if (status === parked) {
      // A cancel that met the end of one part is for the next part, too.
      if (frame.cancelRequest === undefined || !this.takeBack(frame, frame.cancelRequest.cause)) return suspend;
      frame.waiting = undefined;
      throw takeCancel(frame);
    }
    frame.waiting = undefined;
    if (frame.cancelRequest !== undefined && this.wasCancelled(status, frame)) {
      this.forget(frame);
      throw takeCancel(frame);
    }
    return give(this.finish(status, value, frame));
  }

  // biome-ignore lint/suspicious/noThenProperty: operations are awaitable by design
  then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return awaiting(this).then(onFulfilled, onRejected);
  }
}

/** What `run` throws becomes an unhandled rejection, unless it is a cancel: an error that nobody awaits must not vanish. */
export function reportFailure(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof Cancelled)) Promise.reject(error);
  }
}

export const suspend: IteratorResult<undefined, unknown> = { done: false, value: undefined };

/** What `yield*` gets in place of a new object each time: it reads the value at once. The driver empties it when a coroutine has run. */
export const given: { readonly done: true; value: unknown } = { done: true, value: undefined };

/** Ends a `yield*` with `value`. */
export function give(value: unknown): IteratorResult<undefined, unknown> {
  given.value = value;
  return given;
}

export function takeCancel(frame: Running): Error {
  const error = frame.cancelRequest as Error;
  frame.cancelRequest = undefined;
  return error;
}

/** Ends the part that `wait` waits for, if it does, as a cancel would: its operation's `advance` looks at what has been put back meanwhile. */
export function interrupt(wait: Wait | undefined): void {
  if (wait === undefined || wait.token < 0) return;
  library.zc_op_cancel(env, wait.token);
  state.submitted = true;
  poke();
}

/** The token that `wait` waits with, made when it first needs one. */
export function tokenOf(wait: Wait): number {
  return wait.token >= 0 ? wait.token : acquire(wait);
}
