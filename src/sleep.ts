// sleep: a timer of the native loop.

import { checkMilliseconds } from "./check.ts";
import { parked } from "./code.ts";
import { ioError } from "./error.ts";
import { env, library, type Wait } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { state } from "./scheduler.ts";

class Sleep extends Operation<void> {
  readonly #ms: number;

  constructor(ms: number) {
    super();
    this.#ms = ms;
  }

  override begin(wait: Wait): number {
    const status = library.zc_op_sleep(env, tokenOf(wait), this.#ms);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, _value: number): void {
    if (status < 0) throw ioError(status, "sleep");
  }

  override get what(): string {
    return `sleep ${this.#ms} ms`;
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
