// Operations that end at once when their coroutine has had its share: they end later, through the queue, with one effect and the same result.

import { describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncio, Channel, type Coroutine, Event, type Operation, run, until, xasync } from "zigcoro";
import { failed } from "./support/failure.ts";
import { isWindows } from "./support/platform.ts";
import { pair } from "./support/sockets.ts";

type Way = <T>(operation: Operation<T>) => Coroutine<T>;
const open = new Event();
open.set();

/** How many operations may end at once: src/scheduler.ts. */
const budget = 256;

function* directly<T>(operation: Operation<T>): Coroutine<T> {
  return yield* operation;
}

function* spend(): Coroutine<void> {
  yield* until(Promise.resolve());
  for (let i = 0; i < budget; i++) yield* open.wait();
}

/** With nothing left of the budget, which every wait renews. */
function* spent<T>(operation: Operation<T>): Coroutine<T> {
  yield* spend();
  return yield* operation;
}

/** Runs `body` both ways and compares what it logs. */
async function bothWays(body: (way: Way, log: (value: unknown) => void) => Coroutine<void>): Promise<void> {
  const logs: unknown[][] = [[], []];
  await run(function* main() {
    yield* body(directly, (value) => logs[0]?.push(value));
    yield* body(spent, (value) => logs[1]?.push(value));
  });
  expect(logs[1]).toEqual(logs[0] as unknown[]);
}

const bytes = (length: number, from = 0) => Uint8Array.from({ length }, (_, i) => from + i);

describe("with a spent budget", () => {
  test("others run before what ended at once goes on", () =>
    run(function* main() {
      const order: string[] = [];
      const one = xasync(function* () {
        yield* spent(open.wait());
        order.push("one");
      });
      const two = xasync(function* () {
        yield* until(Promise.resolve());
        order.push("two");
      });
      yield* one;
      yield* two;
      expect(order).toEqual(["two", "one"]);
    }));

  test("streams", () =>
    bothWays(function* (way, log) {
      const [a, b] = yield* pair();
      yield* way(a.write(bytes(10)));
      yield* way(a.writeAll([bytes(3, 10), new Uint8Array(0), bytes(7, 13), "a;b;;c"]));
      // Nothing is sent twice.
      yield* way(a.write("!"));
      yield* way(a.shutdown());
      log(yield* way(b.readExactly(15)));
      const into = new Uint8Array(4);
      log([yield* way(b.readInto(into, 1, 3)), into]);
      log(yield* way(b.read(2)));
      for (let i = 0; i < 3; i++) log(yield* way(b.readUntil(";")));
      log(yield* way(b.readUntil("c", { max: 1 })));
      log(yield* failed(xasync(() => way(b.readUntil("?", { max: 9 })))));
      log([yield* way(b.read()), yield* way(b.readExactly(1)), yield* way(b.readUntil("x"))]);
      a.close();
      b.close();
    }));

  test("a write that was sent before its stream was closed", () =>
    run(function* main() {
      const [a, b] = asyncio.Unix.pair();
      const gate = new Channel<number>(1);
      xasync(function* () {
        yield* gate.recv();
        a.close();
      });
      const writing = xasync(function* () {
        yield* spend();
        // Whoever gets this comes before the end of the write.
        gate.trySend(1);
        yield* a.write("x");
      });
      yield* writing;
      expect(yield* b.read()).toEqual(bytes(1, 120));
      expect(a.closed).toBe(true);
      b.close();
    }));

  test("files", () =>
    bothWays(function* (way, log) {
      const path = join(tmpdir(), `zigcoro-budget-${process.pid}`);
      const file = yield* way(asyncio.File.open(path, "w+"));
      yield* way(file.write("one\ntwo\n"));
      yield* way(file.write("three"));
      log(file.position);
      yield* way(file.pwrite("T", 8));
      file.position = 2;
      log([yield* way(file.read(3)), file.position, yield* way(file.read()), file.position, yield* way(file.read()), file.position]);
      log([yield* way(file.pread(4, 4)), yield* way(file.pread(0, 0)), yield* way(file.pread(9, 12))]);
      const into = new Uint8Array(3);
      log([yield* way(file.preadInto(into, 0)), into]);
      const [lines, chunks] = [file.lines(), file.chunks({ size: 7 })];
      for (let i = 0; i < 4; i++) log(yield* way(lines.next()));
      for (let i = 0; i < 3; i++) log(yield* way(chunks.next()));
      log((yield* way(file.stat())).size);
      yield* way(file.truncate(3));
      yield* way(file.sync());
      log(yield* way(asyncio.File.readText(path)));
      yield* way(file.close());
      yield* way(file.close());
      log(yield* failed(xasync(() => way(file.pread(1, 0)))));
      rmSync(path);
    }));

  test("datagrams", () =>
    bothWays(function* (way, log) {
      using a = yield* way(asyncio.UDP.bind({ host: "127.0.0.1" }));
      using b = yield* way(asyncio.UDP.bind({ host: "127.0.0.1" }));
      for (const data of ["1", "2", "3"]) yield* way(a.write(data, b.local));
      yield* way(a.writeMany(["4", "5", "6", "7"].map((data) => ({ data, address: b.local }))));
      const got: string[] = [];
      const take = ({ data }: asyncio.Datagram) => void got.push(Buffer.from(data).toString());
      for (let i = 0; i < 3; i++) take(yield* way(b.read()));
      while (got.length < 7) (yield* way(b.readMany(2))).forEach(take);
      log(got);
      yield* way(a.write("last", b.local));
      take(yield* way(b.read()));
      log(got.at(-1));
    }));

  test("connections and notifications", () =>
    bothWays(function* (way, log) {
      using server = yield* way(asyncio.TCP.listen({ port: 0 }));
      const ports: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        const client = yield* way(asyncio.TCP.connect({ port: server.local.port }));
        const served = yield* way(server.accept());
        ports.push(served.remote?.port === client.local?.port);
        client.close();
        served.close();
      }
      log(ports);
      using bell = new asyncio.AsyncNotification();
      bell.notify();
      yield* way(bell.wait());
      const again = xasync(() => directly(bell.wait()));
      log(again.status);
      bell.notify();
      yield* again;
    }));

  test.skipIf(isWindows)("signals and ends of processes", () =>
    bothWays(function* (way, log) {
      using signals = asyncio.signals("SIGUSR2", "SIGUSR1");
      process.kill(process.pid, "SIGUSR1");
      process.kill(process.pid, "SIGUSR2");
      log([yield* way(signals.recv()), (yield* way(signals.next())).value].sort());
      signals.close();
      log(yield* way(signals.recv()));
      const child = asyncio.Process.spawn("sh", ["-c", "exit 3"]);
      log([yield* way(child.wait()), yield* way(child.wait())]);
      child.stdout.close();
    }),
  );
});
