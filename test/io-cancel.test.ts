// Every operation of streams and servers cancelled before it starts, in flight, and as it ends: nothing is lost, nothing comes twice, nothing
// is left open. Seeded. Runs on each backend (ZIGCORO_BACKEND).

import { beforeAll, describe, expect, test } from "bun:test";
import { asyncio, type Coroutine, call, type Operation, run, select, sleep, TimeoutError, withTimeout, xasync } from "zigcoro";
import { failed } from "./support/failure.ts";
import { isWindows } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { openDescriptors, openedSince, pair } from "./support/sockets.ts";

beforeAll(() => sleep(30).then());

type Ends = [asyncio.Duplex, asyncio.Duplex];
const kinds: Record<string, () => Coroutine<Ends>> = {
  *TCP() {
    return yield* pair();
  },
  // biome-ignore lint/correctness/useYield: as the other
  *Unix() {
    return asyncio.Unix.pair();
  },
  // biome-ignore lint/correctness/useYield: as the other
  *pipe() {
    const { reader, writer } = asyncio.pipe();
    return [reader as asyncio.Duplex, writer as unknown as asyncio.Duplex];
  },
};

/** Runs `operation` in a coroutine that is cancelled at a moment that `random` says; undefined when the cancel came first. */
function* disturbed<T>(operation: Operation<T>, random: Random): Coroutine<T | undefined> {
  const how = random.below(4);
  if (how === 0) {
    const outcome = yield* select({ operation, other: sleep(random.below(2) / 10) });
    return outcome.key === "operation" ? (outcome.value as T) : undefined;
  }
  if (how === 1) {
    try {
      return yield* withTimeout(random.below(3) / 10, operation);
    } catch (error) {
      if (error instanceof TimeoutError) return undefined;
      throw error;
    }
  }
  const frame = xasync(function* () {
    return yield* operation;
  });
  if (how === 2) yield* sleep(random.below(2) / 10);
  frame.cancel();
  try {
    return yield* frame;
  } catch (error) {
    if (String(error).startsWith("Cancelled")) return undefined;
    throw error;
  }
}

describe("reads of every kind that are cancelled at random lose nothing", () => {
  const seeds = Array.from({ length: 12 }, (_, i) => i);
  for (const [kind, open] of Object.entries(kinds)) {
    test.each(seeds)(`${kind} (seed %d)`, (seed) =>
      run(function* () {
        const random = new Random(seed);
        const [reader, writer] = yield* open();
        const bytes = new Uint8Array(30_000).map(() => random.below(40));
        const writing = xasync(function* () {
          for (let at = 0; at < bytes.length; ) {
            const length = 1 + random.below(random.below(3) === 0 ? 3000 : 60);
            const chunk = bytes.subarray(at, at + length);
            yield* random.below(2) === 0 ? writer.write(chunk) : writer.writeAll([chunk.subarray(0, 7), chunk.subarray(7)]);
            at += length;
            if (random.below(4) === 0) yield* sleep(random.below(2) / 10);
          }
          writer.close();
        });
        const got: Uint8Array[] = [];
        let length = 0;
        for (let misses = 0; length < bytes.length; ) {
          const target = new Uint8Array(1 + random.below(500));
          const left = bytes.length - length;
          const operations: Record<number, () => Operation<Uint8Array | number | null>> = {
            0: () => reader.read(),
            1: () => reader.read(1 + random.below(100)),
            2: () => reader.readInto(target),
            3: () => reader.readExactly(Math.min(left, 1 + random.below(2000))),
            4: () => (bytes.subarray(length).includes(10) ? reader.readUntil(10) : reader.read()),
          };
          const operation = (operations[random.below(5)] as () => Operation<Uint8Array | number | null>)();
          const result = misses > 50 ? yield* operation : yield* disturbed(operation, random);
          if (result === undefined || result === null) {
            misses++;
            if (result === null) throw new Error(`the stream ended after ${length} bytes`);
            continue;
          }
          misses = 0;
          const chunk = typeof result === "number" ? target.subarray(0, result) : result;
          got.push(chunk);
          length += chunk.byteLength;
        }
        yield* writing;
        expect(Buffer.compare(Buffer.concat(got), bytes)).toBe(0);
        expect(yield* reader.read()).toBeNull();
        reader.close();
      }),
    );
  }
});

