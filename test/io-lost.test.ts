// Operations made of others that lose in a select although they have their result: it is the next one's.

import { describe, expect, test } from "bun:test";
import { constants, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  all,
  asyncio,
  Channel,
  CoroT,
  type Coroutine,
  call,
  interval,
  type Operation,
  run,
  select,
  sleep,
  until,
  withTimeout,
  xasync,
  xawaitAsReady,
} from "zigcoro";
import { isWindows } from "./support/platform.ts";

/** `operation` against a message that comes `turns` turns after `start`: its result, asked for again if the message won. */
function* contested<T>(operation: () => Operation<T>, start: () => void, turns: number): Coroutine<T> {
  const [go, noise] = [new Channel<number>(1), new Channel<number>(1)];
  xasync(function* () {
    yield* go.recv();
    for (let i = 0; i < turns; i++) yield* until(Promise.resolve());
    noise.trySend(turns);
  });
  // With no turn between, the message comes right behind what `start` does, and before whoever waits for that goes on.
  const starting = xasync(function* () {
    yield* sleep(0);
    start();
    go.trySend(turns);
  });
  const first = yield* select({ it: operation(), noise: noise.recv() });
  yield* starting;
  return first.key === "it" ? (first.value as T) : yield* withTimeout(2000, operation());
}

describe("lost in a select", () => {
  test("the next of several operations", () =>
    run(function* main() {
      for (let turns = 0; turns < 12; turns++) {
        const gate = new Channel<number>(1);
        const nexts = xawaitAsReady([gate.recv()])[Symbol.iterator]();
        const next = nexts.next().value as Operation<number | undefined>;
        expect(
          yield* contested(
            () => next,
            () => gate.trySend(turns),
            turns,
          ),
        ).toBe(turns);
      }
    }));

  test("what was ready when the loop was left", () =>
    run(function* main() {
      const messages = new Channel<number>(4);
      for (const n of [1, 2, 3]) messages.trySend(n);
      for (const next of xawaitAsReady([messages.recv(), messages.recv(), messages.recv(), messages.recv()])) {
        expect(yield* next).toBe(1);
        break;
      }
      yield* sleep(0);
      messages.trySend(4);
      expect([messages.tryRecv(), messages.tryRecv(), messages.tryRecv()]).toEqual([2, 3, 4]);
    }));

  test("a failure of one of several operations", () =>
    run(function* main() {
      for (let turns = 0; turns < 12; turns++) {
        let fail: (error: Error) => void = () => {};
        const failing = new Promise<never>((_, reject) => {
          fail = reject;
        });
        const next = xawaitAsReady([failing])[Symbol.iterator]().next().value as Operation<never>;
        const caught = yield* xasync(function* () {
          try {
            return yield* contested(
              () => next,
              () => fail(new Error("gone")),
              turns,
            );
          } catch (error) {
            return error;
          }
        });
        expect(String(caught)).toBe("Error: gone");
      }
    }));

  test("what a typed coroutine yields", () =>
    run(function* main() {
      for (let turns = 0; turns < 12; turns++) {
        const gate = new Channel<number>(1);
        const co = new CoroT<number, void, string>(function* (self) {
          yield* self.xyield((yield* gate.recv()) as number);
          return "end";
        });
        expect(
          yield* contested(
            () => co.next(),
            () => gate.trySend(turns),
            turns,
          ),
        ).toEqual({ done: false, value: turns });
        expect(yield* co.next()).toEqual({ done: true, value: "end" });
      }
    }));

  test("a tick", () =>
    run(function* main() {
      const ticks = interval(4);
      const ready = new Channel<number>(1);
      ready.trySend(1);
      expect((yield* select({ ready: ready.recv(), tick: ticks.next() })).key).toBe("ready");
      const { key } = yield* select({ soon: sleep(0), tick: ticks.next() });
      expect(key).toBe("soon");
      yield* sleep(10);
      expect(yield* ticks.next()).toBe(1);
      expect(yield* ticks.next()).toBeGreaterThan(2);
    }));

  test("all of several messages", () =>
    run(function* main() {
      for (let i = 0; i < 40; i++) {
        const [a, x] = [new Channel<number>(1), new Channel<number>(1)];
        a.trySend(i);
        // biome-ignore lint/correctness/useYield: it ends at once
        const telling = call(function* () {
          x.trySend(1);
        });
        const both = all([telling, a.recv()]);
        const first = yield* select({ x: x.recv(), both });
        expect(first.key === "both" ? first.value[1] : a.tryRecv()).toBe(i);
      }
    }));

  test("what an all gives back goes to whoever waits for it meanwhile", () =>
    run(function* main() {
      using server = yield* asyncio.TCP.listen({ port: 0 });
      const client = yield* asyncio.TCP.connect({ port: server.local.port });
      using a = yield* asyncio.UDP.bind({ host: "127.0.0.1" });
      yield* a.write("datagram", a.local);
      const [left, right] = asyncio.Unix.pair();
      yield* left.write("bytes;");
      const into = new Uint8Array(6);
      for (const read of [() => right.read(), () => right.readInto(into), () => right.readExactly(6), () => right.readUntil(";")]) {
        const failure = new Channel<number>();
        const failing = call(function* () {
          yield* failure.recv();
          throw new Error("failed");
        });
        const gathered = xasync(function* () {
          try {
            yield* all([server.accept(), a.read(), right.read(), failing]);
          } catch {}
        });
        yield* sleep(5);
        const waiting = all({ served: server.accept(), datagram: a.read(), bytes: read() });
        const again = xasync(function* () {
          return yield* withTimeout(2000, waiting);
        });
        yield* sleep(1);
        expect(again.status).toBe("suspended");
        failure.trySend(1);
        yield* gathered;
        const { served, datagram, bytes } = yield* again;
        expect(served.remote?.port).toBe(client.local?.port);
        expect(Buffer.from(datagram.data).toString()).toBe("datagram");
        expect(Buffer.from(typeof bytes === "number" ? into.subarray(0, bytes) : (bytes ?? [])).toString()).toBe("bytes;");
        // Once more for the next.
        server.returned.push(served);
        yield* a.write("datagram", a.local);
        yield* left.write("bytes;");
      }
      for (const one of [client, left, right]) one.close();
    }));

  test.skipIf(isWindows)("what an all gives back of files", () =>
    run(function* main() {
      const folder = mkdtempSync(join(tmpdir(), "zigcoro-lost-"));
      yield* asyncio.Process.run("mkfifo", [join(folder, "fifo")]);
      for (const name of ["fifo", "file", "moved"]) {
        const isStream = name === "fifo";
        using file = yield* asyncio.File.open(join(folder, name), isStream ? constants.O_RDWR : "w+");
        yield* file.write("bytes");
        if (!isStream) file.position = 0;
        const failure = new Channel<number>();
        const failing = call(function* () {
          yield* failure.recv();
          throw new Error("failed");
        });
        const gathered = all([file.read(5), failing]).then(undefined, String);
        yield* sleep(5);
        const again = isStream ? xasync(() => directly(withTimeout(2000, file.read()))) : undefined;
        if (name === "moved") file.position = 1;
        yield* sleep(1);
        failure.trySend(1);
        expect(yield* until(gathered)).toBe("Error: failed");
        const bytes = again === undefined ? yield* file.read() : yield* again;
        expect(Buffer.from(bytes ?? []).toString()).toBe(name === "moved" ? "ytes" : "bytes");
      }
      rmSync(folder, { recursive: true });
    }),
  );
});

function* directly<T>(operation: Operation<T>): Coroutine<T> {
  return yield* operation;
}
