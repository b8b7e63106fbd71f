// call: a generator as an operation. In a generator coroutine it runs in place, on the coroutine's own stack of generators, so that a
// resume costs the same however deep the calls are. Everywhere else, as a part of something or awaited, it is a coroutine of its own.

import { show } from "./check.ts";
import { MisuseError } from "./error.ts";
import type { Coroutine, Frame } from "./frame.ts";
import { Operation, reportFailure, type Suspended, suspend, takeCancel } from "./operation.ts";
import { type Running, state, turns } from "./scheduler.ts";
import { isGenerator, startGenerator } from "./start.ts";
import type { Wait } from "./wait.ts";

class Call<T> extends Operation<T> {
  readonly #open: () => Coroutine<T>;
  readonly #name: string;
  readonly #what: string;
  readonly #putBack: (result: T) => void;

  constructor(open: () => Coroutine<T>, name: string, what: string, putBack: (result: T) => void = dispose) {
    super();
    this.#putBack = putBack;
    this.#open = open;
    this.#name = name;
    this.#what = what;
  }

  override [Symbol.iterator](): Iterator<Suspended, T, unknown> {
    return new InPlace(this.#open()) as unknown as Iterator<Suspended, T, unknown>;
  }

  override begin(wait: Wait): number {
    const frame = startGenerator(this.#open(), this.#name);
    frame.observe();
    wait.payload = frame;
    return frame.status === "done" ? 0 : frame.addWaiter(wait);
  }

  override finish(_status: number, _value: number, wait: Wait): T {
    const frame = wait.payload as Frame<T>;
    wait.payload = undefined;
    return frame.outcome();
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    (wait.payload as Frame<T>).cancel(reason);
    return false;
  }

  override wasCancelled(_status: number, wait: Wait): boolean {
    return (wait.payload as Frame<T>).endedByCancel;
  }

  override giveBack(_status: number, _value: number, wait: Wait): void {
    const frame = wait.payload as Frame<T>;
    wait.payload = undefined;
    reportFailure(() => this.putBack(frame.outcome()));
  }

  override putBack(result: T): void {
    this.#putBack(result);
  }

  override waitsFor(wait: Wait): Iterable<object> {
    return wait.payload === undefined ? [] : [wait.payload as Frame<T>];
  }

  override get what(): string {
    return this.#what;
  }
}

/** What becomes of a result that nobody wants, unless its operation knows better. */
function dispose(result: unknown): void {
  if (typeof result !== "object" || result === null) return;
  if (Symbol.dispose in result) (result as Disposable)[Symbol.dispose]();
  else if (Symbol.asyncDispose in result) Promise.resolve((result as AsyncDisposable)[Symbol.asyncDispose]());
}

/** One call inside of a generator coroutine: the iterator that its `yield*` sees. */
class InPlace<T> {
  readonly body: Coroutine<T>;
  entered = false;

  constructor(body: Coroutine<T>) {
    this.body = body;
  }

  next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (this.entered) return taken(frame as Running);
    if (frame === undefined) throw new MisuseError("cannot call here: yield* works inside a coroutine; elsewhere write await");
    if (frame.cancelRequest !== undefined) throw takeCancel(frame);
    this.entered = true;
    frame.enter(this.body);
    return suspend;
  }
}

function taken(frame: Running): IteratorResult<undefined, unknown> {
  const value = frame.payload;
  const threw = frame.turn === turns.threw;
  frame.turn = turns.ended;
  frame.payload = undefined;
  if (threw) throw value;
  return { done: true, value };
}

/**
 * Runs a generator as an operation. `yield* call(fetchUser(7))` does what `yield* fetchUser(7)` does, but resuming it costs the same at
 * any depth of calls, and it can be limited, raced, shielded: `withTimeout(1_000, call(() => fetchUser(7)))`.
 *
 * Given a generator it runs once; given a function, it begins anew each time it is used.
 *
 * @example
 * ```ts
 * function* sum(n: number): Coroutine<number> {
 *   return n === 0 ? 0 : n + (yield* call(sum(n - 1)));
 * }
 * console.log(await call(sum(10_000))); // 50005000
 * ```
 * @throws TypeError when it is neither; Error when the generator was called before
 */
export function call<T>(body: Coroutine<T> | (() => Coroutine<T>)): Operation<T> {
  if (isGenerator(body)) return new Call(() => once(body as Coroutine<T>), "call", "go on with a call");
  if (typeof body !== "function") throw new TypeError(`call: body must be a generator or a function that returns one, got ${show(body)}`);
  const name = body.name || "call";
  const open = () => {
    const generator = body();
    if (!isGenerator(generator)) throw new TypeError(`call: ${show(body)} must return a generator, got ${show(generator)}`);
    return generator;
  };
  return new Call(open, name, `go on with ${name}`);
}

/** Generators that were called: each runs once. */
const called = new WeakSet<object>();

function once<T>(generator: Coroutine<T>): Coroutine<T> {
  if (called.has(generator)) throw new MisuseError("a generator can be called once; to call it again pass its function");
  called.add(generator);
  return generator;
}

/** Several operations in a row as one. `name` says what it does: "connect to ...". A result that nobody wants is given to `putBack`. */
export function sequence<T>(name: string, body: () => Coroutine<T>, putBack?: (result: T) => void): Operation<T> {
  return new Call(body, name, name, putBack);
}
