// Runs the package's tests on Linux aarch64 under qemu-user: a Bun for that machine from the npm registry, our library built for it. Plain
// Node; `qemu-aarch64` and the cross libraries in /usr/aarch64-linux-gnu must be there. Tests that start programs of their own or compile C
// are left out: the emulated Bun can do neither here. The last line is `N passed, N failed`.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { find, run } from "./exec.mjs";
import { script, setUp } from "./setup.mjs";

const bunPackage = "@oven/bun-linux-aarch64@1.4.5";
const names = ["coroutine", "cancel", "misuse", "until", "fairness", "channel", "executor", "run", "leak"];
const ioNames = ["tcp", "sleep", "select", "connection"].map((name) => `io-${name}`);
const tests = [...names, ...ioNames].map((name) => `test/${name}.test.ts`);
const limitSeconds = 300;

await script(async () => {
  const qemu = find("qemu-aarch64");
  if (!qemu) throw new Error("qemu-aarch64 is not on PATH: apt-get install qemu-user");
  const { root, zig, env } = await setUp({ bun: false });
  const folder = join(root, ".toolchain", "aarch64");
  const bun = await emulatedBun(folder);
  const prefix = join(root, "zig-out", "aarch64");
  await must(zig, ["build", "-Doptimize=ReleaseFast", "-Dtarget=aarch64-linux-musl", "--prefix", prefix], { cwd: root, env });
  const library = join(prefix, "lib", "libzigcoro.so");
  const { code, output } = await run(qemu, ["-L", "/usr/aarch64-linux-gnu", bun, "test", ...tests], {
    cwd: root,
    env: { ...env, ZIGCORO_LIBRARY: library, NO_COLOR: "1" },
    limit: limitSeconds,
  });
  const count = (word) => Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, "gm"))].pop()?.[1] ?? 0);
  const failed = Math.max(count("fail") + count("error"), code === 0 ? 0 : 1);
  if (failed > 0) console.log(output);
  console.log(`${count("pass")} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
});

/** The path of a Bun for aarch64, fetched once into `folder`. */
async function emulatedBun(folder) {
  const bun = join(folder, "package", "bin", "bun");
  if (existsSync(bun)) return bun;
  console.log(`fetching ${bunPackage}`);
  mkdirSync(folder, { recursive: true });
  await must("npm", ["pack", bunPackage, "--pack-destination", folder], {});
  const archive = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  await must("tar", ["-xzf", join(folder, archive), "-C", folder], {});
  return bun;
}

async function must(command, args, options) {
  const { code, output } = await run(command, args, { ...options, limit: limitSeconds });
  if (code !== 0) throw new Error(`${[command, ...args].join(" ")} failed:\n${output}`);
}
