// Tests that run in guest and in owner mode.

import { test } from "bun:test";
import { asyncio, type Coroutine, run, withTimeout, xasync } from "zigcoro";

const loop = new asyncio.Loop();

/** A test whose body runs in both modes, each for `timeoutMs` at most. */
export function inBothModes(name: string, body: () => Coroutine<void>, timeoutMs = 5000): void {
  test(`${name} (guest)`, () => run(body), timeoutMs);
  // Bun's own limit cannot end a blocked thread.
  test(`${name} (owner)`, () => asyncio.run(loop, () => withTimeout(timeoutMs, xasync(body))), timeoutMs);
}

/** The same where bodies take longer. */
export const inBothModesSlowly: typeof inBothModes = (name, body, timeoutMs = 10_000) => inBothModes(name, body, timeoutMs);
