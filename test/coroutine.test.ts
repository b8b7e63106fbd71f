// Coroutines: the three kinds of bodies, resuming, awaiting, errors, names, storage.

import { describe, expect, test } from "bun:test";
import {
  asyncio,
  Channel,
  type Coroutine,
  type Frame,
  inCoro,
  run,
  scope,
  until,
  withTimeout,
  xasync,
  xawait,
  xframe,
  xresume,
  xsuspend,
} from "zigcoro";
import { counter } from "./support/counter.ts";
import { failure, microtasks, rejected } from "./support/failure.ts";

describe("a generator body", () => {
  test("runs to its first suspend, goes on at each resume, ends with its result", async () => {
    const frame = xasync(counter, [3]);
    let resumes = 0;
    for (; frame.status === "suspended"; resumes++) xresume(frame);
    expect(resumes).toBe(3);
    expect(frame.status).toBe("done");
    expect(await xawait(frame)).toBe(6);
    expect(await frame).toBe(6);
  });

  test("without a suspend is done when xasync returns", async () => {
    const frame = xasync(counter, [0]);
    expect(frame.status).toBe("done");
    expect(await frame).toBe(0);
  });

  test("gets what each resume brings, undefined too", () => {
    const got: unknown[] = [];
    const frame = xasync(function* () {
      for (let i = 0; i < 4; i++) got.push(yield* xsuspend());
    });
    xresume(frame, "a");
    xresume(frame);
    xresume(frame, null);
    xresume(frame, got);
    expect(got).toEqual(["a", undefined, null, got]);
  });

  test("resumes nest, and each returns to its resumer", () => {
    const log: string[] = [];
    function* link(name: string, next?: Frame<void>): Coroutine<void> {
      for (let round = 1; round <= 2; round++) {
        yield* xsuspend();
        log.push(`${name}${round} in`);
        if (next) xresume(next);
        log.push(`${name}${round} out`);
      }
    }
    const c = xasync(link, ["c"]);
    const b = xasync(link, ["b", c]);
    const a = xasync(link, ["a", b]);
    xresume(a);
    xresume(a);
    expect(log).toEqual(["a1 in", "b1 in", "c1 in", "c1 out", "b1 out", "a1 out", "a2 in", "b2 in", "c2 in", "c2 out", "b2 out", "a2 out"]);
    expect([a.status, b.status, c.status]).toEqual(["done", "done", "done"]);
  });

  test("resumes nest a thousand deep", () => {
    let reached = 0;
    function* link(next?: Frame<void>): Coroutine<void> {
      yield* xsuspend();
      reached++;
      if (next) xresume(next);
    }
    let frame = xasync(link, []);
    for (let i = 1; i < 1000; i++) frame = xasync(link, [frame]);
    xresume(frame);
    expect(reached).toBe(1000);
  });

  test("helpers compose with yield* at any depth", async () => {
    function* deep(n: number): Coroutine<number> {
      if (n === 0) {
        yield* asyncio.sleep(0);
        return Number(yield* xsuspend());
      }
      return (yield* deep(n - 1)) + 1;
    }
    const frame = xasync(deep, [500]);
    const sleeper = xasync(function* () {
      while (frame.status === "suspended") {
        try {
          xresume(frame, 7);
        } catch {
          yield* asyncio.sleep(0);
        }
      }
    });
    await sleeper;
    expect(await frame).toBe(507);
  });

  test("falsy results stay what they are", async () => {
    for (const value of [undefined, null, 0, "", false, Number.NaN]) {
      const frame = xasync(function* () {
        yield* asyncio.sleep(0);
        return value;
      });
      expect(await frame).toBe(value as undefined);
    }
  });

  test("misused with a bare yield is told so at that yield, and may go on", async () => {
    const ch = new Channel<number>(1);
    const told: string[] = [];
    const frame = xasync(
      function* () {
        for (const value of [5, ch.recv(), Promise.resolve()]) {
          try {
            yield value as never;
          } catch (error) {
            told.push(String(error));
          }
        }
        yield* asyncio.sleep(0);
        return "went on";
      },
      [],
      { name: "lazy" },
    );
    expect(await frame).toBe("went on");
    expect(told).toEqual([
      'TypeError: coroutine "lazy" yielded 5: a coroutine yields nothing by itself; write yield* and an operation',
      'TypeError: coroutine "lazy" yielded an object of class Recv: write yield* for an operation',
      'TypeError: coroutine "lazy" yielded an object of class Promise: write yield* until(promise)',
    ]);
  });
});

