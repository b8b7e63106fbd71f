// Channels: rendezvous, buffer, close, tries, iteration, limits and cancels, and a model test of random operations.

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, ChannelClosed, type Coroutine, type Frame, run, withTimeout, xasync } from "zigcoro";
import { failure, microtasks, rejected, thrown } from "./support/failure.ts";

function* receiveAll<T>(ch: Channel<T>): Coroutine<T[]> {
  const got: T[] = [];
  for (;;) {
    const value = yield* ch.recv();
    if (value === undefined) return got;
    got.push(value);
  }
}

describe("a rendezvous channel", () => {
  test("ends a send when a receiver takes the value, not before", async () => {
    const ch = new Channel<number>();
    const log: string[] = [];
    const sender = xasync(function* () {
      for (let i = 1; i <= 3; i++) {
        yield* ch.send(i);
        log.push(`sent ${i}`);
      }
    });
    await microtasks();
    expect([sender.status, log]).toEqual(["suspended", []]);
    for (let i = 1; i <= 3; i++) {
      expect(await ch.recv()).toBe(i);
      await microtasks();
      expect(log.length).toBe(i);
    }
    await sender;
  });

  test("tries never wait: a send needs a receiver that waits, a receive a sender", async () => {
    const ch = new Channel<number>();
    expect(ch.trySend(1)).toBe(false);
    expect(ch.tryRecv()).toBeUndefined();
    const receiver = xasync(receiveAll<number>, [ch]);
    expect(ch.trySend(2)).toBe(true);
    await microtasks();
    ch.close();
    expect(await receiver).toEqual([2]);
    const other = new Channel<number>();
    const sender = xasync(function* () {
      yield* other.send(3);
    });
    expect(other.tryRecv()).toBe(3);
    await sender;
  });
});

describe("a buffered channel", () => {
  test("takes as many values as its capacity without a receiver", async () => {
    for (const capacity of [1, 2, 7, 100, 1000]) {
      const ch = new Channel<number>(capacity);
      for (let i = 0; i < capacity; i++) expect(ch.trySend(i)).toBe(true);
      expect(ch.trySend(-1)).toBe(false);
      for (let i = 0; i < capacity; i++) expect(ch.tryRecv()).toBe(i);
      expect(ch.tryRecv()).toBeUndefined();
    }
  });

  test("lets a waiting sender in as soon as there is room, in order", async () => {
    const ch = new Channel<number>(2);
    const senders = [1, 2, 3, 4, 5].map((n) =>
      xasync(function* () {
        yield* ch.send(n);
      }),
    );
    expect(senders.map((frame) => frame.status)).toEqual(["done", "done", "suspended", "suspended", "suspended"]);
    expect(ch.tryRecv()).toBe(1);
    expect(ch.trySend(9)).toBe(false);
    await senders[2];
    expect([2, 3, 4, 5].map(() => ch.tryRecv())).toEqual([2, 3, 4, 5]);
    await Promise.all(senders);
  });

  test("of the largest capacity costs nothing until it is used", () => {
    const ch = new Channel<number>(2 ** 31 - 1);
    expect(ch.capacity).toBe(2 ** 31 - 1);
    for (let i = 0; i < 10_000; i++) expect(ch.trySend(i)).toBe(true);
    for (let i = 0; i < 10_000; i++) expect(ch.tryRecv()).toBe(i);
  });
});

