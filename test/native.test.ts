// Native bodies: C compiled in the process, suspended on stacks of their own and resumed from TypeScript.

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncio, type Frame, remainingStackSize, run, stackAlloc, xasync, xawait, xresume } from "zigcoro";
import { native } from "zigcoro/native";
import { errnoOf, isWindows } from "./support/platform.ts";

const source = join(import.meta.dir, "fixtures/bodies.c");
const names = ["sum", "product", "nap", "pump", "deep", "room_left", "copy", "read_at"] as const;
const { sum, product, nap, pump, deep, room_left, copy, read_at } = native.cc(source, names);

test("a native body suspends and is resumed with values from TypeScript", async () => {
  const frame = xasync(sum, [100]);
  expect(frame.status).toBe("suspended");
  expect(frame.name).toBe("sum");
  for (let n = 1; n <= 10; n++) xresume(frame, n);
  expect(frame.status).toBe("suspended");
  xresume(frame, -1);
  expect(frame.status).toBe("done");
  expect(await xawait(frame)).toBe(155);
  expect(() => xresume(frame)).toThrow('cannot resume coroutine "sum": it has finished');
});

test("a native body that never suspends is done at once", async () => {
  const frame = xasync(product, [6, 7]);
  expect(frame.status).toBe("done");
  expect(await frame).toBe(42);
});

test("it suspends deep in its own calls, many at once", async () => {
  const frames = Array.from({ length: 1000 }, (_, i) => xasync(deep, [i % 50], { name: `deep ${i}` }));
  for (const [i, frame] of frames.entries()) xresume(frame, i);
  for (const [i, frame] of frames.entries()) expect(await frame).toBe(i + (i % 50));
});

test("it sleeps without holding up anyone, is awaited from a generator, and a cancel ends the sleep", async () => {
  const result = await run(function* () {
    const started = performance.now();
    const short = xasync(nap, [5]);
    const long = xasync(nap, [3_600_000]);
    expect(() => xresume(short)).toThrow('cannot resume coroutine "nap": it waits to go on in native code');
    const ended = yield* short;
    expect(performance.now() - started).toBeGreaterThanOrEqual(5);
    long.cancel();
    return [ended, yield* xawait(long)];
  });
  expect(result).toEqual([0, errnoOf("ECANCELED")]);
});

test("a cancel ends a suspend too", async () => {
  const frame = xasync(sum, [5]);
  frame.cancel();
  expect(await frame).toBe(5);
});

test("it reads and writes connections from its own stack", async () => {
  await run(function* () {
    using server = yield* asyncio.TCP.listen({ port: 0 });
    const { port } = server.local;
    using client = yield* asyncio.TCP.connect({ port });
    using from = yield* server.accept();
    using sink = yield* asyncio.TCP.connect({ port });
    using to = yield* server.accept();
    const pumping = xasync(pump, [from, to]);
    const text = "coroutine ".repeat(20_000);
    const writing = xasync(function* writer() {
      yield* client.write(text);
      yield* client.shutdown();
    });
    let received = "";
    while (received.length < text.length) received += new TextDecoder().decode((yield* sink.read()) as Uint8Array);
    yield* writing;
    expect(yield* pumping).toBe(text.length);
    expect(received).toBe(text);
  });
});

test("it reads and writes pipes and Unix sockets, from where TypeScript stopped", async () => {
  await run(function* () {
    const { reader, writer } = asyncio.pipe();
    const [near, far] = asyncio.Unix.pair();
    yield* writer.write("head and body");
    yield* reader.readUntil(" ");
    const pumping = xasync(pump, [reader, near]);
    yield* writer.write(", and more");
    writer.close();
    expect(yield* pumping).toBe(18);
    near.close();
    expect(Buffer.from((yield* far.readExactly(18)) ?? []).toString()).toBe("and body, and more");
    expect(yield* far.read()).toBeNull();
    reader.close();
    far.close();
  });
});

test("closing the connection under it ends its read", async () => {
  await run(function* () {
    using server = yield* asyncio.TCP.listen({ port: 0 });
    using client = yield* asyncio.TCP.connect({ port: server.local.port });
    using from = yield* server.accept();
    const pumping = xasync(pump, [from, client]);
    from.close();
    expect(yield* pumping).toBe(errnoOf("ECANCELED"));
  });
});

