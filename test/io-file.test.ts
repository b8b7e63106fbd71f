// asyncio.File in guest and owner mode: reads and writes at positions and at the position, streams, lines, errors, cancels, closes, huge and
// unfit arrays, leaks, random use against a model. Runs on each backend (ZIGCORO_BACKEND).

import { afterAll, describe, expect, test } from "bun:test";
import { constants, existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { all, asyncio, type Coroutine, run, select, sleep, withTimeout, xasync } from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { failed, failure, rejected, thrown } from "./support/failure.ts";
import { inBothModesSlowly as inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows, isWine } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { descriptors } from "./support/sockets.ts";

const { File } = asyncio;
const folder = mkdtempSync(join(tmpdir(), "zigcoro-file-"));
// Under wine Bun removes no folder that is in use.
afterAll(() => isWine || rmSync(folder, { recursive: true, force: true }));
const onUnix: typeof inBothModes = isWindows ? () => {} : inBothModes;

let names = 0;
/** The path of a new file, with `content` unless that is undefined. */
function fresh(content?: string | Uint8Array): string {
  const path = join(folder, `file${names++}`);
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

function fifo(): string {
  const path = fresh();
  expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
  return path;
}

const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());

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

describe("close", () => {
  inBothModes("ends what is in flight, each once, and frees the descriptor", function* () {
    const before = descriptors();
    for (let round = 0; round < 20; round++) {
      const file = yield* File.open(fresh(), "w+");
      const frames = Array.from({ length: 20 }, (_, i) =>
        xasync(function* () {
          return yield* failed(i % 2 === 0 ? file.pwrite(new Uint8Array(100_000), i * 100_000) : file.stat());
        }),
      );
      if (round % 2 === 0) yield* sleep(0);
      yield* file.close();
      expect(file.closed).toBe(true);
      const closed = (syscall: string) => `Error: ECANCELED: the file was closed, ${syscall} '${file.path}'`;
      for (const frame of frames) expect(["nothing was thrown", closed("write"), closed("fstat")]).toContain(yield* frame);
      yield* file.close();
      expect(yield* failed(file.pread(1, 0))).toBe(`Error: ECANCELED: the file was closed, read '${file.path}'`);
      expect(yield* failed(file.read())).toBe(`Error: ECANCELED: the file was closed, read '${file.path}'`);
      expect(yield* failed(file.stat())).toBe(`Error: ECANCELED: the file was closed, fstat '${file.path}'`);
    }
    expect(descriptors()).toBeLessThanOrEqual(before + 3);
  });

  test("an open that loses, a file that is disposed of or forgotten leave no descriptor", async () => {
    const path = fresh("x");
    await File.readAll(path);
    const before = descriptors();
    for (let i = 0; i < 50; i++) {
      await select({ a: File.open(path), b: File.open(path) }).then(({ value }) => value.close());
      const frame = xasync(function* () {
        const file = yield* File.open(path);
        yield* file.close();
      });
      frame.cancel();
      await Promise.allSettled([frame]);
      using file = await File.open(path);
      expect(text(await file.read())).toBe("x");
    }
    await (async () => {
      for (let i = 0; i < 50; i++) await File.open(path);
    })();
    for (let i = 0; i < 200 && descriptors() > before; i++) {
      Bun.gc(true);
      await sleep(1);
    }
    expect(descriptors()).toBeLessThanOrEqual(before + 2);
  });

  test("a Worker that is terminated with files open and operations in flight leaves no descriptor", async () => {
    const before = descriptors();
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(new URL("fixtures/file-worker.ts", import.meta.url));
      await new Promise((resolve) => worker.addEventListener("message", resolve));
      const { promise, resolve } = Promise.withResolvers<void>();
      worker.addEventListener("close", () => resolve());
      worker.terminate();
      await promise;
    }
    for (let i = 0; i < 500 && descriptors() > before + 2; i++) await sleep(5);
    expect(descriptors()).toBeLessThanOrEqual(before + 2);
  }, 30_000);

  test(
    "nothing in flight, nothing keeps the process alive; an operation does",
    async () => {
      const { code, out, err } = await runFixture("file-ends.ts");
      expect({ code, out, err }).toEqual({ code: 0, out: "written\n", err: "" });
    },
    childTimeoutMs,
  );
});

