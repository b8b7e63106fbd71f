// Each benchmark of bench/ runs, briefly, and prints its tables. What it measures is not judged here.

import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dir, "../bench");

for (const name of readdirSync(folder).filter((file) => file.endsWith(".bench.ts"))) {
  test(name, async () => {
    const child = Bun.spawn([process.execPath, join(folder, name), "--smoke"], { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^-+( +-+)+\n.*\d/m);
  }, 60_000);
}
