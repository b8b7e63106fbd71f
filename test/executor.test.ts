// Executor: runSoon and tick, the queue by hand.

import { expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, Executor, inCoro, xasync, xresume, xsuspend } from "zigcoro";
import { microtasks, thrown } from "./support/failure.ts";

const executor = new Executor();

/** Whatever other tests left queued is gone. */
function emptied(): Executor {
  while (executor.tick());
  return executor;
}

test("runSoon calls functions in order, never inside the call", () => {
  emptied();
  const order: number[] = [];
  for (const n of [1, 2, 3]) executor.runSoon(() => order.push(n));
  expect(order).toEqual([]);
  expect(executor.tick()).toBe(true);
  expect(order).toEqual([1, 2, 3]);
  expect(executor.tick()).toBe(false);
});

test("runSoon resumes a suspended coroutine", () => {
  emptied();
  const frame = xasync(function* () {
    yield* xsuspend();
    yield* xsuspend();
  });
  executor.runSoon(frame);
  expect(frame.status).toBe("suspended");
  executor.tick();
  expect(frame.status).toBe("suspended");
  executor.runSoon(frame);
  executor.tick();
  expect(frame.status).toBe("done");
});

test("runs by itself when nobody ticks", async () => {
  emptied();
  const order: string[] = [];
  executor.runSoon(() => order.push("ran"));
  order.push("returned");
  await microtasks();
  expect(order).toEqual(["returned", "ran"]);
});

test("two coroutines driven by hand take turns, as zigcoro's executor example", () => {
  emptied();
  const log: string[] = [];
  function* turns(name: string): Coroutine<void> {
    for (let i = 0; i < 3; i++) {
      log.push(`${name}${i}`);
      executor.runSoon(frames[name === "a" ? 0 : 1] as ReturnType<typeof xasync>);
      yield* xsuspend();
    }
  }
  const frames: ReturnType<typeof xasync>[] = [];
  for (const name of ["a", "b"]) {
    frames.push(
      xasync(function* () {
        yield* xsuspend();
        yield* turns(name);
      }),
    );
  }
  for (const frame of frames) xresume(frame);
  while (executor.tick());
  expect(log).toEqual(["a0", "b0", "a1", "b1", "a2", "b2"]);
  expect(frames.map((frame) => frame.status)).toEqual(["done", "done"]);
});

test("work queued while the queue runs, runs too", () => {
  emptied();
  const order: string[] = [];
  executor.runSoon(() => {
    order.push("outer");
    executor.runSoon(() => order.push("inner"));
  });
  while (executor.tick());
  expect(order).toEqual(["outer", "inner"]);
});

test("tick delivers channel operations and timers that are due without waiting", () => {
  emptied();
  const ch = new Channel<number>();
  const receiver = xasync(function* () {
    return yield* ch.recv();
  });
  ch.trySend(1);
  expect(receiver.status).toBe("suspended");
  expect(executor.tick()).toBe(true);
  expect(receiver.status).toBe("done");
  const sleeper = xasync(function* () {
    yield* asyncio.sleep(1e9);
  });
  expect(executor.tick()).toBe(false);
  expect(sleeper.status).toBe("suspended");
  sleeper.cancel();
  while (executor.tick());
  expect(sleeper.status).toBe("done");
});

test("the tick that drives a sleep by hand ends it", () => {
  emptied();
  const sleeper = xasync(function* () {
    yield* asyncio.sleep(2);
  });
  while (sleeper.status !== "done") executor.tick();
});

test("all executors share the thread's one queue", () => {
  emptied();
  let ran = false;
  new Executor().runSoon(() => {
    ran = true;
  });
  expect(new Executor().tick()).toBe(true);
  expect(ran).toBe(true);
});

test("tick inside of what it runs is refused", () => {
  emptied();
  let told = "";
  executor.runSoon(() => {
    told = thrown(() => executor.tick());
  });
  executor.tick();
  expect(told).toBe("Error: tick was called by something that the executor runs");
  expect(executor.tick()).toBe(false);
});

test("a function runs outside of any coroutine", () => {
  emptied();
  let inside: boolean | undefined;
  const frame = xasync(function* () {
    executor.runSoon(() => {
      inside = inCoro();
    });
    yield* xsuspend();
  });
  executor.tick();
  expect(inside).toBe(false);
  xresume(frame);
});

test("wrong arguments are told", () => {
  const text = "TypeError: Executor.runSoon: work must be a function or a Frame, got";
  expect(thrown(() => executor.runSoon(undefined as never))).toBe(`${text} undefined`);
  expect(thrown(() => executor.runSoon(5 as never))).toBe(`${text} 5`);
  expect(thrown(() => executor.runSoon({} as never))).toBe(`${text} an object of class Object`);
});
