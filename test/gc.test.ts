// The collector runs at every suspension: nothing that a suspended coroutine needs may depend on luck.

import { expect, test } from "bun:test";
import {
  all,
  asyncio,
  Channel,
  type Coroutine,
  call,
  Mutex,
  run,
  scope,
  select,
  sleep,
  until,
  withTimeout,
  xasync,
  xresume,
  xsuspend,
} from "zigcoro";

/** A full collection before and after `body` goes on from each of its suspends. */
function* collecting<T>(body: Coroutine<T>): Coroutine<T> {
  let input: unknown;
  for (;;) {
    Bun.gc(true);
    const result = body.next(input);
    if (result.done) return result.value;
    Bun.gc(true);
    input = yield result.value;
  }
}

test("channels, selects, scopes, calls, limits and sockets with a collection at every suspend", async () => {
  const sum = await run(() =>
    collecting(
      (function* main(): Coroutine<number> {
        const [numbers, doubled] = [new Channel<{ n: number }>(1), new Channel<{ n: number }>()];
        const mutex = new Mutex();
        let total = 0;
        yield* scope(function* (s) {
          s.spawn(() =>
            collecting(
              (function* (): Coroutine<void> {
                for (let n = 1; n <= 8; n++) yield* numbers.send({ n });
                numbers.close();
              })(),
            ),
          );
          s.spawn(() =>
            collecting(
              (function* (): Coroutine<void> {
                for (let value = yield* numbers.recv(); value; value = yield* numbers.recv()) {
                  using _ = yield* mutex.lock();
                  yield* withTimeout(60_000, doubled.send({ n: value.n * 2 }));
                }
                doubled.close();
              })(),
            ),
          );
          yield* call(
            collecting(
              (function* (): Coroutine<void> {
                for (;;) {
                  const event = yield* select({ value: doubled.recv(), late: sleep(60_000) });
                  if (event.key !== "value" || event.value === undefined) return;
                  total += event.value.n;
                  yield* until(Promise.resolve());
                }
              })(),
            ),
          );
        });
        using server = yield* asyncio.TCP.listen({ port: 0 });
        const [bytes] = yield* all([
          collecting(
            (function* (): Coroutine<number> {
              using served = yield* server.accept();
              const chunk = yield* served.read();
              return chunk?.byteLength ?? 0;
            })(),
          ),
          collecting(
            (function* (): Coroutine<void> {
              using client = yield* asyncio.TCP.connect({ port: server.local.port });
              yield* client.write("hello");
            })(),
          ),
        ]);
        return total + bytes;
      })(),
    ),
  );
  expect(sum).toBe(72 + 5);
});

test("a suspended coroutine that only its waiter knows is kept, and one that nobody knows is let go", async () => {
  const channel = new Channel<number>();
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  xasync(function* () {
    resolve(yield* channel.recv());
  });
  const frames = Array.from(
    { length: 100 },
    () =>
      new WeakRef(
        xasync(function* () {
          yield* new Channel<number>().recv();
        }),
      ),
  );
  for (let i = 0; i < 5; i++) {
    Bun.gc(true);
    await new Promise((next) => setTimeout(next, 0));
  }
  expect(channel.trySend(7)).toBe(true);
  expect(await promise).toBe(7);
  expect(frames.filter((frame) => frame.deref() !== undefined).length).toBeLessThan(10);
});

test("resumes survive collections between", async () => {
  const frame = xasync(function* () {
    let sum = 0;
    for (let i = 0; i < 20; i++) {
      const value = (yield* xsuspend()) as { n: number };
      sum += value.n;
    }
    return sum;
  });
  for (let n = 0; n < 20; n++) {
    Bun.gc(true);
    xresume(frame, { n });
  }
  expect(await frame).toBe(190);
});