for (const capacity of [0, 1, 100]) {
  test(`all values arrive once, each sender's in order at each receiver, capacity ${capacity}`, async () => {
    const ch = new Channel<[sender: number, n: number]>(capacity);
    const receivers = Array.from({ length: 7 }, () => xasync(receiveAll<[number, number]>, [ch]));
    const senders = Array.from({ length: 5 }, (_, sender) =>
      xasync(function* () {
        for (let n = 0; n < 1000; n++) yield* ch.send([sender, n]);
      }),
    );
    await Promise.all(senders);
    ch.close();
    const received = await Promise.all(receivers);
    for (let sender = 0; sender < 5; sender++) {
      const shares = received.map((values) => values.filter((value) => value[0] === sender).map((value) => value[1]));
      for (const share of shares) expect(share).toEqual(share.toSorted((a, b) => a - b));
      expect(shares.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
    }
  });

  test(`one receiver gets every sender's values in order, capacity ${capacity}`, async () => {
    const ch = new Channel<number>(capacity);
    const receiver = xasync(receiveAll<number>, [ch]);
    for (let n = 0; n < 1000; n++) await ch.send(n);
    ch.close();
    expect(await receiver).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  });
}

describe("close", () => {
  test("lets receivers drain the buffer, then gives undefined, again and again", async () => {
    const ch = new Channel<string>(3);
    for (const value of ["a", "b", "c"]) ch.trySend(value);
    ch.close();
    expect(ch.closed).toBe(true);
    expect(await ch.recv()).toBe("a");
    expect(ch.tryRecv()).toBe("b");
    expect(await run(() => receiveAll(ch))).toEqual(["c"]);
    for (let i = 0; i < 3; i++) {
      expect(await ch.recv()).toBeUndefined();
      expect(ch.tryRecv()).toBeUndefined();
    }
  });

  test("refuses sends and tells waiting senders, whose values are not received", async () => {
    const ch = new Channel<number>(1, "jobs");
    const message = 'ChannelClosed: cannot send to channel "jobs": it is closed';
    ch.trySend(1);
    const waiting = [
      xasync(function* () {
        yield* ch.send(2);
      }),
      xasync(async () => await ch.send(3)),
      ch.send(4).then(() => {}),
    ];
    await microtasks();
    const told = Promise.all(waiting.map(rejected));
    ch.close();
    expect(await told).toEqual([message, message, message]);
    expect(thrown(() => ch.trySend(5))).toBe(message);
    expect(await rejected(ch.send(6))).toBe(message);
    const error = await failure(ch.send(7));
    expect(error).toBeInstanceOf(ChannelClosed);
    expect(error.code).toBe("ERR_CHANNEL_CLOSED");
    expect(await ch.recv()).toBe(1);
    expect(await ch.recv()).toBeUndefined();
  });

  test("wakes every waiting receiver with undefined", async () => {
    const ch = new Channel<number>();
    const receivers = Array.from({ length: 100 }, () =>
      xasync(function* () {
        return [yield* ch.recv()];
      }),
    );
    ch.close();
    ch.close();
    expect(await Promise.all(receivers)).toEqual(new Array(100).fill([undefined]));
  });

  test("by Symbol.dispose", () => {
    const ch = new Channel<number>();
    {
      using _ = ch;
    }
    expect(ch.closed).toBe(true);
  });
});

describe("values", () => {
  test("may be anything: undefined, null, NaN, functions, errors, itself", async () => {
    const ch = new Channel<unknown>(8);
    const values = [undefined, null, Number.NaN, () => {}, new Error("value"), ch, Symbol("s"), 0n];
    for (const value of values) expect(ch.trySend(value)).toBe(true);
    ch.close();
    const got: unknown[] = [];
    for await (const value of ch) got.push(value);
    expect(got).toEqual(values);
  });

  test("undefined through a rendezvous is a message for `for await`", async () => {
    const ch = new Channel<undefined>();
    xasync(function* () {
      yield* ch.send(undefined);
      yield* ch.send(undefined);
      ch.close();
    });
    let count = 0;
    for await (const value of ch) {
      expect(value).toBeUndefined();
      count++;
    }
    expect(count).toBe(2);
  });

  test("a promise or an operation is a value like any other", async () => {
    const ch = new Channel<unknown>(2);
    const promise = Promise.resolve(5);
    const sleep = asyncio.sleep(0);
    ch.trySend(promise);
    ch.trySend(sleep);
    expect(ch.tryRecv()).toBe(promise);
    expect(ch.tryRecv()).toBe(sleep);
  });
});

describe("for await", () => {
  test("left early leaves the channel open", async () => {
    const ch = new Channel<number>(4);
    for (const n of [1, 2, 3]) ch.trySend(n);
    for await (const n of ch) if (n === 2) break;
    expect([ch.closed, ch.tryRecv()]).toEqual([false, 3]);
  });

  test("by several shares the values out", async () => {
    const ch = new Channel<number>(1);
    const shares = Array.from({ length: 3 }, () =>
      xasync(async () => {
        const share: number[] = [];
        for await (const n of ch) share.push(n);
        return share;
      }),
    );
    for (let n = 0; n < 300; n++) await ch.send(n);
    ch.close();
    const all = (await Promise.all(shares)).flat().sort((a, b) => a - b);
    expect(all).toEqual(Array.from({ length: 300 }, (_, n) => n));
  });
});

describe("with a limit of time", () => {
  test("a receive that timed out consumed nothing", async () => {
    const ch = new Channel<number>(0, "slow");
    expect(await rejected(withTimeout(1, ch.recv()))).toBe('TimeoutError: timed out after 1 ms waiting to receive from channel "slow"');
    expect(ch.trySend(1)).toBe(false);
    const sender = xasync(function* () {
      yield* ch.send(2);
    });
    expect(await withTimeout(1000, ch.recv())).toBe(2);
    await sender;
  });

  test("a send that timed out was not delivered, and may be done again", async () => {
    const ch = new Channel<number>(0, "slow");
    const send = ch.send(1);
    expect(await rejected(withTimeout(1, send))).toBe('TimeoutError: timed out after 1 ms waiting to send to channel "slow"');
    expect(ch.tryRecv()).toBeUndefined();
    const again = withTimeout(1000, send).then(() => "sent");
    expect(await ch.recv()).toBe(1);
    expect(await again).toBe("sent");
  });

  test("of 0 ms still takes what is there", async () => {
    const ch = new Channel<number>(1);
    ch.trySend(1);
    expect(await withTimeout(0, ch.recv())).toBe(1);
    expect(await rejected(withTimeout(0, ch.recv()))).toStartWith("TimeoutError");
    await withTimeout(0, ch.send(2));
    expect(await rejected(withTimeout(0, ch.send(3)))).toStartWith("TimeoutError");
    expect(ch.tryRecv()).toBe(2);
  });

  test("limits nest, the shorter one wins, and nothing is left behind", async () => {
    const ch = new Channel<number>(0, "c");
    expect(await rejected(withTimeout(1e6, withTimeout(1, ch.recv())))).toBe(
      'TimeoutError: timed out after 1 ms waiting to receive from channel "c"',
    );
    expect(await rejected(withTimeout(1, withTimeout(1e6, ch.recv())))).toBe(
      'TimeoutError: timed out after 1 ms waiting to receive from channel "c" for at most 1000000 ms',
    );
    expect(ch.trySend(1)).toBe(false);
  });

  test("reports a closed channel as ever", async () => {
    const ch = new Channel<number>(0, "c");
    const send = rejected(withTimeout(1e6, ch.send(1)));
    await microtasks();
    ch.close();
    expect(await send).toBe('ChannelClosed: cannot send to channel "c": it is closed');
    expect(await withTimeout(1e6, ch.recv())).toBeUndefined();
  });
});

test("one send operation sends each time it is used, at once or in a row", async () => {
  const ch = new Channel<number>(0, "c");
  const send = ch.send(5);
  const uses = Promise.all([send, send, xasync(() => send)]);
  expect([await ch.recv(), await ch.recv(), await ch.recv()]).toEqual([5, 5, 5]);
  await uses;
  expect(ch.tryRecv()).toBeUndefined();
  const again = send.then(() => "sent again");
  expect(await ch.recv()).toBe(5);
  expect(await again).toBe("sent again");
});

test("ten thousand receivers wait on one channel and are served in order", async () => {
  const ch = new Channel<number>();
  const order: number[] = [];
  const receivers = Array.from({ length: 10_000 }, (_, i) =>
    xasync(function* () {
      const value = yield* ch.recv();
      if (value === i) order.push(i);
    }),
  );
  for (let i = 0; i < 10_000; i++) expect(ch.trySend(i)).toBe(true);
  await Promise.all(receivers);
  expect(order.length).toBe(10_000);
});

describe("wrong arguments", () => {
  const wrong: [unknown, string][] = [
    [-1, "RangeError: new Channel: capacity must be an integer from 0 to 2147483647, got -1"],
    [1.5, "RangeError: new Channel: capacity must be an integer from 0 to 2147483647, got 1.5"],
    [Number.NaN, "RangeError: new Channel: capacity must be an integer from 0 to 2147483647, got NaN"],
    [2 ** 31, "RangeError: new Channel: capacity must be an integer from 0 to 2147483647, got 2147483648"],
    ["1", 'TypeError: new Channel: capacity must be an integer from 0 to 2147483647, got "1"'],
    [null, "TypeError: new Channel: capacity must be an integer from 0 to 2147483647, got null"],
    [1n, "TypeError: new Channel: capacity must be an integer from 0 to 2147483647, got 1n"],
  ];
  for (const [capacity, message] of wrong) {
    test(message, () => expect(thrown(() => new Channel(capacity as number))).toBe(message));
  }
  test("a name that is no string", () => {
    expect(thrown(() => new Channel(0, 5 as never))).toBe("TypeError: new Channel: name must be a string, got 5");
  });
});

// ---- the model test

/** A small generator of random numbers whose sequence its seed decides (mulberry32). */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A channel, and what a plain account of all sends and receives says must be in it. */
class Account {
  readonly channel: Channel<number>;
  next = 0;
  operations = 0;
  /** Values whose send has ended well, and those that were received; each value is sent once. */
  readonly sent = new Set<number>();
  readonly received = new Set<number>();
  /** Values that a send gave back (refused, timed out, cancelled, closed). */
  readonly refused = new Set<number>();
  readonly faults: string[] = [];

  constructor(capacity: number) {
    this.channel = new Channel<number>(capacity);
  }

  take(value: number): void {
    if (this.received.has(value)) this.faults.push(`value ${value} came twice`);
    if (this.refused.has(value)) this.faults.push(`value ${value} came although its send was given back`);
    this.received.add(value);
  }

  giveBack(value: number): void {
    if (this.received.has(value)) this.faults.push(`value ${value} was given back although it had come`);
    this.refused.add(value);
  }

  ended(value: number): void {
    if (this.refused.has(value)) this.faults.push(`the send of ${value} ended twice`);
    this.sent.add(value);
  }
}

/** One coroutine: random operations until its budget is spent or the channel is closed. Cancels come from outside. */
function* actor(account: Account, random: (below: number) => number, budget: number): Coroutine<void> {
  const ch = account.channel;
  for (let i = 0; i < budget; i++) {
    account.operations++;
    const choice = random(100);
    let value = -1;
    let ended = false;
    try {
      if (choice < 35) {
        value = account.next++;
        const operation = ch.send(value);
        if (choice < 8) yield* withTimeout(random(3) / 10, operation);
        else yield* operation;
        ended = true;
        account.ended(value);
      } else if (choice < 70) {
        const operation = ch.recv();
        const got = choice < 43 ? yield* withTimeout(random(3) / 10, operation) : yield* operation;
        if (got === undefined) return;
        account.take(got);
      } else if (choice < 82) {
        value = account.next++;
        if (ch.trySend(value)) {
          ended = true;
          account.ended(value);
        } else account.giveBack(value);
        value = -1;
      } else if (choice < 94) {
        const got = ch.tryRecv();
        if (got !== undefined) account.take(got);
      } else if (choice < 97) {
        yield* asyncio.sleep(0);
      } else {
        yield* asyncio.sleep(random(3) / 10);
      }
    } catch (error) {
      const { name } = error as Error;
      if (!["TimeoutError", "ChannelClosed", "Cancelled"].includes(name)) throw error;
      if (value >= 0 && !ended) account.giveBack(value);
      if (name === "ChannelClosed") return;
    }
  }
}

async function play(seed: number, capacity: number, actors: number, budget: number): Promise<number> {
  const random = randomFrom(seed);
  const account = new Account(capacity);
  const frames: Frame<void>[] = [];
  for (let i = 0; i < actors; i++) frames.push(xasync(actor, [account, random, budget], { name: `actor ${i}` }));
  let alive = true;
  const everyone = Promise.all(frames).finally(() => {
    alive = false;
  });
  const closeAfter = (actors * budget * (50 + random(50))) / 100;
  while (alive) {
    frames[random(actors)]?.cancel("chance");
    if (random(40) === 0) Bun.gc(true);
    const before = account.operations;
    await asyncio.sleep(0);
    // Once all wait for a partner that nobody is, or enough was done, closing ends the game.
    if (account.operations >= closeAfter || (account.operations === before && random(20) === 0)) account.channel.close();
  }
  await everyone;
  account.channel.close();
  for (;;) {
    const left = account.channel.tryRecv();
    if (left === undefined) break;
    account.take(left);
  }
  for (const value of account.sent) if (!account.received.has(value)) account.faults.push(`value ${value} was lost`);
  for (const value of account.received)
    if (!account.sent.has(value)) account.faults.push(`value ${value} came, but its send never ended well`);
  if (account.faults.length > 0) throw new Error(`seed ${seed}, capacity ${capacity}: ${account.faults.slice(0, 5).join("; ")}`);
  return account.operations;
}

describe("random operations by many coroutines lose nothing and double nothing", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  for (const capacity of [0, 1, 3, 100]) {
    test(`capacity ${capacity} (SEED=${seed})`, async () => {
      let operations = 0;
      for (let game = 0; operations < 25_000; game++) operations += await play(seed + game, capacity, 5 + ((seed + game) % 60), 200);
    }, 30_000);
  }
});

