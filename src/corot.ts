// CoroT: zigcoro's typed coroutine, with a value in and a value out at each turn.

import { sequence } from "./call.ts";
import { checkFunction } from "./check.ts";
import { parked } from "./code.ts";
import type { FrameOptions } from "./coroutine.ts";
import { launch } from "./coroutine.ts";
import { MisuseError } from "./error.ts";
import { type Coroutine, currentFrame, type Frame, type Status } from "./frame.ts";
import { Operation } from "./operation.ts";
import { operationBudget, ready, state } from "./scheduler.ts";
import { type Wait, WaitList } from "./wait.ts";

/** A typed coroutine as those see it who resume it. */
export interface FrameT<Yield, Inject, Return> {
  readonly name: string;
  readonly status: Status;
  readonly frame: Frame<Return>;
  xnextStart(): Yield;
  xnext(value: Inject): Yield;
  xnextEnd(value: Inject): Return;
  xreturned(): Return;
}

/**
 * A coroutine that yields values and takes one at each resume, all typed. Its body gets it as first argument, and yields with
 * `yield* co.xyield(value)`, at any depth of calls. From outside:
 *
 *     xnextStart   xnext ...   xnextEnd   xreturned
 *
 * These return at the next yield or the end, so between them the body cannot wait for anything else; where it does, use `next`, which waits, or
 * `for await`. Iterating injects undefined.
 *
 * @example
 * ```ts
 * const average = new CoroT<number, number, string>(function* (co) {
 *   let [sum, count, value] = [0, 0, yield* co.xyield(0)];
 *   while (value >= 0) {
 *     sum += value;
 *     value = yield* co.xyield(sum / ++count);
 *   }
 *   return `${count} values`;
 * });
 * average.xnextStart();
 * console.log(average.xnext(2), average.xnext(4), average.xnextEnd(-1)); // 2 3 2 values
 * ```
 */
export class CoroT<Yield, Inject = void, Return = void, Args extends readonly unknown[] = []> implements FrameT<Yield, Inject, Return> {
  readonly #body: (co: CoroT<Yield, Inject, Return, Args>, ...args: Args) => Coroutine<Return>;
  readonly #args: Args;
  readonly #options: FrameOptions;
  #frame: Frame<Return> | undefined;
  /** Yielded, and not taken yet. */
  #yielded: { readonly value: Yield } | undefined;
  /** The body's wait in `xyield`. */
  #inside: Wait | undefined;
  /** Who waits for the next yield. */
  readonly #outside = new WaitList();

  /** It does not start yet. `options` as for `xasync`. @throws TypeError */
  constructor(body: (co: CoroT<Yield, Inject, Return, Args>, ...args: Args) => Coroutine<Return>, args?: Args, options: FrameOptions = {}) {
    checkFunction(body, "new CoroT: body");
    this.#body = body;
    this.#args = args ?? ([] as unknown as Args);
    this.#options = options;
  }

  get name(): string {
    return this.#options.name ?? (this.#body.name || "anonymous");
  }

  /** "suspended" before the start, too. */
  get status(): Status {
    return this.#frame?.status ?? "suspended";
  }

