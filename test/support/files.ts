// Files of tests.

import { afterAll, expect } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isWine } from "./platform.ts";

/** A folder that goes when the tests of the file that asks for it have ended, and ways to make files in it. */
export function temporaryFiles() {
  const folder = mkdtempSync(join(tmpdir(), "zigcoro-file-"));
  // Under wine Bun removes no folder that is in use.
  afterAll(() => isWine || rmSync(folder, { recursive: true, force: true }));
  let names = 0;

  /** The path of a new file, with `content` unless that is undefined. */
  function fresh(content?: string | Uint8Array): string {
    const path = join(folder, `file${names++}`);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  }

  function fifo(): string {
    const path = fresh();
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    return path;
  }

  return { folder, fresh, fifo };
}

export const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());
