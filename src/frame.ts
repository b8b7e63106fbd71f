// Frame: a coroutine. Its body is a generator, an async function, a plain function or native code; whoever holds the frame sees the
// same thing: a status, a name, a result to wait for.
//
// `active <-> suspended -> done`. A frame waits for at most one operation at a time. It goes on from the scheduler's queue, or
// by `xresume` when it is suspended in `xsuspend`.

import { AsyncLocalStorage } from "node:async_hooks";
import { show } from "./check.ts";
import { parked } from "./code.ts";
import { Cancelled } from "./error.ts";
import { release, type Wait } from "./native/env.ts";
import { Operation, type Suspended } from "./operation.ts";
import { type AsyncOwner, asyncOwner, type PromiseWait } from "./promise.ts";
import { operationBudget, poke, type Running, ready, state } from "./scheduler.ts";

/** Where a coroutine stands: running (or resuming another), waiting, finished. */
export type Status = "active" | "suspended" | "done";

/** What a generator body returns: `yield*` in it takes operations and other such generators. */
export type Coroutine<T> = Generator<Suspended, T, unknown>;

/** A coroutine. As an operation it is the wait for the coroutine's end: `yield* frame`, `await frame`. */
export abstract class Frame<T> extends Operation<T> {
  /** Shown in errors and reports. */
  readonly name: string;
  /** For the program's own use, as zigcoro's coroutine storage. */
  storage: unknown = undefined;
  protected where: Status = "active";
  #result: T | undefined;
  #error: unknown;
  #failed = false;
  #observed = false;
  /** Carries a failure that nobody has awaited yet. */
  #rejection: Promise<never> | undefined;
  #waiters: Set<Wait> | undefined;
  #cancelled = false;

  constructor(name: string) {
    super();
    this.name = name || "anonymous";
  }

  get status(): Status {
    return this.where;
  }

