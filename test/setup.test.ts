// The set-up script's answers to what a machine may lack, offline: each test runs it in a small stand-in of the checkout with
// a PATH that holds nothing but stand-ins for Zig, Python, cargo and npm. Touches only its temporary folder.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const checkout = dirname(import.meta.dir);
const node = Bun.which("node");
const hash = /\.hash = "(libxev-[^"]+)"/.exec(readFileSync(join(checkout, "build.zig.zon"), "utf8"))?.[1] ?? "";

// What the stand-ins say and do; they may use the shell's builtins and programs by full path only.
const zig = (version: string) => `[ "$1" = version ] && { echo ${version}; exit; }; echo "error: NoAddressReturned" >&2; exit 1`;
const python = (pip: string) =>
  `case "$2" in *version_info*) echo 3.11;; pip) case "$3" in --version) echo pip 23;; *) ${pip};; esac;; *) exit 1;; esac`;
const fails = (text: string) => `echo '${text}' >&2; exit 1`;
// `pip install --target <folder> ...` that really puts a Zig there and counts its calls.
const installsZig = `
  /bin/mkdir -p "$5/ziglang/lib/std"; echo > "$5/ziglang/lib/std/std.zig"; echo call >> "\${0%/*}/calls"
  printf '#!/bin/sh\\necho 0.16.0\\n' > "$5/ziglang/zig"; /bin/chmod +x "$5/ziglang/zig"`;
const dies = `/bin/mkdir -p "$5/ziglang"; echo half > "$5/ziglang/zig"; kill -9 $PPID; exit 1`;
const vendors = `/bin/mkdir -p vendor/libxev-sys/vendor/libxev/src; cd vendor/libxev-sys/vendor/libxev; echo > build.zig; echo > src/main.zig`;