describe("an async body", () => {
  test("starts at once and ends with its result", async () => {
    const log: string[] = [];
    const frame = xasync(
      async (n: number) => {
        log.push("started");
        await asyncio.sleep(0);
        log.push("slept");
        return n + 1;
      },
      [41],
    );
    log.push("returned");
    expect(frame.status).toBe("suspended");
    expect(await frame).toBe(42);
    expect(log).toEqual(["started", "returned", "slept"]);
    expect(frame.status).toBe("done");
  });

  test("suspends in xsuspend and goes on after xresume has returned", async () => {
    const log: unknown[] = [];
    const frame = xasync(async () => {
      log.push(await xsuspend());
      log.push(await xsuspend());
      return "end";
    });
    await microtasks();
    xresume(frame, 1);
    log.push("resumed");
    await microtasks();
    xresume(frame, 2);
    expect(await frame).toBe("end");
    expect(log).toEqual(["resumed", 1, 2]);
  });

  test("a rejection reaches everyone who awaits", async () => {
    const frame = xasync(async () => {
      await asyncio.sleep(0);
      throw new RangeError("no");
    });
    const inGenerator = xasync(function* () {
      return yield* until(rejected(xawait(frame)));
    });
    expect(await rejected(frame)).toBe("RangeError: no");
    expect(await inGenerator).toBe("RangeError: no");
  });

  test("uses channels, sleeps and frames with await", async () => {
    const ch = new Channel<number>();
    const sum = xasync(async () => {
      let total = 0;
      for await (const n of ch) total += n;
      return total;
    });
    const producer = xasync(async () => {
      for (let i = 1; i <= 100; i++) await ch.send(i);
      ch.close();
    });
    await producer;
    expect(await xasync(async () => (await sum) + 1)).toBe(5051);
  });
});

describe("a plain body", () => {
  test("is done when xasync returns; its result or error is kept", async () => {
    const frame = xasync((a: number, b: number) => a * b, [6, 7]);
    expect(frame.status).toBe("done");
    expect(await frame).toBe(42);
    const failed = xasync(() => {
      throw new Error("plain");
    });
    expect(failed.status).toBe("done");
    expect(await rejected(failed)).toBe("Error: plain");
  });

  test("that returns a promise or a generator ends with it", async () => {
    expect(await xasync(() => Promise.resolve(3))).toBe(3);
    expect(await xasync(() => counter(0))).toBe(0);
    const frame = xasync(() => counter(1));
    expect(frame.status).toBe("suspended");
    xresume(frame);
    expect(await frame).toBe(2);
  });

  test("that returns an async function's promise is the coroutine that its operations run in", async () => {
    const log: unknown[] = [];
    async function work(): Promise<void> {
      log.push(inCoro(), xframe().name);
      await new Channel<never>().recv();
    }
    const frame = xasync(() => work(), [], { name: "wrapped" });
    await microtasks();
    frame.cancel();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
    expect(log).toEqual([true, "wrapped"]);
  });
});

describe("awaiting", () => {
  test("many awaiters of every kind get the one result", async () => {
    const gate = new Channel<string>();
    const frame = xasync(function* () {
      return yield* gate.recv();
    });
    const waiters: PromiseLike<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      waiters.push(
        xasync(function* () {
          return yield* xawait(frame);
        }),
        xasync(async () => await frame),
        frame.then((value) => value),
      );
    }
    await gate.send("result");
    expect(new Set(await Promise.all(waiters))).toEqual(new Set(["result"]));
  });

  test("an error is the same object for all, early and late", async () => {
    const error = new Error("once");
    const frame = xasync(function* () {
      yield* asyncio.sleep(0);
      throw error;
    });
    function* waiter(): Coroutine<unknown> {
      try {
        return yield* frame;
      } catch (caught) {
        return caught;
      }
    }
    expect(await xasync(waiter)).toBe(error);
    expect(await xasync(waiter)).toBe(error);
    expect(await failure(frame)).toBe(error as never);
  });

  test("what is thrown need not be an Error", async () => {
    const frame = xasync(function* () {
      yield* asyncio.sleep(0);
      throw undefined;
    });
    const caught = await frame.then(
      () => "no",
      (reason: unknown) => [reason],
    );
    expect(caught).toEqual([undefined]);
  });

  test("a chain of ten thousand joins ends", async () => {
    let frame = xasync(function* () {
      yield* asyncio.sleep(0);
      return 0;
    });
    for (let i = 0; i < 10_000; i++) {
      const inner = frame;
      frame = xasync(function* () {
        return (yield* inner) + 1;
      });
    }
    expect(await frame).toBe(10_000);
  });

  test("a coroutine that awaits itself is told so", async () => {
    const generator = xasync(
      function* () {
        yield* xframe();
      },
      [],
      { name: "ouroboros" },
    );
    expect(await rejected(generator)).toBe('Error: coroutine "ouroboros" cannot await itself');
  });

  test("an async coroutine that awaits itself is told so", async () => {
    async function ouroboros(): Promise<unknown> {
      const self = xframe();
      await null;
      return await self;
    }
    expect(await rejected(withTimeout(1000, xasync(ouroboros)))).toBe('Error: coroutine "ouroboros" cannot await itself');
  });

  test("with a limit leaves the coroutine alone", async () => {
    const frame = xasync(counter, [1], { name: "slow" });
    expect(await rejected(withTimeout(1, frame))).toBe('TimeoutError: timed out after 1 ms waiting to await coroutine "slow"');
    xresume(frame);
    expect(await withTimeout(1000, frame)).toBe(2);
  });
});

