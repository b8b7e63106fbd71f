// call, traces, async contexts, intervals, retries, deadlines: what a coroutine has beside its operations.

import { describe, expect, test } from "bun:test";
import { AsyncLocalStorage } from "node:async_hooks";
import {
  Channel,
  type Coroutine,
  call,
  interval,
  now,
  retry,
  run,
  sleep,
  sleepUntil,
  withDeadline,
  withTimeout,
  xasync,
  xframe,
  xresume,
  xsuspend,
} from "zigcoro";
import { failure, rejected, thrown } from "./support/failure.ts";

function* depth(n: number): Coroutine<number> {
  if (n === 0) {
    yield* xsuspend();
    return 0;
  }
  return 1 + (yield* call(depth(n - 1)));
}

describe("call", () => {
  test("runs in place: the same frame, its result, its error", async () => {
    const log: unknown[] = [];
    const frame = xasync(function* outer() {
      const here = xframe();
      const value = yield* call(
        (function* inner(): Coroutine<number> {
          log.push(xframe() === here);
          yield* xsuspend();
          return 7;
        })(),
      );
      log.push(value);
      try {
        yield* call(function* failing(): Coroutine<void> {
          yield* xsuspend();
          throw new Error("inner");
        });
      } catch (error) {
        log.push((error as Error).message);
      }
      return "done";
    });
    xresume(frame);
    xresume(frame);
    expect(await frame).toBe("done");
    expect(log).toEqual([true, 7, "inner"]);
  });

  test("goes a hundred thousand deep, where plain yield* would overflow the stack", async () => {
    const frame = xasync(depth, [100_000]);
    xresume(frame);
    expect(await frame).toBe(100_000);
  });

  test("a cancel unwinds all calls from the inside out, and finally may wait", async () => {
    const log: string[] = [];
    function* level(n: number): Coroutine<void> {
      try {
        if (n === 0) yield* sleep(60_000);
        else yield* call(level(n - 1));
      } finally {
        yield* sleep(0);
        log.push(`${n}`);
      }
    }
    const frame = xasync(level, [3]);
    await frame.cancel("why");
    expect(log).toEqual(["0", "1", "2", "3"]);
    expect((await failure(frame)).cause as unknown).toBe("why");
  });

  test("awaited or limited it is a coroutine of its own; a function begins anew each time", async () => {
    let runs = 0;
    const counted = call(function* counted(): Coroutine<number> {
      yield* sleep(0);
      return ++runs;
    });
    expect([await counted, await counted]).toEqual([1, 2]);
    expect(await withTimeout(1_000, counted)).toBe(3);
    expect(
      await rejected(
        withTimeout(
          1,
          call(() => depth(0)),
        ),
      ),
    ).toStartWith("TimeoutError: timed out after 1 ms waiting to go on with call");
  });

  test("refuses what is no generator", async () => {
    expect(thrown(() => call(1 as never))).toBe("TypeError: call: body must be a generator or a function that returns one, got 1");
    expect(await rejected(call((() => 1) as never))).toBe("TypeError: call: function (anonymous) must return a generator, got 1");
  });
});

describe("an error's stack", () => {
  test("names the coroutines that it came through, and who spawned them", async () => {
    function* fetchUser(): Coroutine<never> {
      yield* sleep(0);
      throw new Error("no user");
    }
    const error = await failure(
      run(function* main() {
        const worker = xasync(
          function* () {
            yield* call(fetchUser());
          },
          [],
          { name: "worker 3" },
        );
        yield* worker;
      }),
    );
    expect(error.stack).toMatch(
      /fetchUser[\s\S]*\n {4}at coroutine "worker 3" spawned by "main" \(ZIGCORO_TRACE=1 tells where\)\n {4}at coroutine "main"/,
    );
    expect(error.message).toBe("no user");
  });

  test("through very many coroutines stays short; frozen errors and other values pass", async () => {
    let frame = xasync(function* first(): Coroutine<void> {
      yield* sleep(0);
      throw new Error("deep");
    });
    for (let i = 0; i < 1000; i++) {
      const inner = frame;
      frame = xasync(function* () {
        yield* inner;
      });
    }
    expect((await failure(frame)).stack?.split("at coroutine").length).toBe(17);
    const frozen = Object.freeze(new Error("frozen"));
    expect(
      (await failure(
        xasync(() => {
          throw frozen;
        }),
      )) as unknown,
    ).toBe(frozen);
  });
});

