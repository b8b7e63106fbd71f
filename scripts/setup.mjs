// Set-up: brings Bun, Zig, libxev and the dev dependencies that this checkout needs, preferring what is installed. Plain Node
// >= 18 without dependencies or a shell (it runs where Bun is missing), and it runs under Bun too. It writes only to ignored
// folders of the checkout: .toolchain/, zig-pkg/, node_modules/. Whatever it brings is installed under a temporary name and
// renamed when complete, so that an interrupted run leaves nothing that looks finished.
//
//   node scripts/setup.mjs          Bun, Zig and libxev
//   node scripts/setup.mjs --dev    and the dev dependencies

import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { find, isProgram, run, withPath } from "./exec.mjs";

const bunWanted = "1.4.5";
const bunOldest = [1, 4];
const zigWanted = "0.16.0";
const crate = 'libxev-sys = "=0.0.1-rc.2"';

/** The checkout's folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const toolchain = join(root, ".toolchain");
const exe = process.platform === "win32" ? ".exe" : "";

/** A prerequisite that is missing or a step that failed; the message says what happened, to what, and what to do. */
export class SetupError extends Error {}

/**
 * Makes sure that what `parts` asks for is there (Zig and libxev always are). Gives the programs' paths and an environment
 * that has them first on PATH. Throws `SetupError`.
 */
export async function setUp({ bun = true, dev = false } = {}) {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 18)
    throw new SetupError(
      `Node ${process.versions.node} is too old: these scripts need Node 18 or later. Install a current Node from https://nodejs.org and run again.`,
    );
  const tools = { root, bun: undefined, zig: undefined, env: process.env };
  const steps = [zigPart, libxevPart];
  if (bun) steps.unshift(bunPart);
  if (dev) steps.push(devPart);
  for (const step of steps) await bring(step, tools);
  const folders = [tools.zig, tools.bun].filter(Boolean).map((file) => dirname(file));
  tools.env = withPath(folders);
  return tools;
}

/** Runs `main`, turns a `SetupError` into its one message, and exits with the code `main` gives (default 0). */
export async function script(main) {
  try {
    process.exitCode = (await main()) || 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`\nset-up stopped: ${error.message}`);
    process.exitCode = 1;
  }
}

/** Whether module `url` is the program that was started. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(fileURLToPath(url)) === realpathSync(process.argv[1]);
}

function say(line) {
  console.log(`setup: ${line}`);
}

// ---------------------------------------------------------------------------------------------------------------------------
// One part: look for it, else take the lock, look again (another set-up may have brought it meanwhile), and bring it.

async function bring(part, tools) {
  const found = await part.look(tools);
  if (found) return say(`${part.name}: ${found}`);
  try {
    await locked(async () => {
      const meanwhile = await part.look(tools);
      say(`${part.name}: ${meanwhile || (await part.fetch(tools))}`);
    });
  } catch (error) {
    throw error instanceof SetupError ? error : explain(part.name, "this script", error.message);
  }
}

/** Runs `work` while no other set-up of this checkout does. */
async function locked(work) {
  makeFolder(toolchain);
  const lock = join(toolchain, "lock");
  const owner = join(lock, "owner");
  let told = false;
  while (!take(lock)) {
    if (abandoned(lock, owner)) {
      const aside = join(toolchain, `tmp-lock-${process.pid}`);
      try {
        renameSync(lock, aside);
      } catch {
        // Its owner, or another that waits, was quicker.
      }
      rmSync(aside, { recursive: true, force: true });
      continue;
    }
    if (!told) say("another set-up of this checkout is at work; waiting for it");
    told = true;
    await pause(200);
  }
  const beat = setInterval(() => utimesSync(lock, new Date(), new Date()), 2000);
  try {
    writeFileSync(owner, `${hostname()} ${process.pid}`);
    sweep();
    return await work();
  } finally {
    clearInterval(beat);
    sweep(process.pid);
    rmSync(lock, { recursive: true, force: true });
  }
}

