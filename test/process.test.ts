// Whole processes: that they end when they should, how failures and deadlocks show, exits and terminated Workers in every state, and
// what a wrong environment says. Each runs in a child process.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { abiVersion } from "../src/native/abi.ts";
import { findLibrary } from "../src/native/library.ts";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { backends, isWindows, isWine } from "./support/platform.ts";

setDefaultTimeout(childTimeoutMs);

const built = findLibrary();

describe("a process ends by itself, and not before", () => {
  const programs: [string, string][] = [
    ["import only", "exit"],
    ["sleep", "slept exit"],
    ["sleep nobody awaits", "slept exit"],
    ["await at top level", "slept exit"],
    ["accept closed later", "ECANCELED exit"],
    ["a listener that nobody accepts from", "listening exit"],
    ["a connection that nobody reads", "connected exit"],
    ["a cancelled sleep", "cancelled exit"],
    ["a sleep that is cancelled while the loop is parked", "Cancelled exit"],
    ["a read that is cancelled while the loop is parked", "Cancelled exit"],
    ["a timeout that was not reached", "1 2 exit"],
    ["a receive for ever", "waits exit"],
    ["owner mode over a parked guest", "guest slept owner slept exit"],
    ["owner mode alone", "slept exit"],
    ["ticks by hand over a parked guest", "slept exit"],
    ["many rounds of parking", "done exit"],
    ["a server and its client", "echo exit"],
    ["a promise of Bun's that comes late", "came exit"],
    ["what only Bun has in flight", "worker fetch child timer exit"],
    ["a suspended coroutine that a timer resumes", "resumed exit"],
  ];
  for (const backend of backends) {
    for (const [name, out] of programs) {
      test(`${name} (${backend})`, async () => {
        const ended = await runFixture("ends.ts", [name], { ZIGCORO_BACKEND: backend });
        expect({ ...ended, out: ended.out.trim().split("\n").join(" ") }).toEqual({ code: 0, signal: null, out, err: "" });
      });
    }
  }
});

