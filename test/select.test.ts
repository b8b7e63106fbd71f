// select, race, all, any, allSettled, xawaitAsReady: who wins, what losers leave behind, fairness, errors, cancels.

import { describe, expect, test } from "bun:test";
import {
  all,
  allSettled,
  any,
  asyncio,
  Channel,
  type Coroutine,
  call,
  Event,
  race,
  run,
  Semaphore,
  select,
  sleep,
  until,
  withTimeout,
  xasync,
  xawaitAsReady,
} from "zigcoro";
import { failure, rejected, thrown } from "./support/failure.ts";

describe("select", () => {
  test("gives the branch that ends first, by its key", async () => {
    const inbox = new Channel<string>();
    const child = xasync(function* () {
      yield* sleep(2);
      return 7;
    });
    xasync(function* () {
      yield* inbox.send("hello");
    });
    await run(function* main() {
      const first = yield* select({ message: inbox.recv(), idle: sleep(60_000), done: child });
      expect(first).toEqual({ key: "message", value: "hello" });
      const second = yield* select({ message: inbox.recv(), idle: sleep(60_000), done: child });
      expect(second).toEqual({ key: "done", value: 7 });
      const third = yield* select({ message: inbox.recv(), idle: sleep(1) });
      expect(third).toEqual({ key: "idle", value: undefined });
    });
  });

  test("losers consume nothing and deliver nothing", async () => {
    const from = new Channel<number>(4);
    const to = new Channel<number>(1);
    const event = new Event();
    for (const n of [1, 2, 3]) from.trySend(n);
    to.trySend(0);
    event.set();
    let received = 0;
    for (let i = 0; i < 200; i++) {
      const { key } = await select({ in: from.recv(), out: to.send(i), event: event.wait() });
      expect(key).not.toBe("out");
      if (key === "in") received++;
      if (from.length === 0 || received === 3) break;
    }
    expect(from.length).toBe(3 - received);
    expect(to.tryRecv()).toBe(0);
    expect(to.tryRecv()).toBeUndefined();
  });

  test("takes a parked branch back in the step in which another is decided", async () => {
    const [a, b] = [new Channel<number>(), new Channel<number>()];
    const got: unknown[] = [];
    const frame = xasync(function* () {
      got.push(yield* select({ a: a.recv(), b: b.recv() }));
    });
    // Both in one step of the sender: the second finds nobody any more.
    expect(a.trySend(1)).toBe(true);
    expect(b.trySend(2)).toBe(false);
    await frame;
    expect(got).toEqual([{ key: "a", value: 1 }]);
  });

  test("that sends and receives on one channel never matches itself, but others do", async () => {
    const channel = new Channel<string>();
    const a = xasync(function* () {
      return yield* select({ in: channel.recv(), out: channel.send("from a") });
    });
    await sleep(1);
    expect(a.status).toBe("suspended");
    const b = xasync(function* () {
      return yield* select({ in: channel.recv(), out: channel.send("from b") });
    });
    const results = [yielded(await a), yielded(await b)].sort();
    expect([
      ["in from a", "out"],
      ["in from b", "out"],
    ]).toContainEqual(results);
    expect(channel.tryRecv()).toBeUndefined();
    expect(channel.trySend("x")).toBe(false);
  });

  test("nested in a limit does not match itself either", async () => {
    const channel = new Channel<number>();
    const both = select({ in: withTimeout(60_000, channel.recv()), out: channel.send(1), late: sleep(2) });
    expect((await both).key).toBe("late");
  });

  test("is fair among branches that are always ready", async () => {
    const channels = [0, 1, 2].map(() => new Channel<number>(Number.POSITIVE_INFINITY));
    const counts = [0, 0, 0];
    for (const channel of channels) for (let i = 0; i < 3000; i++) channel.trySend(i);
    await run(function* () {
      const [a, b, c] = channels as [Channel<number>, Channel<number>, Channel<number>];
      for (let i = 0; i < 3000; i++) {
        const { key } = yield* select({ 0: a.recv(), 1: b.recv(), 2: c.recv() });
        (counts[Number(key)] as number)++;
      }
    });
    for (const count of counts) expect(count).toBeGreaterThan(700);
  });

  test("throws what its branch throws: closed channels, failed frames, misuse", async () => {
    const closed = new Channel<number>(0, "shut");
    closed.close();
    expect(await rejected(select({ out: closed.send(1), never: sleep(60_000) }))).toBe(
      'ChannelClosed: cannot send to channel "shut": it is closed',
    );
    expect(await select({ in: closed.recv(), never: sleep(60_000) })).toEqual({ key: "in", value: undefined });
    const frame = xasync(async () => {
      throw new Error("child");
    });
    expect(await rejected(select({ frame, never: sleep(60_000) }))).toBe("Error: child");
    expect(
      await rejected(
        xasync(function* me(): Coroutine<unknown> {
          const { xframe } = yield* until(import("zigcoro"));
          return yield* select({ never: sleep(60_000), me: xframe() });
        }),
      ),
    ).toBe('Error: coroutine "me" cannot await itself');
  });

  test("a generator that loses is cancelled and its end awaited", async () => {
    const log: string[] = [];
    function* slow(): Coroutine<string> {
      try {
        yield* sleep(60_000);
        return "slow";
      } finally {
        yield* sleep(2);
        log.push("cleaned up");
      }
    }
    const { key } = await select({ slow: slow(), quick: sleep(1) });
    log.push(key);
    expect(log).toEqual(["cleaned up", "quick"]);
  });

  test("what a losing call brings all the same is disposed of", async () => {
    let disposed = 0;
    function* stubborn(): Coroutine<Disposable> {
      try {
        yield* sleep(60_000);
      } catch {}
      return { [Symbol.dispose]: () => disposed++ };
    }
    await select({ stubborn: stubborn(), quick: sleep(1) });
    expect(disposed).toBe(1);
  });

  test("cancelled, takes everything back", async () => {
    const [a, b] = [new Channel<number>(), new Channel<number>()];
    const frame = xasync(function* () {
      yield* select({ a: a.recv(), b: b.send(1), c: sleep(60_000), d: call(() => sleepy()) });
    });
    function* sleepy(): Coroutine<void> {
      yield* sleep(60_000);
    }
    await frame.cancel();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
    expect(a.trySend(1)).toBe(false);
    expect(b.tryRecv()).toBeUndefined();
  });

  test("cancelled when it is decided already keeps its result", async () => {
    const channel = new Channel<number>();
    const got: unknown[] = [];
    const frame = xasync(function* () {
      got.push(yield* select({ in: channel.recv(), idle: sleep(60_000) }));
      yield* sleep(60_000);
    });
    channel.trySend(5);
    await frame.cancel();
    expect(got).toEqual([{ key: "in", value: 5 }]);
  });

  test("leaves bytes of a losing read in the socket, and a losing accept's connection in the queue", async () => {
    using server = await asyncio.TCP.listen({ port: 0 });
    const quick = new Channel<number>(1);
    await run(function* () {
      for (let i = 0; i < 50; i++) {
        const accepting = xasync(function* () {
          const selected = yield* select({ accepted: server.accept(), quick: quick.recv() });
          return selected.key === "accepted" ? selected.value : yield* withTimeout(5_000, server.accept());
        });
        const connecting = xasync(function* () {
          return yield* asyncio.TCP.connect({ port: server.local.port });
        });
        if (i % 2) yield* sleep(0);
        quick.trySend(i);
        using served = yield* accepting;
        using client = yield* connecting;
        quick.tryRecv();
        const reading = xasync(function* () {
          const selected = yield* select({ bytes: served.read(), quick: quick.recv() });
          return selected.key === "bytes" ? selected.value : yield* withTimeout(5_000, served.read());
        });
        yield* client.write(`message ${i}`);
        if (i % 3) yield* sleep(0);
        quick.trySend(i);
        expect(new TextDecoder().decode((yield* reading) ?? undefined)).toBe(`message ${i}`);
        quick.tryRecv();
      }
    });
  });

  test("refuses what is nothing to wait for", () => {
    expect(thrown(() => select({}))).toBe("TypeError: select: there must be a branch");
    expect(thrown(() => select(1 as never))).toBe("TypeError: select: branches must be an object, got 1");
    expect(thrown(() => select({ a: 1 as never }))).toBe(
      'TypeError: select: branch "a" must be an operation, a frame, a generator or a promise, got 1',
    );
    expect(thrown(() => race([]))).toBe("TypeError: race: there must be a branch");
    expect(thrown(() => all(1 as never))).toBe("TypeError: all: what to wait for must be an iterable or an object, got 1");
    expect(thrown(() => all([], { concurrency: 0 }))).toBe(
      "RangeError: all: options.concurrency must be an integer from 1 to 2147483647, got 0",
    );
    expect(thrown(() => xawaitAsReady(1 as never))).toBe("TypeError: xawaitAsReady: operations must be iterable, got 1");
  });
});

