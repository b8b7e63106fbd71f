// The seed's layer: CoroT, xsuspendSafe, xsuspendBlock, block, initEnv.

import { describe, expect, test } from "bun:test";
import {
  asyncio,
  block,
  CoroT,
  type Coroutine,
  Deadlock,
  Event,
  Executor,
  getEnv,
  initEnv,
  MisuseError,
  run,
  sleep,
  xasync,
  xframe,
  xresume,
  xsuspend,
  xsuspendBlock,
  xsuspendSafe,
} from "zigcoro";
import { failure, rejected, thrown } from "./support/failure.ts";

/** Cuts chunks of text into lines. */
function* splitLines(co: CoroT<string[], string, number>): Coroutine<number> {
  let [rest, count] = ["", 0];
  for (let lines: string[] = []; ; ) {
    const chunk = yield* co.xyield(lines);
    lines = (rest + chunk).split("\n");
    rest = lines.pop() as string;
    count += lines.length;
    if (chunk === "") return count;
  }
}

describe("CoroT", () => {
  test("takes values in and hands values out", () => {
    const lines = new CoroT(splitLines);
    expect(lines.status).toBe("suspended");
    expect(lines.xnextStart()).toEqual([]);
    expect(lines.xnext("one\ntwo\nthr")).toEqual(["one", "two"]);
    expect(lines.xnext("ee\n")).toEqual(["three"]);
    expect(lines.xnextEnd("")).toBe(3);
    expect(lines.xreturned()).toBe(3);
    expect(lines.status).toBe("done");
    expect(lines.name).toBe("splitLines");
  });

  test("takes arguments, and yields from any depth", () => {
    function* tree(co: CoroT<number>, depth: number): Coroutine<void> {
      if (depth > 0) yield* tree(co, depth - 1);
      yield* co.xyield(depth);
      if (depth > 0) yield* tree(co, depth - 1);
    }
    const walk = new CoroT<number, void, void, [number]>(tree as never, [2], { name: "walk" });
    expect([...walk]).toEqual([0, 1, 0, 2, 0, 1, 0]);
    expect(walk.name).toBe("walk");
  });

  test("says what is wrong", async () => {
    const co = new CoroT<number, number, string>(function* body(co) {
      yield* co.xyield(1);
      yield* sleep(0);
      yield* co.xyield(2);
      return "end";
    });
    expect(thrown(() => co.xnext(1))).toBe('Error: coroutine "body" has not started: call xnextStart first');
    expect(thrown(() => co.frame)).toStartWith('Error: coroutine "body" has not started');
    expect(co.xnextStart()).toBe(1);
    expect(thrown(() => co.xnextStart())).toBe('Error: coroutine "body" has started already: call xnext');
    expect(thrown(() => co.xreturned())).toBe('Error: coroutine "body" has not returned: it waits to be resumed with xnext');
    expect(thrown(() => co.xnext(1))).toBe('Error: coroutine "body" waits to sleep 0 ms instead of yielding: use next()');
    expect(thrown(() => co.xnext(1))).toBe('Error: cannot resume coroutine "body": it waits to sleep 0 ms');
    expect(await co.next()).toEqual({ done: false, value: 2 });
    expect(co.xnextEnd(0)).toBe("end");
    expect(thrown(() => co.xnext(1))).toBe('Error: cannot resume coroutine "body": it has finished');
    const again = new CoroT<number, void, void>(function* twice(co) {
      yield* co.xyield(1);
      yield* co.xyield(2);
    });
    again.xnextStart();
    expect(thrown(() => again.xnextEnd())).toBe('Error: coroutine "twice" has yielded again, it has not returned');
    expect(thrown(() => new CoroT(1 as never))).toBe("TypeError: new CoroT: body must be a function, got 1");
    const none = new CoroT(function* none() {});
    expect(thrown(() => none.xnextStart())).toStartWith('Error: coroutine "none" has returned instead of yielding');
    const outside = new CoroT<number>(function* me(co) {
      yield* co.xyield(1);
    });
    expect(await rejected(xasync(() => outside.xyield(1).then()))).toBe('Error: xyield of coroutine "me" was called outside of it');
  });

  test("throws what its body throws, where it was resumed", () => {
    const co = new CoroT<number, number>(function* (co) {
      const value = yield* co.xyield(0);
      throw new Error(`got ${value}`);
    });
    co.xnextStart();
    expect(thrown(() => co.xnext(7))).toBe("Error: got 7");
    expect(thrown(() => co.xreturned())).toBe("Error: got 7");
  });

  test("iterates with waits between, in generators and async functions; leaving early cancels it", async () => {
    let ended = 0;
    const counter = () =>
      new CoroT<number>(function* (co) {
        try {
          for (let n = 1; ; n++) {
            yield* sleep(0);
            yield* co.xyield(n);
          }
        } finally {
          ended++;
        }
      });
    const seen: number[] = [];
    for await (const n of counter()) {
      seen.push(n);
      if (n === 3) break;
    }
    await run(function* () {
      const co = counter();
      for (let i = 0; i < 2; i++) {
        const { value } = yield* co.next();
        seen.push(value as number);
      }
      yield* co.frame.cancel();
    });
    expect(seen).toEqual([1, 2, 3, 1, 2]);
    expect(ended).toBe(2);
  });
});

