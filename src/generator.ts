// GeneratorFrame: a coroutine whose body is a generator. The driver keeps where it stands, and a resume is one `next()` of the
// innermost generator: those that called it through `call` wait on a stack of the frame's own, so depth costs nothing.
//
// It runs in the async context that it was started in (AsyncLocalStorage), whoever resumes it. The snapshot is taken once, at its first
// suspend: one at each suspend would cost as much as the switch itself, so what `enterWith` enters lasts until the next suspend.

import * as jsc from "bun:jsc";
import { AsyncLocalStorage } from "node:async_hooks";
import { show } from "./check.ts";
import type { Cancelled } from "./error.ts";
import { type Coroutine, done, Frame, suspended } from "./frame.ts";
import { release } from "./native/env.ts";
import { given, Operation } from "./operation.ts";
import { operationBudget, type Running, ready, state, turns } from "./scheduler.ts";
import type { Wait, WaitList } from "./wait.ts";

type Context = (run: () => void) => void;

export class GeneratorFrame<T> extends Frame<T> implements Running {
  // Many live at once: with one field more each would take 64 bytes more. `group` is the prototype's, see below.
  declare readonly group: undefined;
  token = -1;
  endStatus = 0;
  endValue = 0;
  list: WaitList | undefined = undefined;
  before: Wait | undefined = undefined;
  after: Wait | undefined = undefined;
  waiting: Operation<unknown> | undefined = undefined;
  turn: number = turns.ended;
  cancelRequest: Error | undefined = undefined;
  /** The innermost generator. */
  private body: Coroutine<unknown>;
  /** The generators that wait for it, outermost first. */
  private callers: Coroutine<unknown>[] | undefined = undefined;
  private context: Context | undefined = undefined;

  constructor(name: string, body: Coroutine<T>) {
    super(name);
    this.body = body;
  }

  /** Suspended directly, it is its own wait. */
  override get suspendedWait(): Wait | undefined {
    return this.waiting !== undefined && this.payload === this ? this : super.suspendedWait;
  }

  override set suspendedWait(wait: Wait | undefined) {
    if (wait !== this && !(this.waiting !== undefined && this.payload === this)) super.suspendedWait = wait;
  }

  enter(body: Generator<unknown, unknown, unknown>): void {
    this.callers ??= [];
    this.callers.push(this.body);
    this.body = body as Coroutine<unknown>;
  }

  // What is rare is not in the functions that are not: the compiler then puts those in line.

  /** Runs until the next suspend. */
  step(): void {
    const outer = state.current;
    state.current = this;
    this.flags &= ~suspended;
    while (this.resumeBody());
    given.value = undefined;
    state.current = outer;
    if (this.context === undefined || state.after !== undefined) this.afterStep();
  }

  private afterStep(): void {
    if ((this.flags & done) !== 0) return;
    this.context ??= AsyncLocalStorage.snapshot() as Context;
    const { after } = state;
    if (after === undefined) return;
    state.after = undefined;
    after();
  }

  /** Resumes the innermost generator. True: now another one is that, and goes on at once. */
  private resumeBody(): boolean {
    const body = this.body;
    let result: IteratorResult<unknown, unknown>;
    try {
      result = body.next();
    } catch (error) {
      return this.leave(turns.threw, error);
    }
    if (result.done || this.waiting === undefined || this.body !== body) return this.changed(body, result);
    this.flags |= suspended;
    return false;
  }

  /** `body` has returned, entered another generator, or yielded something of its own, which it is told. */
  private changed(body: Coroutine<unknown>, first: IteratorResult<unknown, unknown>): boolean {
    for (let result = first; ; ) {
      if (result.done) return this.leave(turns.returned, result.value);
      if (this.body !== body) return true;
      if (this.waiting !== undefined) break;
      try {
        result = body.throw(misuse(this.name, result.value));
      } catch (error) {
        return this.leave(turns.threw, error);
      }
    }
    this.flags |= suspended;
    return false;
  }

  private leave(how: number, value: unknown): boolean {
    const caller = this.callers?.pop();
    if (caller !== undefined) {
      this.body = caller;
      this.turn = how;
      this.payload = value;
      return true;
    }
    release(this);
    this.context = undefined;
    if (how === turns.threw) this.fail(value);
    else this.succeed(value as T);
    return false;
  }

  complete(status: number, value: number): void {
    this.endStatus = status;
    this.endValue = value;
    this.stepInContext();
  }

  private stepInContext(): void {
    state.budget = operationBudget;
    next = this as GeneratorFrame<unknown>;
    (this.context as Context)(runStep);
  }

  override resume(value: unknown): void {
    if (this.payload !== this || this.waiting === undefined) {
      super.resume(value);
      return;
    }
    this.payload = value;
    this.endStatus = 0;
    this.stepInContext();
  }

  protected override deliverCancel(error: Cancelled): void {
    this.cancelRequest = error;
    if ((this.flags & suspended) !== 0 && this.waiting?.takeBack(this, error.cause)) {
      this.turn = turns.takenBack;
      ready(this, 0, 0);
    }
  }

  override get waitsTo(): string {
    return this.waiting?.what ?? "go on";
  }

  override get waitsForFrames(): Iterable<object> {
    return this.waiting?.waitsFor(this) ?? [];
  }
}

// A getter would take longer than all else that a hand-over does.
Object.defineProperty(GeneratorFrame.prototype, "group", { value: undefined, writable: true });

// Inside of a loop that resumes, there is no room left to put the call of the context in line, which then takes 10 ns more.
// The types do not know this function, and there may be none one day.
(jsc as { noInline?: (code: object) => void }).noInline?.(GeneratorFrame.prototype.resume);

/** The frame that `runStep` is for: an argument would make the snapshot's call twice as dear. */
let next: GeneratorFrame<unknown>;

function runStep(): void {
  next.step();
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
