// Scopes: children end before their scope, no failure is lost, a cancel reaches everybody and is waited for; shield.

import { describe, expect, test } from "bun:test";
import {
  type Cancelled,
  Channel,
  type Coroutine,
  type Frame,
  run,
  type Scope,
  scope,
  shield,
  sleep,
  spawn,
  until,
  withTimeout,
  xasync,
  xframe,
} from "zigcoro";
import { failure, microtasks, rejected, thrown } from "./support/failure.ts";

describe("a scope", () => {
  test("gives its body's result when all children have ended", async () => {
    const log: string[] = [];
    const result = await run(function* main() {
      const value = yield* scope((s) => {
        for (const ms of [3, 1, 2]) {
          s.spawn(function* () {
            yield* sleep(ms);
            log.push(`child ${ms}`);
          });
        }
        log.push("body");
        return 42;
      });
      log.push("after");
      return value;
    });
    expect(result).toBe(42);
    expect(log.slice(1, 4).sort()).toEqual(["child 1", "child 2", "child 3"]);
    expect([log[0], log[4]]).toEqual(["body", "after"]);
  });

  test("takes bodies of every kind, and can be awaited", async () => {
    expect(await scope(async (s) => s.spawn(async () => 1))).toBe(1);
    expect(await scope(() => 2)).toBe(2);
    expect(
      await scope(function* (s) {
        return (yield* s.spawn(() => 3)) + 1;
      }),
    ).toBe(4);
  });

  test("fails with the first failure, once everybody else was cancelled and has ended", async () => {
    const log: string[] = [];
    const error = new Error("first");
    const caught = await failure(
      scope(function* body(s) {
        s.spawn(function* sibling() {
          try {
            yield* sleep(60_000);
          } catch (e) {
            log.push(`sibling: ${(e as Error).name} because of ${((e as Error).cause as Error).message}`);
            throw e;
          } finally {
            yield* sleep(2);
            log.push("sibling cleaned up");
          }
        });
        s.spawn(function* failing() {
          yield* sleep(1);
          throw error;
        });
        try {
          yield* sleep(60_000);
        } finally {
          log.push("body cancelled");
        }
      }),
    );
    expect(caught as unknown).toBe(error);
    expect(log.sort()).toEqual(["body cancelled", "sibling cleaned up", "sibling: Cancelled because of first"]);
  });

  test("loses no secondary error", async () => {
    const caught = (await failure(
      scope(
        (s) => {
          s.spawn(function* () {
            try {
              yield* sleep(60_000);
            } finally {
              // biome-ignore lint/correctness/noUnsafeFinally: what is tested
              throw new Error("while cleaning up");
            }
          });
          s.spawn(function* () {
            yield* sleep(1);
            throw new Error("first");
          });
        },
        { name: "pair" },
      ),
    )) as unknown as AggregateError;
    expect(caught).toBeInstanceOf(AggregateError);
    expect(caught.message).toBe('2 coroutines of scope "pair" failed');
    expect(caught.errors.map((e: Error) => e.message)).toEqual(["first", "while cleaning up"]);
    expect((caught.cause as Error).message).toBe("first");
  });

  test("an error that the body got by awaiting the child counts once", async () => {
    const caught = await failure(
      scope(function* (s) {
        yield* s.spawn(function* () {
          yield* sleep(1);
          throw new Error("once");
        });
      }),
    );
    expect(caught.message).toBe("once");
  });

  test("collects: all go on, and all failures come together", async () => {
    let finished = 0;
    const caught = (await failure(
      scope(
        (s) => {
          for (const n of [1, 2, 3, 4]) {
            s.spawn(function* () {
              yield* sleep(n);
              if (n % 2) throw new Error(`${n}`);
              finished++;
            });
          }
        },
        { errors: "collect" },
      ),
    )) as unknown as AggregateError;
    expect(caught.errors.map((e: Error) => e.message).sort()).toEqual(["1", "3"]);
    expect(finished).toBe(2);
  });

  test("a child that is cancelled by itself is no failure", async () => {
    expect(
      await scope(function* (s) {
        const child = s.spawn(function* () {
          yield* sleep(60_000);
        });
        yield* child.cancel();
        return "fine";
      }),
    ).toBe("fine");
  });

  test("spawns grandchildren, also after its body has ended", async () => {
    const log: string[] = [];
    await scope((s) => {
      s.spawn(function* child() {
        yield* sleep(1);
        s.spawn(function* grandchild() {
          yield* sleep(1);
          log.push("grandchild");
        });
      });
    });
    expect(log).toEqual(["grandchild"]);
  });

  test("cancelled from outside ends when all children have, with the reason for each", async () => {
    const reasons: unknown[] = [];
    let cleaned = 0;
    const frame = xasync(function* main() {
      yield* scope(function* (s) {
        for (let i = 0; i < 3; i++) {
          s.spawn(function* () {
            try {
              yield* sleep(60_000);
            } catch (error) {
              reasons.push((error as Error).cause);
              yield* sleep(1);
              cleaned++;
              throw error;
            }
          });
        }
        yield* sleep(60_000);
      });
    });
    await frame.cancel("enough");
    expect(frame.status).toBe("done");
    expect(cleaned).toBe(3);
    expect(reasons).toEqual(["enough", "enough", "enough"]);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });

  test("with a limit is cancelled when the time is over", async () => {
    let cleaned = false;
    const limited = withTimeout(
      1,
      scope((s) => {
        s.spawn(function* () {
          try {
            yield* sleep(60_000);
          } finally {
            cleaned = true;
          }
        });
      }),
    );
    expect(await rejected(limited)).toStartWith("TimeoutError: timed out after 1 ms waiting to see the end of scope");
    expect(cleaned).toBe(true);
  });

  test("cancel() ends everybody, also who is spawned later", async () => {
    let late: Frame<void> | undefined;
    const result = await scope((s) => {
      const child = s.spawn(function* () {
        yield* sleep(60_000);
      });
      s.cancel("over");
      expect(child.cancelled).toBe(true);
      late = s.spawn(function* () {
        yield* sleep(60_000);
      });
      return "body";
    });
    expect(result).toBe("body");
    expect(late?.status).toBe("done");
  });

  test("a signal cancels it, and it aborts its own", async () => {
    const controller = new AbortController();
    let own: AbortSignal | undefined;
    const promise = scope(
      function* (s) {
        own = s.signal;
        yield* sleep(60_000);
      },
      { signal: controller.signal },
    ).then();
    await microtasks();
    expect(own?.aborted).toBe(false);
    controller.abort("stop");
    expect(((await failure(promise)).cause as string) === "stop").toBe(true);
    expect(own?.reason).toBe("stop");
  });

  test("refuses children once it has ended, and wrong arguments", async () => {
    let kept: Scope | undefined;
    await scope((s) => {
      kept = s;
    });
    expect(thrown(() => kept?.spawn(() => {}))).toBe('Error: cannot spawn in scope "scope": it has ended');
    expect(thrown(() => scope(1 as never))).toBe("TypeError: scope: body must be a function, got 1");
    expect(thrown(() => scope(() => {}, { errors: "ignore" as never }))).toBe(
      'TypeError: scope: options.errors must be "fail fast" or "collect", got "ignore"',
    );
    expect(thrown(() => scope({ signal: 1 as never }))).toBe("TypeError: scope: options.signal must be an AbortSignal, got 1");
  });

  test("a child that waits for its own scope is told so", async () => {
    expect(
      await rejected(
        scope(
          function* child(s) {
            yield* s.join();
          },
          { name: "ring" },
        ),
      ),
    ).toBe('Error: coroutine "ring" cannot wait for the end of scope "ring": it is part of it');
  });
});

