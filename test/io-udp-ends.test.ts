// How operations on UDP sockets end otherwise than by themselves, in guest and owner mode: cancels and limits, closes, sockets that are full, and
// what is left of it all.

import { describe, expect, test } from "bun:test";
import { asyncio, type Operation, run, select, sleep, withTimeout, xasync } from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { host, pair, text } from "./support/datagrams.ts";
import { failed, microtasks, rejected, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { isWindows } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { descriptors } from "./support/sockets.ts";

const { UDP } = asyncio;

describe("cancels", () => {
  inBothModes("a read that loses in a select leaves the datagram to the next", function* () {
    const [a, b] = yield* pair();
    const selected = yield* select({ read: b.read(), soon: sleep(1) });
    expect(selected.key).toBe("soon");
    yield* a.write("for the next", b.local);
    expect(text(yield* b.read())).toBe("for the next");
    // Both are ready: whoever loses keeps what it has.
    for (let i = 0; i < 50; i++) {
      yield* a.write(String(i), a.local);
      yield* a.write(String(i), b.local);
      const { key } = yield* select({ a: a.read(), b: b.readMany() });
      const [other] = key === "a" ? yield* b.readMany() : [yield* a.read()];
      expect(text(other as asyncio.Datagram)).toBe(String(i));
    }
    a.close();
    b.close();
  });

  inBothModes("and limits, at random, lose nothing and keep order", function* () {
    for (let seed = 0; seed < 30; seed++) {
      const random = new Random(seed);
      const [a, b] = yield* pair();
      const total = 60;
      const came: number[] = [];
      const sending = xasync(function* () {
        for (let next = 0; next < total; ) {
          const count = Math.min(1 + random.below(5), total - next);
          yield* a.writeMany(Array.from({ length: count }, (_, i) => ({ data: String(next + i), address: b.local })));
          next += count;
          if (random.below(2)) yield* sleep(random.below(3) / 10);
        }
      });
      while (came.length < total) {
        const many = random.below(2) === 0;
        const reading = xasync(function* () {
          if (many) came.push(...(yield* b.readMany(1 + random.below(40))).map((one) => Number(text(one))));
          else came.push(Number(text(yield* b.read())));
        });
        if (random.below(3) === 0) yield* sleep(random.below(3) / 10);
        if (random.below(2) === 0) reading.cancel();
        try {
          yield* reading;
        } catch (error) {
          if ((error as Error).name !== "Cancelled") throw error;
        }
      }
      yield* sending;
      expect({ seed, came }).toEqual({ seed, came: Array.from({ length: total }, (_, i) => i) });
      a.close();
      b.close();
    }
  });

  inBothModes("of reads that wait free the socket for the next", function* () {
    const [a, b] = yield* pair();
    for (let i = 0; i < 300; i++) {
      const reading = xasync(function* () {
        yield* b.read();
      });
      if (i % 3 === 0) yield* sleep(0);
      reading.cancel();
      yield* failed(reading as unknown as Operation<unknown>);
    }
    expect(yield* failed(withTimeout(1, b.read()))).toBe("TimeoutError: timed out after 1 ms waiting to read a datagram");
    yield* a.write("still there", b.local);
    expect(text(yield* b.read())).toBe("still there");
    a.close();
    b.close();
  });
});

describe("close", () => {
  inBothModes("ends a read in flight; everything after it says so", function* () {
    const [a, b] = yield* pair();
    const reading = xasync(function* () {
      return yield* failed(a.read());
    });
    yield* sleep(0);
    a.close();
    a.close();
    const closed = (syscall: string) => `Error: ${syscall} ECANCELED: the socket was closed`;
    expect(yield* reading).toBe(closed("read"));
    expect(a.closed).toBe(true);
    for (const operation of [a.read(), a.readMany(), a.read(1)]) expect(yield* failed(operation)).toBe(closed("read"));
    expect(yield* failed(a.write("x", b.local))).toBe(closed("write"));
    expect(yield* failed(a.writeMany([{ data: "x", address: b.local }]))).toBe(closed("write"));
    expect(yield* failed(a.connect(b.local))).toBe(closed("connect"));
    expect(thrown(() => a.setTTL(3))).toBe(closed("setTTL"));
    expect(thrown(() => a.setBroadcast())).toBe(closed("setBroadcast"));
    expect(thrown(() => a.receiveBufferSize)).toBe(closed("getReceiveBufferSize"));
    expect(thrown(() => a.addMembership("239.1.1.1"))).toBe(closed("addMembership"));
    expect(thrown(() => a.setMulticastInterface(""))).toBe(closed("setMulticastInterface"));
    expect(a.local.port).toBeGreaterThan(0);
    expect((yield* select({ a: run(() => failed(a.read())), late: sleep(1000) })).key).toBe("a");
    b.close();
  });

  inBothModes("drops what nobody has read, and ends an iteration", function* () {
    const [a, b] = yield* pair();
    const texts: string[] = [];
    const iterating = xasync(async () => {
      for await (const datagram of b) {
        texts.push(text(datagram));
        if (texts.length === 3) b.close();
      }
    });
    for (let i = 0; i < 5; i++) yield* a.write(String(i), b.local);
    yield* iterating;
    expect(texts).toEqual(["0", "1", "2"]);
    a.close();
  });

  inBothModes("a port is free again, and not before", function* () {
    const one = yield* UDP.bind({ host });
    const { port } = one.local;
    expect(yield* failed(UDP.bind({ host, port }))).toBe(`Error: bind EADDRINUSE: address already in use 127.0.0.1:${port}`);
    one.close();
    // A close reaches the kernel with the next turn at the latest.
    yield* sleep(0);
    if (isWindows) {
      expect(yield* failed(UDP.bind({ host, port, reusePort: true }))).toStartWith("Error: bind ENOTSUP");
      return;
    }
    using two = yield* UDP.bind({ host, port, reusePort: true });
    using three = yield* UDP.bind({ host, port, reusePort: true });
    expect([two.local.port, three.local.port]).toEqual([port, port]);
  });
});

describe("one at a time", () => {
  inBothModes("a second reader is refused, the first goes on", function* () {
    const [a, b] = yield* pair();
    const reading = xasync(function* () {
      return text(yield* b.read());
    });
    yield* sleep(0);
    expect(yield* failed(b.read())).toBe("Error: cannot read a datagram: another coroutine does so already");
    expect(yield* failed(b.readMany())).toBe("Error: cannot read datagrams: another coroutine does so already");
    const { key } = yield* select({ read: run(() => failed(b.read())), late: sleep(1000) });
    expect(key).toBe("read");
    yield* a.write("first", b.local);
    expect(yield* reading).toBe("first");
    a.close();
    b.close();
  });

  inBothModes("many write at once", function* () {
    const [a, b] = yield* pair();
    const frames = Array.from({ length: 50 }, (_, i) =>
      xasync(function* () {
        yield* a.write(String(i), b.local);
      }),
    );
    for (const frame of frames) yield* frame;
    const came = [];
    while (came.length < 50) came.push(...(yield* b.readMany()));
    expect(came.map(text)).toEqual(frames.map((_, i) => String(i)));
    a.close();
    b.close();
  });
});

// What needs a card of one's own, and with it a network namespace. Nothing fills a socket's buffer over loopback; behind a card whose
// neighbour does not answer it fills. And the loopback card returns multicast datagrams whatever the socket says.
describe("on a card of one's own", () => {
  async function onCard(part: string, expected: string): Promise<void> {
    const { code, out, err } = await runFixture("udp-card.ts", [part]);
    if (!out.startsWith("skipped")) expect({ code, out, err }).toEqual({ code: 0, out: expected, err: "" });
  }

  test(
    "writes wait while the socket is full, in order, are cancelled and closed upon",
    () =>
      onCard(
        "full",
        "waiting: 3\ncancelled: ERR_CANCELLED, ERR_CANCELLED\nclosed: ECANCELED, ECANCELED\nwent on: 1, 2\nlimited: TimeoutError\n",
      ),
    childTimeoutMs,
  );

  test(
    "multicast loops back or not, as the socket says, for IPv4 and IPv6",
    () => onCard("multicast", "four: looped, looped again\nsix: looped, looped again\n"),
    childTimeoutMs,
  );
});

describe("descriptors", () => {
  test("are given back by a thousand sockets, waiting or not", async () => {
    await sleep(1);
    const before = descriptors();
    for (let i = 0; i < 20; i++) {
      const sockets = await Promise.all(Array.from({ length: 50 }, () => UDP.bind({ host })));
      const reads = sockets.filter((_, at) => at % 2).map((socket) => rejected(socket.read()));
      await microtasks();
      for (const socket of sockets) socket.close();
      await Promise.all(reads);
    }
    // The loop's own wake comes and goes.
    for (let i = 0; i < 20 && descriptors() > before; i++) await sleep(1);
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
  });

  test("of sockets that nobody holds any more are given back by the collector", async () => {
    const before = descriptors();
    await run(function* () {
      for (let i = 0; i < 50; i++) yield* UDP.bind({ host });
    });
    for (let i = 0; i < 20 && descriptors() > before + 5; i++) {
      Bun.gc(true);
      await sleep(1);
    }
    expect(descriptors()).toBeLessThanOrEqual(before + 5);
  });
});
