// scope: structured concurrency. Coroutines that are spawned in a scope end before it does, and no failure of theirs is lost.
//
// `open -> cancelled -> ended`. A scope has members that run, and failures in the order in which they came. Fail fast, the first failure
// cancels all other members; collect, it does not. A scope has ended when its last member has; nothing can be spawned in it then.

import { checkFunction, checkString, show } from "./check.ts";
import { parked } from "./code.ts";
import { checkSignal, type FrameOptions, launch, type xasync } from "./coroutine.ts";
import { Cancelled, errnos, MisuseError } from "./error.ts";
import type { Coroutine, Frame } from "./frame.ts";
import { Operation, reportFailure } from "./operation.ts";
import { ready } from "./scheduler.ts";
import { startFrame } from "./start.ts";
import { type Wait, WaitList } from "./wait.ts";

/** What a failure does: cancel everybody else at once, or let them end and report all failures together. */
export type ErrorPolicy = "fail fast" | "collect";

export interface ScopeOptions {
  /** Shown in errors and reports. Default: "scope". */
  readonly name?: string;
  /** Default: "fail fast". */
  readonly errors?: ErrorPolicy;
  /** Cancels the scope when aborted, with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Where coroutines are spawned that must end before it does. Made by `scope`. */
export class Scope implements AsyncDisposable {
  readonly name: string;
  readonly #policy: ErrorPolicy;
  readonly #members = new Set<Frame<unknown>>();
  readonly #failures: unknown[] = [];
  readonly #waiters = new WaitList();
  /** Made when somebody asks for the signal. */
  #controller: AbortController | undefined;
  /** Lets go of the signal that was given. */
  #unlisten: (() => void) | undefined;
  #cancelled: Cancelled | undefined;
  #ended = false;
  /** A cancel of the scope kept a member from its end. */
  #cut = false;

  /** @internal */
  constructor(options: ScopeOptions, name: string) {
    const { errors = "fail fast", signal } = checkOptions(options);
    this.name = options.name ?? name;
    this.#policy = errors;
    if (signal === undefined) return;
    const abort = () => void this.cancel(signal.reason);
    if (signal.aborted) abort();
    else {
      signal.addEventListener("abort", abort, { once: true });
      this.#unlisten = () => signal.removeEventListener("abort", abort);
    }
  }

  /** How many coroutines of it run. */
  get size(): number {
    return this.#members.size;
  }