let home = "";
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "setup-test-"));
  for (const name of ["bin", "scripts"]) mkdirSync(join(home, name));
  for (const name of ["exec.mjs", "setup.mjs"]) cpSync(join(checkout, "scripts", name), join(home, "scripts", name));
  for (const name of ["build.zig.zon", "package.json", "package-lock.json"]) cpSync(join(checkout, name), join(home, name));
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function program(name: string, body: string) {
  const file = join(home, "bin", name);
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

function libxevThere() {
  mkdirSync(join(home, "zig-pkg", hash, "src"), { recursive: true });
  for (const name of ["build.zig", "src/main.zig"]) writeFileSync(join(home, "zig-pkg", hash, name), "");
}

async function setUp({ runtime = process.execPath, args = [] as string[], env = {} } = {}) {
  const child = Bun.spawn([runtime, join(home, "scripts", "setup.mjs"), ...args], {
    cwd: home,
    env: { PATH: join(home, "bin"), HOME: home, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, error: error.trim() };
}

/** The set-up fails with one message that says each of `words`, shows no stack trace, and leaves nothing half-done. */
async function refuses(words: string[], options: Parameters<typeof setUp>[0] = {}) {
  const { code, error } = await setUp(options);
  expect(error).toStartWith("set-up stopped: ");
  expect(error.split("\n")).toHaveLength(1);
  for (const word of words) expect(error).toContain(word);
  expect(error).toContain("run again");
  expect(code).toBe(1);
  const folder = join(home, ".toolchain");
  if (existsSync(folder)) expect(readdirSync(folder)).toEqual([]);
}

describe.skipIf(process.platform === "win32")("set-up", () => {
  test("without Python says what Python is for", () =>
    refuses(["Zig 0.16.0 is not installed", "Python 3", "not found", "ziglang==0.16.0"]));

  test("with Python 2 only names it and its version", async () => {
    program("python", "echo 2.7");
    await refuses(["is Python 2.7", "Install Python 3 with pip"]);
  });

  test("with a Python that has neither pip nor venv says so", async () => {
    program("python3", 'case "$2" in *version_info*) echo 3.11;; *) exit 1;; esac');
    await refuses(["(Python 3.11) has no pip", "apt-get install python3-pip"]);
  });

  test("with another Zig on PATH names its version", async () => {
    program("zig", zig("0.15.2"));
    await refuses(["the installed Zig 0.15.2", "is not 0.16.0", "Python 3"]);
  });

  test("without a network says which download failed", async () => {
    program("python3", python(fails("ERROR: Could not find a version that satisfies ziglang==0.16.0 (from versions: none)")));
    await refuses(["Zig 0.16.0 could not be fetched", "pip failed", "from versions: none", "Check the network"]);
  });

  test("on a full disk says so", async () => {
    program("python3", python(fails("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")));
    await refuses(["the disk is full: Zig 0.16.0", home, "Free about 1 GB"]);
  });

  test("where it may not write says so", async () => {
    program("python3", python(fails("ERROR: [Errno 13] Permission denied: x")));
    await refuses(["Zig 0.16.0 could not be written", home, "Make that folder writable"]);
  });

  test("with a file in the place of its folder names the file", async () => {
    writeFileSync(join(home, ".toolchain"), "");
    const { code, error } = await setUp();
    expect(error).toContain(`the folder ${join(home, ".toolchain")} could not be made`);
    expect(code).toBe(1);
  });

  test("with neither upstream nor cargo names both ways to libxev", async () => {
    program("zig", zig("0.16.0"));
    await refuses(["libxev could not be fetched from git+https://", "NoAddressReturned", "cargo", "not found"]);
  });

  test("with a cargo that fails passes on its reason", async () => {
    program("zig", zig("0.16.0"));
    program("cargo", fails("error: failed to get libxev-sys as a dependency: could not resolve host"));
    await refuses(["libxev could not be fetched: cargo vendor failed", "could not resolve host", "Check the network"]);
  });

  test("takes libxev from the crate, once", async () => {
    program("zig", zig("0.16.0"));
    program("cargo", vendors);
    const first = await setUp();
    expect(first).toMatchObject({ code: 0, error: "" });
    expect(first.out).toContain("taking the crate libxev-sys instead");
    expect(readdirSync(join(home, "zig-pkg", hash))).toContain("build.zig");
    rmSync(join(home, "bin", "cargo"));
    const second = await setUp();
    expect(second).toMatchObject({ code: 0, error: "" });
    expect(second.out).toContain("libxev: in zig-pkg");
    expect(readdirSync(join(home, ".toolchain"))).toEqual([]);
  });

  test("interrupted half-way starts that part over", async () => {
    libxevThere();
    program("python3", python(dies));
    expect((await setUp()).code).not.toBe(0);
    expect(existsSync(join(home, ".toolchain", "zig-0.16.0"))).toBe(false);
    program("python3", python(installsZig));
    expect(await setUp()).toMatchObject({ code: 0, error: "" });
    expect(readdirSync(join(home, ".toolchain"))).toEqual(["zig-0.16.0"]);
  });

  test("brings back a part that somebody damaged", async () => {
    libxevThere();
    program("python3", python(installsZig));
    expect((await setUp()).code).toBe(0);
    rmSync(join(home, ".toolchain", "zig-0.16.0", "ziglang", "lib"), { recursive: true });
    expect((await setUp()).out).toContain("Zig: 0.16.0, from PyPI");
    expect((await setUp()).out).toContain("Zig: 0.16.0, in .toolchain");
  });

  test("run twice at the same time fetches once", async () => {
    libxevThere();
    program("python3", python(installsZig));
    const both = await Promise.all([setUp(), setUp()]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(readFileSync(join(home, "bin", "calls"), "utf8")).toBe("call\n");
  });

  test("without npm says what npm is for", async () => {
    libxevThere();
    program("zig", zig("0.16.0"));
    await refuses(["the dev dependencies are not installed", "npm", "not found"], { args: ["--dev"] });
  });

  test("with an npm that fails passes on its reason", async () => {
    libxevThere();
    program("zig", zig("0.16.0"));
    program(
      "npm",
      'echo "npm warn old" >&2; echo "npm error code ENOTFOUND" >&2; echo "npm error request to the registry failed" >&2; exit 1',
    );
    await refuses(["the dev dependencies could not be fetched: npm failed", "request to the registry failed", "Check the network"], {
      args: ["--dev"],
    });
  });

  // Under Bun that Bun is the one; only Node gets to look for another.
  test.skipIf(node === null)("with an old Bun names its version and fetches its own", async () => {
    program("bun", "echo 1.3.9");
    writeFileSync(
      join(home, "npm-cli.js"),
      'console.error("npm error code ENOTFOUND\\nnpm error getaddrinfo ENOTFOUND"); process.exit(1);',
    );
    const options = { runtime: node ?? "", env: { npm_execpath: join(home, "npm-cli.js") } };
    expect((await setUp(options)).out).toContain("the installed Bun 1.3.9");
    await refuses(["Bun 1.4.5 could not be fetched: npm failed", "getaddrinfo ENOTFOUND", "Check the network"], options);
  });
});