describe("what fails, shows", () => {
  const errors: [string, code: number, err: RegExp][] = [
    ["a failure that nobody awaits", 1, /RangeError: nobody saw this/],
    ["a failure at once that nobody awaits", 1, /RangeError: nobody saw this/],
    ["a failure whose awaiter has gone", 1, /RangeError: nobody saw this/],
    ["a failure of a call that lost", 1, /RangeError: nobody saw this/],
    ["an async failure that nobody awaits", 1, /RangeError: nobody saw this/],
    ["a failure in run", 1, /RangeError: main failed/],
    ["a deadlock in run", 1, /all coroutines are asleep\n {4}"boss" waits to receive from channel "results"\n/],
    ["a deadlock in an awaited run", 1, /all coroutines are asleep\n {4}"boss" waits to receive from channel "results"\n/],
    ["a deadlock in a Worker", 1, /all coroutines are asleep\n {4}"boss" waits to receive from channel "results"\n/],
    ["a deadlock in owner mode", 1, /all coroutines are asleep\n {4}"boss" waits to receive from channel "results"\n/],
    ["process.exit in the middle of IO", 7, /^$/],
    ["process.exit inside a coroutine", 7, /^$/],
    ["process.exit inside owner mode", 7, /^$/],
    ["an uncaught exception while reads and sleeps are pending", 1, /RangeError: thrown by a timer/],
  ];
  for (const [name, code, err] of errors) {
    test(name, async () => {
      const ended = await runFixture("fails.ts", [name]);
      expect([ended.code, ended.signal, ended.out]).toEqual([code, null, ""]);
      expect(ended.err).toMatch(err);
    });
  }

  test("a failure that nobody awaits is reported once, with the coroutine's name, and where it was spawned when asked for", async () => {
    const plain = await runFixture("fails.ts", ["a failure that nobody awaits"]);
    expect(plain.err.split("nobody saw this").length).toBe(3); // the message, and the line of source
    expect(plain.err).toMatch(/at coroutine "loner" \(ZIGCORO_TRACE=1 tells where/);
    expect(plain.err).not.toContain("scheduler.ts");
    const traced = await runFixture("fails.ts", ["a failure that nobody awaits"], { ZIGCORO_TRACE: "1" });
    expect(traced.err).toMatch(/at coroutine "loner" \(.*fails\.ts:\d+:\d+\)/);
  });

  test("failures in a scope that nobody awaits are reported together, once", async () => {
    const { code, err } = await runFixture("fails.ts", ["failures in a scope"]);
    expect(code).toBe(1);
    for (const n of [1, 2]) expect(err.split(`RangeError: worker ${n} failed`).length).toBe(2);
  });

  test("a deadlock in a scope names everybody in it and what a select waits for", async () => {
    const { code, err } = await runFixture("fails.ts", ["a deadlock in a scope"]);
    expect(code).toBe(1);
    expect(err).toContain('all coroutines are asleep\n    "main" waits to see the end of scope "batch"');
    expect(err).toContain('"worker" waits to select from receive from channel "jobs", see event "stop" (spawned by "batch")');
    expect(err).toContain('"batch" waits to lock mutex "table" (spawned by "main")');
  });

  test("a deadlock names everyone who waits", async () => {
    const { err } = await runFixture("fails.ts", ["a deadlock in run"]);
    for (const worker of [1, 2]) expect(err).toContain(`    "worker ${worker}" waits to receive from channel "jobs"`);
  });

  const handled: [string, string][] = [
    ["a failure that is awaited", "handled\n"],
    ["a failure at once that is awaited", "handled\n"],
    ["a cancelled coroutine that nobody awaits", "quiet\n"],
    ["a deadlock in run that is caught", 'Deadlock: all coroutines are asleep\n    "boss" waits to be resumed\n'],
    ["a deadlock in an awaited run that is caught", 'Deadlock: all coroutines are asleep\n    "boss" waits to be resumed\n'.repeat(2)],
  ];
  for (const [name, out] of handled) {
    test(`${name} does not`, async () => {
      expect(await runFixture("fails.ts", [name])).toEqual({ code: 0, signal: null, out, err: "" });
    });
  }
});

// Windows sets no such limit.
describe.skipIf(isWindows)("without descriptors left", () => {
  for (const backend of backends) {
    test(`connect and accept say EMFILE, and the server goes on (${backend})`, async () => {
      const script = `ulimit -n 100 && exec "$0" "$@"`;
      const child = Bun.spawn(
        ["sh", "-c", script, process.execPath, fileURLToPath(new URL("fixtures/fails.ts", import.meta.url)), "out of descriptors"],
        { env: { ...process.env, ZIGCORO_BACKEND: backend }, stdout: "pipe", stderr: "pipe", timeout: 20_000, killSignal: "SIGKILL" },
      );
      const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      expect([out, err, child.exitCode]).toEqual(["EMFILE EMFILE false\n", "", 0]);
    });
  }
});

describe("terminated Workers leave the process well", () => {
  // Those where the kernel, a thread or the VM could still hold something of the Worker: 50 times each.
  const delicate = ["sleeping", "accepting", "reading", "parked", "blocked in owner mode", "blocked on a socket in owner mode"];
  const others = ["idle", "writing", "busy", "switching", "busy in owner mode", "collected"];
  for (const backend of backends) {
    for (const state of [...delicate, ...others]) {
      const times = isWine ? 3 : backend === "io_uring" && delicate.includes(state) ? 50 : 10;
      test(`${state}, ${times} times (${backend})`, async () => {
        const ended = await runFixture("workers.ts", [state, `${times}`], { ZIGCORO_BACKEND: backend });
        expect(ended).toEqual({ code: 0, signal: null, out: "alive\n", err: "" });
      });
    }
  }
});

test("two Workers have an Env each", async () => {
  expect(await runFixture("pool.ts")).toEqual({ code: 0, signal: null, out: "2000 2\n", err: "" });
});

describe("the environment", () => {
  const folder = mkdtempSync(join(tmpdir(), "zigcoro-test-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

  for (const backend of backends) {
    test(`ZIGCORO_BACKEND=${backend} chooses`, async () => {
      expect(await runFixture("backend.ts", [], { ZIGCORO_BACKEND: backend })).toEqual({
        code: 0,
        signal: null,
        out: `${backend} echo\n`,
        err: "",
      });
    });
  }

  test("ZIGCORO_BACKEND=nonsense is refused", async () => {
    const ended = await runFixture("backend.ts", [], { ZIGCORO_BACKEND: "nonsense" });
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('ZIGCORO_BACKEND must be io_uring, epoll, kqueue or iocp, got "nonsense"');
  });

  for (const [name, errno] of [
    ["EPERM", 1],
    ["ENOSYS", 38],
  ] as const) {
    if (isWindows) continue;
    test(`a kernel that refuses io_uring with ${name} means epoll`, async () => {
      const ended = await runFixture("refused.ts", [`${errno}`], { ZIGCORO_BACKEND: "" });
      expect(ended).toEqual({ code: 0, signal: null, out: "epoll echo\n", err: "" });
    });

    test(`ZIGCORO_DEBUG=1 tells that io_uring was refused with ${name}`, async () => {
      const ended = await runFixture("refused.ts", [`${errno}`], { ZIGCORO_BACKEND: "", ZIGCORO_DEBUG: "1" });
      const err = "zigcoro: io_uring is refused here, by the kernel or a sandbox; events come through epoll\n";
      expect(ended).toEqual({ code: 0, signal: null, out: "epoll echo\n", err });
    });

    test(`io_uring asked for where the kernel refuses it with ${name} is an error`, async () => {
      const ended = await runFixture("refused.ts", [`${errno}`], { ZIGCORO_BACKEND: "io_uring" });
      expect(ended.code).toBe(1);
      expect(ended.err).toContain("zigcoro cannot start its event loop on io_uring: this machine refuses it");
    });
  }

  test("ZIGCORO_LIBRARY may name a copy", async () => {
    const copy = join(folder, "copy.so");
    copyFileSync(built, copy);
    expect(await runFixture("backend.ts", [], { ZIGCORO_LIBRARY: copy })).toMatchObject({ code: 0, err: "" });
  });

  test("ZIGCORO_LIBRARY that names nothing is refused", async () => {
    const ended = await runFixture("backend.ts", [], { ZIGCORO_LIBRARY: "/no/such/library.so" });
    expect(ended.code).toBe(1);
    expect(ended.err).toContain("ZIGCORO_LIBRARY names /no/such/library.so, but there is no such file");
  });

  test("ZIGCORO_LIBRARY that names no library is refused", async () => {
    const text = join(folder, "text.so");
    writeFileSync(text, "not a library");
    const ended = await runFixture("backend.ts", [], { ZIGCORO_LIBRARY: text });
    expect(ended.code).toBe(1);
    expect(ended.err).toContain(`zigcoro cannot load its native library ${text}: `);
  });

  test("a library with another interface is refused", async () => {
    const bytes = readFileSync(built);
    const version = Buffer.alloc(4);
    version.writeUInt32LE(abiVersion);
    const places: number[] = [];
    for (let at = bytes.indexOf(version); at >= 0; at = bytes.indexOf(version, at + 1)) places.push(at);
    expect(places.length).toBeGreaterThan(0);
    for (const at of places) bytes.writeUInt32LE((abiVersion ^ 1) >>> 0, at);
    const other = join(folder, "other.so");
    writeFileSync(other, bytes);
    const ended = await runFixture("backend.ts", [], { ZIGCORO_LIBRARY: other });
    expect(ended.code).toBe(1);
    expect(ended.err).toContain(
      `zigcoro's native library ${other} does not match this package (interface ${(abiVersion ^ 1) >>> 0}, expected ${abiVersion})`,
    );
  });

  const node = Bun.which("node");
  test.skipIf(!node)("Node.js is told that the package needs Bun", async () => {
    const modules = join(folder, "node_modules");
    const { symlinkSync, mkdirSync } = await import("node:fs");
    mkdirSync(modules);
    symlinkSync(fileURLToPath(new URL("..", import.meta.url)), join(modules, "zigcoro"));
    const entries = ["zigcoro", fileURLToPath(new URL("../src/unsupported.mjs", import.meta.url))];
    for (const entry of entries) {
      const child = Bun.spawn([node as string, "--input-type=module", "-e", `await import(${JSON.stringify(entry)})`], {
        cwd: folder,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [err] = await Promise.all([child.stderr.text(), child.exited]);
      expect(child.exitCode).toBe(1);
      expect(err).toMatch(/zigcoro needs Bun 1\.4 or newer \(this is Node\.js \d+\.\d+\.\d+\)/);
    }
  });

  test("the library that the tests use was built", () => expect(existsSync(built)).toBe(true));
});