describe("`await using`", () => {
  test("ends with the block, after the last child", async () => {
    const log: string[] = [];
    {
      await using s = scope();
      s.spawn(async () => {
        await sleep(1);
        log.push("child");
      });
      log.push("block");
    }
    expect(log).toEqual(["block", "child"]);
  });

  test("throws what a child failed with, and keeps what the block threw", async () => {
    const block = async (throws: boolean) => {
      await using s = scope();
      s.spawn(async () => {
        await sleep(1);
        throw new Error("child");
      });
      if (throws) throw new Error("block");
    };
    expect(await rejected(block(false))).toBe("Error: child");
    const both = (await failure(block(true))) as unknown as SuppressedError;
    expect(both).toBeInstanceOf(SuppressedError);
    expect([both.error.message, both.suppressed.message]).toEqual(["child", "block"]);
  });
});

describe("cancel", () => {
  test("gives the wait for the end, whatever the end", async () => {
    const frame = spawn(function* () {
      try {
        yield* sleep(60_000);
      } finally {
        yield* sleep(1);
      }
    });
    const end = frame.cancel();
    expect(frame.status).toBe("suspended");
    expect(await end).toBeUndefined();
    expect(frame.status).toBe("done");
    expect(await frame.cancel()).toBeUndefined();
  });

  test("comes with the end of an `await using` block, and is waited for", async () => {
    let cleaned = false;
    {
      await using _frame = spawn(function* () {
        try {
          yield* sleep(60_000);
        } finally {
          yield* sleep(0);
          cleaned = true;
        }
      });
    }
    expect(cleaned).toBe(true);
  });

  test("of oneself, awaited, is told", async () => {
    const frame = xasync(function* me() {
      yield* xframe().cancel();
    });
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });

  test("comes by a signal, with its reason; aborted already, at the first operation", async () => {
    const controller = new AbortController();
    function* body(): Coroutine<string> {
      try {
        yield* sleep(60_000);
        return "no";
      } catch (error) {
        return String((error as Error).cause);
      }
    }
    const early = xasync(body, [], { signal: controller.signal });
    const inAsync = xasync(async () => await sleep(60_000), [], { signal: controller.signal });
    controller.abort("now");
    expect(await early).toBe("now");
    expect((await failure(inAsync)).cause as unknown).toBe("now");
    expect(await xasync(body, [], { signal: controller.signal })).toBe("now");
    expect(thrown(() => xasync(() => {}, [], { signal: {} as never }))).toBe(
      "TypeError: xasync: options.signal must be an AbortSignal, got an object of class Object",
    );
  });

  test("goes out by the frame's signal", async () => {
    let signal: AbortSignal | undefined;
    const frame = xasync(function* () {
      signal = xframe().signal;
      yield* sleep(60_000);
    });
    expect(signal?.aborted).toBe(false);
    await frame.cancel("bye");
    expect(signal?.aborted).toBe(true);
    expect((frame.signal.reason as Cancelled).cause).toBe("bye");
    expect(frame.signal).toBe(signal as AbortSignal);
  });

  test("aborts what until() was given a function for, and waits for its end", async () => {
    const log: string[] = [];
    const frame = xasync(function* () {
      yield* until(
        (signal) =>
          new Promise<void>((_resolve, reject) => {
            signal.addEventListener("abort", () => {
              log.push(`aborted: ${(signal.reason as Error).cause}`);
              setTimeout(() => reject(signal.reason), 1);
            });
          }),
      );
    });
    await frame.cancel("why");
    log.push("over");
    expect(log).toEqual(["aborted: why", "over"]);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });

  test("a promise that comes all the same is not lost", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const got: unknown[] = [];
    const frame = xasync(function* () {
      got.push(yield* until(() => promise));
      yield* sleep(1);
      got.push("never");
    });
    const end = frame.cancel();
    resolve(7);
    await end;
    expect(got).toEqual([7]);
  });
});

describe("shield", () => {
  test("defers a cancel until the operation has ended, for generators and single operations", async () => {
    const log: string[] = [];
    const channel = new Channel<number>();
    const frame = xasync(function* () {
      yield* shield(
        (function* () {
          yield* sleep(1);
          log.push("step 1");
          yield* sleep(1);
          log.push("step 2");
        })(),
      );
      log.push(`got ${yield* shield(channel.recv())}`);
      yield* sleep(1);
      log.push("never");
    });
    const end = frame.cancel();
    await sleep(10);
    expect(log).toEqual(["step 1", "step 2"]);
    await end;
    // The cancel was delivered at the next operation, which began.
    expect(log).toEqual(["step 1", "step 2"]);
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });

  test("defers a timeout, too", async () => {
    expect(await withTimeout(1, shield(sleep(5)))).toBeUndefined();
  });
});
