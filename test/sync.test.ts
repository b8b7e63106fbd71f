// Semaphore, Mutex, Event, Latch, Barrier, Broadcast, task-local values, and the channels that never make a sender wait.

import { describe, expect, test } from "bun:test";
import {
  all,
  Barrier,
  Broadcast,
  Channel,
  type Coroutine,
  Event,
  type Frame,
  Latch,
  Local,
  Mutex,
  type Permit,
  run,
  Semaphore,
  select,
  sleep,
  withTimeout,
  xasync,
} from "zigcoro";
import { rejected, thrown } from "./support/failure.ts";

describe("Semaphore", () => {
  test("lets so many in, in order, and `using` lets the next one in", async () => {
    const semaphore = new Semaphore(2, "two");
    const log: string[] = [];
    let inside = 0;
    let most = 0;
    function* user(name: string): Coroutine<void> {
      using _ = yield* semaphore.acquire();
      log.push(name);
      most = Math.max(most, ++inside);
      yield* sleep(1);
      inside--;
    }
    await run(() => all(["a", "b", "c", "d", "e"].map((name) => user(name))).then());
    expect(log).toEqual(["a", "b", "c", "d", "e"]);
    expect(most).toBe(2);
    expect(semaphore.free).toBe(2);
  });

  test("who gave up waiting holds nothing; who got it although cancelled keeps it", async () => {
    const semaphore = new Semaphore(1);
    const permit = semaphore.tryAcquire() as Permit;
    expect(semaphore.tryAcquire()).toBeUndefined();
    expect(await rejected(withTimeout(1, semaphore.acquire()))).toStartWith("TimeoutError");
    const got: Permit[] = [];
    const frame = xasync(function* () {
      got.push(yield* semaphore.acquire());
      yield* sleep(60_000);
    });
    permit.release();
    permit.release(); // twice does nothing
    await frame.cancel();
    expect(got.length).toBe(1);
    expect(semaphore.free).toBe(0);
    got[0]?.release();
    expect(semaphore.free).toBe(1);
  });

  test("a select that others win holds nothing", async () => {
    const semaphore = new Semaphore(0);
    const event = new Event();
    const frame = xasync(function* () {
      return yield* select({ permit: semaphore.acquire(), event: event.wait() });
    });
    event.set();
    semaphore.release();
    expect((await frame).key).toBe("event");
    expect(semaphore.free).toBe(1);
    semaphore.release(3);
    expect(semaphore.free).toBe(4);
  });

  test("wrong arguments are told", () => {
    expect(thrown(() => new Semaphore(-1))).toBe("RangeError: new Semaphore: permits must be an integer from 0 to 2147483647, got -1");
    expect(thrown(() => new Semaphore(1).release(0))).toBe(
      "RangeError: Semaphore.release: count must be an integer from 1 to 2147483647, got 0",
    );
    expect(thrown(() => new Mutex(1 as never))).toBe("TypeError: new Mutex: name must be a string, got 1");
  });
});

test("Mutex: one at a time, whatever they wait for inside, and with failures", async () => {
  const mutex = new Mutex();
  let inside = 0;
  function* user(n: number): Coroutine<void> {
    using _ = yield* mutex.lock();
    expect(++inside).toBe(1);
    yield* sleep(n % 3);
    inside--;
    if (n % 5 === 0) throw new Error("in the critical section");
  }
  const frames = Array.from({ length: 50 }, (_, n) => xasync(user, [n]));
  frames[7]?.cancel();
  const ends = await Promise.allSettled(frames);
  expect(ends.filter((end) => end.status === "rejected").length).toBe(11);
  expect(mutex.locked).toBe(false);
  using lock = mutex.tryLock();
  expect(lock).toBeDefined();
  expect(mutex.tryLock()).toBeUndefined();
});