describe("names, storage, the current frame", () => {
  test("a frame is named after its function, or as told, or anonymous", () => {
    expect(xasync(counter, [0]).name).toBe("counter");
    expect(xasync(counter, [0], { name: "other" }).name).toBe("other");
    expect(xasync(async () => {}).name).toBe("anonymous");
    expect(xasync(() => {}).name).toBe("anonymous");
  });

  test("storage is the program's, one a frame", async () => {
    function* body(value: number): Coroutine<unknown> {
      xframe().storage = value;
      yield* asyncio.sleep(0);
      return xframe().storage;
    }
    const frames = [1, 2, 3].map((n) => xasync(body, [n]));
    expect(frames.map((frame) => frame.storage)).toEqual([1, 2, 3]);
    expect(await Promise.all(frames)).toEqual([1, 2, 3]);
    expect(xasync(counter, [0]).storage).toBeUndefined();
  });

  test("storage that was given is there when a body of any kind begins", async () => {
    const mine = () => xframe<{ n: number }>().storage.n++;
    // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
    function* generator(): Coroutine<number> {
      return mine();
    }
    const spawned = [
      xasync(generator, [], { storage: { n: 1 } }),
      xasync(async () => mine(), [], { storage: { n: 1 } }),
      xasync(mine, [], { storage: { n: 1 } }),
      xasync(() => generator(), [], { storage: { n: 1 } }),
    ];
    expect(await Promise.all(spawned)).toEqual([1, 1, 1, 1]);
    for (const frame of spawned) expect(frame.storage.n).toBe(2);
    expect(await run(generator, [], { storage: { n: 5 } })).toBe(5);
    await scope((s) => expect(s.spawn(generator, [], { storage: { n: 6 } }).storage.n).toBe(7));
    // It is the coroutine's own: those that it spawns have none.
    const child = xasync(() => xasync(() => xframe().storage), [], { storage: 1 });
    expect(await child).toBeUndefined();
  });

  test("xframe and inCoro are right before and after waits, in nested starts and resumes", async () => {
    const seen: boolean[] = [];
    const see = (frame: Frame<unknown>) => seen.push(inCoro() && xframe() === frame);
    const inner = xasync(function* () {
      yield* xsuspend();
      see(inner);
    });
    const outer: Frame<void> = xasync(function* () {
      const self = xframe();
      yield* asyncio.sleep(0);
      see(self);
      const started = xasync(function* () {
        const me = xframe();
        seen.push(me !== self);
        yield* asyncio.sleep(0);
        see(me);
      });
      see(self);
      const asynchronous = xasync(async () => {
        const me = xframe();
        seen.push(me !== self);
        await asyncio.sleep(0);
        see(me);
        await null;
        see(me);
      });
      see(self);
      xresume(inner);
      see(self);
      yield* started;
      yield* asynchronous;
      see(self);
    });
    expect(inCoro()).toBe(false);
    await outer;
    expect(seen).toEqual(new Array(11).fill(true));
    expect(inCoro()).toBe(false);
  });

  test("a body that throws at once leaves no current frame behind", async () => {
    // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
    const failed = xasync(function* (): Coroutine<void> {
      throw new Error("at once");
    });
    expect(inCoro()).toBe(false);
    expect(await rejected(failed)).toBe("Error: at once");
  });
});