function take(lock) {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

/** A lock whose process is gone, or that nobody refreshed for half a minute. */
function abandoned(lock, owner) {
  try {
    if (Date.now() - statSync(lock).mtimeMs > 30_000) return true;
    const [host, pid] = readFileSync(owner, "utf8").split(" ");
    return host === hostname() && Boolean(pid) && !alive(Number(pid));
  } catch {
    // Released, or just taken and its owner not written yet.
    return false;
  }
}

/** Removes what interrupted set-ups, or this one, left: temporary folders end in the id of the process that made them. */
function sweep(finished) {
  for (const name of readdirSync(toolchain)) {
    const made = /^tmp-.*-(\d+)$/.exec(name);
    if (made && (Number(made[1]) === finished || !alive(Number(made[1])))) rmSync(join(toolchain, name), { recursive: true, force: true });
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code !== "ESRCH";
  }
}

// ---------------------------------------------------------------------------------------------------------------------------
// Bun

const bunHome = join(toolchain, `bun-${bunWanted}`);

const bunPart = {
  name: "Bun",
  async look(tools) {
    const installed = process.versions.bun ? process.execPath : find("bun");
    const version = installed && (await ask(installed, ["--version"]));
    if (version && bunFits(version)) {
      tools.bun = installed;
      return `${version}, installed (${installed})`;
    }
    if (version) bunPart.refused = `the installed Bun ${version} (${installed}) is older than ${bunOldest.join(".")}`;
    const own = bunIn(bunHome);
    if (!own || (await ask(own, ["--version"])) !== bunWanted) return undefined;
    tools.bun = own;
    return `${bunWanted}, in ${show(bunHome)}`;
  },
  async fetch(tools) {
    if (bunPart.refused) say(bunPart.refused);
    const npm = npmCommand(
      `Bun >= ${bunOldest.join(".")} is not installed`,
      "Install npm (it comes with Node, https://nodejs.org) or Bun (https://bun.com) and run again.",
    );
    const folder = temporary("bun");
    writeFileSync(join(folder, "package.json"), '{ "name": "toolchain", "private": true }\n');
    copyNpmrc(folder);
    const args = ["install", "--no-save", "--no-package-lock", "--ignore-scripts", ...npmOptions, `bun@${bunWanted}`];
    await long(`Bun ${bunWanted}`, `npm package bun@${bunWanted}, about 100 MB on disk`, npm, args, { cwd: folder, env: npmEnv() });
    const own = bunIn(folder);
    const version = own && (await ask(own, ["--version"]));
    if (version !== bunWanted) {
      const seen = own ? `its binary does not run here (${version || "no answer"})` : "it brought no binary for this platform";
      throw new SetupError(
        `npm installed bun@${bunWanted}, but ${seen}: ${process.platform} ${process.arch}. Install Bun >= ${bunOldest.join(".")} (https://bun.com), so that "bun --version" answers, and run again.`,
      );
    }
    await settle(folder, bunHome);
    tools.bun = bunIn(bunHome);
    return `${bunWanted}, from npm into ${show(bunHome)}`;
  },
};

function bunFits(version) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > bunOldest[0] || (major === bunOldest[0] && minor >= bunOldest[1]);
}

