// Native bodies: C compiled in the process, suspended on stacks of their own and resumed from TypeScript.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { asyncio, run, xasync, xawait, xresume } from "zigcoro";
import { native } from "zigcoro/native";

const source = join(import.meta.dir, "fixtures/bodies.c");
const { sum, product, nap, pump, deep } = native.cc(source, ["sum", "product", "nap", "pump", "deep"]);

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
  expect(result).toEqual([0, -125]);
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

test("closing the connection under it ends its read", async () => {
  await run(function* () {
    using server = yield* asyncio.TCP.listen({ port: 0 });
    using client = yield* asyncio.TCP.connect({ port: server.local.port });
    using from = yield* server.accept();
    const pumping = xasync(pump, [from, client]);
    from.close();
    expect(yield* pumping).toBe(-125);
  });
});

test("wrong arguments are refused before native code runs", () => {
  const start = xasync as (...args: unknown[]) => unknown;
  expect(() => start(sum, ["x"])).toThrow('xasync: argument 0 of a native body must be a number or a TCP connection, got "x"');
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