  /** Aborted when the scope is cancelled, with the first failure, which it has as its reason, and when it has ended. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#cancelled !== undefined || this.#ended) this.#controller.abort(this.#cancelled?.cause);
    }
    return this.#controller.signal;
  }

  /** Starts a coroutine in the scope, as `xasync` does. @throws Error when the scope has ended */
  spawn: typeof xasync = ((body: () => unknown, args?: readonly [], options?: FrameOptions) => {
    if (this.#ended) throw new MisuseError(`cannot spawn in scope "${this.name}": it has ended`);
    return launch(body, args ?? [], options ?? {}, this.#add);
  }) as typeof xasync;

  /** @internal */
  start<T>(body: (...args: never[]) => unknown, args: readonly unknown[], name: string): Frame<T> {
    return startFrame<T>(body, args, name, this.#add);
  }

  readonly #add = (frame: Frame<unknown>): void => {
    this.#members.add(frame);
    frame.superviseBy(() => this.#memberEnded(frame));
    if (this.#cancelled !== undefined) frame.cancel(this.#cancelled.cause);
  };

  #memberEnded(frame: Frame<unknown>): void {
    this.#members.delete(frame);
    const failure = frame.failure;
    if (frame.endedByCancel && this.#cancelled !== undefined) this.#cut = true;
    // An error that came here through an `await` of a member is that member's.
    if (failure !== undefined && !frame.endedByCancel && !this.#failures.includes(failure.error)) this.#fail(failure.error);
    if (this.#members.size > 0) return;
    for (let wait = this.#waiters.shift(); wait !== undefined; wait = this.#waiters.shift()) ready(wait, 0, 0);
  }

  #fail(error: unknown): void {
    this.#failures.push(error);
    if (this.#policy === "fail fast" && this.#cancelled === undefined) this.#cancelAll(error);
  }

  /** Cancels all coroutines of it, also those that are spawned from now on. What it returns is the wait for their end. */
  cancel(reason?: unknown): Operation<void> {
    if (this.#cancelled === undefined && !this.#ended) this.#cancelAll(reason);
    return new Emptied(this, this.#waiters, this.#members);
  }

  #cancelAll(reason: unknown): void {
    this.#cancelled = new Cancelled(reason);
    this.#controller?.abort(reason);
    for (const frame of this.#members) frame.cancel(reason);
  }

  /** Waits until all coroutines of the scope have ended. @throws what they failed with: the error, or an AggregateError of several */
  join(): Operation<void> {
    return new Join(this, this.#waiters, this.#members);
  }

  /** Waits as `join` does; the scope has ended then. It cannot know whether the block threw: see `scope`. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.join();
    } finally {
      this.end();
    }
  }

  /** @internal Nothing can be spawned any more. */
  end(): void {
    this.#ended = true;
    this.#unlisten?.();
    this.#controller?.abort();
  }

  /** @internal */
  get wasCut(): boolean {
    return this.#cut && this.#failures.length === 0;
  }

  /** @internal Throws what the members failed with, if any did. */
  throwFailures(): void {
    const [first] = this.#failures;
    if (this.#failures.length === 0) return;
    if (this.#failures.length === 1 && this.#policy === "fail fast") throw first;
    const count = this.#failures.length;
    const message = `${count} coroutine${count > 1 ? "s" : ""} of scope "${this.name}" failed`;
    throw new AggregateError(this.#failures, message, { cause: first });
  }
}

function checkOptions(options: ScopeOptions): ScopeOptions {
  if (options.name !== undefined) checkString(options.name, "scope: options.name");
  checkSignal(options.signal, "scope: options.signal");
  const { errors } = options;
  if (errors !== undefined && errors !== "fail fast" && errors !== "collect") {
    throw new TypeError(`scope: options.errors must be "fail fast" or "collect", got ${show(errors)}`);
  }
  return options;
}

/** The wait until a scope has no members. */
class Emptied extends Operation<void> {
  protected readonly scope: Scope;
  readonly #waiters: WaitList;
  readonly #members: ReadonlySet<Frame<unknown>>;

  constructor(scope: Scope, waiters: WaitList, members: ReadonlySet<Frame<unknown>>) {
    super();
    this.scope = scope;
    this.#waiters = waiters;
    this.#members = members;
  }

  override poll(): number {
    return this.#members.size === 0 ? 0 : parked;
  }

  override begin(wait: Wait): number {
    if (this.#members.size === 0) return 0;
    if (this.#members.has(wait as unknown as Frame<unknown>)) {
      throw new MisuseError(
        `coroutine "${(wait as unknown as Frame<unknown>).name}" cannot wait for the end of scope "${this.scope.name}": it is part of it`,
      );
    }
    this.#waiters.push(wait);
    return parked;
  }

  override finish(): void {}

  override takeBack(wait: Wait): boolean {
    return this.#waiters.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override waitsFor(): Iterable<object> {
    return this.#members;
  }

  override get what(): string {
    return `see the end of scope "${this.scope.name}"`;
  }
}

class Join extends Emptied {
  override finish(): void {
    this.scope.throwFailures();
  }
}

/** One use of the callback form. */
class Use {
  readonly scope: Scope;
  readonly body: Frame<unknown>;
  readonly end: Operation<void>;
  takenBack = false;

  constructor(body: (scope: Scope) => unknown, options: ScopeOptions) {
    this.scope = new Scope(options, "scope");
    this.end = this.scope.join();
    this.body = this.scope.start(body, [this.scope], this.scope.name);
  }
}

class Scoped<T> extends Operation<T> {
  readonly #body: (scope: Scope) => unknown;
  readonly #options: ScopeOptions;

  constructor(body: (scope: Scope) => unknown, options: ScopeOptions) {
    super();
    this.#body = body;
    this.#options = options;
  }

  override begin(wait: Wait): number {
    const use = new Use(this.#body, this.#options);
    wait.payload = use;
    return use.end.begin(wait);
  }

  override finish(_status: number, _value: number, wait: Wait): T {
    const { scope, body } = this.#take(wait);
    scope.throwFailures();
    return body.outcome() as T;
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    const use = wait.payload as Use;
    use.takenBack = true;
    use.scope.cancel(reason);
    return false;
  }

  override advance(status: number, _value: number, wait: Wait): number {
    return this.wasCancelled(status, wait) ? errnos.ECANCELED : status;
  }

  override wasCancelled(_status: number, wait: Wait): boolean {
    const { scope, takenBack } = wait.payload as Use;
    return takenBack && scope.wasCut;
  }

  override forget(wait: Wait): void {
    this.#take(wait);
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    reportFailure(() => this.finish(status, value, wait));
  }

  #take(wait: Wait): Use {
    const use = wait.payload as Use;
    wait.payload = undefined;
    use.scope.end();
    return use;
  }

  override waitsFor(wait: Wait): Iterable<object> {
    return (wait.payload as Use | undefined)?.end.waitsFor(wait) ?? [];
  }

  override get what(): string {
    return `see the end of scope "${this.#options.name ?? "scope"}"`;
  }
}

/**
 * Runs `body` with a scope to spawn coroutines in. It ends when the body and all of them have ended, with the body's result.
 *
 * When one fails, all others (the body, too) are cancelled, their end is awaited, and then that error is thrown; were there more, on
 * the way out, an AggregateError of all in order. With `{ errors: "collect" }` the others go on, and an AggregateError has all failures.
 * Cancelling who waits for the scope cancels everybody in it.
 *
 * Without a body it gives a scope for `await using` in an async function. The scope then ends with the block, after the last coroutine
 * in it. JavaScript does not tell it whether the block threw: where the block itself may throw while coroutines of it run on for ever, use
 * the form with a body, or cancel the scope.
 *
 * @example
 * ```ts
 * const sum = yield* scope(function* (s) {
 *   const frames = [1, 2, 3].map((n) => s.spawn(square, [n]));
 *   let total = 0;
 *   for (const frame of frames) {
 *     const value = yield* frame;
 *     total += value;
 *   }
 *   return total;
 * });
 * ```
 * @example
 * ```ts
 * async function main() {
 *   await using s = scope();
 *   s.spawn(square, [1]);
 *   s.spawn(square, [2]);
 * } // both have ended here
 * ```
 * @throws TypeError
 */
export function scope<T>(body: (scope: Scope) => Coroutine<T>, options?: ScopeOptions): Operation<T>;
export function scope<T>(body: (scope: Scope) => PromiseLike<T>, options?: ScopeOptions): Operation<T>;
export function scope<T>(body: (scope: Scope) => T, options?: ScopeOptions): Operation<T>;
export function scope(options?: ScopeOptions): Scope;
export function scope<T>(body?: ((scope: Scope) => unknown) | ScopeOptions, options: ScopeOptions = {}): Operation<T> | Scope {
  if (body === undefined || typeof body === "object") return new Scope(body ?? {}, "scope");
  checkFunction(body, "scope: body");
  // Wrong options are told now, not when it begins.
  checkOptions(options);
  return new Scoped<T>(body, options);
}
