// sleep: a timer of the native loop.

import { checkMilliseconds } from "./check.ts";
import { parked } from "./code.ts";
import { ioError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

class Sleep extends Operation<void> {
  readonly #ms: number;
  readonly #until: number | undefined;

  /** Until the time `until`, if it is given, else for `ms` milliseconds from when it begins. */
  constructor(ms: number, until?: number) {
    super();
    this.#ms = ms;
    this.#until = until;
  }

  override begin(wait: Wait): number {
    const token = tokenOf(wait);
    const until = this.#until;
    const status = until === undefined ? library.zc_op_sleep(env, token, this.#ms) : library.zc_op_sleep_until(env, token, until);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, _value: number): void {
    if (status < 0) throw ioError(status, "sleep");
  }

  override get what(): string {
    return this.#until === undefined ? `sleep ${this.#ms} ms` : "sleep until a deadline";
  }
}

/**
 * Waits `ms` milliseconds (0 to 2^53 - 1, fractions allowed) on the monotonic clock, never less.
 *
 * @throws TypeError, RangeError
 */
export function sleep(ms: number): Operation<void> {
  return new Sleep(checkMilliseconds(ms, "sleep: ms"));
}

/** Waits until `now()` is at least `time`; no time at all when it is past. @throws TypeError, RangeError */
export function sleepUntil(time: number): Operation<void> {
  return new Sleep(0, checkMilliseconds(time, "sleepUntil: time"));
}

/** The monotonic clock that timers go by, in milliseconds. It starts anywhere; only differences mean something. */
export function now(): number {
  return library.zc_now();
}
