// asyncio.Process: what children get and give, how they end, who is told; cancels, processes of others, leaks, signals that interrupt.

import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { all, asyncio, Cancelled, type Coroutine, call, now, run, select, sleep, TimeoutError, withTimeout, xasync } from "zigcoro";
import { childTimeoutMs, fixture, runFixture } from "./support/child.ts";
import { failure, thrown } from "./support/failure.ts";
import { inBothModesSlowly as inBothModes } from "./support/modes.ts";
import { errnoOf } from "./support/platform.ts";
import { descriptors, pair, pattern, readAll } from "./support/sockets.ts";

const { Process } = asyncio;
const loop = new asyncio.Loop();
const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function* readText(stream: asyncio.Reader): Coroutine<string> {
  let all = "";
  for (;;) {
    const chunk = yield* stream.read();
    if (chunk === null) return all;
    all += text(chunk);
  }
}

function* shell(script: string, options: asyncio.SpawnOptions = {}): Coroutine<string> {
  const child = Process.spawn("sh", ["-c", script], { ...options, stdout: "pipe" });
  const out = yield* readText(child.stdout);
  yield* child.wait();
  child.stdout.close();
  return out;
}

/** Children of this process that have ended and were not reaped. */
function zombies(): number {
  return readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")
    .split(" ")
    .filter((pid) => pid.trim() !== "" && stateOf(Number(pid)) === "Z").length;
}

/** "R", "S", "Z" and so on; undefined when there is no such process. */
function stateOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").match(/\) (\w)/)?.[1];
  } catch {
    return undefined;
  }
}

describe("a child's streams", () => {
  inBothModes("are pipes both ways", function* () {
    const child = Process.spawn("cat", [], { stdin: "pipe", stderr: "pipe" });
    yield* child.stdin.write("one ");
    expect(text((yield* child.stdout.read()) ?? new Uint8Array())).toBe("one ");
    yield* child.stdin.write("two");
    child.stdin.close();
    expect(yield* readText(child.stdout)).toBe("two");
    expect(yield* readText(child.stderr)).toBe("");
    expect(yield* child.wait()).toEqual({ code: 0, signal: null });
    child.stdout.close();
    child.stderr.close();
  });

  inBothModes("carry megabytes both ways at once", function* () {
    const data = pattern(5_000_001);
    const { code, stdout } = yield* Process.run("cat", [], { input: data });
    expect(code).toBe(0);
    expect(Buffer.compare(stdout, data)).toBe(0);
  });

  inBothModes("may be descriptors and streams of ours, which stay open", function* () {
    const { reader, writer } = asyncio.pipe();
    expect(yield* Process.spawn("echo", ["from a stream"], { stdout: writer }).wait()).toEqual({ code: 0, signal: null });
    yield* writer.write("and from us\n");
    writer.close();
    // The reading end, non-blocking here, to a program that expects to wait.
    const child = Process.spawn("cat", [], { stdin: reader });
    expect(yield* readText(child.stdout)).toBe("from a stream\nand from us\n");
    reader.close();
    const [a, b] = yield* pair();
    expect(yield* Process.spawn("cat", [], { stdin: b, stdout: b }).end()).toMatchObject({ code: null });
    const socket = Process.spawn("sh", ["-c", "read line; echo got $line"], { stdin: b, stdout: b });
    b.close();
    yield* a.write("a line\n");
    expect(text(yield* readAll(a))).toBe("got a line\n");
    yield* socket.wait();
    a.close();
    const fd = openSync("/dev/null", "w");
    expect(yield* Process.spawn("echo", ["x"], { stdout: fd }).wait()).toEqual({ code: 0, signal: null });
  });

  inBothModes("waits where they are full, and not for input that it does not read", function* () {
    const { code } = yield* Process.run("true", [], { input: pattern(1 << 20) });
    expect(code).toBe(0);
    const child = Process.spawn("sh", ["-c", "head -c 1000000 /dev/zero"]);
    expect((yield* select({ end: child.wait(), full: sleep(20) })).key).toBe("full");
    expect((yield* readText(child.stdout)).length).toBe(1_000_000);
    expect((yield* child.wait()).code).toBe(0);
  });

  test("inherit goes where ours go", async () => {
    const { code, signal, out, err } = await runFixture("inherits.ts");
    expect({ code, signal, out, err }).toEqual({ code: 0, signal: null, out: "to stdout\n", err: "to stderr\n" });
  });
});

