// The package's tests on a Bun for another machine or C library, which something else runs: qemu-user, wine, musl's loader. Plain Node.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "./exec.mjs";

const limitSeconds = 300;

/** The path of the Bun in npm's package `name`, fetched once into `folder`. */
export async function fetchBun(name, folder) {
  const bun = join(folder, "package", "bin", name.includes("windows") ? "bun.exe" : "bun");
  if (existsSync(bun)) return bun;
  console.log(`fetching ${name}`);
  mkdirSync(folder, { recursive: true });
  await must("npm", ["pack", name, "--pack-destination", folder], {});
  const archive = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  await must("tar", ["-xzf", join(folder, archive), "-C", folder], {});
  return bun;
}

/** Runs `command`, which ends with `bun test` on something, and prints what fails and the counts; the exit code. */
export async function runTests(command, args, options) {
  const { code, output } = await run(command, args, { ...options, limit: limitSeconds });
  const count = (word) => Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}s?\\r?$`, "gm"))].pop()?.[1] ?? 0);
  const failed = Math.max(count("fail") + count("error"), code === 0 ? 0 : 1);
  if (failed > 0) console.log(output);
  console.log(`${count("pass")} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** Runs `command` to its end and gives what it printed. @throws Error with what it printed when it fails */
export async function must(command, args, options) {
  const { code, output } = await run(command, args, { ...options, limit: limitSeconds });
  if (code !== 0) throw new Error(`${[command, ...args].join(" ")} failed:\n${output}`);
  return output;
}
