// Reports of who waits for what, for deadlocks.

import { Frame } from "./frame.ts";
import { waiting } from "./native/env.ts";
import { places } from "./queue.ts";

/** One line for each of `frames`, for those that they wait for, and for everyone else who waits. */
export function deadlockReport(frames: readonly Frame<unknown>[]): string[] {
  const seen = new Set<object>();
  const lines = new Set<string>();
  const add = (waiter: object): void => {
    let at: unknown = waiter;
    // A branch of a select stands for who selects.
    while (hasGroup(at)) at = at.group.outer;
    if (at instanceof Frame) addFrame(at);
    else if (isObject(at) && "what" in at) lines.add(`a promise waits to ${at.what}`);
  };
  const addFrame = (frame: Frame<unknown>): void => {
    if (seen.has(frame) || frame.status === "done") return;
    seen.add(frame);
    lines.add(describe(frame));
    for (const other of frame.waitsForFrames) add(other);
  };
  for (const frame of frames) addFrame(frame);
  for (const wait of waiting()) add(wait);
  for (const wait of places.waiting()) add(wait);
  return [...lines];
}

function hasGroup(value: unknown): value is { readonly group: { readonly outer: unknown } } {
  return isObject(value) && "group" in value && isObject(value.group);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function describe(frame: Frame<unknown>): string {
  const by = frame.spawnedBy === undefined ? "" : ` (spawned by "${frame.spawnedBy}"${frame.site ? ` at ${frame.site}` : ""})`;
  return `"${frame.name}" waits to ${frame.waitsTo}${by}`;
}
