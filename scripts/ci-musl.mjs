// Runs the package's tests on musl, as in Alpine: a Bun for it from the npm registry, with a C library of its own beside the machine's. Plain
// Node on Debian x86_64, with curl, dpkg and xz. Left out is what compiles C with `native.cc`, which would want musl's headers and libraries in
// their places. The last line is `N passed, N failed`.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { find } from "./exec.mjs";
import { fetchBun, must, runTests } from "./other-bun.mjs";
import { pipCommand, script, setUp } from "./setup.mjs";

const names = ["cancel", "channel", "coroutine", "doctest", "gc", "misuse", "owner", "run", "select", "scope", "shared-channel", "until"];
const ioNames = [
  "cancel",
  "connect",
  "descriptor",
  "file",
  "file-ends",
  "names",
  "process",
  "signal",
  "sleep",
  "stream",
  "tcp",
  "tcp-ends",
  "udp-ends",
  "unix",
  "web-stream",
];
const tests = [...names, ...ioNames.map((name) => `io-${name}`)].map((name) => `test/${name}.test.ts`);
/** They compile C. */
const leftOut = "^(?!.*(forked|signals that interrupt system calls|a body in C))";

const debian = "http://deb.debian.org/debian";
/** Debian 12's 1.2.3 lacks what Bun calls. */
const release = "trixie";
/** A wheel that brings the C++ and unwinding libraries built for musl. */
const wheel = "greenlet==3.2.4";

await script(async () => {
  for (const program of ["curl", "dpkg", "xzcat"]) if (!find(program)) throw new Error(`${program} is not on PATH`);
  const { root, zig, env } = await setUp({ bun: false });
  const folder = join(root, ".toolchain", "musl");
  const bun = await fetchBun("@oven/bun-linux-x64-musl@1.4.5", folder);
  const started = join(folder, "bun");
  if (!existsSync(started)) {
    const loader = await fetchLoader(folder);
    const libraries = await fetchLibraries(folder);
    writeFileSync(started, `#!/bin/sh\nexec '${loader}' --library-path '${libraries}' '${bun}' "$@"\n`, { mode: 0o755 });
  }
  const prefix = join(root, "zig-out", "musl");
  await must(zig, ["build", "-Doptimize=ReleaseFast", "-Dtarget=x86_64-linux-musl", "--prefix", prefix], { cwd: root, env });
  const options = {
    cwd: root,
    env: { ...env, ZIGCORO_LIBRARY: join(prefix, "lib", "libzigcoro.so"), ZIGCORO_TEST_BUN: started, NO_COLOR: "1" },
  };
  return await runTests(started, ["test", "--preload", "./test/support/exec-path.ts", "-t", leftOut, ...tests], options);
});

/** The path of musl's dynamic loader, from Debian's package. */
async function fetchLoader(folder) {
  console.log(`fetching musl of Debian ${release}`);
  const index = join(folder, "Packages.xz");
  await must("curl", ["-fsSL", "-o", index, `${debian}/dists/${release}/main/binary-amd64/Packages.xz`], {});
  const text = await must("sh", ["-c", `xzcat '${index}' | sed -n '/^Package: musl$/,/^$/p'`], {});
  const field = (name) => text.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
  const archive = join(folder, "musl.deb");
  await must("curl", ["-fsSL", "-o", archive, `${debian}/${field("Filename")}`], {});
  const sum = createHash("sha256").update(readFileSync(archive)).digest("hex");
  if (sum !== field("SHA256")) throw new Error(`${archive} has the SHA-256 ${sum}, Debian's index says ${field("SHA256")}`);
  await must("dpkg", ["-x", archive, join(folder, "musl")], {});
  return join(folder, "musl", "usr", "lib", "x86_64-linux-musl", "libc.so");
}

/** A folder with libstdc++ and libgcc_s for musl. */
async function fetchLibraries(folder) {
  console.log(`fetching ${wheel}`);
  const wheels = join(folder, "wheels");
  mkdirSync(wheels, { recursive: true });
  const { command, args } = await pipCommand(wheels);
  const from = ["download", "--no-deps", "--only-binary=:all:", "--platform", "musllinux_1_2_x86_64", "--python-version", "311"];
  await must(command, [...args, ...from, wheel, "--dest", wheels], {});
  const archive = readdirSync(wheels).find((file) => file.endsWith(".whl"));
  await must(command, [...args.slice(0, -2), "-m", "zipfile", "-e", join(wheels, archive), wheels], {});
  const libraries = join(wheels, "greenlet.libs");
  for (const file of readdirSync(libraries)) symlinkSync(file, join(libraries, file.replace(/-[0-9a-f]+(\.so\.\d+).*/, "$1")));
  return libraries;
}
