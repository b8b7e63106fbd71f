// The generated interface: src/native/abi.ts is what zig/abi says now, and it keeps the rules of the house.

import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { codes, layouts, symbols } from "../src/native/abi.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Zig 0.16.0: on PATH, else where set-up keeps its own; undefined when there is none. */
function findZig(): string | undefined {
  const kept = join(root, ".toolchain");
  const folders = existsSync(kept) ? readdirSync(kept, { recursive: true, encoding: "utf8" }) : [];
  const own = folders.filter((path) => /(^|[\\/])zig(\.exe)?$/.test(path)).map((path) => join(kept, path));
  for (const zig of [Bun.which("zig"), ...own]) {
    if (!zig) continue;
    const { stdout, success } = Bun.spawnSync([zig, "version"]);
    if (success && stdout.toString().trim() === "0.16.0") return zig;
  }
}

const zig = findZig();
if (!zig) console.warn("abi.test.ts: no zig 0.16.0 on PATH or in .toolchain, so the generated files are not compared");

for (const [language, file] of [
  ["ts", "src/native/abi.ts"],
  ["c", "include/zigcoro.h"],
] as const) {
  test.skipIf(!zig || !existsSync(join(root, file)))(
    `${file} is what \`zig build describe -- ${language}\` prints`,
    () => {
      const { stdout, stderr, success } = Bun.spawnSync([zig as string, "build", "describe", "--", language], { cwd: root });
      if (!success) throw new Error(stderr.toString());
      expect(stdout.toString()).toBe(readFileSync(join(root, file), "utf8"));
    },
    240_000,
  );
}

test("every symbol's name begins with zc_", () => {
  for (const name of Object.keys(symbols)) expect(name).toStartWith("zc_");
});

test("no signature has a 64-bit integer: they would be BigInts", () => {
  const allowed = ["ptr", "buffer", "u32", "i32", "f64", "void"];
  for (const [name, { args, returns }] of Object.entries(symbols)) {
    for (const type of [...args, returns]) expect([name, allowed.includes(type)]).toEqual([name, true]);
  }
});

test("codes are negative and all different", () => {
  const all = Object.values(codes);
  for (const code of all) expect(code).toBeLessThan(0);
  expect(new Set(all).size).toBe(all.length);
});

test("what TypeScript reads from shared memory is aligned", () => {
  for (const [name, offset] of Object.entries(layouts)) {
    if (name !== "slotBits") expect([name, offset % 4]).toEqual([name, 0]);
  }
  expect(layouts.entryValue % 8).toBe(0);
  expect(layouts.entrySize % 8).toBe(0);
});