/** The platform's own binary: the `bun` package's launcher is linked to it by an install script only, and those may be off. */
function bunIn(home) {
  const packages = join(home, "node_modules", "@oven");
  if (!existsSync(packages)) return undefined;
  return readdirSync(packages)
    .map((name) => join(packages, name, "bin", `bun${exe}`))
    .find(isProgram);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Zig

const zigHome = join(toolchain, `zig-${zigWanted}`);
const zigOwn = join(zigHome, "ziglang", `zig${exe}`);

const zigPart = {
  name: "Zig",
  async look(tools) {
    const installed = find("zig");
    const version = installed && (await ask(installed, ["version"]));
    if (version === zigWanted) {
      tools.zig = installed;
      return `${version}, installed (${installed})`;
    }
    if (installed) zigPart.refused = `the installed Zig ${version || "(it does not answer)"} (${installed}) is not ${zigWanted}`;
    const complete = existsSync(join(zigHome, "ziglang", "lib", "std", "std.zig")) && isProgram(zigOwn);
    if (!complete || (await ask(zigOwn, ["version"])) !== zigWanted) return undefined;
    tools.zig = zigOwn;
    return `${zigWanted}, in ${show(zigHome)}`;
  },
  async fetch(tools) {
    if (zigPart.refused) say(zigPart.refused);
    const folder = temporary("zig");
    const scratch = temporary("pip");
    const pip = await pipCommand(scratch);
    const args = ["install", "--target", folder, "--no-deps", "--only-binary=:all:", "--no-input", "--no-compile", `ziglang==${zigWanted}`];
    // pip unpacks in its temporary folder first; ours is on the disk that has to hold the result anyway.
    const env = { ...process.env, TMPDIR: scratch, TMP: scratch, TEMP: scratch, PIP_USER: "0", PIP_REQUIRE_VIRTUALENV: "0" };
    await long(`Zig ${zigWanted}`, `PyPI ziglang==${zigWanted}, about 100 MB to load`, pip, args, { env });
    rmSync(scratch, { recursive: true, force: true });
    const program = join(folder, "ziglang", `zig${exe}`);
    const version = await ask(program, ["version"]);
    if (version !== zigWanted)
      throw new SetupError(
        `PyPI ziglang==${zigWanted} was installed, but its zig does not run here (${version || "no answer"}): ${process.platform} ${process.arch}. Put Zig ${zigWanted} on PATH (https://ziglang.org/download) and run again.`,
      );
    await settle(folder, zigHome);
    tools.zig = zigOwn;
    return `${zigWanted}, from PyPI into ${show(zigHome)}`;
  },
};

const zigByHand = `or put Zig ${zigWanted} on PATH (https://ziglang.org/download)`;

/** A Python 3 with pip; where pip is missing (Debian splits it off), the pip of a throw-away virtual environment. */
export async function pipCommand(scratch) {
  const why = zigPart.refused || `Zig ${zigWanted} is not installed`;
  const seen = [];
  for (const [name, ...first] of [["python3"], ["python"], ["py", "-3"]]) {
    const command = find(name);
    if (!command) continue;
    const version = await ask(command, [...first, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
    if (!version?.startsWith("3.")) {
      seen.push(`${command} is ${version ? `Python ${version}` : "no working Python"}`);
      continue;
    }
    if (await ask(command, [...first, "-m", "pip", "--version"]))
      return { command, args: [...first, "-m", "pip"], said: `${command} -m pip` };
    const inside = join(scratch, "venv", exe ? "Scripts/python.exe" : "bin/python");
    await run(command, [...first, "-m", "venv", join(scratch, "venv")]);
    if (isProgram(inside) && (await ask(inside, ["-m", "pip", "--version"])))
      return { command: inside, args: ["-m", "pip"], said: `the pip of a virtual environment of ${command}` };
    seen.push(`${command} (Python ${version}) has no pip and cannot make a virtual environment`);
  }
  if (seen.length === 0)
    throw new SetupError(
      `${why}, and Python 3 to fetch it with (PyPI ziglang==${zigWanted}) was not found as python3, python or py on PATH. Install Python 3 with pip, ${zigByHand}, and run again.`,
    );
  throw new SetupError(
    `${why}, and no Python 3 with pip was found to fetch it with: ${seen.join("; ")}. Install Python 3 with pip (Debian: apt-get install python3-pip), ${zigByHand}, and run again.`,
  );
}

// ---------------------------------------------------------------------------------------------------------------------------
// libxev

const libxevPart = {
  name: "libxev",
  async look() {
    const { folder } = libxevPlace();
    return isLibxev(folder) ? `in ${show(folder)}` : undefined;
  },
  async fetch(tools) {
    const { folder, url } = libxevPlace();
    // A plain `zig build` would do the same; the limit is for networks that swallow packets instead of refusing them.
    const plain = await run(tools.zig, ["build", "--fetch"], { cwd: root, limit: 90, beat: progress("libxev: asking upstream") });
    if (isLibxev(folder)) return `from upstream into ${show(folder)}`;
    const reason = plain.timedOut ? "no answer in 90 s" : lastError(plain.output);
    if (isFull(plain.output)) throw explain("libxev", "zig build --fetch", plain.output);
    say(`libxev: upstream cannot be reached (${reason}); taking the crate libxev-sys instead`);
    const cargo = find("cargo");
    if (!cargo)
      throw new SetupError(
        `libxev could not be fetched from ${url} (${reason}), and cargo, which can bring the same source as a crate, was not found on PATH. Make that host reachable, or install cargo (https://rustup.rs), and run again.`,
      );
    await settle(await vendored(cargo), folder);
    return `from the crate libxev-sys into ${show(folder)}`;
  },
};

/** Where Zig's package manager looks for libxev: build.zig.zon is the one place that names its version. */
function libxevPlace() {
  const manifest = readFileSync(join(root, "build.zig.zon"), "utf8");
  const entry = /\.libxev = \.\{\s*\.url = "([^"]+)",\s*\.hash = "([^"]+)"/.exec(manifest);
  if (!entry) throw new SetupError("build.zig.zon has no entry for libxev with a url and a hash. Restore that file and run again.");
  return { url: entry[1], folder: join(root, "zig-pkg", entry[2]) };
}

function isLibxev(folder) {
  return existsSync(join(folder, "build.zig")) && existsSync(join(folder, "src", "main.zig"));
}

/** Lets cargo bring the crate with its dependencies (it cannot leave them out) and gives the folder of libxev's source. */
async function vendored(cargo) {
  const folder = temporary("crate");
  writeFileSync(
    join(folder, "Cargo.toml"),
    `[package]\nname = "scratch"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n[workspace]\n[dependencies]\n${crate}\n`,
  );
  writeFileSync(join(folder, "lib.rs"), "");
  await long("libxev", `crate ${crate}`, { command: cargo, args: [], said: "cargo vendor" }, ["vendor", "vendor"], { cwd: folder });
  const source = join(folder, "vendor", "libxev-sys", "vendor", "libxev");
  if (!isLibxev(source))
    throw new SetupError(
      `cargo brought the crate ${crate}, but its vendor/libxev is not libxev's source. Check what your cargo registry serves under that name and run again.`,
    );
  return source;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Dev dependencies

const modules = join(root, "node_modules");
const stamp = join(modules, ".installed-from");

const devPart = {
  name: "dev dependencies",
  async look() {
    if (!devVersionsFit()) return undefined;
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return "in node_modules";
    // Somebody else's install (`bun install`, `npm install`): it counts when its programs answer.
    for (const name of ["tsc", "biome"]) if (!(await ask(process.execPath, [devProgram(name), "--version"]))) return undefined;
    writeFileSync(stamp, lock);
    return "in node_modules, installed before";
  },
  async fetch() {
    const npm = npmCommand(
      "the dev dependencies are not installed",
      'Install npm (it comes with Node, https://nodejs.org), or run "bun install", and run again.',
    );
    const folder = temporary("modules");
    for (const name of ["package.json", "package-lock.json"]) cpSync(join(root, name), join(folder, name));
    copyNpmrc(folder);
    const args = ["ci", "--ignore-scripts", "--include=dev", ...npmOptions];
    await long("the dev dependencies", "npm ci", npm, args, { cwd: folder, env: npmEnv() });
    writeFileSync(join(folder, "node_modules", ".installed-from"), readFileSync(join(root, "package-lock.json")));
    await settle(join(folder, "node_modules"), modules);
    if (!devVersionsFit())
      throw new SetupError(
        'npm ci did not bring the versions that package.json names: package-lock.json is out of date. Run "npm install --package-lock-only" and run again.',
      );
    return "from npm into node_modules";
  },
};

/** The file of a dev dependency's program, to be run with the JavaScript runtime at hand. */
export function devProgram(name) {
  const owner = { tsc: "typescript", biome: "@biomejs/biome" }[name];
  const { bin } = JSON.parse(readFileSync(join(modules, owner, "package.json"), "utf8"));
  return join(modules, owner, typeof bin === "string" ? bin : bin[name]);
}

function devVersionsFit() {
  const wanted = Object.entries(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).devDependencies);
  return wanted.every(([name, version]) => {
    try {
      return JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8")).version === version;
    } catch {
      return false;
    }
  });
}

// ---------------------------------------------------------------------------------------------------------------------------
// npm

// The platform's binary is an optional dependency. Versions are exact, so what npm has cached is as
// good as new; and by default it waits for minutes before it says that there is no network.
const npmOptions = [
  "--include=optional",
  "--prefer-offline",
  "--fetch-retries=2",
  "--fetch-retry-mintimeout=1000",
  "--fetch-retry-maxtimeout=5000",
];

/** npm's own script run by Node: on Windows `npm` is a .cmd file, which would need a shell. */
function npmCommand(why, advice) {
  const beside = dirname(process.execPath);
  const scripts = [
    process.env.npm_execpath,
    join(beside, "node_modules/npm/bin/npm-cli.js"),
    join(beside, "../lib/node_modules/npm/bin/npm-cli.js"),
  ];
  const script = scripts.find((file) => file && /npm-cli\.c?js$/.test(file) && existsSync(file));
  const node = process.versions.bun ? find("node") : process.execPath;
  if (script && node) return { command: node, args: [script], said: "npm" };
  const npm = find("npm");
  if (npm) return { command: npm, args: [], said: "npm" };
  throw new SetupError(`${why}, and npm to fetch it with was not found on PATH. ${advice}`);
}

/** The environment without what an outer `npm run` adds about its own package: it would point the inner npm at the checkout. */
function npmEnv() {
  const env = { ...process.env };
  for (const name of Object.keys(env))
    if (/^npm_(package_|lifecycle_|config_local_prefix$|config_prefix$|command$)/.test(name)) delete env[name];
  return env;
}

function copyNpmrc(folder) {
  const file = join(root, ".npmrc");
  if (existsSync(file)) cpSync(file, join(folder, ".npmrc"));
}

// ---------------------------------------------------------------------------------------------------------------------------
// Steps and their failures

/** What a program answers to a quick question, trimmed; undefined when it fails or takes over a minute. */
async function ask(command, args) {
  const { code, output } = await run(command, args, { limit: 60, cwd: root });
  const answer = output.trim();
  return code === 0 && answer !== "" ? answer : undefined;
}

/** Runs a step that may take minutes, with signs of life; throws `SetupError` when it fails. */
async function long(name, what, tool, args, options) {
  say(`fetching ${name} (${what}) with ${tool.said} ...`);
  const { code, output, timedOut } = await run(tool.command, [...tool.args, ...args], {
    cwd: root,
    ...options,
    limit: 1800,
    beat: progress(name),
  });
  if (timedOut)
    throw new SetupError(`${name} could not be fetched: ${tool.said} was not done after 30 minutes. Check the network and run again.`);
  if (code !== 0) throw explain(name, tool.said, output);
}

function progress(name) {
  return (seconds) => say(`  ${name}: ${seconds} s`);
}

function isForbidden(output) {
  return /EACCES|EROFS|EPERM|permission denied|read-only file system/i.test(output);
}

function isFull(output) {
  return /ENOSPC|EDQUOT|NoSpaceLeft|DiskQuota|no space left|os error 28|quota exceeded|not enough space on the disk/i.test(output);
}

/** One message for a failed step: what happened, to what, and what to do about it. */
function explain(name, tool, output) {
  const said = lastError(output);
  if (isFull(output))
    return new SetupError(
      `the disk is full: ${name} could not be stored under ${root} (${tool} said: ${said}). Free about 1 GB there and run again.`,
    );
  if (isForbidden(output))
    return new SetupError(
      `${name} could not be written under ${root} (${tool} said: ${said}). Make that folder writable for this user and run again.`,
    );
  const network =
    /ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|resolve|connection|network|timed out|timeout|proxy|offline|certificate|from versions: none|5\d\d /i.test(
      output,
    );
  const advice = network ? "Check the network and the registry or proxy that it is configured for" : "Repair what it says";
  return new SetupError(`${name} could not be fetched: ${tool} failed (${said}). ${advice}, and run again.`);
}

/** The line of a tool's output that names the fault: the first that looks like an error, else the last. */
function lastError(output) {
  const lines = output
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !/^(npm )?warn/i.test(line));
  const full = lines.find(isFull);
  const line =
    full ||
    lines.find((text) => /error/i.test(text) && !/^npm error (code|errno|syscall)/i.test(text)) ||
    lines[lines.length - 1] ||
    "it printed nothing";
  return line.replace(/^.*?\berror:? /i, "").slice(0, 300);
}

// ---------------------------------------------------------------------------------------------------------------------------
// Folders

function makeFolder(folder) {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    if (isFull(error.message) || isForbidden(error.message)) throw explain(show(folder), "this script", error.message);
    throw new SetupError(`the folder ${folder} could not be made (${error.message}). Move aside what is in its place and run again.`);
  }
}

/** An empty folder under .toolchain/ that the next set-up removes if this one does not get to rename it. */
function temporary(name) {
  const folder = join(toolchain, `tmp-${name}-${process.pid}`);
  rmSync(folder, { recursive: true, force: true });
  makeFolder(folder);
  return folder;
}

/** Gives a complete folder its final name, in place of whatever incomplete thing has it. */
async function settle(from, to) {
  makeFolder(dirname(to));
  const old = join(toolchain, `tmp-old-${process.pid}`);
  for (let attempt = 0; ; attempt++) {
    try {
      if (existsSync(to)) renameSync(to, old);
      renameSync(from, to);
      break;
    } catch (error) {
      // Windows refuses while a virus scanner still reads the new files.
      if (exe === "" || attempt === 20) throw error;
      await pause(250);
    }
  }
  rmSync(old, { recursive: true, force: true });
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function show(file) {
  return relative(root, file) || ".";
}

if (isMain(import.meta.url)) await script(async () => void (await setUp({ dev: process.argv.includes("--dev") })));