describe("writes that are cancelled at random", () => {
  for (const [kind, open] of Object.entries(kinds)) {
    test(`send a beginning of what they were to, and the stream stays in order (${kind})`, () =>
      run(function* () {
        for (let seed = 0; seed < 10; seed++) {
          const random = new Random(seed);
          const [reader, writer] = yield* open();
          // Each write is of its own letter, so that what came says what was sent of each.
          const sizes = Array.from({ length: 20 }, () => 1 + random.below(300_000));
          const finished: boolean[] = [];
          const writing = xasync(function* () {
            for (const [i, size] of sizes.entries()) {
              const data = new Uint8Array(size).fill(i);
              const operation = random.below(2) === 0 ? writer.write(data) : writer.writeAll([data.subarray(0, 10), data.subarray(10)]);
              finished.push((yield* disturbed(withEnd(operation), random)) === true);
            }
            writer.close();
          });
          const counts = sizes.map(() => 0);
          let last = 0;
          for (let chunk = yield* reader.read(); chunk !== null; chunk = yield* reader.read()) {
            for (const byte of chunk) {
              if (byte < last) throw new Error(`byte of write ${byte} after one of ${last}`);
              last = byte;
              counts[byte] = (counts[byte] as number) + 1;
            }
          }
          yield* writing;
          for (const [i, size] of sizes.entries()) {
            expect(counts[i] as number).toBeLessThanOrEqual(size);
            if (finished[i]) expect(counts[i]).toBe(size);
          }
          reader.close();
        }
      }));
  }

  function withEnd(operation: Operation<void>): Operation<true> {
    return call(function* () {
      yield* operation;
      return true as const;
    });
  }
});

describe("an operation that is cancelled before it starts", () => {
  test("has done nothing", () =>
    run(function* () {
      const before = openDescriptors();
      const [a, b] = yield* pair();
      using server = yield* asyncio.TCP.listen({ port: 0 });
      using local = isWindows ? undefined : yield* asyncio.Unix.listen({ path: `\0zigcoro-cancel-${process.pid}` });
      yield* b.write("untouched\n");
      const started: Record<string, () => Operation<unknown>> = {
        read: () => a.read(),
        readInto: () => a.readInto(new Uint8Array(4)),
        readExactly: () => a.readExactly(3),
        readUntil: () => a.readUntil("\n"),
        write: () => a.write("never"),
        writeAll: () => a.writeAll(["never", "never"]),
        shutdown: () => a.shutdown(),
        accept: () => server.accept(),
        connect: () => asyncio.TCP.connect({ port: server.local.port }),
        "connect by name": () => asyncio.TCP.connect({ port: server.local.port, host: "localhost" }),
        "connect to a path": () => asyncio.Unix.connect({ path: local?.path ?? "nowhere" }),
        listen: () => asyncio.TCP.listen({ port: 0 }),
        "listen on a path": () => asyncio.Unix.listen({ path: `\0zigcoro-cancel2-${process.pid}` }),
      };
      for (const [name, make] of Object.entries(started)) {
        // A cancel that comes while the coroutine runs is taken by the next operation it starts.
        const frame = xasync(function* () {
          yield* sleep(0);
          frame.cancel();
          yield* make();
        });
        expect(`${name}: ${yield* failed(frame)}`).toBe(`${name}: Cancelled: the coroutine was cancelled`);
      }
      expect(Buffer.from((yield* a.read()) ?? []).toString()).toBe("untouched\n");
      yield* a.write("first");
      expect(Buffer.from((yield* b.read()) ?? []).toString()).toBe("first");
      a.close();
      b.close();
      server.close();
      local?.close();
      yield* sleep(1);
      expect(openedSince(before)).toEqual([]);
    }));
});

describe("closing with operations in flight", () => {
  test("ends each of them once, whatever it is", () =>
    run(function* () {
      const before = openDescriptors();
      for (const open of Object.values(kinds)) {
        for (const make of [
          (s: asyncio.Duplex) => s.read(),
          (s: asyncio.Duplex) => s.readInto(new Uint8Array(4)),
          (s: asyncio.Duplex) => s.readExactly(100),
          (s: asyncio.Duplex) => s.readUntil("\n"),
        ]) {
          const [reader, writer] = yield* open();
          yield* writer.write("abc");
          if (make.toString().includes("read()") || make.toString().includes("readInto")) yield* reader.read();
          const reading = xasync(function* () {
            return yield* failed(make(reader));
          });
          const filling = xasync(function* () {
            return yield* failed(writer.write(new Uint8Array(20_000_000)));
          });
          if (make.toString().includes("readExactly")) yield* sleep(1);
          reader.close();
          writer.close();
          const outcomes = [yield* reading, yield* filling];
          expect(outcomes[1]).toMatch(/^Error: write (ECANCELED: the (socket|stream) was closed|EPIPE: broken pipe|ECONNRESET: .*)$/);
          if (!outcomes[0]?.startsWith("nothing"))
            expect(outcomes[0]).toMatch(/^(Error: read (ECANCELED: the (socket|stream) was closed)|RangeError: .*)$/);
        }
      }
      yield* sleep(1);
      expect(openedSince(before)).toEqual([]);
    }));
});
