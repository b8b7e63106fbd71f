// SharedChannel: messages between threads. The rules are checked with several sides on one thread, where a seed decides all; what only
// threads can show (exactly once, backpressure, ends of threads) with Workers, and terminations in child processes.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  all,
  asyncio,
  Cancelled,
  Channel,
  ChannelClosed,
  type Operation,
  run,
  SharedChannel,
  type SharedChannelHandle,
  select,
  sleep,
  TimeoutError,
  withTimeout,
  xasync,
} from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { failure, thrown } from "./support/failure.ts";
import { Random } from "./support/random.ts";
import { type Helper, start } from "./support/shared.ts";

setDefaultTimeout(childTimeoutMs);

const helpers: Helper[] = [];
function helper(...args: Parameters<typeof start>): Helper {
  const started = start(...args);
  helpers.push(started);
  return started;
}
afterAll(() => {
  for (const { worker } of helpers) worker.terminate();
});

async function sendUntilItFails(channel: SharedChannel<number>): Promise<void> {
  for (;;) await channel.send(2);
}

async function untilItFails(channel: SharedChannel<number>): Promise<void> {
  for await (const _ of channel);
}

/** A channel and another side of it, as another thread would have it. */
function pair<T>(capacity: number): [home: SharedChannel<T>, guest: SharedChannel<T>] {
  const home = new SharedChannel<T>(capacity, "pair");
  return [home, SharedChannel.from<T>(home.handle())];
}

const sides = [
  ["home to guest", 0, 1],
  ["guest to home", 1, 0],
  ["guest to itself", 1, 1],
  ["home to itself", 0, 0],
] as const;

describe("what is wrong is told before anything happens", () => {
  test("arguments", () => {
    const range = "an integer from 1 to 2147483647";
    expect(thrown(() => new SharedChannel(0))).toBe(`RangeError: new SharedChannel: capacity must be ${range}, got 0`);
    expect(thrown(() => new SharedChannel("1" as never))).toBe(`TypeError: new SharedChannel: capacity must be ${range}, got "1"`);
    expect(thrown(() => new SharedChannel(1, 5 as never))).toBe("TypeError: new SharedChannel: name must be a string, got 5");
    for (const wrong of [undefined, null, 5, {}, { port: {}, name: "x", capacity: 1 }, { port: new MessageChannel().port1, name: "x" }]) {
      expect(thrown(() => SharedChannel.from(wrong as never))).toMatch(/^TypeError: .*handle must be what SharedChannel.handle\(\) gave/);
    }
    const channel = new SharedChannel<number>(1);
    const handle = channel.handle();
    SharedChannel.from(handle);
    expect(thrown(() => SharedChannel.from(handle))).toMatch(/^TypeError: .*was opened before/);
    expect(thrown(() => channel.recvMany(0))).toBe(`RangeError: SharedChannel.recvMany: max must be ${range}, got 0`);
    expect(thrown(() => channel.send(1, { transfer: 5 as never }))).toMatch(/^TypeError: .*transfer must be an array, got 5/);
    expect(thrown(() => channel.send(1, { transfer: [new MessageChannel().port1] as never }))).toMatch(
      /^TypeError: .*transfer\[0\] must be an ArrayBuffer/,
    );
  });

  for (const side of [0, 1] as const) {
    test(`a value that cannot be copied is not sent, and takes no room (${side === 0 ? "home" : "guest"})`, async () => {
      const channels = pair<unknown>(1);
      expect(await failure(channels[side].send(() => {}))).toMatchObject({ name: "DataCloneError" });
      await channels[side].send("fine");
      expect(await channels[0].recv()).toBe("fine");
    });
  }
});

