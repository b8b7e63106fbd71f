// Branch: one operation of several that are waited for together. What counts as an operation there is decided here, too.

import { call } from "./call.ts";
import { show } from "./check.ts";
import type { Coroutine } from "./frame.ts";
import { release } from "./native/env.ts";
import { Operation, type Suspended } from "./operation.ts";
import { isGenerator, isThenable } from "./start.ts";
import { until } from "./until.ts";
import { type Group, PlainWait } from "./wait.ts";

/** What can be waited for together with others: operations and frames, generators (each runs as a coroutine of its own), promises. */
export type Waitable<T> = Operation<T> | Coroutine<T> | PromiseLike<T>;

/** The result of a Waitable. */
export type Result<W> = W extends Generator<Suspended, infer T, unknown> ? T : W extends PromiseLike<infer T> ? T : never;

/** `value` as an operation. @throws TypeError that begins with `what`, and names `key` when that is given */
export function operationOf<T>(value: Waitable<T>, what: string, key?: string | number): Operation<T> {
  if (value instanceof Operation) return value;
  if (isGenerator(value)) return call(value as Coroutine<T>);
  if (isThenable(value)) return until(value as PromiseLike<T>);
  throw new TypeError(
    `${what}${key === undefined ? "" : ` ${show(key)}`} must be an operation, a frame, a generator or a promise, got ${show(value)}`,
  );
}

/** Whoever runs several branches. */
export interface Runner {
  ended(branch: Branch, status: number, value: number): void;
}

export class Branch extends PlainWait {
  readonly operation: Operation<unknown>;
  readonly index: number;
  readonly #runner: Runner;
  /** It was begun and has not ended yet. */
  running = false;

  constructor(operation: Operation<unknown>, index: number, runner: Runner, group?: Group) {
    super(group);
    this.operation = operation;
    this.index = index;
    this.#runner = runner;
  }

  get what(): string {
    return this.operation.what;
  }

  complete(status: number, value: number): void {
    this.#runner.ended(this, status, value);
  }

  /** It has ended, with this. */
  over(status: number, value: number): void {
    this.running = false;
    this.endStatus = status;
    this.endValue = value;
    release(this);
  }

  /** True: it never happened. False: it still ends by itself. */
  takeBack(reason?: unknown): boolean {
    if (!this.operation.takeBack(this, reason)) return false;
    this.over(0, 0);
    return true;
  }

  wasCancelled(): boolean {
    return this.operation.wasCancelled(this.endStatus, this);
  }

  /** Nobody wants what it ended with. */
  discard(): void {
    if (this.wasCancelled()) this.operation.forget(this);
    else this.operation.giveBack(this.endStatus, this.endValue, this);
  }

  /** Its result, or throws its error. */
  finish(): unknown {
    return this.operation.finish(this.endStatus, this.endValue, this);
  }
}