describe("AsyncLocalStorage", () => {
  const storage = new AsyncLocalStorage<string>();

  test("keeps a coroutine's context across its suspends, whoever resumes it", async () => {
    const seen: (string | undefined)[] = [];
    const channel = new Channel<number>();
    function* body(): Coroutine<void> {
      seen.push(storage.getStore());
      yield* xsuspend();
      seen.push(storage.getStore());
      yield* channel.recv();
      seen.push(storage.getStore());
      yield* sleep(0);
      seen.push(storage.getStore());
    }
    const frame = storage.run("ann", () => xasync(body));
    storage.run("bob", () => {
      xresume(frame);
      expect(storage.getStore()).toBe("bob");
      channel.trySend(1);
    });
    await frame;
    expect(seen).toEqual(["ann", "ann", "ann", "ann"]);
    expect(storage.getStore()).toBeUndefined();
  });

  test("what enterWith enters lasts until the next suspend, and reaches nobody else", async () => {
    const seen: (string | undefined)[] = [];
    await run(function* main() {
      const frames = ["a", "b"].map((name) =>
        xasync(function* () {
          yield* sleep(0);
          storage.enterWith(name);
          seen.push(storage.getStore());
          yield* sleep(1);
          seen.push(storage.getStore());
        }),
      );
      for (const frame of frames) yield* frame;
      seen.push(storage.getStore());
    });
    expect(seen).toEqual(["a", "b", undefined, undefined, undefined]);
  });

  test("async bodies and those that they spawn have theirs", async () => {
    const inner = await storage.run("eve", () =>
      xasync(async () => {
        await sleep(0);
        return await xasync(function* () {
          yield* sleep(0);
          return storage.getStore();
        });
      }),
    );
    expect(inner).toBe("eve");
  });
});

describe("time", () => {
  test("interval ticks do not drift, and leave out what was missed", async () => {
    const start = now();
    const ticks = interval(4);
    const numbers: number[] = [];
    for (let i = 0; i < 5; i++) {
      const n = await ticks.next();
      expect(now() - start).toBeGreaterThanOrEqual(n * 4);
      numbers.push(n);
      if (i === 1) await sleep(13);
    }
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    expect((numbers[2] as number) - (numbers[1] as number)).toBeGreaterThanOrEqual(3);
    let seen = 0;
    for await (const _ of interval(0.5)) if (++seen === 3) break;
    expect(thrown(() => interval(0))).toBe("RangeError: interval: ms must be above 0");
  });

  test("deadlines are shared, and nest with limits", async () => {
    const deadline = now() + 5;
    expect(await withDeadline(deadline, sleep(0))).toBeUndefined();
    expect(await rejected(withDeadline(deadline, withTimeout(60_000, sleep(60_000))))).toStartWith("TimeoutError");
    expect(now()).toBeGreaterThanOrEqual(deadline);
    await sleepUntil(now() - 1);
    expect(await rejected(withDeadline(now() - 1, sleep(60_000)))).toStartWith("TimeoutError");
  });

  test("retry tries again with pauses, so often, when it may", async () => {
    let tries = 0;
    const flaky = (until: number) => (attempt: number) =>
      call(function* (): Coroutine<string> {
        expect(attempt).toBe(++tries);
        yield* sleep(0);
        if (attempt < until) throw new Error(`try ${attempt}`);
        return `try ${attempt}`;
      });
    expect(await retry(flaky(3), { delay: 0 })).toBe("try 3");
    tries = 0;
    expect(await rejected(retry(flaky(9), { times: 2, delay: 0 }))).toBe("Error: try 2");
    tries = 0;
    expect(await rejected(retry(flaky(9), { delay: 0, when: (_error, attempt) => attempt < 3 }))).toBe("Error: try 3");
    const start = now();
    tries = 0;
    await retry(flaky(3), { delay: 4, factor: 2, jitter: 0 });
    expect(now() - start).toBeGreaterThanOrEqual(12);
    expect(thrown(() => retry(flaky(1), { jitter: 2 }))).toBe("RangeError: retry: options.jitter must be a number from 0 to 1, got 2");
    expect(thrown(() => retry(1 as never))).toBe("TypeError: retry: attempt must be a function, got 1");
  });

  test("retry stops when it is cancelled", async () => {
    let tries = 0;
    const frame = xasync(function* () {
      yield* retry(
        () => {
          tries++;
          throw new Error("again");
        },
        { delay: 60_000 },
      );
    });
    await frame.cancel();
    expect(tries).toBe(1);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });
});
