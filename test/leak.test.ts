// Memory: what has ended is freed. Growth of the resident set is bounded generously; a leak of even a small object a round shows.

import { afterAll, expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, run, scope, select, withTimeout, xasync } from "zigcoro";
import { pair } from "./support/sockets.ts";

const MiB = 1 << 20;

/** Resident memory once the collector has done its work. */
async function resident(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    Bun.gc(true);
    await asyncio.sleep(1);
  }
  return process.memoryUsage.rss();
}

/** Runs `round` to warm up, then `rounds` times, and checks that it all left less than `limit` bytes behind. */
function leavesLess(name: string, limit: number, rounds: number, round: () => Promise<void>): void {
  test(`${name} leave less than ${limit / MiB} MiB`, async () => {
    for (let i = 0; i < 2; i++) await round();
    const before = await resident();
    for (let i = 0; i < rounds; i++) await round();
    expect((await resident()) - before).toBeLessThan(limit);
  }, 60_000);
}

leavesLess("100,000 coroutines", 24 * MiB, 10, async () => {
  const frames = [];
  for (let i = 0; i < 10_000; i++) {
    frames.push(
      xasync(function* () {
        yield* asyncio.sleep(0);
        return i;
      }),
    );
  }
  await Promise.all(frames);
});

leavesLess("a million coroutines that were spawned and joined", 24 * MiB, 10, () =>
  run(function* () {
    function* child(channel: Channel<number>): Coroutine<number | undefined> {
      return yield* channel.recv();
    }
    const channel = new Channel<number>();
    for (let i = 0; i < 100_000; i++) {
      const frame = xasync(child, [channel]);
      yield* channel.send(i);
      yield* frame;
    }
  }),
);

leavesLess("100,000 scopes, selects, limits and cancels", 24 * MiB, 10, () =>
  run(function* () {
    const [a, b] = [new Channel<object>(), new Channel<object>()];
    for (let i = 0; i < 10_000; i++) {
      yield* scope(function* (s) {
        const selecting = s.spawn(function* () {
          return yield* select({ a: a.recv(), b: b.send({}), late: asyncio.sleep(1e9) });
        });
        const limited = s.spawn(function* () {
          yield* withTimeout(1e9, b.send({}));
        });
        a.trySend({ i });
        limited.cancel();
        yield* selecting;
      });
    }
  }),
);

leavesLess("100,000 cancelled sleeps", 24 * MiB, 10, async () => {
  const frames = [];
  for (let i = 0; i < 10_000; i++) {
    frames.push(
      xasync(function* () {
        yield* asyncio.sleep(1e9);
      }),
    );
  }
  for (const frame of frames) frame.cancel();
  await Promise.allSettled(frames);
});

leavesLess("100,000 limits that were not reached", 24 * MiB, 10, () =>
  run(function* () {
    const ch = new Channel<number>(1);
    for (let i = 0; i < 5000; i++) {
      ch.trySend(i);
      yield* withTimeout(1e9, ch.recv());
      const receiving = xasync(function* () {
        yield* withTimeout(1e9, ch.recv());
      });
      ch.trySend(i);
      yield* receiving;
    }
  }),
);

leavesLess("100,000 channels", 32 * MiB, 10, async () => {
  for (let i = 0; i < 10_000; i++) {
    const ch = new Channel<number>(i % 4);
    ch.trySend(i);
  }
  Bun.gc(true);
  await asyncio.sleep(1);
});

leavesLess("a million messages", 16 * MiB, 10, () =>
  run(function* () {
    const ch = new Channel<object>(100);
    const receiver = xasync(function* () {
      while (yield* ch.recv());
    });
    for (let i = 0; i < 100_000; i++) yield* ch.send({ i });
    ch.close();
    yield* receiver;
  }),
);

leavesLess("2,000 connections and their buffers", 32 * MiB, 10, () =>
  run(function* () {
    const data = new Uint8Array(50_000);
    for (let i = 0; i < 200; i++) {
      const [a, b] = yield* pair();
      yield* a.write(data);
      yield* b.read();
      a.close();
      b.close();
    }
  }),
);

afterAll(() => Bun.gc(true));