function yielded(selected: { key: string; value: unknown }): string {
  return selected.value === undefined ? selected.key : `${selected.key} ${selected.value}`;
}

function* after<T>(ms: number, value: T): Coroutine<T> {
  yield* sleep(ms);
  return value;
}

function* failAfter(ms: number, message: string): Coroutine<never> {
  yield* sleep(ms);
  throw new Error(message);
}

describe("race", () => {
  test("gives the first, cancels the others", async () => {
    expect(await race([after(60_000, "slow"), after(1, "quick")])).toBe("quick");
    expect(await race({ slow: after(60_000, "slow"), quick: after(1, 2) })).toBe(2);
    expect(await rejected(race([after(60_000, "slow"), failAfter(1, "failed")]))).toBe("Error: failed");
  });
});

describe("all", () => {
  test("gives the results in the shape of what was given", async () => {
    expect(await all([after(2, "a"), after(1, 2), Promise.resolve(true)])).toEqual(["a", 2, true]);
    expect(await all({ a: after(2, "a"), b: xasync(after, [1, 2]) })).toEqual({ a: "a", b: 2 });
    expect(await all(new Set([after(1, 1), after(2, 2)]))).toEqual([1, 2]);
    expect(await all([])).toEqual([]);
    expect(await all({})).toEqual({});
  });

  test("runs at most so many at a time, and asks an iterator when there is room", async () => {
    let running = 0;
    let most = 0;
    let made = 0;
    function* work(n: number): Coroutine<number> {
      most = Math.max(most, ++running);
      yield* sleep(n % 3);
      running--;
      return n;
    }
    function* works() {
      for (let n = 0; n < 20; n++) {
        expect(made++ - 4).toBeLessThanOrEqual(n);
        yield work(n);
      }
    }
    expect(await all(works(), { concurrency: 3 })).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(most).toBe(3);
    expect(made).toBe(20);
  });

  test("fails with the first failure after the others have ended; more become an AggregateError", async () => {
    let cleaned = false;
    function* careful(): Coroutine<void> {
      try {
        yield* sleep(60_000);
      } finally {
        yield* sleep(1);
        cleaned = true;
      }
    }
    expect(await rejected(all([careful(), failAfter(1, "first")]))).toBe("Error: first");
    expect(cleaned).toBe(true);
    function* careless(): Coroutine<void> {
      try {
        yield* sleep(60_000);
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: what is tested
        throw new Error("second");
      }
    }
    const both = (await failure(all([careless(), failAfter(1, "first")]))) as unknown as AggregateError;
    expect(both.errors.map(String)).toEqual(["Error: first", "Error: second"]);
  });

  test("an iterator that throws fails it", async () => {
    function* works() {
      yield after(60_000, 1);
      throw new Error("no more");
    }
    expect(await rejected(all(works()))).toBe("Error: no more");
  });

  test("cancelled, is over when all have ended", async () => {
    let ended = 0;
    function* body(): Coroutine<void> {
      try {
        yield* sleep(60_000);
      } finally {
        yield* sleep(1);
        ended++;
      }
    }
    const frame = xasync(function* () {
      yield* all([body(), body(), sleep(60_000)]);
    });
    await frame.cancel();
    expect(ended).toBe(2);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });

  test("failed or cancelled, loses no message, permit or connection that it had already", async () => {
    const [inbox, permits] = [new Channel<number>(1), new Semaphore(1)];
    inbox.trySend(1);
    expect(await rejected(all([inbox.recv(), permits.acquire(), failAfter(1, "no")]))).toBe("Error: no");
    expect([inbox.length, permits.free]).toEqual([1, 1]);
    const frame = xasync(function* () {
      yield* all({ in: inbox.recv(), next: inbox.recvMany(3), permit: permits.acquire(), late: sleep(60_000) });
    });
    inbox.trySend(2);
    inbox.trySend(3);
    await frame.cancel();
    expect(await inbox.recvMany(9)).toEqual([1, 2, 3]);
    expect(permits.free).toBe(1);
    using server = await asyncio.TCP.listen({ port: 0 });
    using _client = await asyncio.TCP.connect({ port: server.local.port });
    expect(await rejected(all([server.accept(), failAfter(20, "no")]))).toBe("Error: no");
    using accepted = await withTimeout(5_000, server.accept());
    expect(accepted.closed).toBe(false);
  });

  test("ten thousand at once", async () => {
    const sum = (await all(Array.from({ length: 10_000 }, (_, n) => after(0, n)))).reduce((a, b) => a + b, 0);
    expect(sum).toBe(49_995_000);
  });
});