test("Event: everybody goes on when it is set, nobody waits any more until it is cleared", async () => {
  const event = new Event("start");
  let passed = 0;
  const frames = Array.from({ length: 3 }, () =>
    xasync(function* () {
      yield* event.wait();
      passed++;
    }),
  );
  expect(event.isSet).toBe(false);
  event.set();
  await Promise.all(frames);
  expect(passed).toBe(3);
  await event.wait();
  event.clear();
  expect(await rejected(withTimeout(1, event.wait()))).toBe('TimeoutError: timed out after 1 ms waiting to see event "start"');
});

test("Latch: opens for good when all have counted down", async () => {
  const latch = new Latch(2);
  const frame = xasync(function* () {
    yield* latch.wait();
    return latch.count;
  });
  latch.countDown();
  expect([latch.count, frame.status]).toEqual([1, "suspended"]);
  latch.countDown();
  latch.countDown();
  expect(await frame).toBe(0);
  await latch.wait();
  await new Latch(0).wait();
});

test("Barrier: all go on together, one of them last, again and again; who is cancelled has not arrived", async () => {
  const barrier = new Barrier(3);
  const log: string[] = [];
  function* player(name: string): Coroutine<number> {
    let last = 0;
    for (let round = 0; round < 4; round++) {
      yield* sleep((name.charCodeAt(0) * (round + 1)) % 3);
      log.push(`${round}`);
      if (yield* barrier.wait()) last++;
    }
    return last;
  }
  const cancelled = xasync(function* () {
    yield* barrier.wait();
  });
  await cancelled.cancel();
  const lasts = await all([player("a"), player("b"), player("c")]);
  expect(lasts.reduce((a, b) => a + b)).toBe(4);
  expect(log).toEqual([..."000111222333"]);
});

