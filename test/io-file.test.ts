// asyncio.File in guest and owner mode: reads and writes at positions and at the position, opening, what is no plain file, lines. Runs on each
// backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { constants, readFileSync, statSync, symlinkSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { all, asyncio, type Coroutine, select, sleep, withTimeout, xasync } from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { failed, failure, rejected, thrown } from "./support/failure.ts";
import { temporaryFiles, text } from "./support/files.ts";
import { inBothModesSlowly as inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows } from "./support/platform.ts";
import { Random } from "./support/random.ts";

const { File } = asyncio;
const { fifo, folder, fresh } = temporaryFiles();
const onUnix: typeof inBothModes = isWindows ? () => {} : inBothModes;

describe("reading and writing", () => {
  inBothModes("at positions reads and writes where it is told, and leaves the position alone", function* () {
    const path = fresh();
    const file = yield* File.open(path, "w+");
    yield* file.pwrite("hello world", 0);
    yield* file.pwrite("W", 6);
    expect(text(yield* file.pread(5, 6))).toBe("World");
    expect(text(yield* file.pread(100, 6))).toBe("World");
    expect(text(yield* file.pread(1, 11))).toBe("");
    expect(text(yield* file.pread(0, 0))).toBe("");
    const into = new Uint8Array(4);
    expect(yield* file.preadInto(into.subarray(1, 3), 0)).toBe(2);
    expect([...into]).toEqual([0, 104, 101, 0]);
    expect(yield* file.preadInto(into.buffer, 9)).toBe(2);
    expect(file.position).toBe(0);
    yield* file.close();
    expect(readFileSync(path, "utf8")).toBe("hello World");
  });

  inBothModes("goes on at the position, which can be set", function* () {
    const file = yield* File.open(fresh("abcdefghij"), "r+");
    expect(text(yield* file.read(3))).toBe("abc");
    yield* file.write("DE");
    expect(text(yield* file.read())).toBe("fghij");
    expect(yield* file.read()).toBeNull();
    expect(file.position).toBe(10);
    file.position = 2;
    expect(text(yield* file.read(4))).toBe("cDEf");
    yield* file.close();
  });

  inBothModes("takes strings as UTF-8, ArrayBuffers, Buffers, shared memory and nothing", function* () {
    const file = yield* File.open(fresh(), "w+");
    const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(0x73);
    for (const data of ["grüße 🌍 ", new Uint8Array([0x61]).buffer, Buffer.from(" buffer "), shared, "", new Uint8Array(0)]) {
      yield* file.write(data);
    }
    expect(text(yield* file.pread(100, 0))).toBe("grüße 🌍 a buffer sss");
    expect(yield* file.preadInto(shared, 0)).toBe(3);
    expect(text(Uint8Array.from(shared))).toBe("gr\u{fffd}");
    expect(yield* file.preadInto(new Uint8Array(0), 0)).toBe(0);
    yield* file.close();
  });

  inBothModes("moves more than any part of it: 20 MB there and back", function* () {
    const bytes = new Uint8Array(20_000_001);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) ^ (i >> 8);
    const path = fresh();
    yield* File.writeAll(path, bytes);
    expect(Buffer.compare(yield* File.readAll(path), bytes)).toBe(0);
  });

  inBothModes("appends whatever the position is", function* () {
    const path = fresh("one ");
    const file = yield* File.open(path, "a+");
    yield* file.write("two ");
    expect(text(yield* file.read())).toBe("one two ");
    yield* file.write("three ");
    yield* file.pwrite("four", 0);
    expect(file.position).toBe(8);
    yield* file.close();
    yield* File.writeAll(path, "!", { flags: "a" });
    expect(readFileSync(path, "utf8")).toBe("one two three four!");
  });

  inBothModes("has any number of operations in flight on one file", function* () {
    const file = yield* File.open(fresh(), "w+");
    yield* all(Array.from({ length: 200 }, (_, i) => file.pwrite(`${i}`.padStart(8, "."), i * 8)));
    const parts = yield* all(Array.from({ length: 200 }, (_, i) => file.pread(8, i * 8)));
    expect(parts.map(text)).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`.padStart(8, ".")));
    yield* all([file.sync(), file.dataSync(), file.stat(), file.pwrite("x", 0), file.pread(1, 5)]);
    yield* file.close();
  });

  test("one that ends at once leaves others their turn, and keeps its result", async () => {
    await using file = await File.open(fresh("0123456789"));
    const order: string[] = [];
    const reader = xasync(function* () {
      for (let i = 0; i < 1000; i++) expect(text(yield* file.pread(3, i % 7))).toBe("0123456789".slice(i % 7, (i % 7) + 3));
      for (let i = 0; i < 1000; i++) {
        file.position = i % 7;
        expect(text(yield* file.read(3))).toBe("0123456789".slice(i % 7, (i % 7) + 3));
      }
      order.push("reader");
    });
    const other = xasync(function* () {
      for (let i = 0; i < 5; i++) yield* file.pread(1, 0);
      order.push("other");
    });
    await Promise.all([reader, other]);
    expect(order).toEqual(["other", "reader"]);
  });

  test.skipIf(isWindows)("only one coroutine at a time reads or writes at the position", async () => {
    await using file = await File.open(fifo(), "r+");
    const reading = xasync(function* () {
      return text(yield* file.read());
    });
    const writing = xasync(function* () {
      yield* file.write(new Uint8Array(1_000_000));
    });
    const message = `at its position: another coroutine reads or writes there; use pread and pwrite`;
    expect(await rejected(file.read())).toBe(`Error: cannot read '${file.path}' ${message}`);
    expect(await rejected(file.write("x"))).toBe(`Error: cannot write '${file.path}' ${message}`);
    await reading;
    writing.cancel();
    await Promise.allSettled([writing]);
    await using regular = await File.open(fresh(), "w+");
    const first = regular.write(new Uint8Array(1_000_000)).then();
    expect(await rejected(regular.read())).toBe(`Error: cannot read '${regular.path}' ${message}`);
    await first;
  });
});

describe("open", () => {
  inBothModes("takes what Node takes: flags, modes, URLs, bytes", function* () {
    const path = fresh("old");
    expect(yield* failed(File.open(path, "wx"))).toBe(`Error: EEXIST: file already exists, open '${path}'`);
    if (!isWindows) {
      const link = fresh();
      symlinkSync(path, link);
      expect(yield* failed(File.open(link, constants.O_RDONLY | constants.O_NOFOLLOW))).toMatch(/^Error: ELOOP: /);
    }
    for (const same of [path, pathToFileURL(path), Buffer.from(path)]) {
      const file = yield* File.open(same);
      expect(file.path).toBe(path);
      yield* file.close();
    }
    const made = fresh();
    const file = yield* File.open(made, { flags: "wx+", mode: 0o640 });
    expect(statSync(made).mode & 0o777).toBe(isWindows ? 0o666 : 0o640 & ~process.umask());
    yield* file.write("x");
    yield* file.close();
    const cut = yield* File.open(path, "w");
    expect(yield* failed(cut.read())).toBe(`Error: EBADF: bad file descriptor, read '${path}'`);
    yield* cut.close();
    expect(readFileSync(path, "utf8")).toBe("");
    if (isWindows) return;
    const odd = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff, 0xfe])]);
    yield* File.writeAll(odd, "odd");
    expect(yield* File.readText(odd)).toBe("odd");
  });

  onUnix("closes its descriptor on exec", function* () {
    const file = yield* File.open(fresh("x"));
    const listed = Bun.spawnSync(["sh", "-c", "readlink /proc/self/fd/*"]).stdout.toString();
    expect(listed).not.toContain(file.path);
    yield* file.close();
  });

  test("refuses what cannot be meant before it begins", () => {
    expect(thrown(() => File.open(5 as never))).toBe(
      "TypeError: asyncio.File.open: path must be a string, a file: URL or a Uint8Array, got 5",
    );
    expect(thrown(() => File.open("a\0b"))).toBe('TypeError: asyncio.File.open: path must not contain a 0 byte, got "a\\u0000b"');
    expect(thrown(() => File.open(new Uint8Array([97, 0])))).toMatch(/must not contain a 0 byte/);
    expect(thrown(() => File.open(new URL("http://x/y")))).toMatch(/^TypeError/);
    expect(thrown(() => File.open("x", "rw" as never))).toMatch(
      /^TypeError: asyncio.File.open: flags must be one of "r", .*, or a number of O_ constants, got "rw"$/,
    );
    expect(thrown(() => File.open("x", null as never))).toBe(
      thrown(() => File.open("x", { flags: null as never })).replace("got null", "got null"),
    );
    expect(thrown(() => File.open("x", "r", 0o10000))).toMatch(/^RangeError: asyncio.File.open: mode must be/);
    expect(thrown(() => File.open("x", -1))).toMatch(/^RangeError/);
    expect(thrown(() => File.writeAll("x", 5 as never))).toMatch(/^TypeError: asyncio.File.writeAll: data must be/);
  });

  inBothModes("names errors as Node does, with code, errno, syscall and path", function* () {
    const error = yield* (function* (): Coroutine<Error | undefined> {
      try {
        yield* File.open("/x/y");
      } catch (error) {
        return error as Error;
      }
    })();
    expect({ ...error, message: error?.message }).toEqual({
      code: "ENOENT",
      errno: errnoOf("ENOENT"),
      syscall: "open",
      path: "/x/y",
      message: "ENOENT: no such file or directory, open '/x/y'",
    } as never);
    expect(yield* failed(File.open(""))).toBe("Error: ENOENT: no such file or directory, open ''");
    expect(yield* failed(File.open(folder, "w"))).toBe(`Error: EISDIR: illegal operation on a directory, open '${folder}'`);
    expect(yield* failed(File.readAll(folder))).toBe(`Error: EISDIR: illegal operation on a directory, read '${folder}'`);
    expect(yield* failed(File.open(`${fresh("x")}/y`))).toMatch(isWindows ? /^Error: ENOENT: / : /^Error: ENOTDIR: /);
    expect(yield* failed(File.open("x".repeat(5000)))).toMatch(isWindows ? /^Error: ENOENT: / : /^Error: ENAMETOOLONG: /);
    if (!isWindows) {
      expect(yield* failed(File.writeAll("/dev/full", "x"))).toBe("Error: ENOSPC: no space left on device, write '/dev/full'");
    }
    const file = yield* File.open(fresh("x"));
    expect(yield* failed(file.write("y"))).toBe(`Error: EBADF: bad file descriptor, write '${file.path}'`);
    expect(yield* failed(file.truncate(1))).toMatch(isWindows ? /^Error: E(PERM|BADF): / : /^Error: EINVAL: invalid argument, ftruncate/);
    yield* file.close();
  });

  test.skipIf(isWindows || process.getuid?.() === 0)("says EACCES", async () => {
    const path = fresh("x");
    Bun.spawnSync(["chmod", "0", path]);
    expect((await failure(File.open(path))).code).toBe("EACCES");
  });

  test.skipIf(isWindows)(
    "says EMFILE when there are no descriptors, and EFBIG beyond what a file may have; goes on after",
    async () => {
      const { code, out, err } = await runFixture("file-limits.ts");
      expect({ code, out, err }).toEqual({ code: 0, out: "EMFILE EFBIG ok\n", err: "" });
    },
    childTimeoutMs,
  );
});

describe("stat, truncate, sync", () => {
  inBothModes("say what Node says", function* () {
    const path = fresh("12345");
    const file = yield* File.open(path, "r+");
    const stat = yield* file.stat();
    const node = statSync(path, { bigint: true });
    for (const name of ["dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"] as const) {
      expect([name, BigInt(stat[name])]).toEqual([name, node[name]]);
    }
    expect(stat.exact).toEqual({
      ino: node.ino,
      size: 5n,
      atimeNs: node.atimeNs,
      mtimeNs: node.mtimeNs,
      ctimeNs: node.ctimeNs,
      birthtimeNs: node.birthtimeNs,
    });
    expect(stat.mtimeMs).toBeCloseTo(Number(node.mtimeMs), -1);
    expect(stat.mtime.getTime()).toBe(Math.trunc(stat.mtimeMs));
    expect([stat.isFile(), stat.isDirectory(), stat.isFIFO()]).toEqual([true, false, false]);
    yield* file.truncate(2);
    expect(readFileSync(path, "utf8")).toBe("12");
    yield* file.truncate(2 ** 33 + 1);
    expect((yield* file.stat()).size).toBe(2 ** 33 + 1);
    yield* file.pwrite("end", 2 ** 33);
    expect(text(yield* file.pread(5, 2 ** 33 - 1))).toBe("\0end");
    yield* file.truncate();
    expect((yield* file.stat()).size).toBe(0);
    yield* file.sync();
    yield* file.dataSync();
    yield* file.close();
    const directory = yield* File.open(folder);
    expect((yield* directory.stat()).isDirectory()).toBe(true);
    yield* directory.close();
    if (isWindows) {
      expect(yield* failed(File.open("NUL"))).toMatch(/^Error: ENOTSUP: /);
      return;
    }
    const device = yield* File.open("/dev/null");
    expect((yield* device.stat()).isCharacterDevice()).toBe(true);
    yield* device.close();
  });
});

describe("special files", () => {
  onUnix("files of /proc say they are empty and are read whole; /dev/null and /dev/zero", function* () {
    expect(yield* File.readText("/proc/self/cmdline")).toContain("bun");
    const maps = yield* File.readText("/proc/self/smaps");
    expect(maps.length).toBeGreaterThan(20_000);
    const lines: string[] = [];
    const status = File.lines("/proc/self/status");
    for (let line = yield* status.next(); line !== null; line = yield* status.next()) lines.push(line);
    expect(lines[0]).toMatch(/^Name:/);
    expect((yield* File.readAll("/dev/null")).byteLength).toBe(0);
    yield* File.writeAll("/dev/null", "gone");
    const zero = yield* File.open("/dev/zero");
    expect((yield* zero.pread(100_000, 0)).every((byte) => byte === 0)).toBe(true);
    yield* zero.close();
  });

  onUnix("a FIFO is a stream; its open waits for the other end and stops nobody else", function* () {
    const path = fifo();
    expect(yield* failed(withTimeout(5, File.open(path)))).toBe(`TimeoutError: timed out after 5 ms waiting to open '${path}'`);
    const waiting = Array.from({ length: 12 }, () =>
      xasync(function* () {
        return yield* File.open(path);
      }),
    );
    yield* File.writeAll(fresh(), "meanwhile");
    for (const frame of waiting) frame.cancel();
    for (const frame of waiting) expect(yield* failed(frame as never)).toBe("Cancelled: the coroutine was cancelled");
    const opening = xasync(function* () {
      return yield* File.open(path);
    });
    const writer = yield* File.open(path, "w");
    const reader = yield* opening;
    expect(reader.isStream).toBe(true);
    expect(yield* failed(reader.pread(1, 0))).toBe(`Error: ESPIPE: invalid seek, read '${path}'`);
    expect(yield* failed(writer.pwrite("x", 0))).toBe(`Error: ESPIPE: invalid seek, write '${path}'`);
    // A read that loses has taken nothing.
    for (let i = 0; i < 3; i++) expect((yield* select({ read: reader.read(), time: sleep(1) })).key).toBe("time");
    yield* writer.write("ping");
    expect(text(yield* reader.read(2))).toBe("pi");
    expect(text(yield* reader.read())).toBe("ng");
    // More than the pipe holds.
    const large = new Uint8Array(1_000_000).fill(7);
    const writing = xasync(function* () {
      yield* writer.write(large);
      yield* writer.close();
    });
    let count = 0;
    for (let chunk = yield* reader.read(); chunk !== null; chunk = yield* reader.read()) count += chunk.byteLength;
    expect(count).toBe(large.length);
    yield* writing;
    yield* reader.close();
  });

  onUnix("a pipe that nobody reads any more is an error, and no signal", function* () {
    const path = fifo();
    const reader = yield* File.open(path, "r+");
    const writer = yield* File.open(path, "w");
    yield* writer.write("x");
    // This one waits for room as its reader goes.
    const large = xasync(function* () {
      return yield* failed(writer.write(new Uint8Array(1_000_000)));
    });
    yield* sleep(1);
    yield* reader.close();
    expect(yield* large).toBe(`Error: EPIPE: broken pipe, write '${path}'`);
    expect(yield* failed(writer.write("x"))).toBe(`Error: EPIPE: broken pipe, write '${path}'`);
    yield* writer.close();
  });

  test.skipIf(isWindows)("what a stream's read brought and nobody wanted is there for the next", async () => {
    await using both = await File.open(fifo(), "r+");
    for (let i = 0; i < 200; i++) {
      await both.write(`${i};`);
      const won = await select({ a: both.read(), b: sleep(0) });
      if (won.key === "a") expect(text(won.value)).toBe(`${i};`);
      else expect(text(await both.read())).toBe(`${i};`);
    }
  });
});

describe("lines and chunks", () => {
  async function linesOf(content: string | Uint8Array, options?: asyncio.LinesOptions): Promise<string[]> {
    const lines: string[] = [];
    for await (const line of File.lines(fresh(content), options)) lines.push(line);
    return lines;
  }

  test("cut at either end, wherever the chunks are cut", async () => {
    const content = "a\r\n\nbö🌍\r\r\n\r\nlast ä";
    const expected = ["a", "", "bö🌍\r", "", "last ä"];
    for (let size = 1; size <= 25; size++) {
      expect(await linesOf(content, { size })).toEqual(expected);
      expect(await linesOf(`${content}\n`, { size })).toEqual(expected);
      expect(await linesOf(`${content}\n\n`, { size })).toEqual([...expected, ""]);
    }
    expect(await linesOf("")).toEqual([]);
    expect(await linesOf("\n")).toEqual([""]);
    expect(await linesOf("\r")).toEqual(["\r"]);
    expect(await linesOf(new Uint8Array([0xff, 0x0a, 0xc3]))).toEqual(["\u{fffd}", "\u{fffd}"]);
    expect(await linesOf("skipped\nrest", { start: 8 })).toEqual(["rest"]);
  });

  test("lines may be long, up to a bound", async () => {
    const long = "x".repeat(300_000);
    expect(await linesOf(`${long}\n${long}`)).toEqual([long, long]);
    for (const size of [1, 3, 64]) {
      expect(await linesOf("12345\r\n1234", { maxLength: 5, size })).toEqual(["12345", "1234"]);
      expect(await rejected(linesOf("1\n123456\n", { maxLength: 5, size }))).toMatch(/^RangeError: line 2 of '.*' is longer than 5 bytes$/);
      expect(await rejected(linesOf("1\n123456", { maxLength: 5, size }))).toMatch(/^RangeError: line 2 of/);
    }
  });

  inBothModes("are taken one by one in a coroutine, cancelled ones are not lost", function* () {
    const path = fresh(Array.from({ length: 5000 }, (_, i) => `line ${i}`).join("\n"));
    const lines = File.lines(path, { size: 100 });
    let next = 0;
    const random = new Random(7);
    for (;;) {
      if (random.below(3) === 0) {
        const frame = xasync(function* () {
          return yield* lines.next();
        });
        if (random.below(2) === 0) frame.cancel();
        try {
          const line = yield* frame;
          if (line === null) break;
          expect(line).toBe(`line ${next++}`);
        } catch (error) {
          expect(String(error)).toStartWith("Cancelled");
        }
        continue;
      }
      const won = yield* select({ line: lines.next(), time: sleep(0) });
      if (won.key === "time") continue;
      if (won.value === null) break;
      expect(won.value).toBe(`line ${next++}`);
    }
    expect(next).toBe(5000);
    expect(lines.file?.closed).toBe(true);
    expect(yield* lines.next()).toBeNull();
  });

  test("leave the file's position alone; a loop that breaks closes what it has opened and nothing else", async () => {
    const path = fresh("one\ntwo\nthree");
    await using file = await File.open(path);
    for await (const line of file.lines()) if (line === "two") break;
    expect(file.closed).toBe(false);
    expect(file.position).toBe(0);
    const chunks: (string | null)[] = [];
    for await (const chunk of file.chunks({ size: 5, start: 1 })) chunks.push(text(chunk));
    expect(chunks).toEqual(["ne\ntw", "o\nthr", "ee"]);
    const own = File.lines(path);
    for await (const line of own) if (line === "one") break;
    expect(own.file?.closed).toBe(true);
    expect(await rejected(File.lines("/x/y").next())).toBe("Error: ENOENT: no such file or directory, open '/x/y'");
    expect(thrown(() => file.chunks({ size: 0 }))).toMatch(/^RangeError: File.chunks: options.size/);
    expect(thrown(() => file.lines({ maxLength: 0 }))).toMatch(/^RangeError: File.lines: options.maxLength/);
  });

  test.skipIf(isWindows)("of a stream come as they come", async () => {
    const path = fifo();
    await using both = await File.open(path, "r+");
    const lines = both.lines();
    const first = lines.next().then((line) => line);
    expect(await rejected(lines.next())).toBe(`Error: cannot read '${path}': another coroutine waits for its next part already`);
    await both.write("a line\nand ");
    expect(await first).toBe("a line");
    const second = lines.next().then((line) => line);
    await both.write("more\n");
    expect(await second).toBe("and more");
  });
});
