// Misuse: coroutines used in a way that means nothing are told so, with names, before anything happens.

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, type Frame, inCoro, until, withTimeout, xasync, xawait, xframe, xresume, xsuspend } from "zigcoro";
import { counter } from "./support/counter.ts";
import { microtasks, rejected, thrown } from "./support/failure.ts";
import { isWindows } from "./support/platform.ts";

describe("misuse is told", () => {
  test("of xresume", async () => {
    const done = xasync(counter, [0], { name: "finished" });
    expect(thrown(() => xresume(done))).toBe('Error: cannot resume coroutine "finished": it has finished');

    const sleeper = xasync(
      function* () {
        yield* asyncio.sleep(5);
      },
      [],
      { name: "sleeper" },
    );
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "sleeper": it waits to sleep 5 ms');
    await sleeper;

    const ch = new Channel<number>(0, "jobs");
    const receiver = xasync(
      function* () {
        return yield* ch.recv();
      },
      [],
      { name: "worker" },
    );
    expect(thrown(() => xresume(receiver))).toBe('Error: cannot resume coroutine "worker": it waits to receive from channel "jobs"');
    const sender = xasync(
      function* () {
        yield* ch.send(1);
        yield* ch.send(2);
      },
      [],
      { name: "boss" },
    );
    await receiver;
    await microtasks();
    expect(thrown(() => xresume(sender))).toBe('Error: cannot resume coroutine "boss": it waits to send to channel "jobs"');
    const joiner = xasync(
      function* () {
        yield* sender;
      },
      [],
      { name: "joiner" },
    );
    expect(thrown(() => xresume(joiner))).toBe('Error: cannot resume coroutine "joiner": it waits to await coroutine "boss"');
    expect(ch.tryRecv()).toBe(2);
    await joiner;
  });

  test("of xresume on itself, and on one that waits for the resumed one", () => {
    const told: string[] = [];
    const inner: Frame<void> = xasync(
      function* () {
        yield* xsuspend();
        told.push(thrown(() => xresume(xframe())));
        told.push(thrown(() => xresume(outer)));
      },
      [],
      { name: "inner" },
    );
    const outer: Frame<void> = xasync(
      function* () {
        yield* xsuspend();
        xresume(inner);
      },
      [],
      { name: "outer" },
    );
    xresume(outer);
    expect(told).toEqual([
      'Error: cannot resume coroutine "inner": it is running',
      'Error: cannot resume coroutine "outer": it is running',
    ]);
    expect([inner.status, outer.status]).toEqual(["done", "done"]);
  });

  test("of xresume on async and plain bodies", async () => {
    const plain = xasync(() => 1, [], { name: "plain" });
    expect(thrown(() => xresume(plain))).toBe('Error: cannot resume coroutine "plain": it has finished');
    const sleeper = xasync(async () => await asyncio.sleep(5), [], { name: "async sleeper" });
    await microtasks();
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "async sleeper": it waits to sleep 5 ms');
    await sleeper;
    expect(thrown(() => xresume(sleeper))).toBe('Error: cannot resume coroutine "async sleeper": it has finished');
    const twice = xasync(async () => await xsuspend(), [], { name: "twice" });
    await microtasks();
    xresume(twice);
    expect(thrown(() => xresume(twice))).toStartWith('Error: cannot resume coroutine "twice": ');
    await twice;
  });

  test("of operations outside of any coroutine", () => {
    const outside = "outside of any coroutine";
    expect(thrown(() => xsuspend())).toBe(`Error: xsuspend was called ${outside}: there is nothing to suspend`);
    expect(thrown(() => xframe())).toBe(`Error: xframe was called ${outside}`);
    expect(inCoro()).toBe(false);
    expect(thrown(() => [...(asyncio.sleep(1) as unknown as Iterable<never>)])).toBe(
      "Error: cannot sleep 1 ms here: yield* works inside a coroutine; elsewhere write await",
    );
    expect(thrown(() => [...counter(1)])).toBe(`Error: xsuspend was called ${outside}: there is nothing to suspend`);
  });

  const wrong: [string, () => unknown, string][] = [
    ["xasync(string)", () => xasync("5" as never), 'TypeError: xasync: body must be a function or a NativeBody, got "5"'],
    ["xasync({})", () => xasync({} as never), "TypeError: xasync: body must be a function or a NativeBody, got an object of class Object"],
    ["xasync(undefined)", () => xasync(undefined as never), "TypeError: xasync: body must be a function or a NativeBody, got undefined"],
    [
      "xasync(generator)",
      () => xasync(counter(1) as never),
      "TypeError: xasync: body must be a function or a NativeBody, got an object of class ",
    ],
    ["args 7", () => xasync(counter, 7 as never), "TypeError: xasync: args must be an array, got 7"],
    ['args "abc"', () => xasync(counter, "abc" as never), 'TypeError: xasync: args must be an array, got "abc"'],
    ["name 5", () => xasync(counter, [0], { name: 5 as never }), "TypeError: xasync: options.name must be a string, got 5"],
    ["xawait({})", () => xawait({} as never), "TypeError: xawait: frame must be a Frame, got an object of class Object"],
    ["xawait()", () => xawait(undefined as never), "TypeError: xawait: frame must be a Frame, got undefined"],
    [
      "xawait(promise)",
      () => xawait(Promise.resolve() as never),
      "TypeError: xawait: frame must be a Frame, got an object of class Promise",
    ],
    ["xresume(null)", () => xresume(null as never), "TypeError: xresume: frame must be a Frame, got null"],
    ["until(1)", () => until(1 as never), "TypeError: until: promise must be a promise, got 1"],
    ["until()", () => until(undefined as never), "TypeError: until: promise must be a promise, got undefined"],
    [
      "withTimeout(-1)",
      () => withTimeout(-1, asyncio.sleep(1)),
      "RangeError: withTimeout: ms must be a number of milliseconds from 0 to 2^53 - 1, got -1",
    ],
    [
      "withTimeout(NaN)",
      () => withTimeout(Number.NaN, asyncio.sleep(1)),
      "RangeError: withTimeout: ms must be a number of milliseconds from 0 to 2^53 - 1, got NaN",
    ],
    [
      'withTimeout("1")',
      () => withTimeout("1" as never, asyncio.sleep(1)),
      'TypeError: withTimeout: ms must be a number of milliseconds, got "1"',
    ],
    [
      "withTimeout(1, number)",
      () => withTimeout(1, 2 as never),
      "TypeError: withTimeout: operation must be an operation, a frame, a generator or a promise, got 2",
    ],
  ];
  for (const [name, call, message] of wrong) test(`of ${name}`, () => expect(thrown(call)).toStartWith(message));
});

test.if(isWindows)("what is not on Windows yet says so", async () => {
  const { Process, Unix, signals } = asyncio;
  expect(await rejected(Unix.listen({ path: "nobody" }))).toBe("Error: listen ENOSYS: not on Windows yet nobody");
  expect(thrown(() => Process.spawn("nobody"))).toBe("Error: spawn ENOSYS: not on Windows yet nobody");
  expect(thrown(() => signals("SIGINT"))).toBe("Error: sigaction ENOSYS: not on Windows yet");
});