describe("a child", () => {
  inBothModes("has its folder, environment and arguments", function* () {
    const folder = mkdtempSync(join(tmpdir(), "zigcoro-"));
    expect(yield* shell("pwd", { cwd: folder })).toBe(`${folder}\n`);
    expect(yield* shell("env", { env: { PATH: process.env.PATH, A: "1 2", B: undefined, "C.d": "grüße" } })).toMatch(/^A=1 2$/m);
    expect(yield* shell('echo "$A|$B|$HOME"', { env: { PATH: process.env.PATH, A: "1", B: undefined } })).toBe("1||\n");
    const { stdout } = yield* Process.run("printf", ["%s|", "", "a b", "*", "'\"", "ü"]);
    expect(text(stdout)).toBe("|a b|*|'\"|ü|");
    process.env.ZIGCORO_TEST_VALUE = "set";
    expect(yield* shell("echo $ZIGCORO_TEST_VALUE")).toBe("set\n");
    delete process.env.ZIGCORO_TEST_VALUE;
    // Relative commands and empty entries of PATH start in the child's folder.
    writeFileSync(join(folder, "tool"), "#!/bin/sh\necho tool\n", { mode: 0o755 });
    for (const [command, path] of [
      ["./tool", "/nowhere"],
      ["tool", ""],
      ["tool", `/nowhere:${folder}`],
    ] as const) {
      const { stdout: out } = yield* Process.run(command, [], { cwd: folder, env: { PATH: path } });
      expect(text(out)).toBe("tool\n");
    }
    rmSync(folder, { recursive: true });
  });

  inBothModes("has no descriptors of ours, and may lead a session", function* () {
    const [a, b] = yield* pair();
    using _n = new asyncio.AsyncNotification();
    expect(yield* shell("ls /proc/self/fd")).toBe("0\n1\n2\n3\n");
    expect((yield* shell("cut -d' ' -f6 /proc/self/stat", { detached: true })).trim()).not.toBe(
      (yield* shell("cut -d' ' -f6 /proc/self/stat")).trim(),
    );
    a.close();
    b.close();
  });

  inBothModes("tells how it ended to all who ask, whenever", function* () {
    for (const code of [0, 1, 127, 128, 255]) {
      expect(yield* Process.spawn("sh", ["-c", `exit ${code}`], quiet).wait()).toEqual({ code, signal: null });
    }
    for (const signal of ["SIGKILL", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGSEGV"] as const) {
      expect(yield* Process.spawn("sh", ["-c", `kill -s ${signal.slice(3)} $$`], quiet).wait()).toEqual({ code: null, signal });
    }
    const child = Process.spawn("sh", ["-c", "read line; exit 3"], { ...quiet, stdin: "pipe" });
    const waiting = [0, 1, 2].map(() =>
      xasync(function* () {
        return yield* child.wait();
      }),
    );
    yield* (waiting[1] as (typeof waiting)[0]).cancel();
    child.stdin.close();
    for (const i of [0, 2]) {
      const status = yield* waiting[i] as (typeof waiting)[0];
      expect(status).toEqual({ code: 3, signal: null });
    }
    expect(yield* child.wait()).toEqual({ code: 3, signal: null });
    expect(zombies()).toBe(0);
  });

  inBothModes("gets signals as long as it runs", function* () {
    const child = Process.spawn("sh", ["-c", "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.01; done"]);
    expect(text((yield* child.stdout.read()) ?? new Uint8Array())).toBe("ready\n");
    expect(child.kill(0)).toBe(true);
    expect(child.kill("SIGUSR1")).toBe(true);
    expect(yield* readText(child.stdout)).toBe("caught\n");
    expect(yield* child.wait()).toEqual({ code: 5, signal: null });
    for (const signal of [0, 9, "SIGTERM"] as const) expect(child.kill(signal)).toBe(false);
    const stopped = Process.spawn("sleep", ["100"], quiet);
    stopped.kill("SIGSTOP");
    stopped.kill(9);
    expect(yield* stopped.wait()).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("wrong arguments are told, and nothing starts", () => {
    const spawn = Process.spawn as (...args: unknown[]) => unknown;
    const say = (what: string) => `TypeError: asyncio.Process.spawn: ${what}`;
    expect(thrown(() => spawn())).toBe(say("command must be a string, got undefined"));
    expect(thrown(() => spawn(""))).toBe(say("command must not be empty"));
    expect(thrown(() => spawn("a\0b"))).toStartWith(say("command must not contain a zero byte, got "));
    expect(thrown(() => spawn("true", "x"))).toBe(say('args must be an array of strings, got "x"'));
    expect(thrown(() => spawn("true", ["x", 1]))).toBe(say("args[1] must be a string, got 1"));
    expect(thrown(() => spawn("true", [], null))).toBe(say("options must be an object, got null"));
    expect(thrown(() => spawn("true", [], { cwd: 1 }))).toBe(say("options.cwd must be a string, got 1"));
    expect(thrown(() => spawn("true", [], { env: { "A=B": "" } }))).toStartWith(
      say('a name in options.env must not be empty nor contain "="'),
    );
    expect(thrown(() => spawn("true", [], { env: { A: 1 } }))).toBe(say("options.env.A must be a string, got 1"));
    expect(thrown(() => spawn("true", [], { env: { A: "\0" } }))).toStartWith(say("options.env.A must not contain a zero byte"));
    expect(thrown(() => spawn("true", [], { env: { "A\0": "" } }))).toStartWith(say("options.env.A\0 must not contain a zero byte"));
    for (const wrong of ["pipes", -1, 1.5, {}, 2 ** 31]) {
      expect(thrown(() => spawn("true", [], { stdin: wrong }))).toStartWith(
        say('options.stdin must be "pipe", "inherit", "ignore", a descriptor or a stream, got '),
      );
    }
    const { reader, writer } = asyncio.pipe();
    reader.close();
    writer.close();
    expect(thrown(() => spawn("true", [], { stdin: reader }))).toBe(say("options.stdin is a stream that was closed"));
    // A listener is no stream: a program would make it blocking for us, too.
    expect(thrown(() => spawn("true", [], { stdin: new asyncio.TCPServer(0) }))).toStartWith(say("options.stdin must be"));
    const child = Process.spawn("true", [], quiet);
    const kill = (signal: unknown) => thrown(() => child.kill(signal as never));
    expect(kill("TERM")).toBe('TypeError: Process.kill: signal must be a signal\'s name or number, got "TERM"');
    expect(kill(65)).toBe("RangeError: Process.kill: signal must be an integer from 0 to 64, got 65");
    expect(thrown(() => child.end({ grace: -1 }))).toStartWith("RangeError: Process.end: options.grace must be");
    expect(thrown(() => Process.wait(process.pid))).toStartWith("RangeError: asyncio.Process.wait: pid must be another process");
    for (const pid of [0, -1, 1.5, 2 ** 31]) expect(thrown(() => Process.wait(pid))).toStartWith("RangeError: asyncio.Process.wait: pid");
  });

  test("what cannot start says why and for which path; descriptors and processes are as before", async () => {
    const folder = mkdtempSync(join(tmpdir(), "zigcoro-"));
    const file = join(folder, "file");
    writeFileSync(file, "no program");
    const before = descriptors();
    const start = async (command: string, args: string[] = [], options: asyncio.SpawnOptions = {}) =>
      Process.spawn(command, args, { ...options, stdin: "pipe", stderr: "pipe" });
    const fields = async (promise: Promise<unknown>) => {
      const { code, errno, syscall, path, message } = await failure(promise);
      return { code, errno, syscall, path, message };
    };
    expect(await fields(start("nonesuch", ["a"]))).toEqual({
      code: "ENOENT",
      errno: errnoOf("ENOENT"),
      syscall: "spawn",
      path: "nonesuch",
      message: "spawn ENOENT: no such file or directory nonesuch",
    });
    expect(await fields(start("/nowhere/x"))).toMatchObject({ code: "ENOENT", path: "/nowhere/x" });
    expect(await fields(start(file))).toMatchObject({ code: "EACCES", path: file });
    chmodSync(file, 0o755);
    expect(await fields(start(file))).toMatchObject({ code: "ENOEXEC", path: file });
    expect(await fields(start(`${file}/x`))).toMatchObject({ code: "ENOENT" });
    expect(await fields(start("true", [], { cwd: "/nowhere" }))).toMatchObject({ code: "ENOENT", syscall: "chdir", path: "/nowhere" });
    expect(await fields(start("true", ["x".repeat(1 << 18)]))).toMatchObject({ code: "E2BIG", path: "true" });
    expect(await fields((async () => Process.spawn("true", [], { stdout: 4000 }))())).toMatchObject({ code: "EBADF" });
    expect((await failure(start("nonesuch", ["a"]))).spawnargs).toEqual(["a"]);
    await sleep(0);
    expect(descriptors()).toBeLessThanOrEqual(before);
    expect(zombies()).toBe(0);
    rmSync(folder, { recursive: true });
  });
});

describe("run", () => {
  inBothModes("collects both streams and the code", function* () {
    const result = yield* Process.run("sh", ["-c", "cat; echo err >&2; exit 7"], { input: "in" });
    expect({ ...result, stdout: text(result.stdout), stderr: text(result.stderr) }).toEqual({
      code: 7,
      signal: null,
      stdout: "in",
      stderr: "err\n",
    });
  });

  inBothModes("that is cancelled or timed out ends the child, and waits for that", function* () {
    const folder = mkdtempSync(join(tmpdir(), "zigcoro-"));
    const script = `trap 'sleep 0.02; echo last > ${folder}/last; exit 0' TERM; echo $$ > ${folder}/pid; while :; do sleep 0.01; done`;
    const before = descriptors();
    const frame = xasync(function* () {
      return yield* Process.run("sh", ["-c", script]);
    });
    let pid = 0;
    while (pid === 0) {
      yield* sleep(1);
      if (readdirSync(folder).includes("pid")) pid = Number(readFileSync(join(folder, "pid"), "utf8"));
    }
    yield* frame.cancel();
    // It had its time, and it is gone.
    expect(readFileSync(join(folder, "last"), "utf8")).toBe("last\n");
    expect(stateOf(pid)).toBeUndefined();
    let error: unknown;
    try {
      yield* withTimeout(20, Process.run("sh", ["-c", "trap '' TERM; while :; do sleep 0.01; done"], { grace: 20 }));
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(TimeoutError);
    expect(zombies()).toBe(0);
    yield* sleep(0);
    expect(descriptors()).toBeLessThanOrEqual(before + 2);
    rmSync(folder, { recursive: true });
  });

  inBothModes("that writes too much is ended", function* () {
    let error: (RangeError & { code?: string }) | undefined;
    try {
      yield* Process.run("cat", ["/dev/zero"], { maxBuffer: 100_000 });
    } catch (caught) {
      error = caught as RangeError;
    }
    expect(String(error)).toBe("RangeError: asyncio.Process.run: cat wrote more than 100000 bytes to its stdout");
    expect(error?.code).toBe("ERR_CHILD_PROCESS_STDIO_MAXBUFFER");
    expect(zombies()).toBe(0);
  });

  inBothModes("runs many at once", function* () {
    const results = yield* all(Array.from({ length: 30 }, (_, i) => Process.run("sh", ["-c", `echo ${i}; exit ${i}`])));
    expect(results.map(({ code, stdout }) => [code, text(stdout)])).toEqual(Array.from({ length: 30 }, (_, i) => [i, `${i}\n`]));
  });
});

describe("end", () => {
  inBothModes("asks first, then kills", function* () {
    const polite = Process.spawn("sleep", ["100"], quiet);
    expect(yield* polite.end()).toEqual({ code: null, signal: "SIGTERM" });
    expect(yield* polite.end()).toEqual({ code: null, signal: "SIGTERM" });
    const deaf = Process.spawn("sh", ["-c", "trap '' TERM INT; echo ready; while :; do sleep 0.01; done"]);
    yield* deaf.stdout.read();
    const start = now();
    expect(yield* deaf.end({ signal: "SIGINT", grace: 30 })).toEqual({ code: null, signal: "SIGKILL" });
    expect(now() - start).toBeGreaterThanOrEqual(30);
    deaf.stdout.close();
  });

  test("await using ends it and closes its pipes", async () => {
    let kept: asyncio.Process | undefined;
    {
      await using child = Process.spawn("cat", [], { stdin: "pipe" });
      kept = child;
    }
    expect(stateOf(kept.pid)).toBeUndefined();
    expect([kept.stdin?.closed, kept.stdout?.closed, kept.stderr]).toEqual([true, true, null]);
  });

  test("a cancelled coroutine's finally ends it", async () => {
    let pid = 0;
    const frame = xasync(function* () {
      const child = Process.spawn("sleep", ["100"], quiet);
      pid = child.pid;
      try {
        yield* child.wait();
      } finally {
        yield* child.end();
      }
    });
    await frame.cancel();
    expect(await failure(frame)).toBeInstanceOf(Cancelled);
    expect(stateOf(pid)).toBeUndefined();
  });
});

describe("a process of others", () => {
  test("Bun.spawn's is waited for, and Bun knows how it ended as well", async () => {
    for (const [script, status] of [
      ["exit 6", { code: 6, signal: null }],
      ["kill -9 $$", { code: null, signal: "SIGKILL" }],
    ] as const) {
      for (const mode of ["guest", "owner"]) {
        const child = Bun.spawn(["sh", "-c", `read line; ${script}`], { stdin: "pipe", stdout: "ignore" });
        const waiting = call(function* () {
          const result = yield* all([
            Process.wait(child.pid),
            call(function* () {
              yield* sleep(1);
              child.stdin.end();
            }),
          ]);
          return result[0];
        });
        // Bun writes the end of the input from its own loop, which stands still in owner mode.
        if (mode === "owner") {
          child.kill(script === "exit 6" ? "SIGINT" : "SIGKILL");
          const signal = script === "exit 6" ? "SIGINT" : "SIGKILL";
          expect(
            asyncio.run(loop, () =>
              xasync(function* () {
                return yield* Process.wait(child.pid);
              }),
            ),
          ).toEqual({ code: null, signal });
          await child.exited;
          expect(child.signalCode).toBe(signal);
          continue;
        }
        const seen = await waiting;
        await child.exited;
        // Whoever reaps it first: the kernel tells since 6.15 all the same.
        if (seen.code !== null || seen.signal !== null) expect(seen).toEqual(status);
        expect([child.exitCode, child.signalCode]).toEqual([status.code, status.signal]);
      }
    }
  });

  inBothModes("that is no child is waited for; one that is not there is told", function* () {
    const out = yield* shell("sleep 0.05 >/dev/null 2>&1 & echo $!");
    const pid = Number(out);
    expect(["S", "R", "D"]).toContain(stateOf(pid) as string);
    const { code, signal } = yield* Process.wait(pid);
    expect([0, null]).toContain(code);
    expect(signal).toBeNull();
    expect(["Z", undefined]).toContain(stateOf(pid));
    let error: Record<string, unknown> = {};
    try {
      yield* Process.wait(2 ** 22 + 1);
    } catch (caught) {
      error = caught as Record<string, unknown>;
    }
    expect(error).toMatchObject({ code: "ESRCH", syscall: "wait", pid: 2 ** 22 + 1 });
  });

  inBothModes("is left alone by a wait that is cancelled", function* () {
    const child = Process.spawn("sleep", ["100"], quiet);
    expect((yield* select({ other: Process.wait(child.pid), time: sleep(1) })).key).toBe("time");
    expect(child.kill(0)).toBe(true);
    yield* child.end();
  });

  test("Bun.spawn beside us neither gets our descriptors nor holds us up", async () => {
    await run(function* () {
      const [a, b] = yield* pair();
      using _n = new asyncio.AsyncNotification();
      const ours = Process.spawn("cat", [], { stdin: "pipe" });
      let echoes = 0;
      const echo = xasync(function* () {
        for (;;) {
          yield* a.write("x");
          yield* b.read();
          echoes++;
        }
      });
      for (let i = 0; i < 10; i++) {
        const { stdout, exited } = Bun.spawn(["ls", "/proc/self/fd"], { stdin: "ignore", stdout: "pipe" });
        const [names] = yield* all([stdout.text(), exited]);
        expect(names).toBe("0\n1\n2\n3\n");
        yield* ours.stdin.write("y");
        expect(text((yield* ours.stdout.read()) ?? new Uint8Array())).toBe("y");
      }
      expect(echoes).toBeGreaterThan(10);
      yield* echo.cancel();
      yield* ours.end();
      ours.stdin.close();
      ours.stdout.close();
      a.close();
      b.close();
    });
  });
});

// 10,000 take half a minute: ZIGCORO_PROCESSES=10000.
const many = Number(process.env.ZIGCORO_PROCESSES ?? 1000);

test(`${many} processes, some of them held by nobody, leave no descriptor, no zombie and no memory`, async () => {
  const some = (count: number) =>
    run(function* () {
      for (let i = 0; i < count; i += 4) {
        yield* all([0, 1, 2, 3].map((k) => (k < 3 ? Process.spawn("/bin/true", [], quiet).wait() : Process.run("/bin/echo", ["x"]))));
      }
    });
  await some(100);
  Bun.gc(true);
  const before = { descriptors: descriptors(), memory: process.memoryUsage.rss() };
  await some(many);
  (() => {
    for (let i = 0; i < 20; i++) Process.spawn("/bin/true");
  })();
  for (let i = 0; i < 200 && (zombies() > 0 || descriptors() > before.descriptors); i++) {
    Bun.gc(true);
    await Bun.sleep(5);
  }
  expect(zombies()).toBe(0);
  expect(descriptors()).toBeLessThanOrEqual(before.descriptors);
  expect(process.memoryUsage.rss() - before.memory).toBeLessThan(24 << 20);
}, 120_000);

describe("in a process of its own", () => {
  test(
    "a Worker that is terminated leaves no zombie and no descriptor",
    async () => {
      expect(await runFixture("process-worker.ts")).toEqual({ code: 0, signal: null, out: "running\ngone 0\n", err: "" });
    },
    childTimeoutMs,
  );

  test(
    "a child that runs keeps it alive, and it ends with it",
    async () => {
      expect(await runFixture("process-ends.ts")).toEqual({ code: 0, signal: null, out: "started\nchild\n", err: "" });
    },
    childTimeoutMs,
  );

  test(
    "signals that interrupt system calls do no harm",
    async () => {
      expect(await runFixture("interrupted.ts")).toEqual({ code: 0, signal: null, out: "done\n", err: "" });
    },
    childTimeoutMs,
  );

  for (const mode of ["guest", "owner"]) {
    test(
      `one that is stopped and continued goes on where it was (${mode})`,
      async () => {
        await run(function* () {
          const child = Process.spawn(process.execPath, [fixture("stopped.ts"), mode]);
          let out = "";
          let stops = 0;
          for (;;) {
            const chunk = yield* child.stdout.read();
            if (chunk === null) break;
            out += text(chunk);
            if (out.split("\n").length < 10 * (stops + 1) || stops > 3) continue;
            stops++;
            child.kill("SIGSTOP");
            while (stateOf(child.pid) !== "T") yield* sleep(1);
            expect((yield* select({ end: child.wait(), still: sleep(20) })).key).toBe("still");
            child.kill("SIGCONT");
          }
          expect(stops).toBeGreaterThan(0);
          expect(out).toBe(Array.from({ length: 60 }, (_, i) => `${i}\n`).join(""));
          expect(yield* child.wait()).toEqual({ code: 0, signal: null });
        });
      },
      childTimeoutMs,
    );
  }
});