test("it reads and writes files, waits for a pipe, and is cancelled there", async () => {
  const folder = mkdtempSync(join(tmpdir(), "zigcoro-native-"));
  await run(function* () {
    const text = "coroutine ".repeat(20_000);
    const from = yield* asyncio.File.open(join(folder, "from"), "w+");
    yield* from.write(text);
    const to = yield* asyncio.File.open(join(folder, "to"), "w+");
    expect(yield* xasync(copy, [from, to])).toBe(text.length);
    expect(yield* asyncio.File.readText(join(folder, "to"))).toBe(text);
    const read = function* (place: number) {
      return yield* xasync(read_at, [from, place]);
    };
    expect([yield* read(0), yield* read(1e9), yield* read(-1), yield* read(Number.NaN)]).toEqual([
      1,
      0,
      errnoOf("EINVAL"),
      errnoOf("EINVAL"),
    ]);
    yield* from.close();
    expect(yield* xasync(read_at, [from, 0])).toBe(errnoOf("EBADF"));
    if (isWindows) return;
    expect(Bun.spawnSync(["mkfifo", join(folder, "fifo")]).exitCode).toBe(0);
    const pipe = yield* asyncio.File.open(join(folder, "fifo"), "r+");
    const [waiting, cancelled] = [xasync(read_at, [pipe, 0]), xasync(read_at, [pipe, 0])];
    cancelled.cancel();
    expect(yield* cancelled).toBe(errnoOf("ECANCELED"));
    yield* pipe.write("x");
    expect(yield* waiting).toBe(1);
    const last = xasync(read_at, [pipe, 0]);
    yield* pipe.close();
    expect(yield* last).toBe(errnoOf("ECANCELED"));
    yield* to.close();
  });
  // Under wine Bun removes no folder that was in use.
  if (!isWindows) rmSync(folder, { recursive: true });
});

test("a stack of one's own serves one body after the other", async () => {
  using stack = stackAlloc(20_000);
  expect(stack.size).toBeGreaterThanOrEqual(20_000);
  for (let round = 0; round < 3; round++) {
    const frame = xasync(sum, [round], { stack });
    expect(() => xasync(sum, [0], { stack })).toThrow("xasync: a coroutine runs on this stack already");
    expect(() => stack.free()).toThrow("cannot free a stack: a coroutine runs on it");
    xresume(frame, -1);
    expect(await frame).toBe(round);
  }
  const ended = xasync(nap, [1], { stack });
  expect(await ended).toBe(0);
  stack.free();
  stack.free();
  expect(() => xasync(sum, [0], { stack })).toThrow("xasync: this stack was freed");
  expect(() => stackAlloc(1)).toThrow("stackAlloc: size must be an integer from 4096 to 8388608, got 1");
  const forged = { handle: 12_345, size: 1 };
  expect(() => (xasync as (...args: unknown[]) => unknown)(sum, [0], { stack: forged })).toThrow();
});

test("a stack that only its coroutine knows is kept, and freed after it", async () => {
  const frame = xasync(deep, [20], { stack: stackAlloc() });
  for (let i = 0; i < 3; i++) {
    Bun.gc(true);
    await asyncio.sleep(0);
  }
  xresume(frame, 1);
  expect(await frame).toBe(21);
});

test("how much is left of a stack shrinks with the depth of calls", async () => {
  const [shallow, deeper] = [1, 50].map((depth) => xasync(room_left, [depth], { stack: 65_536 })) as [Frame<number>, Frame<number>];
  const [left, less] = [remainingStackSize(shallow), remainingStackSize(deeper)];
  expect(left).toBeLessThan(65_536);
  expect(left - less).toBeGreaterThanOrEqual(49 * 256);
  for (const frame of [shallow, deeper]) xresume(frame);
  // The body sees at least what it has left at its suspend, which lies a little deeper.
  for (const [frame, seen] of [
    [shallow, left],
    [deeper, less],
  ] as const) {
    expect(await frame).toBeGreaterThanOrEqual(seen);
    expect(await frame).toBeLessThan(seen + 4096);
    expect(remainingStackSize(frame)).toBe(0);
  }
  expect(remainingStackSize()).toBeGreaterThan(100_000);
  const generator = xasync(function* () {});
  expect(() => remainingStackSize(generator)).toThrow("remainingStackSize: frame must be of a native body");
});

test("wrong arguments are refused before native code runs", () => {
  const start = xasync as (...args: unknown[]) => unknown;
  expect(() => start(sum, ["x"])).toThrow(
    'xasync: argument 0 of a native body must be a number, a stream, a File, a UDP or an AsyncNotification, got "x"',
  );
  expect(() => start(sum, [1, 2, 3, 4, 5, 6, 7, 8, 9])).toThrow("xasync: a native body takes at most 8 arguments, got 9");
  expect(() => start(sum, [1], { stack: 100 })).toThrow("xasync: options.stack must be an integer from 4096 to 8388608, got 100");
  expect(() => start(5)).toThrow("xasync: body must be a function or a NativeBody, got 5");
  for (const address of [0, -5, 5, Number.NaN, 0.5, undefined, "x"]) {
    expect(() => (native.at as (address: unknown) => unknown)(address)).toThrow("native.at: address must be a pointer, got ");
  }
  const frame = xasync(sum, []);
  expect(() => xresume(frame, "text")).toThrow('xresume: a native body takes a number, got "text"');
  xresume(frame, -1);
});
