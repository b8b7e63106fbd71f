// The environment of this thread: zigcoro's initEnv and getEnv.

import { checkInteger, show } from "./check.ts";
import { Executor } from "./executor.ts";
import { type Backend, backend } from "./native/env.ts";

/** What coroutines of this thread get when they are not told otherwise. */
export interface Env {
  /** Bytes of a native body's stack. */
  readonly stack: number;
  /** Where what is ready runs. */
  readonly executor: Executor;
  /** What the loop waits for events with. */
  readonly backend: Backend;
}

export interface EnvOptions {
  /** Bytes of a native body's stack, 4,096 to 8,388,608. Default 65,536. */
  readonly stack?: number;
  /** Default: a new one; all of a thread share its one queue. */
  readonly executor?: Executor;
}

let current: Env = { stack: 64 * 1024, executor: new Executor(), backend };

/** Sets what coroutines of this thread get from now on, and returns it. What is left out goes back to its default. @throws TypeError, RangeError */
export function initEnv(options: EnvOptions = {}): Env {
  const { stack = 64 * 1024, executor = new Executor() } = options;
  checkInteger(stack, "initEnv: options.stack", 4096, 8 * 1024 * 1024);
  if (!(executor instanceof Executor)) throw new TypeError(`initEnv: options.executor must be an Executor, got ${show(executor)}`);
  current = { stack, executor, backend };
  return current;
}

/** The environment of this thread. */
export function getEnv(): Env {
  return current;
}
