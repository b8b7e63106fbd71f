// xawaitAsReady: the results of several operations in order of completion.

import { operationOf, type Result, type Waitable } from "./branch.ts";
import { Channel } from "./channel.ts";
import { show } from "./check.ts";
import { type Coroutine, Frame } from "./frame.ts";
import { Operation } from "./operation.ts";
import { startGenerator } from "./start.ts";
import type { Wait } from "./wait.ts";

type Success<T> = { readonly value: T; readonly operation: Operation<T> };
type Outcome<T> = Success<T> | { readonly error: unknown };

/** Iterates over results as they come: `for await` has values, `for` has operations to `yield*`. */
export interface AsReady<T> extends AsyncIterable<T, void, undefined>, Iterable<Operation<T>, void, undefined> {}

/**
 * The results of frames and operations in order of completion. All start at once. In an async function `for await` gives the values;
 * in a generator `for` gives operations, each of which is the wait for the next one. A failure is thrown where its turn is, and the loop may
 * go on behind it. Leaving the loop early cancels what was started for it, and results that nobody took go back as those of `all` do; frames go on
 * by themselves.
 *
 * @example
 * ```ts
 * for (const next of xawaitAsReady([slow, fast])) {
 *   const value = yield* next; // the fast one's first
 *   console.log(value);
 * }
 * ```
 * @throws TypeError
 */
export function xawaitAsReady<W extends Waitable<unknown>>(operations: Iterable<W>): AsReady<Result<W>> {
  if (typeof operations?.[Symbol.iterator] !== "function") {
    throw new TypeError(`xawaitAsReady: operations must be iterable, got ${show(operations)}`);
  }
  type T = Result<W>;
  const list = [...operations].map((operation, i) => operationOf(operation as Waitable<T>, `xawaitAsReady: operation ${i}`));
  return {
    *[Symbol.iterator]() {
      const { results, stop } = start(list);
      try {
        for (let i = 0; i < list.length; i++) yield new Next(results);
      } finally {
        stop();
      }
    },
    async *[Symbol.asyncIterator]() {
      const { results, stop } = start(list);
      try {
        for (let i = 0; i < list.length; i++) yield await new Next(results);
      } finally {
        stop();
      }
    },
  };
}

/** A receive of the next outcome; one that nobody wants, a failure too, goes back to be the next one's. */
class Next<T> extends Operation<T> {
  readonly #recv: Operation<Outcome<T> | undefined>;
  readonly what = "see the next of several operations";
  #given: Success<T> | undefined;

  constructor(results: Channel<Outcome<T>>) {
    super();
    this.#recv = results.recv();
  }

  override poll(wait: Wait): number {
    return this.#recv.poll(wait);
  }

  override begin(wait: Wait): number {
    return this.#recv.begin(wait);
  }

  override finish(status: number, value: number, wait: Wait): T {
    const outcome = this.#recv.finish(status, value, wait) as Outcome<T>;
    if ("error" in outcome) throw outcome.error;
    this.#given = outcome;
    return outcome.value;
  }

  override takeBack(wait: Wait): boolean {
    return this.#recv.takeBack(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    this.#recv.giveBack(status, value, wait);
  }

  override putBack(): void {
    this.#recv.putBack(this.#given);
    this.#given = undefined;
  }
}

/** A coroutine for each operation passes its outcome on. What nobody takes any more goes back to where it came from. */
function start<T>(operations: readonly Operation<T>[]): { results: Channel<Outcome<T>>; stop: () => void } {
  const results = Channel.unbounded<Outcome<T>>("results as ready");
  let isOver = false;
  function* pass(operation: Operation<T>): Coroutine<void> {
    try {
      const value = yield* operation;
      if (isOver) operation.putBack(value);
      else results.trySend({ value, operation });
    } catch (error) {
      results.trySend({ error });
    }
  }
  const frames = operations.map((operation) => startGenerator(pass(operation), nameOf(operation)));
  const stop = () => {
    isOver = true;
    // First, lest they take what goes back.
    for (const frame of frames) frame.cancel();
    const left: Outcome<T>[] = [];
    for (let one = results.tryRecv(); one !== undefined; one = results.tryRecv()) left.unshift(one);
    for (const one of left) if ("value" in one) one.operation.putBack(one.value);
  };
  return { results, stop };
}

function nameOf(operation: Operation<unknown>): string {
  return operation instanceof Frame ? `wait for ${operation.name}` : operation.what;
}
