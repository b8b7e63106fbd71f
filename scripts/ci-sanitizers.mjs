// Runs coroutines under ThreadSanitizer, AddressSanitizer and Valgrind: what is sound must be quiet, each fault inside a coroutine must be
// reported, and without the hooks of zig/sanitizer.zig the sound must not be quiet, which shows that they do something. In Zig, in C, and
// in C bodies inside Bun. Needs gcc and valgrind on PATH. Plain Node. Each check is one line; the last line is `N passed, N failed`.

import { join } from "node:path";
import { find, run } from "./exec.mjs";
import { SetupError, setUp } from "./setup.mjs";

const limitSeconds = 600;
const total = { passed: 0, failed: 0 };
const program = join("test", "fixtures", "sanitized.c");
/** Cases of that program. */
const sound = ["deep", "early", "threads", "leaps"];
const overflow = 'zigcoro: coroutine "overflow" overflowed its';
// Valgrind knows no AVX-512.
const cpu = "-Dcpu=x86_64_v2";

try {
  for (const name of ["gcc", "valgrind"]) if (!find(name)) throw new SetupError(`${name} is not on PATH: apt-get install ${name}`);
  const tools = await setUp();
  await threadSanitizer(tools);
  await addressSanitizer(tools);
  await valgrind(tools);
} catch (error) {
  total.failed += 1;
  console.error(error instanceof SetupError ? `stopped: ${error.message}` : error);
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function threadSanitizer(tools) {
  const folder = await build(tools, "tsan", ["-Dtsan"]);
  const tests = await command(tools, tools.zig, ["build", "test", "-Dtsan", "--summary", "all"]);
  quiet("ThreadSanitizer, the core's tests", tests, /[1-9]\d*\/\d+ tests passed/);
  // Zig's compiler links the C, too: gcc 12's runtime lacks functions that LLVM 21 calls.
  const c = await compile(tools, folder, [tools.zig, "cc", "-fsanitize=thread"]);
  for (const name of sound) quiet(`ThreadSanitizer, C: ${name}`, await command(tools, c, [name]));
  reports("ThreadSanitizer, C: race", await command(tools, c, ["race"]), ["data race", "'racer 0'", "'racer 1'", "in bump", "racer"]);
  reports("ThreadSanitizer, C: wild", await command(tools, c, ["wild"]), ["ThreadSanitizer: SEGV", "#0 wild "]);
  reports("ThreadSanitizer, C: overflow", await command(tools, c, ["overflow"]), [overflow]);
}

async function addressSanitizer(tools) {
  const gcc = ["gcc", "-fsanitize=address"];
  const folder = await build(tools, "asan", ["-Dasan", "-Doptimize=ReleaseFast"]);
  const with_ = await compile(tools, folder, gcc);
  const without = await compile(tools, await build(tools, "plain", [cpu, "-Dvalgrind=false"]), gcc);
  for (const after of [0, 1]) {
    const env = { ASAN_OPTIONS: `detect_stack_use_after_return=${after}` };
    for (const name of [...sound, "hold"]) quiet(`AddressSanitizer ${after}: ${name}`, await command(tools, with_, [name], env));
    const faults = { heap: "heap-buffer-overflow", stack: "stack-buffer-overflow", leak: "detected memory leaks", wild: "SEGV on unknown" };
    if (after) faults.after = "stack-use-after-return";
    for (const [name, words] of Object.entries(faults)) {
      reports(`AddressSanitizer ${after}: ${name}`, await command(tools, with_, [name], env), [words, `in ${name} `]);
    }
    reports(`AddressSanitizer ${after}: overflow`, await command(tools, with_, ["overflow"], env), [overflow]);
  }
  const env = { ASAN_OPTIONS: "detect_stack_use_after_return=0" };
  for (const name of ["early", "threads", "leaps"]) {
    reports(`AddressSanitizer without hooks is wrong: ${name}`, await command(tools, without, [name], env), ["stack-buffer-overflow"]);
  }
  const leak = await command(tools, without, ["leak"], env);
  check("AddressSanitizer without hooks is wrong: leak", leak.code === 0 && leak.output === "", leak.output);

  const runtime = (await command(tools, "gcc", ["-print-file-name=libasan.so"])).output.trim();
  const bodies = await bodiesOf(tools, folder, ["-fsanitize=address"]);
  const asan = { LD_PRELOAD: runtime, ASAN_OPTIONS: "detect_stack_use_after_return=1:detect_leaks=0" };
  quiet("AddressSanitizer in Bun", await inBun(tools, folder, bodies, "0", asan), /^total 1651$/m);
  reports("AddressSanitizer in Bun", await inBun(tools, folder, bodies, "1", asan), ["heap-buffer-overflow", "in block ", "allocated by"]);
}

async function valgrind(tools) {
  const memcheck = ["-q", "--error-exitcode=9", "--child-silent-after-fork=yes"];
  const folder = await build(tools, "valgrind", ["-Dvalgrind", cpu]);
  const plain = join(tools.root, "zig-out", "sanitizers", "plain");
  const tests = [...memcheck, join(folder, "bin", "test")];
  quiet("Valgrind, the core's tests", await command(tools, "valgrind", tests), /[1-9]\d* passed|All \d+ tests passed/, /^==/m);
  const with_ = await compile(tools, folder, ["gcc"]);
  const without = await compile(tools, plain, ["gcc"]);
  for (const name of sound) {
    quiet(`Valgrind, C: ${name}`, await command(tools, "valgrind", [...memcheck, with_, name]));
    const { output } = await command(tools, "valgrind", [...memcheck, without, name]);
    check(`Valgrind without registration: ${name}`, /client switching stacks|uninitialised|Invalid/.test(output), output);
  }
  const faults = { heap: "Invalid write", uninitialised: "depends on uninitialised value", wild: "Invalid write" };
  for (const [name, words] of Object.entries(faults)) {
    reports(`Valgrind, C: ${name}`, await command(tools, "valgrind", [...memcheck, with_, name]), [words, `: ${name} (sanitized.c`]);
  }
  reports("Valgrind, C: overflow", await command(tools, "valgrind", [...memcheck, with_, "overflow"]), [overflow]);

  // JavaScriptCore reads values that it did not write, so only addresses are checked.
  const under = ["valgrind", "-q", "--smc-check=all", "--undef-value-errors=no", "--error-exitcode=9"];
  const bodies = await bodiesOf(tools, folder, []);
  const { code, output } = await inBun(tools, folder, bodies, "1", {}, under);
  const found = output.match(/Invalid \w+ of size/g) ?? [];
  const right = code === 9 && found.length === 1 && /: block \(faulty\.c/.test(output) && /^total 1651$/m.test(output);
  check("Valgrind in Bun: the one fault and nothing else", right && !output.includes("client switching stacks"), output);
}

/** Builds the tests, the coroutines for C and the shared library, and gives the folder that they are in. */
async function build(tools, name, options) {
  const folder = join(tools.root, "zig-out", "sanitizers", name);
  const { code, output } = await command(tools, tools.zig, ["build", "sanitized", "install", ...options, "--prefix", folder]);
  check(`zig build sanitized ${options.join(" ")}`, code === 0, output);
  if (code !== 0) throw new SetupError("what is to be run did not build");
  return folder;
}

/** The C program, linked with the coroutines in `folder`. */
async function compile(tools, folder, [compiler, ...flags]) {
  const out = join(folder, "sanitized");
  await must(tools, compiler, [...flags, "-g", "-O1", program, join(folder, "lib", "libsanitized.a"), "-lpthread", "-o", out]);
  return out;
}

/** A shared library of native bodies. */
async function bodiesOf(tools, folder, flags) {
  const out = join(folder, "libbodies.so");
  const sources = ["bodies.c", "faulty.c"].map((name) => join("test", "fixtures", name));
  const library = [`-L${join(folder, "lib")}`, "-lzigcoro"];
  await must(tools, "gcc", [...flags, "-g", "-O1", "-shared", "-fPIC", "-Iinclude", ...sources, ...library, "-o", out]);
  return out;
}

function inBun(tools, folder, bodies, fault, env, prefix = []) {
  const [first, ...args] = [...prefix, tools.bun, join("test", "fixtures", "sanitized.ts"), bodies, fault];
  const lib = join(folder, "lib");
  return command(tools, first, args, { ZIGCORO_LIBRARY: join(lib, "libzigcoro.so"), LD_LIBRARY_PATH: lib, ...env });
}

async function must(tools, program, args) {
  const { code, output } = await command(tools, program, args);
  if (code !== 0) throw new SetupError(`${[program, ...args].join(" ")} failed:\n${output}`);
}

function command(tools, program, args, env = {}) {
  return run(program, args, { cwd: tools.root, env: { ...tools.env, NO_COLOR: "1", ...env }, limit: limitSeconds });
}

/** It ends well and prints what matches `wanted`, or nothing at all, and in no case what matches `unwanted`. */
function quiet(name, { code, output }, wanted = /^$/, unwanted = /WARNING: \w+Sanitizer|ERROR: \w+Sanitizer/) {
  check(`${name}: quiet`, code === 0 && wanted.test(output) && !unwanted.test(output), `exit code ${code}\n${output}`);
}

function reports(name, { code, output }, words) {
  check(`${name}: reported`, code !== 0 && words.every((word) => output.includes(word)), `exit code ${code}\n${output}`);
}

function check(name, right, details) {
  total[right ? "passed" : "failed"] += 1;
  console.log(`${right ? "ok  " : "FAIL"} ${name}${right ? "" : `\n     ${details.replaceAll("\n", "\n     ")}`}`);
}