describe("arrays", () => {
  test.skipIf(isWindows)("that are detached, or change while they are used, are errors", async () => {
    const both = await File.open(fifo(), "r+");
    const gone = new Uint8Array(8);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    expect(thrown(() => both.write(gone))).toBe("TypeError: File.write: data must not be detached (transferred)");
    expect(thrown(() => both.preadInto(gone, 0))).toBe("TypeError: File.preadInto: into must not be detached (transferred)");
    expect(thrown(() => both.preadInto("x" as never, 0))).toMatch(/^TypeError: File.preadInto: into must be/);
    for (const change of ["detach", "resize"]) {
      const buffer = new ArrayBuffer(1 << 20, { maxByteLength: 1 << 21 });
      const writing = both.write(new Uint8Array(buffer)).then(undefined, String);
      if (change === "detach") structuredClone(buffer, { transfer: [buffer] });
      else buffer.resize(10);
      let drained = 0;
      while (drained < 65536) drained += (await both.read(65536))?.byteLength ?? 0;
      expect(await writing).toBe("TypeError: File.write: the array was detached or resized before all of it was done");
      while ((await select({ rest: both.read(), none: sleep(5) })).key === "rest");
    }
    await both.close();
    await using file = await File.open(fresh("content"), "r+");
    const early = new Uint8Array(3);
    const made = [file.write(early), file.pwrite(early, 0), file.preadInto(early, 0)];
    structuredClone(early.buffer, { transfer: [early.buffer] });
    for (const operation of made)
      expect(await rejected(operation)).toMatch(/^TypeError: File\.(read|write): the array was detached or resized/);
    expect(text(await file.pread(10, 0))).toBe("content");
  });

  test("too long, and places out of range, are refused", async () => {
    await using file = await File.open(fresh("x"), "r+");
    for (const wrong of [-1, 0.5, 2 ** 31, Number.NaN, 2 ** 53]) {
      expect(thrown(() => file.pread(wrong, 0))).toMatch(/^RangeError: File.pread: length must be an integer from 0 to 2147483647/);
    }
    for (const wrong of [-1, 0.5, 2 ** 53]) {
      expect(thrown(() => file.pread(1, wrong))).toMatch(/^RangeError: File.pread: position/);
      expect(thrown(() => file.pwrite("x", wrong))).toMatch(/^RangeError: File.pwrite: position/);
      expect(thrown(() => file.truncate(wrong))).toMatch(/^RangeError: File.truncate: length/);
    }
    expect(thrown(() => file.pread("1" as never, 0))).toMatch(/^TypeError/);
    expect(thrown(() => file.read(0))).toMatch(/^RangeError: File.read: max/);
    expect(await file.pread(1, 2 ** 53 - 2).then(text)).toBe("");
    expect((await failure(file.pwrite("xx", 2 ** 53 - 1))).code).toBe(isWine ? "EIO" : isWindows ? "EINVAL" : "EFBIG");
  });

  test.skipIf(isWindows)(
    "of 4 GiB, the longest there are, are written whole; positions go on beyond",
    async () => {
      // Its memory is never touched but at the end.
      const huge = new Uint8Array(2 ** 32);
      expect(thrown(() => new Uint8Array(2 ** 32 + 1))).toMatch(/^RangeError/);
      await using sink = await File.open("/dev/null", "r+");
      let turns = 0;
      const turning = xasync(function* () {
        for (; sink.position === 0; turns++) yield* sleep(0);
      });
      await sink.write(huge);
      await turning;
      // Others had their turns meanwhile.
      expect(turns).toBeGreaterThan(10);
      expect(sink.position).toBe(2 ** 32);
      expect(await sink.preadInto(huge, 0)).toBe(0);
      huge.set([7, 8, 9], 2 ** 32 - 3);
      await using file = await File.open(fresh(), "w+");
      await file.pwrite(huge.subarray(2 ** 32 - 5), 2 ** 32 - 1);
      expect((await file.stat()).size).toBe(2 ** 32 + 4);
      expect([...(await file.pread(100, 2 ** 32))]).toEqual([0, 7, 8, 9]);
      expect(await file.preadInto(huge.subarray(2 ** 32 - 2), 2 ** 32 + 1)).toBe(2);
      expect([...huge.subarray(2 ** 32 - 3)]).toEqual([7, 7, 8]);
    },
    30_000,
  );
});

