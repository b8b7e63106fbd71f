// Runs the package's tests on Linux aarch64 under qemu-user: a Bun for that machine from the npm registry, our library built for it. Plain
// Node; `qemu-aarch64` and the cross libraries in /usr/aarch64-linux-gnu must be there. Tests that start programs of their own or compile C
// are left out: the emulated Bun can do neither here. The last line is `N passed, N failed`.

import { join } from "node:path";
import { find } from "./exec.mjs";
import { fetchBun, must, runTests } from "./other-bun.mjs";
import { script, setUp } from "./setup.mjs";

const names = ["coroutine", "cancel", "misuse", "until", "fairness", "channel", "executor", "run", "leak"];
const ioNames = ["tcp", "tcp-ends", "sleep", "select", "connection"].map((name) => `io-${name}`);
const tests = [...names, ...ioNames].map((name) => `test/${name}.test.ts`);

await script(async () => {
  const qemu = find("qemu-aarch64");
  if (!qemu) throw new Error("qemu-aarch64 is not on PATH: apt-get install qemu-user");
  const { root, zig, env } = await setUp({ bun: false });
  const bun = await fetchBun("@oven/bun-linux-aarch64@1.4.5", join(root, ".toolchain", "aarch64"));
  const prefix = join(root, "zig-out", "aarch64");
  await must(zig, ["build", "-Doptimize=ReleaseFast", "-Dtarget=aarch64-linux-musl", "--prefix", prefix], { cwd: root, env });
  return runTests(qemu, ["-L", "/usr/aarch64-linux-gnu", bun, "test", ...tests], {
    cwd: root,
    env: { ...env, ZIGCORO_LIBRARY: join(prefix, "lib", "libzigcoro.so"), NO_COLOR: "1" },
  });
});