describe("Channels that never make a sender wait", () => {
  test("sliding keeps the newest, dropping the oldest, unbounded all", async () => {
    const channels = [Channel.sliding<number>(2), Channel.dropping<number>(2), Channel.unbounded<number>()];
    for (const channel of channels) {
      for (const n of [1, 2, 3, 4]) await channel.send(n);
      channel.close();
    }
    expect(await Promise.all(channels.map((channel) => channel.recvMany(10)))).toEqual([
      [3, 4],
      [1, 2],
      [1, 2, 3, 4],
    ]);
    expect(await channels[0]?.recvMany(10)).toEqual([]);
    expect(thrown(() => Channel.sliding(0))).toBe("RangeError: Channel.sliding: capacity must be an integer from 1 to 2147483647, got 0");
  });

  test("recvMany takes at least one, what is there, and at most so many", async () => {
    const channel = new Channel<number>(2);
    const frame = xasync(function* () {
      const batches: number[][] = [];
      for (let max = 2; ; max = 10) {
        const batch = yield* channel.recvMany(max);
        if (batch.length === 0) return batches;
        batches.push(batch);
      }
    });
    for (const n of [1, 2, 3, 4, 5]) await channel.send(n);
    channel.close();
    const batches = await frame;
    expect(batches.flat()).toEqual([1, 2, 3, 4, 5]);
    expect(batches[0]?.length).toBeLessThanOrEqual(2);
    expect(thrown(() => channel.recvMany(0))).toBe("RangeError: Channel.recvMany: max must be an integer from 1 to 2147483647, got 0");
  });

  test("close(error) reaches receivers after the last value, and is the cause for senders", async () => {
    const channel = new Channel<number>(1, "feed");
    channel.trySend(1);
    const reason = new Error("the feed broke");
    channel.close(reason);
    expect(await channel.recv()).toBe(1);
    expect(await rejected(channel.recv())).toBe("Error: the feed broke");
    const seen: number[] = [];
    const loop = (async () => {
      for await (const value of channel) seen.push(value);
    })();
    expect(await rejected(loop)).toBe("Error: the feed broke");
    try {
      channel.trySend(2);
    } catch (error) {
      expect((error as Error).cause).toBe(reason);
    }
  });

  test("forEach is the loop of generators", async () => {
    const channel = new Channel<number>();
    const seen: number[] = [];
    const frame = xasync(function* () {
      yield* channel.forEach(function* (n) {
        yield* sleep(0);
        seen.push(n);
        return n < 4;
      });
    });
    for (const n of [1, 2, 3, 4]) await channel.send(n);
    await frame;
    expect(seen).toEqual([1, 2, 3, 4]);
    expect(thrown(() => channel.forEach(1 as never))).toBe("TypeError: Channel.forEach: body must be a function, got 1");
  });

  test("nothing that was received, dropped or taken back is kept alive", async () => {
    const sliding = Channel.sliding<object>(1);
    const rendezvous = new Channel<object>();
    const buffered = new Channel<object>(4);
    const refs: WeakRef<object>[] = [];
    const value = () => {
      const object = { big: new Array(100).fill(0) };
      refs.push(new WeakRef(object));
      return object;
    };
    for (let i = 0; i < 100; i++) sliding.trySend(value());
    await rejected(withTimeout(0, rendezvous.send(value())));
    await run(function* () {
      const receiving = xasync(function* () {
        for (let i = 0; i < 100; i++) yield* buffered.recv();
      });
      for (let i = 0; i < 100; i++) yield* buffered.send(value());
      yield* receiving;
    });
    sliding.tryRecv();
    for (let i = 0; i < 5; i++) {
      Bun.gc(true);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    // One or two may be in registers and on the stack.
    expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThan(5);
  });
});

describe("Broadcast", () => {
  test("everybody gets every message; the sender waits for the slowest, not for sliding ones", async () => {
    const news = new Broadcast<number>();
    const [a, b, c] = [news.subscribe(), news.subscribe(10), news.subscribe(Channel.sliding<number>(1))];
    const sums = [a, b].map((channel) =>
      xasync(function* () {
        let sum = 0;
        yield* channel.forEach((n) => {
          sum += n;
        });
        return sum;
      }),
    );
    for (const n of [1, 2, 3]) await news.send(n);
    news.close();
    expect(await Promise.all(sums)).toEqual([6, 6]);
    expect(await c.recv()).toBe(3);
    expect(await rejected(news.send(1))).toBe('ChannelClosed: cannot send to channel "broadcast": it is closed');
    expect(thrown(() => news.subscribe())).toStartWith("ChannelClosed");
    expect(thrown(() => new Broadcast().subscribe("a" as never))).toBe(
      'TypeError: Broadcast.subscribe: channel must be a Channel or a capacity, got "a"',
    );
  });

  test("who closes its channel has left, also while the sender waits for it", async () => {
    const news = new Broadcast<number>();
    const [a, b] = [news.subscribe(), news.subscribe(1)];
    const sending = xasync(function* () {
      yield* news.send(1);
    });
    expect(news.size).toBe(2);
    a.close();
    await sending;
    expect(b.tryRecv()).toBe(1);
    expect(news.size).toBe(1);
  });
});

describe("Local", () => {
  test("each coroutine has its own, inherited as it was at the spawn", async () => {
    const user = new Local("nobody");
    const seen: string[] = [];
    await run(function* main() {
      user.set("ann");
      const child = xasync(function* () {
        seen.push(user.get());
        user.set("bob");
        yield* sleep(1);
        seen.push(user.get());
        yield* xasync(async () => {
          await sleep(1);
          seen.push(user.get());
        });
      });
      user.set("eve");
      yield* child;
      seen.push(user.get());
      {
        using _ = user.during("guest");
        yield* sleep(0);
        seen.push(user.get());
      }
      seen.push(user.get());
    });
    seen.push(user.get());
    expect(seen).toEqual(["ann", "bob", "bob", "eve", "guest", "eve", "nobody"]);
  });

  test("set outside holds outside and for what is spawned there", async () => {
    const value = new Local(0);
    value.set(1);
    expect(value.get()).toBe(1);
    const frame: Frame<number> = xasync(function* () {
      yield* sleep(0);
      return value.get();
    });
    value.set(0);
    expect(await frame).toBe(1);
    expect(thrown(() => value.during(1))).toStartWith("Error: Local.during was called outside of any coroutine");
  });
});
