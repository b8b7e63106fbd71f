// sequence: several operations in a row as one operation, written as a generator.

import { codes } from "./code.ts";
import type { Coroutine } from "./frame.ts";
import { type Frame, startFrame } from "./frame.ts";
import type { Wait } from "./native/env.ts";
import { Operation, type Suspended } from "./operation.ts";

class Sequence<T> extends Operation<T> {
  readonly #name: string;
  readonly #body: () => Coroutine<T>;
  /** Its own coroutine, for each who does not run it inside a generator. */
  readonly #frames = new Map<Wait, Frame<T>>();

  constructor(name: string, body: () => Coroutine<T>) {
    super();
    this.#name = name;
    this.#body = body;
  }

  /** In a generator the steps run in place. */
  override [Symbol.iterator](): Iterator<Suspended, T, unknown> {
    return this.#body();
  }

  override begin(wait: Wait): number {
    const frame = startFrame<T>(this.#body, [], this.#name);
    this.#frames.set(wait, frame);
    return frame.begin(wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    return this.#frames.get(wait)?.endedByCancel ? codes.canceled : status;
  }

  override finish(status: number, value: number, wait: Wait): T {
    const frame = this.#frames.get(wait) as Frame<T>;
    this.#frames.delete(wait);
    return frame.finish(status, value, wait);
  }

  override takeBack(wait: Wait): boolean {
    this.#frames.get(wait)?.cancel();
    return false;
  }

  override forget(wait: Wait): void {
    this.#frames.delete(wait);
  }

  override get what(): string {
    return this.#name;
  }
}

/** An operation that runs `body` each time it is used. `name` says what it does: "connect to ...". */
export function sequence<T>(name: string, body: () => Coroutine<T>): Operation<T> {
  return new Sequence(name, body);
}
