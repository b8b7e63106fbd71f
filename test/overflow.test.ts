// Native bodies that overflow their stacks end the process with a line that names them; other faults stay their owners'.

import { describe, expect, test } from "bun:test";
import { childTimeoutMs, runFixture } from "./support/child.ts";

const pump17 = 'zigcoro: coroutine "pump 17" overflowed its 16384-byte stack at a depth of N bytes; give it more with { stack: 32768 }\n';

async function ends(program: string, out: string, err: string): Promise<void> {
  const ended = await runFixture("overflow.ts", [program]);
  // How deep it came is the compiler's business, but below the whole stack.
  const [, size, depth] = /(\d+)-byte stack at a depth of (\d+) bytes/.exec(ended.err) ?? [];
  expect(Number(depth)).toBeGreaterThanOrEqual(Number(size));
  const told = { ...ended, err: ended.err.replace(/depth of \d+ bytes/, "depth of N bytes") };
  expect(told).toEqual({ code: null, signal: "SIGABRT", out, err });
}

/** Bun's crash handler runs, and sends nothing anywhere. */
const noReport = { DO_NOT_TRACK: "1", BUN_ENABLE_CRASH_REPORTING: "0" };

describe("an overflow", () => {
  test("names the coroutine, its stack and what to do", () => ends("overflow", "", pump17), childTimeoutMs);
  test(
    "is told of the coroutine that ran, among several",
    () =>
      ends(
        "overflow after a resume",
        "",
        'zigcoro: coroutine "two" overflowed its 4096-byte stack at a depth of N bytes; give it more with { stack: 8192 }\n',
      ),
    childTimeoutMs,
  );
  test(
    "of the largest stack does not ask for a larger one",
    () =>
      ends(
        "overflow of the largest stack",
        "",
        'zigcoro: coroutine "pump 17" overflowed its 8388608-byte stack at a depth of N bytes; there is no larger one\n',
      ),
    childTimeoutMs,
  );
  test(
    "that jumps over the guard is told at the next suspend, and Bun's crash reporter does not speak of it",
    () =>
      ends(
        "overflow by one large frame",
        "",
        'zigcoro: coroutine "leaper" overflowed its 16384-byte stack at a depth of N bytes; give it more with { stack: 32768 }\n',
      ),
    childTimeoutMs,
  );
  test("of a stack of one's own is told alike", () => ends("overflow of a stack of one's own", "", pump17), childTimeoutMs);
  test("is told in a Worker too", () => ends("overflow in a Worker", "", pump17), childTimeoutMs);
});

describe("other faults", () => {
  const outOfBounds = "RuntimeError: Out of bounds memory access (evaluating 'load(65536 * (i + 1))')\n";
  test("of WebAssembly stay errors", () => ends("traps, then an overflow", outOfBounds.repeat(2), pump17), childTimeoutMs);
  test(
    "of WebAssembly stay errors when it is first used after native bodies",
    () => ends("traps only after native bodies, then an overflow", outOfBounds, pump17),
    childTimeoutMs,
  );
  test(
    "recursion in JavaScript stays a RangeError",
    () => ends("recursion in JavaScript", "RangeError: Maximum call stack size exceeded.\n", pump17),
    childTimeoutMs,
  );
  for (const program of ["a null pointer in a native body", "a null pointer beside native bodies"]) {
    test(
      `${program} ends the process as it would without zigcoro`,
      async () => {
        const [before, after] = await Promise.all([
          runFixture("overflow.ts", ["a null pointer without zigcoro"], noReport),
          runFixture("overflow.ts", [program], noReport),
        ]);
        expect({ code: after.code, signal: after.signal }).toEqual({ code: before.code, signal: before.signal });
        expect(after.code === 0).toBe(false);
        expect(after.err).toContain("Segmentation fault at address 0x0");
        expect(after.err).not.toContain("zigcoro: coroutine");
      },
      childTimeoutMs,
    );
  }
});
