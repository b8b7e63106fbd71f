// Local: task-local values. A coroutine has those of who spawned it, as they were then, until it sets its own.

import { show } from "./check.ts";
import { MisuseError } from "./error.ts";
import { currentFrame } from "./frame.ts";

/** The values of a coroutine; never changed, so that spawning shares them. */
export type Values = ReadonlyMap<Local<never>, unknown>;

/** What is set outside of any coroutine, and inherited by what is spawned there. */
let outside: Values | undefined;

/**
 * A task-local value: like a global variable, but each coroutine has its own, which the coroutines it spawns inherit as it was then.
 *
 * @example
 * ```ts
 * const user = new Local("nobody");
 * await run(function* main() {
 *   user.set("ann");
 *   const child = xasync(function* () {
 *     return user.get();
 *   });
 *   console.log(yield* child); // ann
 * });
 * console.log(user.get()); // nobody
 * ```
 */
export class Local<T> {
  readonly #initial: T;

  /** @param initial what it is where nobody has set it */
  constructor(initial: T) {
    this.#initial = initial;
  }

  /** The value of the coroutine that runs right now; outside of any, the one that was set outside. */
  get(): T {
    const frame = currentFrame();
    const values = frame === undefined ? outside : frame.values;
    return values?.has(this as never) ? (values.get(this as never) as T) : this.#initial;
  }

  /** Sets it for the coroutine that runs right now and for those that it spawns from now on; outside of any, for what is outside. */
  set(value: T): void {
    const frame = currentFrame();
    const values = new Map(frame === undefined ? outside : frame.values).set(this as never, value);
    if (frame === undefined) outside = values;
    else frame.values = values;
  }

  /**
   * Sets it until the end of the block: `using _ = user.during("bob")`.
   *
   * @throws Error outside of any coroutine, where a block has no end of its own
   */
  during(value: T): Disposable {
    const frame = currentFrame();
    if (frame === undefined) throw new MisuseError(`Local.during was called outside of any coroutine, with ${show(value)}`);
    const before = this.get();
    this.set(value);
    return { [Symbol.dispose]: () => this.set(before) };
  }
}

export function valuesOutside(): Values | undefined {
  return outside;
}