describe("allSettled and any", () => {
  test("allSettled has every end", async () => {
    expect(await allSettled([after(1, 1), failAfter(1, "no")])).toEqual([
      { status: "fulfilled", value: 1 },
      { status: "rejected", reason: new Error("no") },
    ]);
    expect(await allSettled({ a: after(1, 1) })).toEqual({ a: { status: "fulfilled", value: 1 } });
  });

  test("any has the first success, or all errors", async () => {
    expect(await any([failAfter(0, "no"), after(3, "yes"), after(60_000, "late")])).toBe("yes");
    const none = (await failure(any([failAfter(2, "b"), failAfter(1, "a")]))) as unknown as AggregateError;
    expect(none.errors.map(String).sort()).toEqual(["Error: a", "Error: b"]);
    expect(await failure(any([]))).toBeInstanceOf(AggregateError);
  });

  test("any: a value that was received in the same step as the winner's goes back", async () => {
    const [a, b] = [new Channel<number>(), new Channel<number>()];
    const frame = xasync(function* () {
      return yield* any([a.recv(), b.recv()]);
    });
    expect(a.trySend(1)).toBe(true);
    expect(b.trySend(2)).toBe(true); // not exclusive: both have received
    expect(await frame).toBe(1);
    expect(b.tryRecv()).toBe(2);
  });
});

