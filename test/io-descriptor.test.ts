// Streams over descriptors: standard streams of child processes as pipes, files, terminals, sockets; what is adopted. Signals that
// interrupt, stop or fork the process meanwhile. Runs on each backend (ZIGCORO_BACKEND).

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncio, run, sleep, xasync } from "zigcoro";
import { childTimeoutMs, fixture, runFixture } from "./support/child.ts";
import { failed, thrown } from "./support/failure.ts";
import { openDescriptors, openedSince, pattern } from "./support/sockets.ts";

setDefaultTimeout(childTimeoutMs);
const folder = mkdtempSync(join(tmpdir(), "zigcoro-stdio-"));
afterAll(() => rmSync(folder, { recursive: true }));
const bun = process.execPath;
const stdio = fixture("stdio.ts");

/** What a shell command does; `$BUN` and `$STDIO` are there. */
function shell(command: string) {
  const { exitCode, signalCode, stdout, stderr } = Bun.spawnSync(["sh", "-c", command], {
    env: { ...process.env, NO_COLOR: "1", BUN: bun, STDIO: stdio },
    stdin: "ignore",
    timeout: 10_000,
  });
  return { code: exitCode, signal: signalCode ?? null, out: String(stdout), err: String(stderr) };
}

describe("standard streams", () => {
  const bytes = pattern(1_000_003);
  const input = join(folder, "input");
  const output = join(folder, "output");
  writeFileSync(input, bytes);

  for (const [name, command] of [
    ["files", '"$BUN" "$STDIO" copy < input > output'],
    ["pipes", 'cat input | "$BUN" "$STDIO" copy | cat > output'],
    ["a slow reader", 'cat input | "$BUN" "$STDIO" copy | (sleep 0.1; cat) > output'],
    ["appending", 'rm -f output; "$BUN" "$STDIO" copy < input >> output'],
  ] as const) {
    test(`copy megabytes through ${name}`, () => {
      expect(shell(`cd ${folder}; ${command}`)).toEqual({ code: 0, signal: null, out: "", err: "" });
      expect(Buffer.compare(readFileSync(output), bytes)).toBe(0);
    });
  }

  test("are sockets, too", async () => {
    using server = await asyncio.TCP.listen({ port: 0 });
    const program = `exec 3<>/dev/tcp/127.0.0.1/${server.local.port}; exec "$0" "$1" copy <&3 >&3`;
    const child = Bun.spawn(["bash", "-c", program, bun, stdio], { stdio: ["ignore", "ignore", "inherit"] });
    using served = await server.accept();
    await served.write("over a socket");
    expect(Buffer.from((await served.readExactly(13)) ?? []).toString()).toBe("over a socket");
    await served.shutdown();
    expect(await served.read()).toBeNull();
    expect(await child.exited).toBe(0);
  });

  test("of nothing and of /dev/null", () => {
    expect(shell('"$BUN" "$STDIO" copy < /dev/null > /dev/null')).toEqual({ code: 0, signal: null, out: "", err: "" });
    expect(shell('head -c 100000 /dev/zero | "$BUN" "$STDIO" copy > /dev/null').code).toBe(0);
    expect(shell('"$BUN" "$STDIO" copy < /dev/zero | head -c 1000 | wc -c').out).toBe("1000\n");
  });

  test("do not hold up the loop while nothing comes or nobody reads", () => {
    expect(shell('(sleep 0.3; echo late) | "$BUN" "$STDIO" wait').out).toBe("ticked late\n");
    expect(shell('"$BUN" "$STDIO" full | sleep 1').err).toBe("TimeoutError filled\n");
  });

  test("leave the description that they share as it was", () => {
    // Bash's own descriptor 0 is the child's, and so are its flags: O_NONBLOCK is 04000.
    const flags = "grep flags /proc/$$/fdinfo/0";
    const { out } = shell(
      `sleep 0.5 | (${flags.replace("$$", "self")} ; exec 3<&0; "$BUN" "$STDIO" cancelled <&3; grep flags /proc/self/fdinfo/3)`,
    );
    const [before, name, after] = out.trim().split("\n") as [string, string, string];
    expect(name).toBe("TimeoutError");
    expect(after.split("\t")[1]).toBe(before.split("\t")[1] as string);
  });

  test("whose reader went away give EPIPE, and no signal ends the process", () => {
    expect(shell('{ sleep 0.2; echo go; } | { "$BUN" "$STDIO" gone; echo $? >&2; } | true')).toEqual({
      code: 0,
      signal: null,
      out: "",
      err: "EPIPE write EPIPE: broken pipe\n0\n",
    });
  });

  test("can be closed, which leaves the descriptor open", () => {
    expect(shell('"$BUN" "$STDIO" closed').out).toBe("write ECANCELED: the stream was closed true false\n");
  });

  test("of a directory are EISDIR", () => {
    expect(shell('"$BUN" "$STDIO" missing < /').out).toMatch(/^open EISDIR: illegal operation on a directory, descriptor 0\n/);
  });

  test("end with the process although nobody closed them, after a cancelled read", () => {
    expect(shell('sleep 0.6 | "$BUN" "$STDIO" cancelled')).toEqual({ code: 0, signal: null, out: "TimeoutError\n", err: "" });
  });

  test("work in owner mode and in block", () => {
    expect(shell('"$BUN" "$STDIO" owner').out).toBe("owner\nblocked\n");
  });

  const hasScript = Bun.spawnSync(["sh", "-c", "command -v script"]).exitCode === 0;
  test.skipIf(!hasScript)("are a terminal", () => {
    const { out, code } = shell(`{ sleep 0.5; echo typed; sleep 0.3; } | script -qec '"$BUN" "$STDIO" wait' /dev/null`);
    expect(code).toBe(0);
    expect(out.replaceAll("\r", "")).toContain("ticked typed\n");
  });
});

