// Corners where two features meet: suspends as branches, cancels in deep nests, generators that are used twice, frames that return themselves.

import { expect, test } from "bun:test";
import {
  all,
  asyncio,
  Channel,
  CoroT,
  type Coroutine,
  call,
  Event,
  type Frame,
  Mutex,
  race,
  retry,
  Semaphore,
  scope,
  select,
  shield,
  sleep,
  until,
  withTimeout,
  xasync,
  xframe,
  xresume,
  xsuspend,
} from "zigcoro";
import { rejected, thrown } from "./support/failure.ts";

test("xresume reaches a suspend that is a branch or has a limit", async () => {
  const frame = xasync(function* () {
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const { value } = yield* select({ suspended: xsuspend(), late: sleep(60_000) });
      seen.push(value);
    }
    return seen;
  });
  for (let i = 0; i < 3; i++) {
    expect(frame.isResumable).toBe(true);
    xresume(frame, i);
  }
  expect(await frame).toEqual([0, 1, 2]);
  const limited = xasync(function* () {
    yield* withTimeout(1, xsuspend());
  });
  expect(await rejected(limited)).toBe("TimeoutError: timed out after 1 ms waiting to be resumed");
  expect(limited.isResumable).toBe(false);
});

test("a frame may be its own result, and be resumed with itself", async () => {
  const frame: Frame<unknown> = xasync(function* (): Coroutine<unknown> {
    const me = xframe();
    yield* sleep(0);
    return [me, yield* xsuspend(), me];
  });
  await sleep(1);
  xresume(frame, frame);
  expect(frame.isResumable).toBe(false);
  expect(thrown(() => xresume(frame))).toEndWith("it has finished");
  expect(await frame).toEqual([frame, frame, frame]);
});

test("one operation or frame may be several branches", async () => {
  const frame = xasync(function* () {
    yield* sleep(1);
    return 3;
  });
  expect(await all([frame, frame, frame])).toEqual([3, 3, 3]);
  const channel = new Channel<number>();
  const receive = channel.recv();
  const selecting = xasync(function* () {
    return yield* select({ a: receive, b: receive });
  });
  channel.trySend(1);
  expect((await selecting).value).toBe(1);
  const three = Promise.all([receive, receive, receive]);
  for (const n of [1, 2, 3]) await channel.send(n);
  expect(await three).toEqual([1, 2, 3]);
});

test("a cancel reaches every leaf of a nest, and waits for all", async () => {
  let cleaned = 0;
  function* leaf(): Coroutine<void> {
    try {
      yield* sleep(60_000);
    } finally {
      yield* sleep(0);
      cleaned++;
    }
  }
  for (let i = 0; i < 50; i++) {
    const frame = xasync(function* () {
      yield* scope(function* (s) {
        s.spawn(leaf);
        const nested = withTimeout(60_000, all({ a: leaf(), b: select({ x: leaf(), y: sleep(60_000) }) }));
        yield* all([leaf(), race([leaf(), call(leaf())]), nested]);
      });
    });
    if (i % 3 === 0) await sleep(0);
    await frame.cancel(i);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  }
  expect(cleaned).toBe(300);
});

test("a lock is free again, whenever its holder is cancelled", async () => {
  const mutex = new Mutex();
  const frames = Array.from({ length: 20 }, () =>
    xasync(function* () {
      for (;;) {
        using _ = yield* mutex.lock();
        yield* retry(() => withTimeout(10, sleep(0)), { delay: 0 });
      }
    }),
  );
  for (const frame of frames) {
    await sleep(0.2);
    await frame.cancel();
  }
  expect(mutex.locked).toBe(false);
});

test("catch and finally of called generators run as those of nested ones", async () => {
  const log: string[] = [];
  function* inner(n: number, enter: (n: number) => Iterable<never, number> | Coroutine<number>): Coroutine<number> {
    try {
      if (n > 0) return yield* enter(n - 1) as Coroutine<number>;
      yield* sleep(0);
      throw new Error("innermost");
    } catch (error) {
      log.push(`catch ${n}`);
      if (n < 2) throw error;
      return n;
    } finally {
      log.push(`finally ${n}`);
      yield* sleep(0);
    }
  }
  const called = (n: number): Coroutine<number> => call(inner(n, called)) as unknown as Coroutine<number>;
  const nested = (n: number): Coroutine<number> => inner(n, nested);
  const results: unknown[] = [];
  for (const enter of [called, nested]) {
    log.length = 0;
    results.push(
      await xasync(function* () {
        return yield* enter(4);
      }),
      log.join(),
    );
  }
  const order = "catch 0,finally 0,catch 1,finally 1,catch 2,finally 2,finally 3,finally 4";
  expect(results).toEqual([2, order, 2, order]);
});