  /** Its frame. @throws Error before the start */
  get frame(): Frame<Return> {
    if (this.#frame === undefined) throw new MisuseError(`coroutine "${this.name}" has not started: call xnextStart first`);
    return this.#frame;
  }

  /** Starts it and gives what it yields first. @throws what it throws; Error when it does not yield */
  xnextStart(): Yield {
    this.#start();
    return this.#take();
  }

  /** Resumes it with `value` and gives what it yields next. @throws what it throws; Error when it is not in a yield, or does not yield */
  xnext(value: Inject): Yield {
    this.#inject(value);
    return this.#take();
  }

  /** Resumes it with `value` for the last time and gives what it returns. @throws what it throws; Error when it yields again */
  xnextEnd(value: Inject): Return {
    this.#inject(value);
    if (this.#yielded !== undefined) throw new MisuseError(`coroutine "${this.name}" has yielded again, it has not returned`);
    return this.xreturned();
  }

  /** What it has returned. @throws what it threw; Error when it has not ended */
  xreturned(): Return {
    const frame = this.frame;
    if (frame.status !== "done") throw new MisuseError(`coroutine "${this.name}" has not returned: it waits to ${frame.waitsTo}`);
    return frame.outcome();
  }

  /** Inside the body: hands `value` out, and gives what the next resume brings. */
  xyield(value: Yield): Operation<Inject> {
    return new Yielding(this, value) as unknown as Operation<Inject>;
  }

  /**
   * The next yield or the end, as iterators tell it. Starts the coroutine the first time, and resumes it with `value` later; waits for it
   * where it waits for something else.
   */
  next(value?: Inject): Operation<IteratorResult<Yield, Return>> {
    const co = this;
    const body = function* (): Coroutine<IteratorResult<Yield, Return>> {
      if (co.#frame === undefined) co.#start();
      else if (co.#inside !== undefined && co.#yielded === undefined) co.#inject(value as Inject);
      if (co.#yielded === undefined && co.frame.status !== "done") yield* new Turn(co);
      if (co.#yielded === undefined) return { done: true, value: co.frame.outcome() };
      return { done: false, value: co.#take() };
    };
    return sequence(`see what coroutine "${this.name}" yields`, body, (result) => this.#putBack(result));
  }

  /** A yield that was taken and is not wanted is the next one's, unless the body has been resumed since. */
  #putBack(result: IteratorResult<Yield, Return>): void {
    if (!result.done && this.#inside !== undefined) this.#yielded ??= { value: result.value };
  }

  /** Iterates over what it yields, from where it stands, injecting undefined. @throws Error where the body waits for something else */
  [Symbol.iterator](): Iterator<Yield, Return, Inject | undefined> {
    return {
      next: (value) => {
        if (this.#frame === undefined) this.#start();
        else if (this.#frame.status !== "done") this.#inject(value as Inject);
        if (this.#yielded === undefined && this.status === "done") return { done: true, value: this.xreturned() };
        return { done: false, value: this.#take() };
      },
      return: (value) => {
        this.#frame?.cancel();
        return { done: true, value: value as Return };
      },
    };
  }

  /** Iterates over what it yields; the body may wait for other things between. Leaving the loop early cancels it. */
  [Symbol.asyncIterator](): AsyncIterator<Yield, Return, Inject | undefined> {
    return {
      next: (value) => this.next(value as Inject).then(),
      return: async (value) => {
        await this.#frame?.cancel();
        return { done: true, value: (await value) as Return };
      },
    };
  }

  #start(): void {
    if (this.#frame !== undefined) throw new MisuseError(`coroutine "${this.name}" has started already: call xnext`);
    const options = { ...this.#options, name: this.name };
    const prepare = (frame: Frame<unknown>) => {
      this.#frame = frame as Frame<Return>;
      frame.observe();
      frame.whenDone(() => this.#tell());
    };
    launch(this.#body as (...args: never[]) => unknown, [this, ...this.#args], options, prepare);
  }

  #inject(value: Inject): void {
    const frame = this.frame;
    const wait = this.#inside;
    if (wait === undefined) {
      const why = { active: "it is running", suspended: `it waits to ${frame.waitsTo}`, done: "it has finished" }[frame.status];
      throw new MisuseError(`cannot resume coroutine "${this.name}": ${why}`);
    }
    this.#yielded = undefined;
    this.#inside = undefined;
    if (!state.driving) state.budget = operationBudget;
    wait.payload = value;
    if (wait.group !== undefined) wait.group.claim(wait);
    wait.complete(0, 0);
  }

  #take(): Yield {
    const yielded = this.#yielded;
    if (yielded === undefined) {
      const frame = this.frame;
      if (frame.status === "done") {
        frame.outcome();
        throw new MisuseError(`coroutine "${this.name}" has returned instead of yielding: its result is in xreturned()`);
      }
      throw new MisuseError(`coroutine "${this.name}" waits to ${frame.waitsTo} instead of yielding: use next()`);
    }
    this.#yielded = undefined;
    return yielded.value;
  }

  /** @internal The body yields. */
  hand(value: Yield, wait: Wait): number {
    if (currentFrame() !== this.#frame) {
      throw new MisuseError(`xyield of coroutine "${this.name}" was called outside of it`);
    }
    this.#yielded = { value };
    this.#inside = wait;
    this.#tell();
    return parked;
  }

  /** @internal */
  unhand(wait: Wait): boolean {
    if (this.#inside !== wait) return false;
    this.#inside = undefined;
    return true;
  }

  #tell(): void {
    for (let wait = this.#outside.shift(); wait !== undefined; wait = this.#outside.shift()) ready(wait, 0, 0);
  }

  /** @internal */
  get outside(): WaitList {
    return this.#outside;
  }
}

type AnyCoroT = CoroT<unknown, unknown, unknown, never>;

class Yielding extends Operation<unknown> {
  readonly #co: AnyCoroT;
  readonly #value: unknown;

  constructor(co: unknown, value: unknown) {
    super();
    this.#co = co as AnyCoroT;
    this.#value = value;
  }

  override begin(wait: Wait): number {
    return this.#co.hand(this.#value, wait);
  }

  override finish(_status: number, _value: number, wait: Wait): unknown {
    const value = wait.payload;
    wait.payload = undefined;
    return value;
  }

  override takeBack(wait: Wait): boolean {
    return this.#co.unhand(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return "be resumed with xnext";
  }
}

/** The wait for the next yield or the end. */
class Turn extends Operation<void> {
  readonly #co: AnyCoroT;

  constructor(co: unknown) {
    super();
    this.#co = co as AnyCoroT;
  }

  override begin(wait: Wait): number {
    this.#co.outside.push(wait);
    return parked;
  }

  override finish(): void {}

  override takeBack(wait: Wait): boolean {
    return this.#co.outside.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override waitsFor(): Iterable<object> {
    return [this.#co.frame];
  }

  override get what(): string {
    return `see what coroutine "${this.#co.name}" yields`;
  }
}