describe("fromDescriptor", () => {
  test("owns the descriptor, or works on one of its own", () =>
    run(function* () {
      yield* sleep(20);
      const before = openDescriptors();
      const path = join(folder, "adopted");
      writeFileSync(path, "some text");
      const fd = openSync(path, "r+");
      const kept = asyncio.fromDescriptor(fd, "r", { keep: true });
      expect(Buffer.from((yield* kept.read(4)) ?? []).toString()).toBe("some");
      kept.close();
      // The position is one for both.
      const rest = Buffer.alloc(5);
      expect(readSync(fd, rest)).toBe(5);
      expect(rest.toString()).toBe(" text");
      writeSync(fd, "!");
      const owned = asyncio.fromDescriptor(fd, "rw");
      yield* owned.write("?");
      owned.close();
      expect(thrown(() => closeSync(fd))).toContain("EBADF");
      expect(readFileSync(path, "utf8")).toBe("some text!?");
      expect(openedSince(before)).toEqual([]);
    }));

  test("refuses what is no stream, and wrong arguments, and the descriptor stays open", () => {
    const fd = openSync(folder, "r");
    expect(thrown(() => asyncio.fromDescriptor(fd, "r"))).toBe(`Error: open EISDIR: illegal operation on a directory, descriptor ${fd}`);
    closeSync(fd);
    const readOnly = openSync("/dev/null", "r");
    expect(thrown(() => asyncio.fromDescriptor(readOnly, "w"))).toContain("EBADF");
    closeSync(readOnly);
    expect(thrown(() => asyncio.fromDescriptor(99_999, "r"))).toContain("EBADF: bad file descriptor, descriptor 99999");
    expect(thrown(() => asyncio.fromDescriptor(-1, "r"))).toStartWith("RangeError: asyncio.fromDescriptor: fd must be");
    expect(thrown(() => asyncio.fromDescriptor(0, "x" as "r"))).toBe(
      'TypeError: asyncio.fromDescriptor: direction must be "r", "w" or "rw", got "x"',
    );
    expect(thrown(() => asyncio.fromDescriptor(0, "toString" as "r"))).toStartWith("TypeError");
  });

  test("reads a full device's refusal", () =>
    run(function* () {
      const full = asyncio.fromDescriptor(openSync("/dev/full", "w"), "w");
      expect(yield* failed(full.write("x"))).toBe("Error: write ENOSPC: no space left on device");
      full.close();
    }));
});

describe("a descriptor's number that is used again", () => {
  test("is never touched by what was in flight before", () =>
    run(function* () {
      for (let round = 0; round < 300; round++) {
        const first = asyncio.pipe();
        const reading = xasync(function* () {
          return yield* failed(first.reader.read());
        });
        if (round % 2 === 0) yield* sleep(0);
        first.reader.close();
        first.writer.close();
        // Made at once, while the cancel may still be under way, and again when it is over.
        const second = asyncio.pipe();
        yield* second.writer.write("for the second");
        const isOver = round % 3 === 0;
        if (isOver) expect(yield* reading).toContain("ECANCELED");
        const third = asyncio.pipe();
        yield* third.writer.write("for the third");
        expect(Buffer.from((yield* second.reader.read()) ?? []).toString()).toBe("for the second");
        expect(Buffer.from((yield* third.reader.read()) ?? []).toString()).toBe("for the third");
        if (!isOver) expect(yield* reading).toContain("ECANCELED");
        for (const { reader, writer } of [second, third]) {
          reader.close();
          writer.close();
        }
      }
    }));
});

describe("signals", () => {
  for (const name of ["interrupted", "stopped", "forked", "sigpipe"]) {
    test(name, async () => {
      expect(await runFixture("signals.ts", [name])).toEqual({ code: 0, signal: null, out: `${name}: all bytes came\n`, err: "" });
    });
  }
});
