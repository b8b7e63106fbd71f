// A coroutine body for tests.

import { type Coroutine, xsuspend } from "zigcoro";

/** Suspends `upTo` times and returns twice that. */
export function* counter(upTo: number): Coroutine<number> {
  for (let i = 1; i <= upTo; i++) yield* xsuspend();
  return upTo * 2;
}