test("a generator that has run, or runs, is told from one that has not", async () => {
  function* once(): Coroutine<number> {
    yield* sleep(0);
    return 5;
  }
  const generator = once();
  expect(await call(generator)).toBe(5);
  expect(await rejected(call(generator))).toBe("Error: a generator can be called once; to call it again pass its function");
  const self: { body?: Coroutine<void> } = {};
  self.body = (function* (): Coroutine<void> {
    yield* call(self.body as Coroutine<void>);
  })();
  expect(await rejected(call(self.body))).toBe("Error: a generator can be called once; to call it again pass its function");
});

test("five hundred branches", async () => {
  const channels = Array.from({ length: 500 }, () => new Channel<number>());
  const receives = Object.fromEntries(channels.map((channel, i) => [`from ${i}`, channel.recv()]));
  const frame = xasync(function* () {
    let sum = 0;
    for (let i = 0; i < 100; i++) {
      const { value } = yield* select(receives);
      sum += value ?? Number.NaN;
    }
    return sum;
  });
  for (let i = 0; i < 100; i++) await channels[(i * 37) % 500]?.send(i);
  expect(await frame).toBe(4950);
});

test("selects of one async body are cancelled together; the decided one keeps its value", async () => {
  const channel = new Channel<number>();
  const frame = xasync(async () => {
    const ends = await Promise.allSettled([1, 2].map(() => select({ in: channel.recv(), late: sleep(60_000) })));
    return ends.map(({ status }) => status);
  });
  await sleep(0);
  channel.trySend(1);
  await frame.cancel();
  expect(await frame).toEqual(["fulfilled", "rejected"]);
});

test("CoroT: cancelled in a yield, and with a limit on it", async () => {
  const cancelled = new CoroT<number>(function* (co) {
    yield* co.xyield(1);
  });
  cancelled.xnextStart();
  await cancelled.frame.cancel();
  expect(thrown(() => cancelled.xnext())).toEndWith("it has finished");
  const limited = new CoroT<number>(function* (co) {
    yield* withTimeout(1, co.xyield(1));
  });
  limited.xnextStart();
  await limited.frame.then(undefined, () => {});
  expect(thrown(() => limited.xreturned())).toStartWith("TimeoutError");
});

test("permits pass on when waiting selects are cancelled", async () => {
  const [semaphore, event] = [new Semaphore(0), new Event()];
  const frames = Array.from({ length: 100 }, () =>
    xasync(function* () {
      const selected = yield* select({ permit: semaphore.acquire(), event: event.wait() });
      if (selected.key === "event") return 0;
      yield* sleep(0);
      selected.value.release();
      return 1;
    }),
  );
  for (let i = 0; i < 100; i += 3) frames[i]?.cancel();
  semaphore.release();
  await sleep(2);
  event.set();
  const ends = await Promise.allSettled(frames);
  expect(ends.filter(({ status }) => status === "rejected").length).toBe(34);
  expect(semaphore.free).toBe(1);
});

test("owner mode runs scopes and selects", () => {
  const main = function* () {
    return yield* scope(function* (s) {
      const child = s.spawn(function* () {
        yield* sleep(1);
        return 2;
      });
      return (yield* select({ child, late: sleep(60_000) })).value;
    });
  };
  expect(asyncio.run(new asyncio.Loop(), main)).toBe(2);
});

test("what fails before it waits fails where it stands", async () => {
  const now = () => {
    throw new Error("now");
  };
  expect(await rejected(until(now))).toBe("Error: now");
  expect(await rejected(until((() => 1) as never))).toBe("TypeError: until: promise must be a promise, got 1");
  const failing = scope(function* (s) {
    s.spawn(now);
    yield* sleep(60_000);
  });
  expect(await rejected(failing)).toBe("Error: now");
  expect((await select({ slow: shield(sleep(2)), quick: sleep(0) })).key).toBe("quick");
});
