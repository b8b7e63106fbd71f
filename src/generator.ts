// GeneratorFrame: a coroutine whose body is a generator. The driver keeps where it stands, and a resume is one `next()` of the
// innermost generator: those that called it through `call` wait on a stack of the frame's own, so depth costs nothing.
//
// It runs in the async context that it was started in (AsyncLocalStorage), whoever resumes it. The snapshot is taken once, at its first
// suspend: one at each suspend would cost as much as the switch itself, so what `enterWith` enters lasts until the next suspend.

import { AsyncLocalStorage } from "node:async_hooks";
import { show } from "./check.ts";
import type { Cancelled } from "./error.ts";
import { type Coroutine, Frame } from "./frame.ts";
import { release } from "./native/env.ts";
import { Operation } from "./operation.ts";
import { operationBudget, type Running, ready, state, turns } from "./scheduler.ts";
import type { Wait, WaitList } from "./wait.ts";

type Context = (run: () => void) => void;

export class GeneratorFrame<T> extends Frame<T> implements Running {
  // Many live at once: with one field more each would take 64 bytes more.
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

  get group(): undefined {
    return undefined;
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

  /** Runs until the next suspend. */
  step(): void {
    const outer = state.current;
    state.current = this;
    this.where = "active";
    while (this.resumeBody());
    state.current = outer;
    if (this.status === "done") return;
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
      while (!result.done && this.waiting === undefined && this.body === body) result = body.throw(misuse(this.name, result.value));
    } catch (error) {
      return this.leave(turns.threw, error);
    }
    if (result.done) return this.leave(turns.returned, result.value);
    if (this.body !== body) return true;
    this.where = "suspended";
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
    state.budget = operationBudget;
    next = this as GeneratorFrame<unknown>;
    (this.context as Context)(runStep);
  }

  override resume(value: unknown): void {
    if (this.payload !== this || this.waiting === undefined) {
      super.resume(value);
      return;
    }
    if (!state.driving) state.budget = operationBudget;
    this.payload = value;
    this.complete(0, 0);
  }

  protected override deliverCancel(error: Cancelled): void {
    this.cancelRequest = error;
    if (this.where === "suspended" && this.waiting?.takeBack(this, error.cause)) {
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