describe("cancels", () => {
  inBothModes(
    "before, in flight and racing with the end leave each operation ended once",
    function* () {
      const file = yield* File.open(fresh(new Uint8Array(1_000_000)), "r+");
      const random = new Random(11);
      for (let i = 0; i < 600; i++) {
        const at = random.below(900_000);
        const frame = xasync(function* () {
          switch (random.below(6)) {
            case 0:
              return (yield* file.pread(random.below(100_000), at)).byteLength;
            case 1:
              return yield* file.pwrite(new Uint8Array(random.below(100_000)), at);
            case 2:
              return yield* file.stat();
            case 3:
              return yield* file.dataSync();
            case 4:
              return yield* withTimeout(random.below(2), file.read(100));
            default:
              return yield* file.truncate(1_000_000);
          }
        });
        if (random.below(3) === 0) yield* sleep(0);
        frame.cancel();
        expect(yield* failed(frame as never)).toMatch(/^(nothing was thrown|Cancelled|TimeoutError)/);
      }
      expect((yield* file.stat()).size).toBe(1_000_000);
      yield* file.close();
    },
    20_000,
  );

  test("a read at the position that loses has not moved it", async () => {
    await using file = await File.open(fresh("0123456789"));
    for (let i = 0; i < 100; i++) {
      const won = await select({ a: file.read(1), b: file.pread(1, 5), c: sleep(0) });
      expect(file.position).toBe(won.key === "a" ? 1 : 0);
      file.position = 0;
    }
  });

  test("random reads and writes of several coroutines match a model", async () => {
    for (const seed of [1, 2, 3]) {
      const random = new Random(seed);
      const size = 200_000;
      const model = new Uint8Array(size);
      const path = fresh(model);
      await using file = await File.open(path, "r+");
      // Each has a part of the file to itself.
      const workers = Array.from({ length: 8 }, (_, worker) =>
        xasync(function* () {
          const part = size / 8;
          for (let i = 0; i < 150; i++) {
            const at = worker * part + random.below(part);
            const length = random.below(Math.min(9000, (worker + 1) * part - at));
            if (random.below(2) === 0) {
              const bytes = new Uint8Array(length).fill(random.below(256));
              yield* file.pwrite(bytes, at);
              model.set(bytes, at);
            } else {
              const got = yield* file.pread(length, at);
              if (Buffer.compare(got, model.subarray(at, at + length)) !== 0)
                throw new Error(`seed ${seed}: ${length} bytes at ${at} differ`);
            }
            if (random.below(8) === 0) yield* failed(withTimeout(0, file.dataSync()));
          }
        }),
      );
      await Promise.all(workers);
      expect([seed, Buffer.compare(readFileSync(path), model)]).toEqual([seed, 0]);
    }
  }, 20_000);
});

test("100,000 files opened, read and closed leave memory and descriptors as they were", async () => {
  const path = fresh("content");
  const count = Number(process.env.ZIGCORO_FILES ?? (isWindows ? 2000 : 100_000));
  const some = (n: number) =>
    run(function* () {
      const reader = function* (): Coroutine<void> {
        for (let i = 0; i < n / 10; i++) {
          const file = yield* File.open(path);
          expect((yield* file.pread(100, 0)).byteLength).toBe(7);
          yield* file.close();
        }
      };
      yield* all(Array.from({ length: 10 }, reader));
    });
  await some(count / 10);
  Bun.gc(true);
  const before = { rss: process.memoryUsage.rss(), descriptors: descriptors() };
  await some(count);
  Bun.gc(true);
  expect(descriptors()).toBeLessThanOrEqual(before.descriptors);
  expect(process.memoryUsage.rss() - before.rss).toBeLessThan(32 << 20);
  expect(existsSync(path)).toBe(true);
}, 60_000);
