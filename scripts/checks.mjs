// Checks against real programs, for the scripts that CI runs: each check is one line, and the last line is `N passed, N failed`. Children
// that go on are ended when the checks end, whatever happens. Plain Node.

import { spawn } from "node:child_process";
import { SetupError } from "./setup.mjs";

/** How long a child may take to print what is waited for; a busy machine is slow. */
const limitSeconds = 120;
const total = { passed: 0, failed: 0 };
const children = new Set();

/** Runs all checks, ends all children, prints the sum and sets the exit code. */
export async function perform(checks) {
  try {
    await checks();
  } catch (error) {
    total.failed += 1;
    console.error(error instanceof SetupError ? `stopped: ${error.message}` : error);
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 ? 0 : 1;
}

/** Starts a child that goes on: what it prints, when it prints something, and its exit code. */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ["pipe", "pipe", "pipe"] });
  children.add(child);
  let output = "";
  let changed = () => {};
  const collect = (text) => {
    output += text;
    changed();
  };
  child.stdout.setEncoding("utf8").on("data", collect);
  child.stderr.setEncoding("utf8").on("data", collect);
  child.stdin.on("error", () => {}); // it ended before it had read everything: its output says why
  const ended = new Promise((resolve) => {
    child.on("error", (error) => collect(error.message));
    child.on("close", (code, signal) => {
      children.delete(child);
      resolve(code ?? signal);
      changed();
    });
  });
  /** Waits until what was printed matches. */
  const prints = (pattern) =>
    new Promise((resolve, reject) => {
      const fail = () => reject(new Error(`${command} ${args.join(" ")} does not print ${pattern} but:\n${output}`));
      const timer = setTimeout(fail, limitSeconds * 1000);
      changed = () => {
        const match = pattern.exec(output);
        if (!match && children.has(child)) return;
        clearTimeout(timer);
        changed = () => {};
        if (match) resolve(match);
        else fail();
      };
      changed();
    });
  return { child, ended, prints, output: () => output };
}

export function same(name, actual, wanted) {
  check(name, actual === wanted, `expected ${JSON.stringify(wanted)}, got ${JSON.stringify(actual)}`);
}

export function check(name, right, details = "") {
  total[right ? "passed" : "failed"] += 1;
  console.log(`${right ? "ok  " : "FAIL"} ${name}${right ? "" : `\n     ${details.replaceAll("\n", "\n     ")}`}`);
}
