// asyncio.AsyncNotification: order and coalescing of notifications, from this thread, Workers, native threads; close, cancel, collection.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { all, allSettled, asyncio, run, select, sleep, xasync } from "zigcoro";
import { native } from "zigcoro/native";
import type { NotifyTask } from "./fixtures/notify-worker.ts";
import { childTimeoutMs, fixture, runFixture } from "./support/child.ts";
import { rejected, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { descriptors } from "./support/sockets.ts";

const { AsyncNotification } = asyncio;
const closedText = "Error: wait ECANCELED: the notification was closed";
const source = join(import.meta.dir, "fixtures/notify.c");
const { from_thread, waits, notify_now } = native.cc(source, ["from_thread", "waits", "notify_now"]);

function startWorker(task: NotifyTask): { worker: Worker; message: Promise<unknown>; closed: Promise<unknown> } {
  const worker = new Worker(fixture("notify-worker.ts"));
  const message = new Promise<unknown>((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  const closed = new Promise((resolve) => worker.addEventListener("close", resolve));
  worker.postMessage(task);
  return { worker, message, closed };
}

describe("notifications", () => {
  inBothModes("before a wait are kept as one", function* () {
    using n = new AsyncNotification();
    for (let i = 0; i < 3; i++) expect(n.notify()).toBe(true);
    yield* n.wait();
    expect((yield* select({ again: n.wait(), nothing: sleep(1) })).key).toBe("nothing");
    n.notify();
    yield* n.wait();
  });

  inBothModes("end one wait each, the oldest", function* () {
    using n = new AsyncNotification();
    const ended: number[] = [];
    const frames = [0, 1, 2].map((i) =>
      xasync(function* () {
        yield* n.wait();
        ended.push(i);
      }),
    );
    for (const frame of frames) {
      n.notify();
      yield* frame;
    }
    expect(ended).toEqual([0, 1, 2]);
  });

  inBothModes("are not taken by a wait that is cancelled or loses", function* () {
    using n = new AsyncNotification();
    const frame = xasync(function* () {
      yield* n.wait();
    });
    yield* frame.cancel();
    expect((yield* select({ wait: n.wait(), now: sleep(0) })).key).toBe("now");
    n.notify();
    // Both are there at once: the one that is not chosen must keep what it had.
    using other = new AsyncNotification();
    other.notify();
    const { key } = yield* select({ n: n.wait(), other: other.wait() });
    yield* (key === "n" ? other : n).wait();
  });

  test("as random seeds have it end as many waits as were notified, in order", async () => {
    for (let seed = 0; seed < 30; seed++) {
      const random = new Random(seed);
      await run(function* () {
        using n = new AsyncNotification();
        let kept = false;
        const model: number[] = [];
        const ended: number[] = [];
        const expected: number[] = [];
        const frames: ReturnType<typeof xasync>[] = [];
        for (let step = 0; step < 100; step++) {
          if (random.below(2) === 0) {
            const id = frames.length;
            frames.push(
              xasync(function* () {
                yield* n.wait();
                ended.push(id);
              }),
            );
            if (kept) expected.push(id);
            else model.push(id);
            kept = false;
          } else {
            n.notify();
            const first = model.shift();
            if (first === undefined) kept = true;
            else {
              expected.push(first);
              yield* frames[first] as ReturnType<typeof xasync>;
            }
          }
        }
        for (const frame of frames) frame.cancel();
        yield* allSettled(frames);
        expect({ seed, ended }).toEqual({ seed, ended: expected });
      });
    }
  });
});

describe("other threads", () => {
  test("a Worker's notifications wake a sleeping loop, and what it wrote before is seen", async () => {
    await run(function* () {
      using n = new AsyncNotification();
      const shared = new Int32Array(new SharedArrayBuffer(4));
      const { worker } = startWorker({ role: "notify", handle: n.handle, count: 10_000, shared });
      let seen = 0;
      while (seen < 10_000) {
        yield* n.wait();
        const now = Atomics.load(shared, 0);
        expect(now).toBeGreaterThanOrEqual(seen);
        seen = now;
      }
      worker.terminate();
    });
  });

  test("each notification wakes a loop that is parked, not only the first", async () => {
    await run(function* () {
      using n = new AsyncNotification();
      const { worker } = startWorker({ role: "slowly", handle: n.handle });
      for (let i = 0; i < 30; i++) {
        // So long means never: then the loop is deaf, also to its timers.
        const { key } = yield* select({ notified: n.wait(), late: sleep(3000) });
        expect([i, key]).toEqual([i, "notified"]);
      }
      worker.terminate();
    });
  });

  test("native threads notify by number, and are refused once it is closed", async () => {
    const n = new AsyncNotification();
    const { id } = n;
    expect(await xasync(from_thread, [n, 1000])).toBe(1000);
    await n.wait();
    expect(await xasync(notify_now, [n])).toBe(0);
    await n.wait();
    n.close();
    expect(await xasync(from_thread, [id, 1000])).toBe(0);
    using next = new AsyncNotification();
    expect(await xasync(notify_now, [id])).toBe(errnoOf("EBADF"));
    for (const wrong of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 7])
      expect(await xasync(notify_now, [wrong])).toBe(errnoOf("EBADF"));
    expect(await select({ wait: next.wait(), nothing: sleep(1) })).toEqual({ key: "nothing", value: undefined });
  });

  test("a native body waits, is notified, cancelled and closed", async () => {
    const n = new AsyncNotification();
    const frame = xasync(waits, [n, 2]);
    n.notify();
    await sleep(1);
    expect(frame.status).toBe("suspended");
    n.notify();
    expect(await frame).toBe(0);
    const cancelled = xasync(waits, [n, 1]);
    const behind = xasync(waits, [n, 1]);
    cancelled.cancel();
    expect(await cancelled).toBe(errnoOf("ECANCELED"));
    n.notify();
    expect(await behind).toBe(0);
    const closed = xasync(waits, [n, 1]);
    const { id } = n;
    n.close();
    expect(await closed).toBe(errnoOf("ECANCELED"));
    expect(await xasync(waits, [id, 1])).toBe(errnoOf("EBADF"));
  });

  test("a Worker that ends closes its notifications, waited for or not", async () => {
    for (const role of ["own", "wait"] as const) {
      const { worker, message, closed } = startWorker({ role });
      const handle = (await message) as asyncio.AsyncNotificationHandle;
      expect(AsyncNotification.notify(handle)).toBe(true);
      worker.terminate();
      await closed;
      // The thread ends a little after the event.
      for (let i = 0; i < 1000 && AsyncNotification.notify(handle); i++) await Bun.sleep(1);
      expect(AsyncNotification.notify(handle)).toBe(false);
    }
  });

  test("only the thread that made it can wait or close", async () => {
    const { worker, message } = startWorker({ role: "own" });
    const { notification } = (await message) as asyncio.AsyncNotificationHandle;
    expect(await xasync(waits, [notification, 1])).toBe(errnoOf("EBADF"));
    worker.terminate();
  });
});

describe("close", () => {
  inBothModes("ends every wait, twice does nothing, use afterwards is refused", function* () {
    const n = new AsyncNotification();
    const { handle } = n;
    const frames = [0, 1].map(() =>
      xasync(function* () {
        try {
          yield* n.wait();
        } catch (error) {
          return String(error);
        }
        return "";
      }),
    );
    n.close();
    n.close();
    expect(n.closed).toBe(true);
    expect(n.id).toBe(0);
    expect(yield* all(frames)).toEqual([closedText, closedText]);
    expect(n.notify()).toBe(false);
    expect(AsyncNotification.notify(handle)).toBe(false);
    expect(thrown(() => n.handle)).toBe("Error: notify ECANCELED: the notification was closed");
    expect(
      yield* xasync(async () => {
        return rejected(n.wait());
      }),
    ).toBe(closedText);
  });

  test("what nobody can reach is closed, and many leave no descriptor", async () => {
    const before = descriptors();
    for (let i = 0; i < (isWindows ? 100 : 10_000); i++) {
      const n = new AsyncNotification();
      n.notify();
      n.close();
    }
    await sleep(0);
    expect(descriptors()).toBeLessThanOrEqual(before + 2);
    (() => {
      for (let i = 0; i < 100; i++) new AsyncNotification();
    })();
    for (let i = 0; i < 100 && descriptors() > before + 10; i++) {
      Bun.gc(true);
      await Bun.sleep(1);
    }
    expect(descriptors()).toBeLessThanOrEqual(before + 10);
  });
});

test("wrong handles are told", () => {
  for (const handle of [undefined, null, 1, {}, { notification: 0 }, { notification: "1" }, { notification: 1.5 }]) {
    expect(thrown(() => AsyncNotification.notify(handle as never))).toStartWith(
      "TypeError: asyncio.AsyncNotification.notify: handle must be an AsyncNotification's handle, got ",
    );
    expect(thrown(() => AsyncNotification.open(handle as never))).toStartWith("TypeError: asyncio.AsyncNotification.open: handle");
  }
});

test(
  "a wait keeps the process alive, its end lets it go",
  async () => {
    expect(await runFixture("notify-ends.ts")).toEqual({ code: 0, signal: null, out: "waiting\nnotified\n", err: "" });
  },
  childTimeoutMs,
);
