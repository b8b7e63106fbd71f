// Cancel: what a cancel meets in every kind of wait, that it waits, and that it loses nothing.

import { describe, expect, test } from "bun:test";
import {
  asyncio,
  Cancelled,
  Channel,
  type Coroutine,
  type Frame,
  until,
  withTimeout,
  xasync,
  xawait,
  xframe,
  xresume,
  xsuspend,
} from "zigcoro";
import { counter } from "./support/counter.ts";
import { failure, microtasks, rejected, thrown } from "./support/failure.ts";

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
