// Runs the package's tests on Windows x64 under wine: a Bun for Windows from the npm registry, our library built for it with its assertions
// on. Plain Node; `wine` must be there. The last line is `N passed, N failed`.

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { find, run } from "./exec.mjs";
import { fetchBun, must, runTests } from "./other-bun.mjs";
import { script, setUp } from "./setup.mjs";

// Left out: what only Unix has (Unix sockets, processes, signals, descriptors), what is about the checkout, and what takes wine minutes.
const names =
  "call cancel channel corners coroutine executor fairness gc misuse native owner process run schedule scope seed select stream sync until".split(
    " ",
  );
const ioNames =
  "arguments budget cancel connect connection duplex file file-ends lost names notification select sleep stream tcp tcp-ends udp udp-ends web-stream".split(
    " ",
  );
const tests = [...names, ...ioNames.map((name) => `io-${name}`)].map((name) => `test/${name}.test.ts`);
const target = "x86_64-windows-gnu";

await script(async () => {
  const wine = find("wine");
  if (!wine) throw new Error("wine is not on PATH: apt-get install wine wine64");
  const { root, zig, env } = await setUp({ bun: false });
  const bun = await fetchBun("@oven/bun-windows-x64@1.4.5", join(root, ".toolchain", "windows"));
  await lendRandom(zig, bun, { cwd: root, env });
  const prefix = join(root, "zig-out", "windows");
  await must(zig, ["build", "-Doptimize=ReleaseSafe", `-Dtarget=${target}`, "--prefix", prefix], { cwd: root, env });
  const home = join(prefix, "wine");
  mkdirSync(home, { recursive: true });
  const options = {
    cwd: root,
    env: { ...env, WINEPREFIX: home, WINEDEBUG: "-all", ZIGCORO_LIBRARY: `Z:${join(prefix, "bin", "zigcoro.dll")}`, NO_COLOR: "1" },
  };
  try {
    return await runTests(wine, [bun, "test", ...tests], options);
  } finally {
    // Otherwise its services stay for a while.
    await run(find("wineserver") ?? "wineserver", ["-k"], options);
  }
});

/** Puts a library beside `bun` that gives it random numbers, which wine 8 has under another name only. */
async function lendRandom(zig, bun, options) {
  const library = join(dirname(bun), "bcryptprimitives.dll");
  const source = join("test", "fixtures", "bcryptprimitives.zig");
  await must(zig, ["build-lib", source, "-dynamic", "-target", target, "-O", "ReleaseSmall", `-femit-bin=${library}`], options);
}
