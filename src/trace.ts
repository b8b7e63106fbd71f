// Traces: the chain of coroutines that an error came through, as lines at the end of its stack, and where each was spawned.

import type { Frame } from "./frame.ts";

/** The frames of the driver itself tell nobody anything. */
const driver = new RegExp(
  `^ +at .*(${RegExp.escape(import.meta.dir)}[/\\\\](generator|scheduler|start|native[/\\\\]env)\\.ts|node:async_hooks):`,
);

/** Coroutines that one error names at most. */
const maxLines = 16;
const lines = new WeakMap<Error, number>();

/** Names `frame` in the stack of an error that ends it. What is no ordinary Error stays as it is. */
export function addTrace(error: unknown, frame: Frame<unknown>): void {
  try {
    if (!(error instanceof Error)) return;
    const count = lines.get(error) ?? 0;
    lines.set(error, count + 1);
    if (count > maxLines) return;
    const line = count === maxLines ? "at more coroutines (not shown)" : describe(frame);
    const all = `${error.stack ?? error}`.split("\n");
    const stack = [...(count === 0 ? all.filter((text) => !driver.test(text)) : all), `    ${line}`].join("\n");
    Object.defineProperty(error, "stack", { value: stack, writable: true, configurable: true, enumerable: false });
  } catch {
    // A frozen error, or a proxy.
  }
}

function describe(frame: Frame<unknown>): string {
  const by = frame.spawnedBy === undefined ? "" : ` spawned by "${frame.spawnedBy}"`;
  // Bun leaves lines without a place out.
  return `at coroutine "${frame.name}"${by} (${frame.site ?? "ZIGCORO_TRACE=1 tells where"})`;
}

/** Where the caller of the package is: the first place in the stack outside of its own files. */
export function callSite(): string | undefined {
  const stack = new Error().stack?.split("\n") ?? [];
  const line = stack.find((text) => text.trimStart().startsWith("at ") && !text.includes(import.meta.dir));
  return line?.match(/\(?((?:\/|file:|[A-Za-z]:\\)[^()]*:\d+:\d+)\)?\s*$/)?.[1] ?? line?.trim().slice(3);
}