describe("one sends, another receives", () => {
  for (const [name, from, to] of sides) {
    test(name, async () => {
      const channels = pair<unknown>(2);
      const [sender, receiver] = [channels[from], channels[to]];
      const sent = { deep: [1, new Map([["a", 1n]])] };
      await sender.send(sent);
      sent.deep.pop();
      await sender.send(undefined);
      expect(await sender.trySend("no room")).toBe(false);
      expect(await receiver.recv()).toEqual({ deep: [1, new Map([["a", 1n]])] });
      expect(await receiver.next()).toEqual({ done: false, value: undefined });
      expect(await receiver.tryRecv()).toBeUndefined();
      expect(await sender.trySend("a")).toBe(true);
      expect(await sender.trySend("b")).toBe(true);
      const both = await receiver.recvMany(5);
      if (both.length < 2) both.push(await receiver.recv());
      expect(both).toEqual(["a", "b"]);
      const waiting = receiver.recv().then((value) => value);
      await sender.send("to one who waits");
      expect(await waiting).toBe("to one who waits");
    });

    test(`moves bytes when the send ends, and only then (${name})`, async () => {
      const channels = pair<Uint8Array>(1);
      const [sender, receiver] = [channels[from], channels[to]];
      const [first, second] = [new Uint8Array([1, 2, 3]), new Uint8Array([4])];
      await sender.send(first, { transfer: [first.buffer] });
      expect([first.byteLength, first.buffer.detached]).toEqual([0, true]);
      expect(await failure(withTimeout(1, sender.send(second, { transfer: [second.buffer] })))).toBeInstanceOf(TimeoutError);
      expect(await sender.trySend(second, { transfer: [second.buffer] })).toBe(false);
      expect(second.buffer.detached).toBe(false);
      expect(await receiver.recv()).toEqual(new Uint8Array([1, 2, 3]));
      expect(await receiver.tryRecv()).toBeUndefined();
    });

    test(`close drains, then ends; sends fail (${name})`, async () => {
      for (const closer of [from, to]) {
        const channels = pair<number>(2);
        const [sender, receiver] = [channels[from], channels[to]];
        await all([sender.send(1), sender.send(2)]);
        const blocked = failure(sender.send(3));
        channels[closer].close();
        channels[closer].close();
        expect(await blocked).toBeInstanceOf(ChannelClosed);
        const got: number[] = [];
        for await (const n of receiver) got.push(n);
        expect(got).toEqual([1, 2]);
        expect(await receiver.recv()).toBeUndefined();
        expect(await receiver.recvMany(3)).toEqual([]);
        expect([sender.closed, receiver.closed]).toEqual([true, true]);
        expect(await failure(sender.send(4))).toMatchObject({ message: 'cannot send to channel "pair": it is closed' });
      }
    });
  }

  test("close ends who waits to receive, on both sides", async () => {
    const [home, guest] = pair<number>(1);
    const waits = [home.recv(), guest.recv(), home.next(), guest.next()].map((operation) => operation.then((value) => value));
    guest.close();
    const end = { done: true, value: undefined };
    expect(await Promise.all(waits)).toEqual([undefined, undefined, end, end] as never);
  });

  test("a guest makes handles, too", async () => {
    const [home, guest] = pair<number>(1);
    const third = SharedChannel.from<number>(guest.handle());
    await third.send(7);
    expect(await home.recv()).toBe(7);
    expect([third.name, third.capacity]).toEqual(["pair", 1]);
  });

  test("select between a shared and a local channel takes one of them", async () => {
    for (const side of [0, 1] as const) {
      const shared = pair<string>(1);
      const local = new Channel<string>(1);
      const waiting = run(function* () {
        return yield* select({ shared: shared[side].recv(), local: local.recv() });
      });
      await local.send("near");
      expect(await waiting).toEqual({ key: "local", value: "near" });
      await shared[0].send("far");
      expect(await select({ shared: shared[side].recv(), local: local.recv() })).toEqual({ key: "shared", value: "far" });
      expect(await shared[0].trySend("next")).toBe(true);
      const loser = await select({ local: local.send("first"), shared: shared[side].recv() });
      expect(loser.key === "local" ? await shared[side].recv() : loser.value).toBe("next");
    }
  });
});

