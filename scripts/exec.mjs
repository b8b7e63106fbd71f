// Child processes for the scripts: find a program, run it without a shell, forward signals. Plain Node >= 18 that also
// runs under Bun; it may touch nothing but processes.

import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { constants as os } from "node:os";
import { delimiter, join } from "node:path";

const windows = process.platform === "win32";
const running = new Set();
let watching = false;

/** The full path of program `name` on PATH, or undefined. On Windows only `.exe` counts: a `.cmd` would need a shell. */
export function find(name, env = process.env) {
  const path = env.PATH || env.Path || "";
  for (const folder of path.split(delimiter)) {
    if (folder === "") continue;
    const file = join(folder, windows ? `${name}.exe` : name);
    if (isProgram(file)) return file;
  }
  return undefined;
}

/** Whether `file` is a regular file that this user may execute. */
export function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** `env` with `folders` first on PATH, whatever case Windows gave the variable's name. */
export function withPath(folders, env = process.env) {
  const key = Object.keys(env).find((name) => name.toUpperCase() === "PATH") || "PATH";
  return { ...env, [key]: [...folders, env[key] || ""].filter((part) => part !== "").join(delimiter) };
}

/**
 * Runs `command` to its end and collects what it prints (stdout and stderr as they come). Never throws: `code` is its exit
 * code, 128 + n after signal n, -1 when it could not be started. After `limit` seconds it is killed and `timedOut` is set;
 * `beat(seconds)` is called every 5 seconds meanwhile.
 */
export function run(command, args, { cwd, env = process.env, limit = 0, beat } = {}) {
  return new Promise((resolve) => {
    const started = Date.now();
    const seconds = () => (Date.now() - started) / 1000;
    let output = "";
    let timedOut = false;
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], windowsHide: true, detached: !windows });
    const collect = (text) => {
      output += text;
    };
    child.stdout.setEncoding("utf8").on("data", collect);
    child.stderr.setEncoding("utf8").on("data", collect);
    const kill = () => {
      timedOut = true;
      killGroup(child);
    };
    const timer = limit > 0 ? setTimeout(kill, limit * 1000) : undefined;
    const beats = beat ? setInterval(() => beat(Math.round(seconds())), 5000) : undefined;
    const end = (code, message = "") => {
      clearTimeout(timer);
      clearInterval(beats);
      running.delete(child);
      resolve({ code, output: output + message, timedOut, seconds: seconds() });
    };
    track(child);
    child.on("error", (error) => end(-1, error.message));
    child.on("close", (code, signal) => end(exitCode(code, signal)));
    // A grandchild that outlives the child may hold the pipes open: its words are not waited for.
    child.on("exit", () => {
      setTimeout(() => {
        child.stdout.destroy();
        child.stderr.destroy();
      }, 2000).unref();
    });
  });
}

/**
 * Runs `command` on this terminal and gives its exit code. SIGINT, SIGTERM and SIGHUP reach it exactly once each: it has its
 * own process group, because a Ctrl-C arrives here both from the terminal and from npm, and twice means "at once" to a server.
 */
export function hand(command, args, { cwd, env = process.env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: "inherit", detached: !windows });
    const last = {};
    const forward = (signal) => {
      const now = Date.now();
      const repeated = now - (last[signal] || 0) < 500;
      last[signal] = now;
      if (!windows && !repeated) child.kill(signal);
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, forward);
    // A SIGTERM to npm ends npm and the shell it put between itself and us, and nobody tells us: only our parent changes.
    const parent = process.ppid;
    const orphaned = () => process.ppid !== parent && forward("SIGTERM");
    const watch = process.env.npm_lifecycle_event ? setInterval(orphaned, 500) : undefined;
    const end = (code) => {
      clearInterval(watch);
      for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.off(signal, forward);
      resolve(code);
    };
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`);
      end(127);
    });
    child.on("exit", (code, signal) => end(exitCode(code, signal)));
  });
}

function exitCode(code, signal) {
  return code === null ? 128 + (os.signals[signal] || 0) : code;
}

// Each child leads a process group, so that a compiler's or a test runner's own children die with it.
function killGroup(child) {
  if (windows || child.pid === undefined) return void child.kill("SIGKILL");
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended by itself meanwhile.
  }
}

// When we are told to stop, what we started stops too, so that no orphan writes into a folder the next run cleans.
function track(child) {
  running.add(child);
  if (watching) return;
  watching = true;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (running.size === 0 && process.listenerCount(signal) > 1) return;
      for (const child of running) killGroup(child);
      process.exit(exitCode(null, signal));
    });
  }
}
