// Reports of who waits for what, for deadlocks.

import { Frame } from "./frame.ts";
import { waiting } from "./native/env.ts";

/** One line for each of `frames` and for everyone else who waits in native code. */
export function deadlockReport(frames: readonly Frame<unknown>[]): string[] {
  const lines = new Set<string>();
  for (const frame of frames) if (frame.status !== "done") lines.add(describe(frame));
  for (const wait of waiting()) {
    if (wait instanceof Frame) lines.add(describe(wait));
    else if ("what" in wait) lines.add(`a promise waits to ${wait.what}`);
  }
  return [...lines];
}

function describe(frame: Frame<unknown>): string {
  return `"${frame.name}" waits to ${frame.waitsTo}`;
}
