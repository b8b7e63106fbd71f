// Small writes of many connections that are busy at once, which go to the kernel together: they behave as those that go one by one. Runs on
// each backend (ZIGCORO_BACKEND).

import { describe, expect } from "bun:test";
import { type asyncio, Channel, type Coroutine, select, sleep, until, withTimeout, xasync } from "zigcoro";
import { inBothModes } from "./support/modes.ts";
import { pair, readAll, readText } from "./support/sockets.ts";

type Ends = [asyncio.TCP, asyncio.TCP];

/** Runs `last` on each of many connections, all of which have carried messages to and fro until then. */
function* whileBusy(last: (a: asyncio.TCP, b: asyncio.TCP, i: number) => Coroutine<void>): Coroutine<void> {
  const pairs: Ends[] = [];
  for (let i = 0; i < 32; i++) pairs.push(yield* pair());
  const frames = pairs.map(([a, b], i) =>
    xasync(function* () {
      for (let round = 0; round < 8; round++) {
        const text = `${i}.${round};`;
        yield* a.write(text);
        expect(yield* readText(b, text.length)).toBe(text);
        yield* b.write(text);
        expect(yield* readText(a, text.length)).toBe(text);
      }
      yield* last(a, b, i);
    }),
  );
  for (const frame of frames) yield* frame;
  for (const end of pairs.flat()) end.close();
}

describe("a write while many connections are busy", () => {
  inBothModes("arrives whole and has ended well though its connection is closed at once", function* () {
    yield* whileBusy(function* (a, b, i) {
      const writing = a.write(`last of ${i}`).then();
      a.close();
      expect(Buffer.from(yield* readAll(b)).toString()).toBe(`last of ${i}`);
      yield* until(writing);
    });
  });

  inBothModes("comes before the end that a shutdown makes at once", function* () {
    yield* whileBusy(function* (a, b, i) {
      const writing = a.write(`last of ${i}`).then();
      yield* a.shutdown();
      expect(Buffer.from(yield* readAll(b)).toString()).toBe(`last of ${i}`);
      yield* until(writing);
    });
  });

  inBothModes("is not taken back by a cancel: all of it arrives, once", function* () {
    yield* whileBusy(function* (a, b, i) {
      const writer = xasync(function* () {
        yield* a.write(`first of ${i};`);
        yield* a.write(`second of ${i}`);
      });
      yield* writer.cancel();
      a.close();
      const text = Buffer.from(yield* readAll(b)).toString();
      // How far it came by then is up to the loop.
      expect([`first of ${i};`, `first of ${i};second of ${i}`]).toContain(text);
    });
  });

  inBothModes("wins a select, and ends within no time at all, as it is sent at once then", function* () {
    yield* whileBusy(function* (a, b) {
      const channel = new Channel<number>(1);
      const selecting = xasync(function* () {
        return (yield* select({ written: a.write("x"), received: channel.recv() })).key;
      });
      yield* channel.send(1);
      expect(yield* selecting).toBe("written");
      yield* withTimeout(0, a.write("y"));
      expect(yield* readText(b, 2)).toBe("xy");
    });
  });

  inBothModes("says what is wrong with its connection", function* () {
    yield* whileBusy(function* (a, b) {
      b.close();
      expect(yield* a.read()).toBeNull();
      let code: unknown;
      // The first may still go out; the peer answers it by a reset.
      for (let i = 0; i < 10 && code === undefined; i++) {
        try {
          yield* a.write("nobody reads this");
          yield* sleep(1);
        } catch (error) {
          ({ code } = error as { code?: unknown });
        }
      }
      expect(["EPIPE", "ECONNRESET"]).toContain(code as string);
    });
  });
});
