// Builds the shared library in release mode into zig-out/lib, after set-up. Runs under Node and under Bun; arguments go on
// to `zig build`. Whether anything has to be compiled again is Zig's cache's business.

import { hand } from "./exec.mjs";
import { isMain, SetupError, script, setUp } from "./setup.mjs";

/**
 * Builds with the programs that `setUp` gave. The CPU is the architecture's baseline, because the library is carried to
 * other machines; it uses no libc, so the system's version does not matter. Throws `SetupError` when the compiler fails.
 */
export async function build(tools, args = []) {
  const code = await hand(tools.zig, ["build", "-Doptimize=ReleaseFast", "-Dcpu=baseline", ...args], { cwd: tools.root, env: tools.env });
  if (code !== 0) throw new SetupError(`"zig build" ended with exit code ${code}; the compiler's messages above say where.`);
}

if (isMain(import.meta.url)) await script(async () => await build(await setUp({ bun: false }), process.argv.slice(2)));
