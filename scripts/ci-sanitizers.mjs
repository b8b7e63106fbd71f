// Runs coroutines under AddressSanitizer, Valgrind and ThreadSanitizer: sound programs must be quiet, and each fault in a coroutine must be
// reported. Needs gcc and valgrind on PATH. Plain Node. Each check is one line; the last line is `N passed, N failed`.

import { join } from "node:path";
import { run } from "./exec.mjs";
import { SetupError, setUp } from "./setup.mjs";

const limitSeconds = 600;
const total = { passed: 0, failed: 0 };

const sound = ["deep", "early", "threads", "leaps"];

/** What the C of test/fixtures/sanitized.c is built with, how it is run, and what is to be seen of each fault. */
const tools = [
  {
    name: "AddressSanitizer",
    option: "-Dasan",
    flags: ["-fsanitize=address", "-fno-omit-frame-pointer"],
    env: { ASAN_OPTIONS: "detect_stack_use_after_return=1:detect_leaks=1" },
    prefix: [],
    sound: [...sound, "hold"],
    faults: {
      heap: "heap-buffer-overflow",
      stack: "stack-buffer-overflow",
      after: "stack-use-after-return",
      leak: "detected memory leaks",
      overflow: 'zigcoro: coroutine "overflow" overflowed its',
    },
  },
  {
    name: "Valgrind",
    option: "-Dvalgrind",
    flags: [],
    env: {},
    prefix: ["valgrind", "-q", "--error-exitcode=9"],
    sound,
    faults: { heap: "Invalid write", uninitialised: "depends on uninitialised value" },
  },
];

function check(name, ok, output) {
  total[ok ? "passed" : "failed"] += 1;
  console.log(`${ok ? "ok    " : "FAILED"} ${name}`);
  if (!ok) console.log(output.replace(/^/gm, "       | ").trimEnd());
}

try {
  const setup = await setUp({ bun: false, dev: false });
  for (const tool of tools) await withTool(setup, tool);
  await withThreadSanitizer(setup);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nset-up stopped: ${error.message}`);
  total.failed += 1;
}
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;

async function withTool(setup, { name, option, flags, env, prefix, sound, faults }) {
  const folder = await install(setup, option);
  if (folder === undefined) return;
  const program = join(folder, "program");
  const source = join("test", "fixtures", "sanitized.c");
  const compiled = await run(
    "gcc",
    ["-g", "-O1", ...flags, source, join(folder, "lib", "libsanitized.a"), "-lpthread", "-o", program],
    options(setup),
  );
  check(`${name}: the C compiles`, compiled.code === 0, compiled.output);
  if (compiled.code !== 0) return;
  for (const fault of [...sound, ...Object.keys(faults)]) {
    const [command, ...args] = [...prefix, program, fault];
    const { code, output } = await run(command, args, options(setup, env));
    const expected = faults[fault];
    if (expected === undefined) check(`${name} is quiet: ${fault}`, code === 0 && output.trim() === "", output);
    else check(`${name} reports: ${fault}`, code !== 0 && output.includes(expected), output);
  }
}

/** The core's own tests, one of which is a race between coroutines of two threads that must be reported. */
async function withThreadSanitizer(setup) {
  const folder = await install(setup, "-Dtsan");
  if (folder === undefined) return;
  const { code, output } = await run(join(folder, "bin", "test"), [], options(setup));
  check("ThreadSanitizer: the core's tests", code === 0 && !output.includes("WARNING: ThreadSanitizer"), output);
}

async function install(setup, option) {
  const folder = join(setup.root, "zig-out", option.slice("-D".length));
  const args = ["build", "sanitized", option, "-Doptimize=ReleaseSafe", "-Dcpu=baseline", "--prefix", folder];
  const { code, output } = await run(setup.zig, args, options(setup));
  check(`zig build sanitized ${option}`, code === 0, output);
  return code === 0 ? folder : undefined;
}

function options(setup, env = {}) {
  return { cwd: setup.root, env: { ...setup.env, ...env }, limit: limitSeconds };
}