  /**
   * Asks the coroutine to end: `Cancelled`, with `reason` as its cause, is thrown at the operation it waits for, once that has
   * really ended, or at the next one it starts. That happens once: its `finally` blocks may wait in peace, and cancelling it
   * again, or when it has finished, does nothing. The end can be awaited as ever.
   */
  cancel(reason?: unknown): void {
    if (this.where === "done" || this.#cancelled) return;
    this.#cancelled = true;
    this.deliverCancel(new Cancelled(reason));
    poke();
  }

  protected abstract deliverCancel(error: Cancelled): void;

  /** Whether it is suspended in `xsuspend`. */
  get isResumable(): boolean {
    return this.suspension !== undefined;
  }

  /** For `xresume`: throws an Error when the coroutine is not suspended in `xsuspend`. */
  resume(value: unknown): void {
    const suspension = this.suspension;
    if (suspension === undefined) throw this.cannotResume();
    if (!state.driving) state.budget = operationBudget;
    suspension.end(value);
  }

  /** The `xsuspend` it is in. */
  suspension: Suspension | undefined = undefined;

  override begin(wait: Wait): number {
    if ((wait as unknown) === this || currentFrame() === this) throw new Error(`coroutine "${this.name}" cannot await itself`);
    this.#observed = true;
    this.#rejection?.catch(() => {});
    if (this.where === "done") return 0;
    this.#waiters ??= new Set();
    this.#waiters.add(wait);
    return parked;
  }

  override finish(_status: number, _value: number, _wait: Wait): T {
    return this.outcome();
  }

  /** The result of a finished coroutine, or throws its error. */
  outcome(): T {
    if (this.#failed) throw this.#error;
    return this.#result as T;
  }

  override takeBack(wait: Wait): boolean {
    return this.#waiters?.delete(wait) ?? false;
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return `await coroutine "${this.name}"`;
  }

  /** Whether a cancel is what it ended with. */
  get endedByCancel(): boolean {
    return this.#failed && isCancelled(this.#error);
  }

  /** Why `resume` refuses. */
  protected cannotResume(): Error {
    const why = { active: "it is running", suspended: `it waits to ${this.waitsTo}`, done: "it has finished" }[this.where];
    return new Error(`cannot resume coroutine "${this.name}": ${why}`);
  }

  /** What a suspended coroutine waits to do. */
  get waitsTo(): string {
    return "go on";
  }

  protected succeed(result: T): void {
    this.#result = result;
    this.#end();
  }

  protected fail(error: unknown): void {
    this.#error = error;
    this.#failed = true;
    this.#end();
    // A failure that nobody awaits must not vanish: like a promise's, it becomes an unhandled rejection, by the rules of those.
    if (!this.#observed && !isCancelled(error)) this.#rejection = Promise.reject(error);
  }

  #end(): void {
    this.where = "done";
    const waiters = this.#waiters;
    if (waiters === undefined) return;
    this.#waiters = undefined;
    for (const wait of waiters) ready(wait, 0, 0);
  }
}

function isCancelled(error: unknown): boolean {
  try {
    return error instanceof Cancelled;
  } catch {
    // A proxy may throw even here.
    return false;
  }
}

/** The body is a generator: the driver keeps where it stands, and a resume is one `next()`. */
class GeneratorFrame<T> extends Frame<T> implements Running {
  token = -1;
  scratch = 0;
  waiting: Operation<unknown> | undefined = undefined;
  endStatus = 0;
  endValue = 0;
  thrown: Error | undefined = undefined;
  cancelRequest: Error | undefined = undefined;
  readonly #body: Coroutine<T>;

  constructor(name: string, body: Coroutine<T>) {
    super(name);
    this.#body = body;
  }

  /** Runs until the next suspend. */
  step(): void {
    const outer = state.current;
    state.current = this;
    this.where = "active";
    let result: IteratorResult<unknown, T>;
    try {
      result = this.#body.next();
      while (!result.done && this.waiting === undefined) result = this.#body.throw(misuse(this.name, result.value));
    } catch (error) {
      state.current = outer;
      release(this);
      this.fail(error);
      return;
    }
    state.current = outer;
    if (result.done) {
      release(this);
      this.succeed(result.value);
    } else {
      this.where = "suspended";
    }
  }

  complete(status: number, value: number): void {
    this.endStatus = status;
    this.endValue = value;
    state.budget = operationBudget;
    this.step();
  }

  protected override deliverCancel(error: Cancelled): void {
    if (this.where === "suspended" && this.waiting?.takeBack(this)) {
      this.thrown = error;
      ready(this, 0, 0);
    } else {
      this.cancelRequest = error;
    }
  }

  override get waitsTo(): string {
    return this.waiting?.what ?? "go on";
  }
}

function misuse(name: string, yielded: unknown): TypeError {
  const hint =
    yielded instanceof Operation
      ? "write yield* for an operation"
      : yielded instanceof Promise
        ? "write yield* until(promise)"
        : "a coroutine yields nothing by itself; write yield* and an operation";
  return new TypeError(`coroutine "${name}" yielded ${show(yielded)}: ${hint}`);
}

/**
 * The body is a function that returned a promise, as async functions do, or a plain result. A promise runs on from microtasks, so
 * resuming it is never immediate.
 */
class AsyncFrame<T> extends Frame<T> implements AsyncOwner {
  readonly waits = new Set<PromiseWait>();
  cancelRequest: Error | undefined;

  failed(error: unknown): this {
    this.fail(error);
    return this;
  }

  /** Runs `body` with this as the current coroutine; gives a generator back if that is what it returned. */
  run(body: () => unknown): Coroutine<T> | undefined {
    const outer = state.current;
    state.current = undefined;
    let result: unknown;
    try {
      result = asyncFrames.run(this as AsyncFrame<unknown>, body);
    } catch (error) {
      this.fail(error);
      return;
    } finally {
      state.current = outer;
    }
    if (isGenerator(result)) return result as Coroutine<T>;
    if (isThenable(result)) this.#adopt(result as PromiseLike<T>);
    else this.succeed(result as T);
  }

  #adopt(promise: PromiseLike<T>): void {
    this.where = "suspended";
    promise.then(
      (value) => this.succeed(value),
      (error) => this.fail(error),
    );
  }

  protected override deliverCancel(error: Cancelled): void {
    if (this.waits.size === 0) this.cancelRequest = error;
    for (const wait of this.waits) wait.cancel(error);
  }

  override get waitsTo(): string {
    for (const wait of this.waits) return wait.what;
    return "go on from a promise";
  }
}

const asyncFrames = new AsyncLocalStorage<AsyncFrame<unknown> | undefined>();
asyncOwner.find = () => (state.current === undefined ? asyncFrames.getStore() : undefined);

const GeneratorFunction = Object.getPrototypeOf(function* () {}).constructor;

/** Makes the frame for a body and runs it to its first suspend. */
export function startFrame<T>(body: (...args: never[]) => unknown, args: readonly unknown[], name: string): Frame<T> {
  const call = body as (...args: readonly unknown[]) => unknown;
  if (body instanceof GeneratorFunction) {
    try {
      return startGenerator(call(...args) as Coroutine<T>, name);
    } catch (error) {
      // Of the parameters' default values: the body itself has not begun.
      return new AsyncFrame<T>(name).failed(error);
    }
  }
  const frame = new AsyncFrame<T>(name);
  const generator = frame.run(() => call(...args));
  if (generator) return startGenerator(generator, name);
  poke();
  return frame;
}

function startGenerator<T>(body: Coroutine<T>, name: string): Frame<T> {
  const frame = new GeneratorFrame<T>(name, body);
  if (!state.driving) state.budget = operationBudget;
  // An async coroutine that starts it must not pass for the one that runs in it.
  if (asyncFrames.getStore() === undefined) frame.step();
  else asyncFrames.run(undefined, () => frame.step());
  poke();
  return frame;
}

function isGenerator(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object Generator]";
}

function isThenable(value: unknown): boolean {
  return typeof (value as PromiseLike<unknown> | null)?.then === "function";
}

/** The coroutine that runs right now; undefined outside of any. */
export function currentFrame(): Frame<unknown> | undefined {
  return (state.current as GeneratorFrame<unknown> | undefined) ?? asyncFrames.getStore();
}

/** One `xsuspend` of a coroutine. */
class Suspension extends Operation<unknown> {
  readonly #frame: Frame<unknown>;
  #wait: Wait | undefined;
  #value: unknown;

  constructor(frame: Frame<unknown>) {
    super();
    this.#frame = frame;
  }

  /** For `xresume`: a generator goes on in this call. */
  end(value: unknown): void {
    const wait = this.#wait as Wait;
    this.#value = value;
    this.#leave();
    wait.complete(0, 0);
  }

  override begin(wait: Wait): number {
    if (this.#frame.suspension) throw new Error(`coroutine "${this.#frame.name}" is suspended already`);
    this.#wait = wait;
    this.#frame.suspension = this;
    return parked;
  }

  override finish(): unknown {
    const value = this.#value;
    this.#value = undefined;
    return value;
  }

  override takeBack(): boolean {
    this.#leave();
    return true;
  }

  #leave(): void {
    this.#wait = undefined;
    this.#frame.suspension = undefined;
  }

  override get what(): string {
    return "be resumed";
  }
}

/** The suspend operation for the coroutine that runs right now. */
export function suspendOperation(): Operation<unknown> {
  const frame = currentFrame();
  if (frame === undefined) throw new Error("xsuspend was called outside of any coroutine: there is nothing to suspend");
  return new Suspension(frame);
}
