// Coroutines: the three kinds of bodies, resuming, awaiting, errors, misuse, names, storage, cancel, fairness.

import { describe, expect, test } from "bun:test";
import {
  asyncio,
  Cancelled,
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
import { failure, microtasks, rejected, thrown } from "./support/failure.ts";

function* counter(upTo: number): Coroutine<number> {
  for (let i = 1; i <= upTo; i++) yield* xsuspend();
  return upTo * 2;
}

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

describe("misuse is told", () => {
  test("of xresume", async () => {
    const done = xasync(counter, [0], { name: "finished" });
    expect(thrown(() => xresume(done))).toBe('Error: cannot resume coroutine "finished": it has finished');

    const sleeper = xasync(
      function* () {
        yield* asyncio.sleep(5);
      },
      [],
      { name: "sleeper" },
    );
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "sleeper": it waits to sleep 5 ms');
    await sleeper;

    const ch = new Channel<number>(0, "jobs");
    const receiver = xasync(
      function* () {
        return yield* ch.recv();
      },
      [],
      { name: "worker" },
    );
    expect(thrown(() => xresume(receiver))).toBe('Error: cannot resume coroutine "worker": it waits to receive from channel "jobs"');
    const sender = xasync(
      function* () {
        yield* ch.send(1);
        yield* ch.send(2);
      },
      [],
      { name: "boss" },
    );
    await receiver;
    await microtasks();
    expect(thrown(() => xresume(sender))).toBe('Error: cannot resume coroutine "boss": it waits to send to channel "jobs"');
    const joiner = xasync(
      function* () {
        yield* sender;
      },
      [],
      { name: "joiner" },
    );
    expect(thrown(() => xresume(joiner))).toBe('Error: cannot resume coroutine "joiner": it waits to await coroutine "boss"');
    expect(ch.tryRecv()).toBe(2);
    await joiner;
  });

  test("of xresume on itself, and on one that waits for the resumed one", () => {
    const told: string[] = [];
    const inner: Frame<void> = xasync(
      function* () {
        yield* xsuspend();
        told.push(thrown(() => xresume(xframe())));
        told.push(thrown(() => xresume(outer)));
      },
      [],
      { name: "inner" },
    );
    const outer: Frame<void> = xasync(
      function* () {
        yield* xsuspend();
        xresume(inner);
      },
      [],
      { name: "outer" },
    );
    xresume(outer);
    expect(told).toEqual([
      'Error: cannot resume coroutine "inner": it is running',
      'Error: cannot resume coroutine "outer": it is running',
    ]);
    expect([inner.status, outer.status]).toEqual(["done", "done"]);
  });

  test("of xresume on async and plain bodies", async () => {
    const plain = xasync(() => 1, [], { name: "plain" });
    expect(thrown(() => xresume(plain))).toBe('Error: cannot resume coroutine "plain": it has finished');
    const sleeper = xasync(async () => await asyncio.sleep(5), [], { name: "async sleeper" });
    await microtasks();
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "async sleeper": it waits to sleep 5 ms');
    await sleeper;
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "async sleeper": it has finished');
    const twice = xasync(async () => await xsuspend(), [], { name: "twice" });
    await microtasks();
    xresume(twice);
    expect(thrown(() => xresume(twice))).toStartWith('Error: cannot resume coroutine "twice": ');
    await twice;
  });

  test("of operations outside of any coroutine", () => {
    const outside = "outside of any coroutine";
    expect(thrown(() => xsuspend())).toBe(`Error: xsuspend was called ${outside}: there is nothing to suspend`);
    expect(thrown(() => xframe())).toBe(`Error: xframe was called ${outside}`);
    expect(inCoro()).toBe(false);
    expect(thrown(() => [...(asyncio.sleep(1) as unknown as Iterable<never>)])).toBe(
      "Error: cannot sleep 1 ms here: yield* works inside a coroutine; elsewhere write await",
    );
    expect(thrown(() => [...counter(1)])).toBe(`Error: xsuspend was called ${outside}: there is nothing to suspend`);
  });

  const wrong: [string, () => unknown, string][] = [
    ["xasync(string)", () => xasync("5" as never), 'TypeError: xasync: body must be a function or a NativeBody, got "5"'],
    ["xasync({})", () => xasync({} as never), "TypeError: xasync: body must be a function or a NativeBody, got an object of class Object"],
    ["xasync(undefined)", () => xasync(undefined as never), "TypeError: xasync: body must be a function or a NativeBody, got undefined"],
    [
      "xasync(generator)",
      () => xasync(counter(1) as never),
      "TypeError: xasync: body must be a function or a NativeBody, got an object of class ",
    ],
    ["args 7", () => xasync(counter, 7 as never), "TypeError: xasync: args must be an array, got 7"],
    ['args "abc"', () => xasync(counter, "abc" as never), 'TypeError: xasync: args must be an array, got "abc"'],
    ["name 5", () => xasync(counter, [0], { name: 5 as never }), "TypeError: xasync: options.name must be a string, got 5"],
    ["xawait({})", () => xawait({} as never), "TypeError: xawait: frame must be a Frame, got an object of class Object"],
    ["xawait()", () => xawait(undefined as never), "TypeError: xawait: frame must be a Frame, got undefined"],
    [
      "xawait(promise)",
      () => xawait(Promise.resolve() as never),
      "TypeError: xawait: frame must be a Frame, got an object of class Promise",
    ],
    ["xresume(null)", () => xresume(null as never), "TypeError: xresume: frame must be a Frame, got null"],
    ["until(1)", () => until(1 as never), "TypeError: until: promise must be a promise, got 1"],
    ["until()", () => until(undefined as never), "TypeError: until: promise must be a promise, got undefined"],
    [
      "withTimeout(-1)",
      () => withTimeout(-1, asyncio.sleep(1)),
      "RangeError: withTimeout: ms must be a number of milliseconds from 0 to 2^53 - 1, got -1",
    ],
    [
      "withTimeout(NaN)",
      () => withTimeout(Number.NaN, asyncio.sleep(1)),
      "RangeError: withTimeout: ms must be a number of milliseconds from 0 to 2^53 - 1, got NaN",
    ],
    [
      'withTimeout("1")',
      () => withTimeout("1" as never, asyncio.sleep(1)),
      'TypeError: withTimeout: ms must be a number of milliseconds, got "1"',
    ],
    [
      "withTimeout(1, number)",
      () => withTimeout(1, 2 as never),
      "TypeError: withTimeout: operation must be an operation, a frame, a generator or a promise, got 2",
    ],
  ];
  for (const [name, call, message] of wrong) test(`of ${name}`, () => expect(thrown(call)).toStartWith(message));
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

describe("until", () => {
  test("gives what the promise gives, in any number of uses", async () => {
    const operation = until(Promise.resolve(4));
    expect(
      await run(function* () {
        return (yield* operation) + (yield* operation);
      }),
    ).toBe(8);
    expect(await operation).toBe(4);
    expect(await Promise.all([operation, operation])).toEqual([4, 4]);
  });

  test("throws what the promise rejects with, undefined too", async () => {
    expect(await rejected(until(Promise.reject(new Error("r"))))).toBe("Error: r");
    expect(
      await until(Promise.reject(undefined)).then(
        () => "resolved",
        (reason) => [reason],
      ),
    ).toEqual([undefined]);
  });

  test("with a limit leaves the promise alone", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    expect(await rejected(withTimeout(1, until(promise)))).toBe("TimeoutError: timed out after 1 ms waiting to await a promise");
    resolve(5);
    expect(await withTimeout(1000, until(promise))).toBe(5);
  });

  test("a cancelled wait ends at once, though the promise never does", async () => {
    const frame = xasync(function* () {
      yield* until(new Promise<never>(() => {}));
    });
    frame.cancel();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });
});

/** One coroutine of each kind that waits in `wait`, then once more, and says what it saw. */
const kinds: [string, (wait: () => PromiseLike<unknown> & Iterable<never, unknown>, log: unknown[]) => Frame<void>][] = [
  [
    "generator",
    (wait, log) =>
      xasync(function* () {
        try {
          log.push(yield* wait());
        } catch (error) {
          log.push((error as Error).name);
        }
        try {
          yield* asyncio.sleep(0);
          log.push("went on");
        } catch (error) {
          log.push(`next: ${(error as Error).name}`);
        }
      }),
  ],
  [
    "async",
    (wait, log) =>
      xasync(async () => {
        try {
          log.push(await wait());
        } catch (error) {
          log.push((error as Error).name);
        }
        try {
          await asyncio.sleep(0);
          log.push("went on");
        } catch (error) {
          log.push(`next: ${(error as Error).name}`);
        }
      }),
  ],
];

for (const [kind, start] of kinds) {
  describe(`cancel of a coroutine with a body that is ${kind}`, () => {
    const waits: [string, () => PromiseLike<unknown> & Iterable<never, unknown>][] = [
      ["sleep", () => asyncio.sleep(1e9) as never],
      ["receive", () => new Channel<number>().recv() as never],
      ["send", () => new Channel<number>().send(1) as never],
      ["xsuspend", () => xsuspend() as never],
      ["a promise", () => until(new Promise(() => {})) as never],
      ["a limited receive", () => withTimeout(1e9, new Channel<number>().recv()) as never],
      [
        "another coroutine",
        () =>
          xawait(
            xasync(function* () {
              yield* xsuspend();
            }),
          ) as never,
      ],
    ];
    for (const [what, wait] of waits) {
      test(`is delivered where it waits: ${what}; then it goes on`, async () => {
        const log: unknown[] = [];
        const frame = start(wait, log);
        await microtasks();
        frame.cancel();
        await frame;
        expect(log).toEqual(["Cancelled", "went on"]);
      });
    }

    test("called twice in a row is delivered once", async () => {
      const log: unknown[] = [];
      const frame = start(() => asyncio.sleep(1e9) as never, log);
      await microtasks();
      frame.cancel();
      frame.cancel();
      await frame;
      expect(log).toEqual(["Cancelled", "went on"]);
    });

    test("when the receive has its value keeps the value and is delivered at the next operation", async () => {
      const ch = new Channel<string>();
      const log: unknown[] = [];
      const frame = start(() => ch.recv() as never, log);
      await microtasks();
      expect(ch.trySend("value")).toBe(true);
      frame.cancel();
      await frame;
      expect(log).toEqual(["value", "next: Cancelled"]);
    });

    test("when the send was received counts as sent", async () => {
      const ch = new Channel<string>();
      const log: unknown[] = [];
      const frame = start(() => ch.send("value") as never, log);
      await microtasks();
      expect(ch.tryRecv()).toBe("value");
      frame.cancel();
      await frame;
      expect(log).toEqual([undefined, "next: Cancelled"]);
    });

    test("when the joined coroutine has ended keeps its result", async () => {
      const inner = xasync(counter, [1]);
      const log: unknown[] = [];
      const frame = start(() => xawait(inner) as never, log);
      await microtasks();
      xresume(inner);
      frame.cancel();
      await frame;
      expect(log).toEqual([2, "next: Cancelled"]);
    });

    test("does nothing to a finished coroutine", async () => {
      const log: unknown[] = [];
      const frame = start(() => asyncio.sleep(0) as never, log);
      await frame;
      frame.cancel();
      await frame;
      expect(log).toEqual([undefined, "went on"]);
    });
  });
}

describe("cancel", () => {
  test("reaches the operation that a plain body returned", async () => {
    const jobs = new Channel<number>();
    const frame = xasync(() => jobs.recv());
    await frame.cancel();
    expect(await failure(frame)).toBeInstanceOf(Cancelled);
    expect(jobs.trySend(1)).toBe(false);
  });

  test("brings its reason, and ends the frame with Cancelled", async () => {
    const reason = { why: "tired" };
    for (const body of [
      function* (): Coroutine<void> {
        yield* asyncio.sleep(1e9);
      },
      async (): Promise<void> => {
        await asyncio.sleep(1e9);
      },
    ]) {
      const frame = xasync(body as () => Promise<void>);
      await microtasks();
      frame.cancel(reason);
      const error = await failure(frame);
      expect(error).toBeInstanceOf(Cancelled);
      expect([error.message, error.code, error.cause]).toEqual(["the coroutine was cancelled", "ERR_CANCELLED", reason]);
    }
  });

  test("of the running coroutine is delivered at its next operation, even one that would end at once", async () => {
    const log: unknown[] = [];
    const ch = new Channel<number>(1);
    const frame = xasync(function* () {
      xframe().cancel("self");
      log.push("still running");
      try {
        yield* ch.send(1);
      } catch (error) {
        log.push((error as Error).name, ch.tryRecv());
      }
      yield* ch.send(2);
      return "end";
    });
    expect(await frame).toBe("end");
    expect(log).toEqual(["still running", "Cancelled", undefined]);
  });

  test("that is never met by an operation changes nothing", async () => {
    // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
    const frame = xasync(function* () {
      xframe().cancel();
      return 1;
    });
    expect(await frame).toBe(1);
  });

  test("lets finally suspend, in nested generators, from the inside out", async () => {
    const log: string[] = [];
    const ch = new Channel<string>(8);
    function* level(n: number): Coroutine<void> {
      try {
        if (n === 3) yield* asyncio.sleep(1e9);
        else yield* level(n + 1);
      } finally {
        yield* asyncio.sleep(1);
        yield* ch.send(`level ${n}`);
        log.push(`level ${n}`);
      }
    }
    const frame = xasync(level, [1]);
    frame.cancel();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
    expect(log).toEqual(["level 3", "level 2", "level 1"]);
  });

  test("a second time, while finally suspends, does not disturb it", async () => {
    const log: string[] = [];
    const cleaning = new Channel<void>();
    const go = new Channel<void>();
    const frame = xasync(function* () {
      try {
        yield* asyncio.sleep(1e9);
      } finally {
        yield* cleaning.send();
        yield* go.recv();
        log.push("cleaned");
      }
    });
    frame.cancel();
    await cleaning.recv();
    await microtasks();
    frame.cancel();
    await microtasks();
    if (frame.status !== "done") await go.send();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
    expect(log).toEqual(["cleaned"]);
  });

  test("of an awaiter leaves the awaited coroutine and its other awaiters alone", async () => {
    const inner = xasync(counter, [1]);
    const one = xasync(function* () {
      return yield* inner;
    });
    const two = xasync(function* () {
      return yield* inner;
    });
    one.cancel();
    expect(await rejected(one)).toStartWith("Cancelled");
    xresume(inner);
    expect(await two).toBe(2);
  });

  test("an awaiter of a cancelled coroutine gets Cancelled as any error", async () => {
    const inner = xasync(function* () {
      yield* asyncio.sleep(1e9);
    });
    const outer = xasync(function* () {
      try {
        yield* inner;
      } catch (error) {
        return (error as Error).name;
      }
    });
    inner.cancel();
    expect(await outer).toBe("Cancelled");
  });

  test("before a resume reaches it makes the coroutine not resumable", async () => {
    const frame = xasync(function* () {
      yield* xsuspend();
    });
    frame.cancel();
    expect(thrown(() => xresume(frame))).toStartWith('Error: cannot resume coroutine "anonymous": ');
    expect(await rejected(frame)).toStartWith("Cancelled");
  });

  test("of ten thousand coroutines ends each once", async () => {
    let ended = 0;
    const frames = Array.from({ length: 10_000 }, (_, i) =>
      xasync(function* () {
        try {
          if (i % 3 === 0) yield* asyncio.sleep(1e9);
          else if (i % 3 === 1) yield* new Channel<never>().recv();
          else yield* xsuspend();
        } finally {
          yield* asyncio.sleep(0);
          ended++;
        }
      }),
    );
    for (const frame of frames) frame.cancel();
    const ends = await Promise.allSettled(frames);
    expect(ended).toBe(10_000);
    expect(ends.every((end) => end.status === "rejected" && end.reason instanceof Cancelled)).toBe(true);
  });
});

describe("fairness", () => {
  test("a coroutine whose operations all end at once lets others run", async () => {
    const ch = new Channel<number>(1);
    let stop = false;
    let rounds = 0;
    const busy = xasync(function* () {
      for (; !stop; rounds++) {
        yield* ch.send(1);
        yield* ch.recv();
      }
    });
    await asyncio.sleep(0);
    stop = true;
    await busy;
    expect(rounds).toBeGreaterThan(0);
  });

  test("coroutines that wake each other for ever leave Bun's timers and IO running", async () => {
    const ping = new Channel<number>();
    const pong = new Channel<number>();
    let stop = false;
    const a = xasync(function* () {
      while (!stop) {
        yield* ping.send(1);
        yield* pong.recv();
      }
      ping.close();
    });
    const b = xasync(function* () {
      while ((yield* ping.recv()) !== undefined) yield* pong.send(1);
    });
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("beside") });
    expect(await (await fetch(server.url)).text()).toBe("beside");
    await new Promise((resolve) => setTimeout(resolve, 1));
    stop = true;
    await a;
    await b;
  });

  test("what is ready runs in the order in which it became ready", async () => {
    const order: number[] = [];
    const gate = xasync(counter, [1]);
    const frames = Array.from({ length: 100 }, (_, i) =>
      xasync(function* () {
        yield* gate;
        order.push(i);
      }),
    );
    xresume(gate);
    expect(order).toEqual([]);
    await Promise.all(frames);
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
});