describe("xsuspendSafe", () => {
  test("suspends inside a coroutine, and says so outside", async () => {
    const seen: unknown[] = [];
    const frame = xasync(function* () {
      seen.push(yield* xsuspendSafe());
    });
    const asynchronous = xasync(async () => void seen.push(await xsuspendSafe()));
    xresume(frame, 1);
    await null;
    xresume(asynchronous, 2);
    await asynchronous;
    expect(seen).toEqual([
      { suspended: true, value: 1 },
      { suspended: true, value: 2 },
    ]);
    const outside = await xsuspendSafe();
    expect(outside.suspended).toBe(false);
    if (!outside.suspended) expect(outside.error).toBeInstanceOf(MisuseError);
  });
});

describe("xsuspendBlock", () => {
  test("runs its block once the coroutine is suspended, which may resume it at once or later", async () => {
    const log: unknown[] = [];
    const frame = xasync(function* () {
      const me = xframe();
      log.push(
        yield* xsuspendBlock((suspended) => {
          log.push(suspended === me, suspended.status);
          xresume(suspended, "at once");
        }),
      );
      log.push(yield* xsuspendBlock((suspended) => setTimeout(() => xresume(suspended, "later"), 0)));
    });
    await frame;
    expect(log).toEqual([true, "suspended", "at once", "later"]);
    const asynchronous = xasync(async () => await xsuspendBlock((suspended) => xresume(suspended, 3)));
    expect(await asynchronous).toBe(3);
  });

  test("what the block throws is thrown at the suspend", async () => {
    const frame = xasync(function* () {
      try {
        yield* xsuspendBlock(() => {
          throw new Error("block");
        });
      } catch (error) {
        return (error as Error).message;
      }
    });
    expect(await frame).toBe("block");
    expect(thrown(() => xsuspendBlock(() => {}))).toStartWith("Error: xsuspend was called outside of any coroutine");
    expect(thrown(() => xsuspendBlock(1 as never))).toBe("TypeError: xsuspendBlock: block must be a function, got 1");
  });
});

describe("block", () => {
  test("runs an operation from plain code", () => {
    using server = block(asyncio.TCP.listen({ port: 0 }));
    expect(server.local.port).toBeGreaterThan(0);
    expect(
      block(
        (function* (): Coroutine<number> {
          yield* sleep(1);
          return 7;
        })(),
      ),
    ).toBe(7);
    expect(block(Promise.resolve(3))).toBe(3);
    expect(
      thrown(() =>
        block(
          xasync(async () => {
            throw new Error("inside");
          }),
        ),
      ),
    ).toBe("Error: inside");
  });

  test("tells a deadlock, and that it cannot be used inside a coroutine", async () => {
    const caught = (() => {
      try {
        block(new Event("never").wait());
      } catch (error) {
        return error;
      }
    })();
    expect(caught).toBeInstanceOf(Deadlock);
    expect((caught as Error).message).toContain('"block" waits to see event "never"');
    expect(
      await failure(
        run(function* () {
          yield* sleep(0);
          block(sleep(1));
        }),
      ),
    ).toBeInstanceOf(MisuseError);
  });
});

test("initEnv sets what native bodies get, getEnv tells", () => {
  const executor = new Executor();
  expect(initEnv({ stack: 32_768, executor })).toBe(getEnv());
  expect(getEnv()).toMatchObject({ stack: 32_768, executor });
  expect(initEnv().stack).toBe(65_536);
  expect(thrown(() => initEnv({ stack: 1 }))).toBe("RangeError: initEnv: options.stack must be an integer from 4096 to 8388608, got 1");
  expect(thrown(() => initEnv({ executor: 1 as never }))).toBe("TypeError: initEnv: options.executor must be an Executor, got 1");
});

test("misuse is a MisuseError with names", () => {
  const frame = xasync(function* parser() {});
  try {
    xresume(frame);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(MisuseError);
    expect(error).toMatchObject({ code: "ERR_CORO_MISUSE", message: 'cannot resume coroutine "parser": it has finished' });
  }
  expect(() => xsuspend()).toThrow(MisuseError);
});
