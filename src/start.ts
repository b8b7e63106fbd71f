// Start: makes the frame for a body and runs it to its first suspend. AsyncFrame is here: the coroutine whose body is a function
// that returned a promise, as async functions do, or a plain result. A promise runs on from microtasks, so resuming it is never
// immediate.

import { AsyncLocalStorage } from "node:async_hooks";
import { type Cancelled, recordsPlaces } from "./error.ts";
import { asyncCurrent, type Coroutine, Frame } from "./frame.ts";
import { GeneratorFrame } from "./generator.ts";
import { Operation } from "./operation.ts";
import { type AsyncOwner, asyncOwner, type PromiseWait } from "./promise.ts";
import { operationBudget, poke, state } from "./scheduler.ts";
import { callSite } from "./trace.ts";

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
      // It waits on behalf of this one, which a cancel must find.
      if (result instanceof Operation) asyncFrames.run(this as AsyncFrame<unknown>, () => this.#adopt(result as Operation<T>));
    } catch (error) {
      this.fail(error);
      return;
    } finally {
      state.current = outer;
    }
    if (result instanceof Operation) return;
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

  override get waitsForFrames(): Iterable<object> {
    return [...this.waits].flatMap((wait) => [...wait.waitsFor]);
  }
}

const asyncFrames = new AsyncLocalStorage<AsyncFrame<unknown> | undefined>();
asyncCurrent.find = () => asyncFrames.getStore();
asyncOwner.find = () => (state.current === undefined ? asyncFrames.getStore() : undefined);

const GeneratorFunction = Object.getPrototypeOf(function* () {}).constructor;

/** Sees to a new frame before its first suspend; a generator's before it runs at all. */
export type Prepare = (frame: Frame<unknown>) => void;

/** Makes the frame for a body and runs it to its first suspend. */
export function startFrame<T>(
  body: (...args: never[]) => unknown,
  args: readonly unknown[],
  name: string,
  prepare?: Prepare,
  storage?: unknown,
): Frame<T> {
  const call = body as (...args: readonly unknown[]) => unknown;
  if (body instanceof GeneratorFunction) {
    let generator: Coroutine<T>;
    try {
      // Without a spread, which takes longer than the call.
      generator = (args.length === 0 ? call() : args.length === 1 ? call(args[0]) : call(...args)) as Coroutine<T>;
    } catch (error) {
      // Of the parameters' default values: the body itself has not begun.
      const frame = new AsyncFrame<T>(name);
      if (storage !== undefined) frame.storage = storage;
      prepare?.(frame as Frame<unknown>);
      return frame.failed(error);
    }
    return startGenerator(generator, name, prepare, storage);
  }
  const frame = new AsyncFrame<T>(name);
  if (storage !== undefined) frame.storage = storage;
  if (recordsPlaces) noteSite(frame);
  const generator = frame.run(() => call(...args));
  if (generator) return startGenerator(generator, name, prepare, frame.storage);
  prepare?.(frame as Frame<unknown>);
  if (state.submitted) poke();
  return frame;
}

/** Starts a generator that has not run yet. */
export function startGenerator<T>(body: Coroutine<T>, name: string, prepare?: Prepare, storage?: unknown): Frame<T> {
  const frame = new GeneratorFrame<T>(name, body);
  if (storage !== undefined) frame.storage = storage;
  if (recordsPlaces) noteSite(frame);
  prepare?.(frame as Frame<unknown>);
  if (!state.driving) state.budget = operationBudget;
  // An async coroutine that starts it must not pass for the one that runs in it.
  if (asyncFrames.getStore() === undefined) frame.step();
  else asyncFrames.run(undefined, () => frame.step());
  // What became ready has poked by itself.
  if (state.submitted) poke();
  return frame;
}

function noteSite(frame: Frame<never> | Frame<unknown>): void {
  const site = callSite();
  if (site !== undefined) frame.site = site;
}

export function isGenerator(value: unknown): value is Coroutine<unknown> {
  return Object.prototype.toString.call(value) === "[object Generator]";
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null)?.then === "function";
}
