// How operations on files end otherwise than by themselves, in guest and owner mode: closes, huge and unfit arrays, cancels, and what is left of
// it all. Runs on each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { all, asyncio, type Coroutine, run, select, sleep, withTimeout, xasync } from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { failed, failure, rejected, thrown } from "./support/failure.ts";
import { temporaryFiles, text } from "./support/files.ts";
import { inBothModesSlowly as inBothModes } from "./support/modes.ts";
import { isWindows, isWine } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { descriptors } from "./support/sockets.ts";

const { File } = asyncio;
const { fifo, fresh } = temporaryFiles();

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
