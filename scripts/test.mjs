// `npm test`: set-up, build, every checker and every test, one step after the other. A failing step is shown whole and the
// rest still runs. The last line is `N passed, N failed`: each test counts, and the build and each checker count as one.
//
//   node scripts/test.mjs --release                       the core's tests and benchmarks in release builds, which take long to compile, and as on macOS
//   node scripts/test.mjs --emulate aarch64-linux-musl    only the core's tests, for that target: under qemu-user, under wine
//                                                         for Windows, natively for x86-linux-musl
//   node scripts/test.mjs --compile aarch64-macos         only compiles the core's tests and the library, for a target that nothing here runs

import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./exec.mjs";
import { devProgram, SetupError, setUp } from "./setup.mjs";

// For one step, on a machine with much else to do.
const limitSeconds = 600;
const total = { passed: 0, failed: 0 };

const [mode, target] = process.argv.slice(2);
const special = { "--release": releaseSteps, "--emulate": emulationSteps, "--compile": compileSteps }[mode];
try {
  const tools = await setUp({ bun: !special, dev: !special });
  for (const step of special ? special(tools, target) : allSteps(tools)) await perform(tools, step);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nset-up stopped: ${error.message}`);
  total.failed += 1;
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

/** A step is `{ name, command, args, count }`; `count` reads the tests' numbers off what it printed. */
function allSteps({ root, zig, bun }) {
  const script = (name, ...args) => ({ command: process.execPath, args: [devProgram(name), ...args], count: oneCheck });
  const sources = ["build.zig", "build.zig.zon", "zig", "bench", "test", "examples"].filter((name) => existsSync(join(root, name)));
  const steps = [
    { name: "build the library", command: process.execPath, args: [join("scripts", "build.mjs")], count: oneCheck },
    { name: "zig fmt", command: zig, args: ["fmt", "--check", ...sources], count: oneCheck },
    zigTests(zig, "zig tests, Debug", []),
    {
      name: "zig examples, a package that depends on this one",
      command: zig,
      args: ["build", "test", "--summary", "all"],
      cwd: zigExamples(root),
      count: zigCount,
    },
    { name: "tsc", ...script("tsc", "--noEmit") },
    { name: "biome", ...script("biome", "check", ".") },
    { name: "bun tests", command: bun, args: ["test", "./test/"], count: bunCount },
  ];
  if (process.platform === "linux") {
    // With a library whose assertions are on, and on the other backend. Bun takes names as parts of a path, and fails when none matches.
    const safe = join(root, "zig-out", "safe");
    const names = ["test/io", "test/kv-server", "test/native", "test/coroutine", "test/channel", "test/owner"];
    const env = { ZIGCORO_BACKEND: "epoll", ZIGCORO_LIBRARY: join(safe, "lib", "libzigcoro.so") };
    steps.push(
      { name: "build the checked library", command: zig, args: ["build", "-Doptimize=ReleaseSafe", "--prefix", safe], count: oneCheck },
      { name: "bun tests on epoll, checked", command: bun, args: ["test", ...names], env, count: bunCount },
    );
  }
  return steps;
}

function releaseSteps({ zig }) {
  return [
    zigTests(zig, "zig tests, ReleaseSafe", ["-Doptimize=ReleaseSafe"]),
    zigTests(zig, "zig tests, as the library is on macOS", ["-Dimitate_macos"]),
    zigTests(zig, "zig tests, own control words", ["-Doptimize=ReleaseSafe", "-Dfp_control=true", "-Dtest-filter=arch."]),
    { name: "native benchmark, briefly", command: zig, args: ["build", "benchmark", "--", "--smoke"], count: oneCheck },
  ];
}

function emulationSteps({ zig }, target) {
  const options = [`-Dtarget=${target}`];
  if (target.startsWith("x86-linux")) return [zigTests(zig, `zig tests, ${target}`, options)];
  if (target.includes("windows")) {
    const folder = mkdtempSync(join(tmpdir(), "zigcoro-wine-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    return [
      { ...zigTests(zig, `zig tests, ${target} under wine`, [...options, "-fwine"]), env: { WINEPREFIX: folder, WINEDEBUG: "-all" } },
    ];
  }
  // Debian 12's qemu does not know the vector instructions.
  if (target.startsWith("loongarch64")) options.push("-Dcpu=baseline-lsx");
  return [zigTests(zig, `zig tests, ${target} under qemu`, [...options, "-fqemu"])];
}

function compileSteps({ zig }, target) {
  return [
    { name: `compile the zig tests, ${target}`, command: zig, args: ["build", "compile-tests", `-Dtarget=${target}`], count: oneCheck },
    ...(target.endsWith("macos") ? [compileLibrary(zig, target)] : []),
  ];
}

/** The library itself: a test program has less than all of it. */
function compileLibrary(command, target) {
  const prefix = join("zig-out", target);
  return { name: `compile the library, ${target}`, command, args: ["build", `-Dtarget=${target}`, "--prefix", prefix], count: oneCheck };
}

/** The folder of a package of its own, which looks for packages beside itself: it finds those that set-up brought. */
function zigExamples(root) {
  const folder = join(root, "examples", "zig");
  const packages = join(root, "zig-pkg");
  if (existsSync(packages) && !existsSync(join(folder, "zig-pkg"))) symlinkSync(packages, join(folder, "zig-pkg"), "junction");
  return folder;
}

function zigTests(command, name, options) {
  return { name, command, args: ["build", "test", "--summary", "all", ...options], count: zigCount };
}

async function perform(tools, { name, command, args, env, count, cwd = tools.root }) {
  const beat = (seconds) => seconds % 15 === 0 && console.log(`       ${name}: ${seconds} s`);
  const options = { cwd, env: { ...tools.env, ...env, NO_COLOR: "1" }, limit: limitSeconds, beat };
  const { code, output, timedOut, seconds } = await run(command, args, options);
  const { passed, failed } = count(code, output);
  total.passed += passed;
  // Whatever a summary says, a step that did not end well, or a suite without a single test, has failed.
  const wrong = failed > 0 || code !== 0 || passed === 0;
  total.failed += wrong ? Math.max(failed, 1) : 0;
  console.log(
    `${wrong ? "FAILED" : "ok    "} ${name}: ${passed} passed${wrong ? `, ${Math.max(failed, 1)} failed` : ""}, ${seconds.toFixed(1)} s`,
  );
  if (!wrong) return;
  console.log(output.replace(/^/gm, "       | ").trimEnd());
  console.log(`       ${timedOut ? `stopped after ${limitSeconds} s` : `exit code ${code}`}: ${[command, ...args].join(" ")}`);
}

function oneCheck(code) {
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Zig: "Build Summary: 3/5 steps succeeded (1 failed); 4/7 tests passed (1 skipped, 1 failed, 1 crashed)". */
function zigCount(_code, output) {
  const found = /; (\d+)\/(\d+) tests passed(?:.*?(\d+) skipped)?/.exec(output);
  if (!found) return { passed: 0, failed: 0 };
  const [passed, all, skipped] = found.slice(1).map((digits) => Number(digits || 0));
  return { passed, failed: all - passed - skipped };
}

/** Bun: lines " 12 pass", " 1 fail" and " 1 error" (an error outside every test) at the end. */
function bunCount(_code, output) {
  const last = (word) => Number([...output.matchAll(new RegExp(`^ *(\\d+) ${word}s?$`, "gm"))].pop()?.[1] || 0);
  return { passed: last("pass"), failed: last("fail") + last("error") };
}
