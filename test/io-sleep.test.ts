// asyncio.sleep in guest and owner mode: never early, in order, many at once, cancelled, and its arguments.

import { describe, expect, test } from "bun:test";
import { asyncio, run, sleep, withTimeout, xasync } from "zigcoro";
import { microtasks, rejected, thrown } from "./support/failure.ts";

const loop = new asyncio.Loop();

test("sleep is asyncio.sleep", () => expect(sleep).toBe(asyncio.sleep));

for (const [mode, inMode] of [
  ["guest", async (body: () => Generator<never, void>) => await run(body)],
  ["owner", async (body: () => Generator<never, void>) => asyncio.run(loop, body)],
] as [string, (body: () => unknown) => Promise<unknown>][]) {
  describe(`in ${mode} mode`, () => {
    test("never wakes early", async () => {
      await inMode(function* () {
        for (const ms of [0, 0.1, 0.5, 1, 1.9, 2, 3.3, 7]) {
          const before = performance.now();
          yield* asyncio.sleep(ms);
          expect(performance.now() - before).toBeGreaterThanOrEqual(ms);
        }
      });
    });

    test("wakes by time, and by start among equals", async () => {
      const order: string[] = [];
      await inMode(function* () {
        const times = [180, 20, 100, 20, 180, 100, 60];
        const frames = times.map((ms, i) =>
          xasync(function* () {
            yield* asyncio.sleep(ms);
            order.push(`${ms}:${i}`);
          }),
        );
        for (const frame of frames) yield* frame;
      });
      expect(order).toEqual(["20:1", "20:3", "60:6", "100:2", "100:5", "180:0", "180:4"]);
    });

    test("ten thousand at once wake once each, none early", async () => {
      let woken = 0;
      let early = 0;
      await inMode(function* () {
        const frames = Array.from({ length: 10_000 }, (_, i) =>
          xasync(function* () {
            const before = performance.now();
            const ms = (i * 7919) % 50;
            yield* asyncio.sleep(ms);
            woken++;
            if (performance.now() - before < ms) early++;
          }),
        );
        for (const frame of frames) yield* frame;
      });
      expect([woken, early]).toEqual([10_000, 0]);
    });

    test("of 0 ms lets others run first", async () => {
      const order: string[] = [];
      await inMode(function* () {
        const frame = xasync(function* () {
          order.push("started");
          yield* asyncio.sleep(0);
          order.push("woken");
        });
        order.push("went on");
        yield* frame;
      });
      expect(order).toEqual(["started", "went on", "woken"]);
    });

    test("of the longest time sleeps until it is cancelled", async () => {
      await inMode(function* () {
        for (const ms of [1e9, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
          const frame = xasync(function* () {
            yield* asyncio.sleep(ms);
          });
          yield* asyncio.sleep(1);
          expect(frame.status).toBe("suspended");
          frame.cancel();
          try {
            yield* frame;
          } catch (error) {
            expect((error as Error).name).toBe("Cancelled");
          }
          expect(frame.status).toBe("done");
        }
      });
    });

    test("cancelled in bulk, the others wake", async () => {
      await inMode(function* () {
        let woken = 0;
        const frames = Array.from({ length: 3000 }, (_, i) =>
          xasync(function* () {
            yield* asyncio.sleep(1 + (i % 7));
            woken++;
          }),
        );
        for (let i = 0; i < 3000; i += 3) frames[i]?.cancel();
        for (let i = 0; i < 3000; i++) if (i % 3 !== 0) yield* frames[i] as (typeof frames)[0];
        expect(woken).toBe(2000);
      });
    });

    test("in an async body", async () => {
      await inMode(async () => {
        const before = performance.now();
        await asyncio.sleep(2);
        await Promise.all([asyncio.sleep(1), asyncio.sleep(2)]);
        expect(performance.now() - before).toBeGreaterThanOrEqual(4);
      });
    });
  });
}

test("one sleep may be used many times, at once too", async () => {
  const nap = asyncio.sleep(2);
  const before = performance.now();
  await Promise.all([nap, nap, run(() => nap), xasync(async () => await nap)]);
  await nap;
  expect(performance.now() - before).toBeGreaterThanOrEqual(4);
});

test("a sleep is lazy: nothing happens until somebody waits", async () => {
  const nap = asyncio.sleep(5);
  const before = performance.now();
  await asyncio.sleep(5);
  await nap;
  expect(performance.now() - before).toBeGreaterThanOrEqual(10);
});

test("within a limit: the shorter one decides", async () => {
  expect(await rejected(withTimeout(1, asyncio.sleep(1e6)))).toBe("TimeoutError: timed out after 1 ms waiting to sleep 1000000 ms");
  expect(await withTimeout(1e6, asyncio.sleep(1))).toBeUndefined();
  const frame = xasync(async () => await withTimeout(1e6, asyncio.sleep(1e6)));
  await microtasks();
  frame.cancel();
  expect(await rejected(frame)).toStartWith("Cancelled");
});

describe("wrong arguments", () => {
  const range = "RangeError: sleep: ms must be a number of milliseconds from 0 to 2^53 - 1, got";
  const type = "TypeError: sleep: ms must be a number of milliseconds, got";
  const wrong: [unknown, string][] = [
    [-1, `${range} -1`],
    [-0.001, `${range} -0.001`],
    [Number.NaN, `${range} NaN`],
    [Number.POSITIVE_INFINITY, `${range} Infinity`],
    [Number.NEGATIVE_INFINITY, `${range} -Infinity`],
    [2 ** 53, `${range} 9007199254740992`],
    ["5", `${type} "5"`],
    [undefined, `${type} undefined`],
    [null, `${type} null`],
    [5n, `${type} 5n`],
    [new Date(0), `${type} an object of class Date`],
  ];
  for (const [ms, message] of wrong) test(message, () => expect(thrown(() => asyncio.sleep(ms as number))).toBe(message));
});
