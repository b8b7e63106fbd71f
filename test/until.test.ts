// until: any promise as an operation.

import { describe, expect, test } from "bun:test";
import { run, until, withTimeout, xasync } from "zigcoro";
import { rejected } from "./support/failure.ts";

describe("until", () => {
  test("gives what the promise gives, in any number of uses", async () => {
    const operation = until(Promise.resolve(4));
    expect(
      await run(function* () {
        return (yield* operation) + (yield* operation);
      }),
    ).toBe(8);
    expect(await operation).toBe(4);
    expect(await Promise.all([operation, operation])).toEqual([4, 4]);
  });

  test("throws what the promise rejects with, undefined too", async () => {
    expect(await rejected(until(Promise.reject(new Error("r"))))).toBe("Error: r");
    expect(
      await until(Promise.reject(undefined)).then(
        () => "resolved",
        (reason) => [reason],
      ),
    ).toEqual([undefined]);
  });

  test("with a limit leaves the promise alone", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    expect(await rejected(withTimeout(1, until(promise)))).toBe("TimeoutError: timed out after 1 ms waiting to await a promise");
    resolve(5);
    expect(await withTimeout(1000, until(promise))).toBe(5);
  });

  test("a cancelled wait ends at once, though the promise never does", async () => {
    const frame = xasync(function* () {
      yield* until(new Promise<never>(() => {}));
    });
    frame.cancel();
    expect(await rejected(frame)).toBe("Cancelled: the coroutine was cancelled");
  });
});
