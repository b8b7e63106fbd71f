// asyncio.signals: receiving, several sources and listeners, close, select; in processes of their own what signals do by default.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { asyncio, run, select, sleep, xasync } from "zigcoro";
import { childTimeoutMs, fixture } from "./support/child.ts";
import { thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";

const { Process, signals } = asyncio;

const raise = (signal: asyncio.Signal): void => void process.kill(process.pid, signal);

/** Whether this process has a handler for a signal. */
function isCaught(number: number): boolean {
  const mask = readFileSync("/proc/self/status", "utf8").match(/^SigCgt:\s*(\w+)/m)?.[1] as string;
  return ((BigInt(`0x${mask}`) >> BigInt(number - 1)) & 1n) === 1n;
}

describe("a source", () => {
  inBothModes("gives the signals that it was made for", function* () {
    using source = signals("SIGUSR2", "SIGWINCH");
    const waiting = xasync(function* () {
      return yield* source.recv();
    });
    raise("SIGUSR2");
    expect(yield* waiting).toBe("SIGUSR2");
    raise("SIGWINCH");
    raise("SIGWINCH");
    raise("SIGUSR2");
    expect([yield* source.recv(), yield* source.recv()].sort()).toEqual(["SIGUSR2", "SIGWINCH"]);
    expect((yield* select({ signal: source.recv(), nothing: sleep(1) })).key).toBe("nothing");
  });

  inBothModes("is told beside others, and each that waits gets one", function* () {
    using a = signals("SIGUSR2");
    using b = signals("SIGUSR2", "SIGWINCH");
    const two = [0, 1].map(() =>
      xasync(function* () {
        return yield* b.recv();
      }),
    );
    raise("SIGUSR2");
    raise("SIGWINCH");
    expect(yield* a.recv()).toBe("SIGUSR2");
    const got = [];
    for (const frame of two) {
      const signal = yield* frame;
      got.push(signal);
    }
    expect(got.sort()).toEqual(["SIGUSR2", "SIGWINCH"]);
  });

  inBothModes("keeps what a select did not choose", function* () {
    using a = signals("SIGUSR2");
    using b = signals("SIGUSR2");
    raise("SIGUSR2");
    const { key } = yield* select({ a: a.recv(), b: b.recv() });
    expect(yield* (key === "a" ? b : a).recv()).toBe("SIGUSR2");
    expect((yield* select({ a: a.recv(), b: b.recv(), nothing: sleep(1) })).key).toBe("nothing");
  });

  inBothModes("ends who receives with its close, and puts back what was there", function* () {
    expect(isCaught(12)).toBe(false);
    const source = signals("SIGUSR2");
    const other = signals("SIGUSR2");
    expect(isCaught(12)).toBe(true);
    const waiting = xasync(function* () {
      return yield* source.recv();
    });
    source.close();
    source.close();
    expect(source.closed).toBe(true);
    expect(yield* waiting).toBeUndefined();
    expect(yield* source.recv()).toBeUndefined();
    expect(isCaught(12)).toBe(true);
    other.close();
    expect(isCaught(12)).toBe(false);
  });

  test("is iterated over, and goes with a coroutine that is cancelled", async () => {
    using source = signals("SIGUSR2");
    const seen: string[] = [];
    raise("SIGUSR2");
    for await (const signal of source) {
      seen.push(signal);
      if (seen.length === 3) break;
      raise("SIGUSR2");
    }
    expect(seen).toEqual(["SIGUSR2", "SIGUSR2", "SIGUSR2"]);
    const frame = xasync(function* () {
      yield* source.recv();
    });
    await frame.cancel();
    raise("SIGUSR2");
    expect(await source.recv()).toBe("SIGUSR2");
  });

  test("leaves listeners of Bun's alone, whichever came first", async () => {
    // A signal of its own: Bun delivers late what came while owner mode kept its loop waiting.
    let heard = 0;
    const listener = (): void => void heard++;
    process.on("SIGALRM", listener);
    const source = signals("SIGALRM");
    raise("SIGALRM");
    expect(await source.recv()).toBe("SIGALRM");
    while (heard < 1) await Bun.sleep(1);
    process.off("SIGALRM", listener);
    expect(isCaught(14)).toBe(true);
    process.on("SIGALRM", listener);
    source.close();
    raise("SIGALRM");
    while (heard < 2) await Bun.sleep(1);
    process.off("SIGALRM", listener);
    expect(isCaught(14)).toBe(false);
    expect(heard).toBe(2);
  });
});

test("what cannot be received is told", () => {
  expect(thrown(() => signals())).toBe("TypeError: asyncio.signals: name at least one signal");
  for (const name of ["SIGNONE", "TERM", "toString", 15, undefined]) {
    expect(thrown(() => signals(name as never))).toStartWith('TypeError: asyncio.signals: names must be signals such as "SIGTERM", got ');
  }
  for (const name of ["SIGKILL", "SIGSTOP", "SIGSEGV"] as const) {
    expect(thrown(() => signals("SIGUSR2", name))).toBe(
      `TypeError: asyncio.signals: ${name} cannot be received: it belongs to the system or the runtime`,
    );
  }
  expect(isCaught(12)).toBe(false);
  const many = Array.from({ length: 64 }, () => signals("SIGUSR2"));
  expect(thrown(() => signals("SIGUSR2"))).toStartWith("Error: sigaction EMFILE");
  for (const source of many) source.close();
  expect(isCaught(12)).toBe(false);
});

/** Starts the fixture in a role, sends SIGTERM once it is ready, and tells how it ended and what it wrote. */
async function terminated(role: string): Promise<{ end: asyncio.ExitStatus; out: string }> {
  return run(function* () {
    const child = Process.spawn(process.execPath, [fixture("signal-roles.ts"), role]);
    let out = "";
    let isSent = false;
    for (;;) {
      const chunk = yield* child.stdout.read();
      if (chunk === null) break;
      out += Buffer.from(chunk).toString();
      if (isSent || !out.includes("ready\n")) continue;
      isSent = true;
      child.kill("SIGTERM");
    }
    return { end: yield* child.wait(), out };
  });
}

describe("in a process of its own", () => {
  for (const mode of ["guest", "owner"]) {
    test(
      `a server ends in order on SIGTERM (${mode})`,
      async () => {
        expect(await terminated(mode)).toEqual({ end: { code: 0, signal: null }, out: "ready\nstop SIGTERM\nlast words\n" });
      },
      childTimeoutMs,
    );
  }

  for (const [role, out] of [
    ["closed", "SIGTERM\nready\n"],
    ["collected", "ready\n"],
    ["worker", "open,SIGTERM\nready\n"],
  ] as const) {
    test(
      `without a source SIGTERM ends it again (${role})`,
      async () => {
        expect(await terminated(role)).toEqual({ end: { code: null, signal: "SIGTERM" }, out });
      },
      childTimeoutMs,
    );
  }

  test(
    "a source that nobody receives from does not keep it alive",
    async () => {
      const { code, stdout } = await Process.run(process.execPath, [fixture("signal-roles.ts"), "ends"]);
      expect([code, Buffer.from(stdout).toString()]).toEqual([0, "ready\n"]);
    },
    childTimeoutMs,
  );
});