/** With one thread of control and no waiting, a list is the whole model: order too. */
test("tries against a list", () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  const random = randomFrom(seed);
  for (const capacity of [0, 1, 3, 100]) {
    const ch = new Channel<number>(capacity);
    const model: number[] = [];
    for (let i = 0; i < 10_000; i++) {
      const bias = Math.floor(i / 500) % 2 === 0 ? 70 : 30;
      if (random(100) < bias) {
        const expected = model.length < capacity;
        if (ch.trySend(i) !== expected) throw new Error(`seed ${seed}, capacity ${capacity}: trySend ${i} is not ${expected}`);
        if (expected) model.push(i);
      } else {
        const expected = model.shift();
        if (ch.tryRecv() !== expected) throw new Error(`seed ${seed}, capacity ${capacity}: tryRecv is not ${expected}`);
      }
    }
  }
});

/** Waiting operations, started in a known order, against lists: who gets what is decided by order alone. */
test("waiting sends and receives against lists", async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  const random = randomFrom(seed);
  for (const capacity of [0, 1, 3]) {
    const ch = new Channel<number>(capacity);
    const got: [receiver: number, value: number | undefined][] = [];
    const expected: [number, number | undefined][] = [];
    const queue: number[] = [];
    const receivers: number[] = [];
    const frames: Frame<void>[] = [];
    const bias = { send: 50 };
    for (let i = 0; i < 4000; i++) {
      if (i % 100 === 0) bias.send = 30 + random(40);
      if (random(100) < bias.send) {
        const receiver = receivers.shift();
        if (receiver === undefined) queue.push(i);
        else expected.push([receiver, i]);
        frames.push(
          xasync(function* () {
            yield* ch.send(i);
          }),
        );
      } else {
        const value = queue.shift();
        if (value === undefined) receivers.push(i);
        else expected.push([i, value]);
        frames.push(
          xasync(function* () {
            got.push([i, yield* ch.recv()]);
          }),
        );
      }
      if (random(10) === 0) await microtasks();
    }
    while (queue.length > 0) expected.push([-1, queue.shift()]);
    for (let value = ch.tryRecv(); value !== undefined; value = ch.tryRecv()) got.push([-1, value]);
    ch.close();
    for (const receiver of receivers) expected.push([receiver, undefined]);
    await Promise.all(frames);
    const byReceiver = (a: [number, unknown], b: [number, unknown]) => a[0] - b[0];
    if (JSON.stringify(got.sort(byReceiver)) !== JSON.stringify(expected.sort(byReceiver))) {
      throw new Error(`seed ${seed}, capacity ${capacity}: the values did not go to those who waited longest`);
    }
  }
});
