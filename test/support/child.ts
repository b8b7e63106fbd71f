// Runs a fixture as a process of its own and tells how it ended.

import { fileURLToPath } from "node:url";
import { isWine } from "./platform.ts";

export interface Ended {
  /** Exit code; null when a signal ended it or it was still running at the limit. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | number | null;
  readonly out: string;
  readonly err: string;
}

/** How long a child may take before it counts as hanging; a busy machine is slow. */
const limitMs = 10_000;

/** For the test that waits for a child: longer than that. */
export const childTimeoutMs = 2 * limitMs;

export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));
}

/** Runs `test/fixtures/<name>` with `args` in Bun. One that hangs is killed and has the signal "SIGKILL". */
export async function runFixture(name: string, args: readonly string[] = [], env: Record<string, string> = {}): Promise<Ended> {
  const child = Bun.spawn([process.execPath, fixture(name), ...args], {
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code: child.exitCode, signal: child.signalCode, out: itsOwn(out), err: itsOwn(err) };
}

/** What a program has printed, without what Bun says for itself under wine, where folders have two names. */
export function itsOwn(text: string): string {
  return isWine ? text.replaceAll("\r\n", "\n").replaceAll(/^Internal error: directory mismatch .*\n/gm, "") : text;
}