/** Operations that end one after the other in the order of `turns`, whatever the order in which they were made. */
function inTurn(turns: readonly number[]): Coroutine<number>[] {
  const gates = turns.map(() => new Event());
  xasync(function* () {
    for (let turn = 1; turn <= turns.length; turn++) {
      yield* sleep(0);
      gates[turns.indexOf(turn)]?.set();
    }
  });
  return turns.map(function* (turn, i): Coroutine<number> {
    yield* (gates[i] as Event).wait();
    if (turn === 2) throw new Error("the second fails");
    return turn;
  });
}

describe("xawaitAsReady", () => {
  test("gives results in order of completion, in generators and async functions", async () => {
    const frames = () => inTurn([4, 1, 3]).map((body) => xasync(() => body));
    const got: number[] = [];
    for await (const value of xawaitAsReady(frames().slice(1))) got.push(value);
    await run(function* () {
      for (const next of xawaitAsReady(frames().slice(1))) got.push(yield* next);
    });
    expect(got).toEqual([1, 3, 1, 3]);
  });

  test("throws a failure at its turn, and goes on behind it", async () => {
    const got: unknown[] = [];
    for (const next of xawaitAsReady(inTurn([2, 1, 3]))) {
      try {
        got.push(await next);
      } catch (error) {
        got.push(String(error));
      }
    }
    expect(got).toEqual([1, "Error: the second fails", 3]);
  });

  test("left early, cancels what it started and leaves frames alone", async () => {
    let cancelled = false;
    function* own(): Coroutine<void> {
      try {
        yield* sleep(60_000);
      } finally {
        cancelled = true;
      }
    }
    const frame = xasync(after<number>, [5, 5]);
    for await (const value of xawaitAsReady<Coroutine<unknown> | typeof frame>([own(), frame, after(1, 1)])) {
      expect(value).toBe(1);
      break;
    }
    expect(await frame).toBe(5);
    expect(cancelled).toBe(true);
  });
});
