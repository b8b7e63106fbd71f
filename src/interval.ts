// interval: ticks that do not drift.

import { sequence } from "./call.ts";
import { checkMilliseconds } from "./check.ts";
import type { Operation } from "./operation.ts";
import { now, sleepUntil } from "./sleep.ts";

/** Ticks at fixed times from when it was made. */
export class Interval implements AsyncIterable<number> {
  readonly #start = now();
  readonly #ms: number;
  #ticks = 0;
  /** The tick that was waited for and that nobody has got yet. */
  #due: number | undefined;

  /** @internal */
  constructor(ms: number) {
    this.#ms = ms;
  }

  /**
   * Waits for the next tick and gives its number, from 1 on: tick n is `n * ms` after the start, never earlier, however long the work
   * between took. Ticks that went by meanwhile are left out, so numbers may jump. One that was cancelled, or that lost in a select, leaves its
   * tick to the `next` after it, which has it at once when its time has come.
   */
  next(): Operation<number> {
    return sequence(
      `see the next tick of ${this.#ms} ms`,
      () => this.#next(),
      (tick) => this.#putBack(tick),
    );
  }

  *#next() {
    const passed = Math.floor((now() - this.#start) / this.#ms);
    this.#due ??= Math.max(passed, this.#ticks) + 1;
    const tick = this.#due;
    yield* sleepUntil(this.#start + tick * this.#ms);
    if (this.#due === tick) this.#due = undefined;
    this.#ticks = Math.max(tick, this.#ticks);
    return tick;
  }

  /** It was not wanted after all, and no later one has been waited for since. */
  #putBack(tick: number): void {
    if (this.#due === undefined && tick === this.#ticks) this.#due = tick;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number, never, undefined> {
    for (;;) yield await this.next();
  }
}

/**
 * Ticks every `ms` milliseconds (above 0, fractions allowed) that do not drift: `yield* ticks.next()` or `for await (const n of ticks)`.
 *
 * @example
 * ```ts
 * const ticks = interval(100);
 * for (let n = 0; n < 10; n++) {
 *   yield* ticks.next();
 *   console.log("a tenth of a second");
 * }
 * ```
 * @throws TypeError, RangeError
 */
export function interval(ms: number): Interval {
  checkMilliseconds(ms, "interval: ms");
  if (ms === 0) throw new RangeError("interval: ms must be above 0");
  return new Interval(ms);
}
