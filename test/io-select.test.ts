// Reads and accepts as branches that lose, time out, are cancelled or are part of a failed `all`: no byte and no connection is lost or
// comes twice. Random, by a seed that the test's name shows; SEED=... runs one.

import { describe, expect, test } from "bun:test";
import { all, asyncio, Channel, type Coroutine, race, run, select, sleep, withTimeout, xasync } from "zigcoro";
import { pair } from "./support/sockets.ts";

const seeds = process.env.SEED === undefined ? [1, 2, 3].map((n) => n * 7919 + (Date.now() % 1000)) : [Number(process.env.SEED)];

function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One try to get `operation`'s result, in a way that may not get it. */
function* attempt<T>(operation: () => import("zigcoro").Operation<T>, random: (below: number) => number, noise: Channel<number>) {
  switch (random(5)) {
    case 0: {
      const selected = yield* select({ it: operation(), noise: noise.recv(), soon: sleep(random(2) / 4) });
      return selected.key === "it" ? { value: selected.value as T } : undefined;
    }
    case 1:
      try {
        return { value: yield* withTimeout(random(3) / 4, operation()) };
      } catch {
        return undefined;
      }
    case 2: {
      // Cancelled at any moment. What it has by then it says.
      let got: { value: T } | undefined;
      const frame = xasync(function* () {
        got = { value: yield* operation() };
      });
      if (random(2)) yield* sleep(random(2) / 4);
      yield* frame.cancel();
      return got;
    }
    case 3: {
      const first = yield* race([withTimeout(60_000, operation()), sleep(0)]);
      return first === undefined ? undefined : { value: first as T };
    }
    default:
      return { value: yield* withTimeout(10_000, operation()) };
  }
}

describe("nothing is lost", () => {
  for (const seed of seeds) {
    test(`of a stream (SEED=${seed})`, async () => {
      const random = randomOf(seed);
      await run(function* main() {
        const [client, served] = yield* pair();
        const total = 60_000;
        const noise = new Channel<number>(1);
        const writing = xasync(function* (): Coroutine<void> {
          for (let at = 0; at < total; ) {
            const length = Math.min(1 + random(400), total - at);
            yield* client.write(Uint8Array.from({ length }, (_, i) => (at + i) % 251));
            at += length;
            if (random(4) === 0) noise.trySend(at);
            if (random(3) === 0) yield* sleep(0);
          }
          yield* client.shutdown();
        });
        let at = 0;
        for (;;) {
          const got = yield* attempt(() => served.read(1 + random(300)), random, noise);
          if (got === undefined) continue;
          // biome-ignore lint/suspicious/noConfusingVoidType: race has the sleep's type, too
          const bytes = got.value as Uint8Array | null | void;
          if (!bytes) break;
          for (const byte of bytes) expect(byte).toBe(at++ % 251);
        }
        expect(at).toBe(total);
        yield* writing;
        client.close();
        served.close();
      });
    }, 60_000);

    test(`of connections (SEED=${seed})`, async () => {
      const random = randomOf(seed);
      await run(function* main() {
        using server = yield* asyncio.TCP.listen({ port: 0 });
        const noise = new Channel<number>(1);
        const count = 100;
        const clients = xasync(function* (): Coroutine<void> {
          for (let n = 0; n < count; n++) {
            const client = yield* asyncio.TCP.connect({ port: server.local.port });
            yield* client.write(Uint8Array.of(n));
            xasync(function* () {
              yield* client.read();
              client.close();
            });
            if (random(4) === 0) noise.trySend(n);
            if (random(3) === 0) yield* sleep(0);
          }
        });
        const seen = new Set<number>();
        while (seen.size < count) {
          const got = yield* attempt(() => server.accept(), random, noise);
          if (!got?.value) continue;
          using connection = got.value;
          const [first] = (yield* withTimeout(10_000, connection.read(1))) ?? [];
          expect(seen.has(first as number)).toBe(false);
          seen.add(first as number);
        }
        yield* clients;
        const none = yield* all([race([server.accept(), sleep(5)])]);
        expect(none).toEqual([undefined]);
      });
    }, 60_000);
  }
});