/** Lets messages between sides arrive. */
const turns = (count = 1) => sleep(count);

/** A guest that is lent room: it has sent several messages one after another, which `home` has received. */
async function lentPair(capacity: number): Promise<[home: SharedChannel<number>, guest: SharedChannel<number>]> {
  const [home, guest] = pair<number>(capacity);
  for (let i = 0; i < 6; i++) {
    await guest.send(-1);
    await home.recv();
  }
  return [home, guest];
}

describe("room that a sender was lent", () => {
  test("is used without a question, and never more than there is", async () => {
    const [home, guest] = await lentPair(8);
    let sent = 0;
    const sending = run(function* () {
      for (let i = 0; i < 100; i++) {
        yield* guest.send(i);
        sent++;
      }
    });
    // At once, in one go: nothing could have been asked.
    expect(sent).toBeGreaterThan(1);
    await turns(10);
    expect(sent).toBe(8);
    for (let i = 0; i < 100; i++) {
      expect(await home.recv()).toBe(i);
      expect(sent).toBeLessThanOrEqual(i + 1 + 8);
    }
    await sending;
  });

  test("is the home's again when that wants to send", async () => {
    const [home, guest] = await lentPair(8);
    for (let i = 0; i < 8; i++) expect(await home.trySend(i)).toBe(true);
    expect(await home.trySend(8)).toBe(false);
    expect(await guest.trySend(8)).toBe(false);
    expect(await home.recvMany(9)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("is another guest's when that wants to send", async () => {
    const [home] = await lentPair(8);
    const other = SharedChannel.from<number>(home.handle());
    await all(Array.from({ length: 8 }, (_, i) => other.send(i)));
    expect(await other.trySend(8)).toBe(false);
    expect(await home.recvMany(9)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("is not lost by a value that cannot be copied, by selects, or by the close", async () => {
    const [home, guest] = await lentPair(8);
    const wrong = guest as SharedChannel<unknown>;
    for (let i = 0; i < 20; i++) expect(await failure(wrong.send(() => {}))).toMatchObject({ name: "DataCloneError" });
    for (let i = 0; i < 20; i++) await select({ send: guest.send(i), other: new Channel<number>(1).send(0) });
    let sent = 0;
    while (await guest.trySend(100 + sent)) sent++;
    guest.close();
    let received = 0;
    for await (const value of home) if (value >= 100) received++;
    expect(received).toBe(sent);
  });

  test("is no reason to wait for the close of a channel that has ended", async () => {
    const [home, guest] = await lentPair(8);
    home.close();
    expect(await home.recv()).toBeUndefined();
    expect(await guest.recv()).toBeUndefined();
    expect(await failure(guest.send(1))).toBeInstanceOf(ChannelClosed);
  });
});

describe("what no side would say closes the port, and harms nobody", () => {
  const junk: [string, unknown][] = [
    ["no triple", "hello"],
    ["nothing", undefined],
    ["an object", { 0: 0, 1: 1, length: 2 }],
    ["an empty array", []],
    ["no such ask", [99, 1]],
    ["a negative ask", [-1, 1]],
    ["an ask that is no number", ["send", 1]],
    ["a send without an id", [0, 0]],
    ["a receive of no number", [2, 1, "all"]],
    ["a receive of nothing", [2, 1, 0]],
    ["a receive of half", [2, 1, 0.5]],
    ["a message without room", [5, 7, "free"]],
    ["a message into room that was not lent", [5, 0, "free"]],
    ["taken without a receive", [6, 7]],
    ["put back without a receive", [7, 0, ["free"]]],
    ["put back of no values", [7, 0, 5]],
    ["a join without a port", [9, 0, {}]],
    ["a refund of nothing lent", [10, 0, 1]],
    ["a refund of less than nothing", [10, 0, -1]],
  ];
  test.each(junk)("to the home: %s", async (_, data) => {
    const home = new SharedChannel<string>(2, "pair");
    const { port } = home.handle();
    const closed = new Promise<void>((resolve) => port.addEventListener("close", () => resolve()));
    port.postMessage([0, 1]); // a send that is granted room, which is free again
    port.postMessage(data);
    await closed;
    const guest = SharedChannel.from<string>(home.handle());
    for (const value of ["a", "b"]) expect(await guest.trySend(value)).toBe(true);
    expect(await home.trySend("c")).toBe(false);
    for (const value of ["a", "b"]) expect(await home.recv()).toBe(value);
  });

  test.each([
    ["the id of a question that is open", [0, 1], [0, 1]],
    ["a message for a receive", [2, 1, 1], [5, 1, "free"]],
    ["a message before there is room", [0, 1], [0, 2], [0, 3], [5, 3, "free"]],
    ["taken of a send", [0, 1], [6, 1]],
    ["taken before there is a message", [2, 1, 1], [6, 1]],
  ])("to the home: %s", async (_, ...messages) => {
    const home = new SharedChannel<string>(2, "pair");
    const { port } = home.handle();
    const closed = new Promise<void>((resolve) => port.addEventListener("close", () => resolve()));
    for (const message of messages) port.postMessage(message);
    await closed;
    for (const value of ["a", "b"]) expect(await home.trySend(value)).toBe(true);
    expect(await home.trySend("c")).toBe(false);
    expect(await home.recvMany(5)).toEqual(["a", "b"]);
  });

  test.each([
    ["no triple", "hello"],
    ["no numbers", ["1", 0]],
    ["no values", [1, 0, "x"]],
    ["no values for a receive", [1, 0]],
    ["lent no number", [-1, 2, ["all"]]],
    ["lent nothing", [-1, 2]],
    ["lent less than nothing", [-1, 2, [-5]]],
  ])("to a guest: %s", async (_, data) => {
    const { port1, port2 } = new MessageChannel();
    const guest = SharedChannel.from<number>({ port: port1, name: "strange", capacity: 1 });
    const waiting = failure(guest.recv());
    port2.postMessage(data);
    expect(await waiting).toMatchObject({ name: "ChannelClosed" });
    expect(guest.closed).toBe(true);
    port2.close();
  });
});

describe("owner mode", () => {
  const loop = new asyncio.Loop();

  test("a channel works among the coroutines of its home", () => {
    const channel = new SharedChannel<number>(2);
    const got = asyncio.run(loop, function* () {
      const sender = xasync(function* () {
        for (let i = 0; i < 100; i++) yield* channel.send(i);
        channel.close();
      });
      const values: number[] = [];
      yield* channel.forEach((value) => {
        values.push(value);
      });
      yield* sender;
      return values;
    });
    expect(got).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test("other waits may win, and nothing is lost", async () => {
    const [home, guest] = pair<number>(1);
    await home.send(1);
    const winner = asyncio.run(loop, () => select({ far: guest.recv(), timer: sleep(5) }) as never) as unknown as { key: string };
    expect(winner.key).toBe("timer");
    expect(await guest.recv()).toBe(1);
  });
});

// Senders and receivers on three sides, each operation with a timeout, a cancel or a select that may win over it. What was sent (the send
// ended) is received once, and nothing else is. Where one alone receives, it has what each sender sent in that order.
describe("cancels, timeouts and selects lose and duplicate nothing", () => {
  const only = process.env.SEED === undefined ? undefined : Number(process.env.SEED);
  for (let seed = 0; seed < 24; seed++) {
    if (only !== undefined && only !== seed) continue;
    test(`300 messages (SEED=${seed})`, async () => {
      const random = new Random(seed);
      const home = new SharedChannel<number>(1 + random.below(random.below(2) === 0 ? 4 : 16));
      const channels = [home, SharedChannel.from<number>(home.handle()), SharedChannel.from<number>(home.handle())];
      const sent: number[] = [];
      const received: number[] = [];

      /** Whether `operation` has ended: tried in a way that may take it back. */
      const attempt = async <T>(operation: Operation<T>): Promise<{ value: T } | undefined> => {
        const how = random.below(4);
        try {
          if (how === 0) return { value: await withTimeout(random.below(3) / 10, operation) };
          if (how === 1) {
            const winner = await select({ operation, sleep: sleep(random.below(3) / 10) });
            return winner.key === "operation" ? { value: winner.value as T } : undefined;
          }
          if (how === 2) return { value: await operation };
          let result: { value: T } | undefined;
          const frame = xasync(function* () {
            result = { value: yield* operation };
          });
          for (let turns = random.below(4); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
          frame.cancel();
          await frame.then(undefined, () => {});
          return result;
        } catch (error) {
          if (error instanceof TimeoutError || error instanceof Cancelled) return undefined;
          throw error;
        }
      };

      const sender = async (channel: SharedChannel<number>, from: number) => {
        for (let i = 0; i < 100; i++) {
          while ((await attempt(channel.send(from + i))) === undefined);
          sent.push(from + i);
        }
      };
      const receiver = async (channel: SharedChannel<number>) => {
        while (true) {
          const got = random.below(2) === 0 ? await attempt(channel.recvMany(3)) : await attempt(channel.next());
          if (got === undefined) continue;
          const values = Array.isArray(got.value) ? got.value : got.value.done ? [] : [got.value.value];
          if (values.length === 0) return;
          received.push(...values);
        }
      };
      const alone = seed % 2 === 0 ? random.below(3) : undefined;
      const receivers = Promise.all(channels.filter((_, i) => alone === undefined || i === alone).map(receiver));
      await Promise.all(channels.map((channel, i) => sender(channel, i * 100)));
      home.close();
      await receivers;
      const expected = Array.from({ length: 300 }, (_, i) => i);
      if (alone !== undefined) {
        const bySender = [0, 1, 2].flatMap((i) => received.filter((value) => Math.floor(value / 100) === i));
        expect({ seed, bySender }).toEqual({ seed, bySender: expected });
      }
      expect({ seed, sent: sent.sort((a, b) => a - b) }).toEqual({ seed, sent: expected });
      expect({ seed, received: received.sort((a, b) => a - b) }).toEqual({ seed, received: expected });
    });
  }
});

describe("between threads", () => {
  test("four Workers produce and relay: each message arrives once", async () => {
    const [numbers, relayed] = [new SharedChannel<number>(4), new SharedChannel<number>(4)];
    const total = 500;
    const producers = [0, 1].map((id) => helper("produce", [numbers], { id, total }));
    for (let i = 0; i < 2; i++) helper("relay", [numbers, relayed]);
    const got = await run(function* () {
      const values: number[] = [];
      while (values.length < 2 * total) values.push(...(yield* relayed.recvMany(16)));
      return values;
    });
    for (const producer of producers) expect(await producer.next()).toBe("done");
    expect(got.sort((a, b) => a - b)).toEqual(Array.from({ length: 2 * total }, (_, i) => i));
    numbers.close();
    relayed.close();
  });

  test("a sender is never more than the capacity ahead", async () => {
    const channel = new SharedChannel<number>(3);
    const producer = helper("produce", [channel], { total: 200 });
    let most = 0;
    await run(function* () {
      for (let received = 0; received < 200; received++) {
        expect(yield* channel.recv()).toBe(received);
        // Read after the receive: room for one more may already be used.
        most = Math.max(most, Atomics.load(producer.counts, 0) - received);
        if (received % 50 === 0) yield* sleep(2);
        expect(Atomics.load(producer.counts, 0) - (received + 1)).toBeLessThanOrEqual(3);
      }
    });
    expect(most).toBeGreaterThan(0);
  });

  for (const role of ["owns", "owns and ends"]) {
    test(`the thread that made it ends (${role})`, async () => {
      const owner = helper(role, []);
      const channel = SharedChannel.from<number>((await owner.next()) as SharedChannelHandle);
      const blocked = [failure(sendUntilItFails(channel)), failure(untilItFails(channel))];
      if (role === "owns") owner.worker.terminate();
      await owner.ended;
      const ended = 'channel "owned by a Worker" is closed: the thread that made it has ended';
      await Promise.all(blocked);
      for (const use of [() => channel.send(1), () => channel.recv(), () => channel.trySend(1), () => channel.tryRecv()]) {
        expect(await failure(use())).toMatchObject({ name: "ChannelClosed", message: ended });
      }
      expect(thrown(() => channel.handle())).toBe(`ChannelClosed: ${ended}`);
      channel.close();
    });
  }

  test("what a terminated Worker had been handed, and did not take, is the first again", async () => {
    const channel = new SharedChannel<number>(4);
    const worker = helper("is handed a message", [channel]);
    for (let i = 0; i < 4; i++) await channel.send(i);
    await worker.next();
    // It has asked; the home has handed over two and so has room for two.
    await all([channel.send(4), channel.send(5)]);
    worker.worker.terminate();
    await worker.ended;
    const got: number[] = [];
    while (got.length < 6) got.push(...(await channel.recvMany(6)));
    expect(got).toEqual([0, 1, 2, 3, 4, 5]);
  });

  // With room for 64 it is lent some of that, too.
  test.each([2, 64])("what a Worker had sent arrives, and the room that it had is free again (capacity %d)", async (capacity) => {
    const channel = new SharedChannel<number>(capacity);
    const producer = helper("produce", [channel], { total: 100_000 });
    for (let i = 0; i < 500; i++) expect(await channel.recv()).toBe(i);
    producer.worker.terminate();
    await producer.ended;
    let next = 500;
    for (let n = await channel.tryRecv(); n !== undefined; n = await channel.tryRecv()) expect(n).toBe(next++);
    expect(next).toBeGreaterThanOrEqual(Atomics.load(producer.counts, 0));
    const granted = helper("is granted a send", [channel]);
    await granted.next();
    granted.worker.terminate();
    await granted.ended;
    for (let i = 0; i < capacity; i++) await channel.send(i);
    expect(await channel.trySend(-1)).toBe(false);
  });
});

describe("a process ends by itself, and not before", () => {
  const expected: Record<string, object> = {
    "opened and left alone": { code: 0, out: "opened\n" },
    "waits for a Worker": { code: 0, out: "0\n1\n2\n" },
    "a receive for ever": { code: 1, out: "" },
    "a receive whose only sender has ended": { code: 1, out: "0\n1\n" },
    "a Worker that waits": { code: 0, out: "undefined\n" },
    "a receive in owner mode that only another thread could end": { code: 0, out: "Deadlock\n7\n" },
  };
  test.each(Object.keys(expected))("%s", async (name) => {
    const ended = await runFixture("shared-ends.ts", [name]);
    expect(ended).toMatchObject({ ...expected[name], signal: null });
    if (ended.code === 1) expect(ended.err).toMatch(/all coroutines are asleep\n.*"main" waits to receive from channel "quiet"/);
  });
});

// 1,000 Workers.
describe("terminated Workers harm nobody", () => {
  const only = process.env.SEED === undefined ? undefined : Number(process.env.SEED);
  for (let seed = 0; seed < 10; seed++) {
    if (only !== undefined && only !== seed) continue;
    test(`100 in mixed states (SEED=${seed})`, async () => {
      expect(await runFixture("shared-terminations.ts", [String(seed), "100"])).toEqual({ code: 0, signal: null, out: "alive\n", err: "" });
    });
  }
});
