// Arguments that nobody should pass: everything that asyncio has is called with them in a process of its own, which must neither crash nor
// hang nor throw what only its author understands. Random, by a seed that the test's name shows; SEED=... runs one.

import { describe, expect, test } from "bun:test";
import { asyncio } from "zigcoro";
import { childTimeoutMs, runFixture } from "./support/child.ts";
import { thrown } from "./support/failure.ts";
import { isWindows, isWine } from "./support/platform.ts";

const seeds = process.env.SEED === undefined ? [1, 2].map((n) => n * 7919 + (Date.now() % 1000)) : [Number(process.env.SEED)];

describe("arguments", () => {
  for (const seed of seeds) {
    test(
      `of any kind are survived (SEED=${seed})`,
      async () => {
        const { code, signal, out } = await runFixture("arguments.ts", [`${seed}`, isWine ? "400" : "4000"]);
        expect({ code, signal, out }).toEqual({ code: 0, signal: null, out: "survived\n" });
      },
      childTimeoutMs,
    );
  }

  test("an array that lies about its length is written as long as it is", async () => {
    class Liar extends Uint8Array {
      override get byteLength() {
        return 1 << 24;
      }
    }
    const [a, b] = asyncio.Unix.pair();
    await a.write(new Liar(8));
    await a.writeAll([new Liar(8), Object.defineProperty(new Uint8Array(8), "byteLength", { value: 1 << 24 })]);
    await a.shutdown();
    expect(await b.readExactly(24)).toEqual(new Uint8Array(24));
    expect(await b.read()).toBeNull();
    expect(thrown(() => a.write(Object.create(Uint8Array.prototype)))).toContain(
      "TypeError: Unix.write: data must be a string, Uint8Array",
    );
    expect(thrown(() => a.write(new Proxy(new Uint8Array(8), {})))).toContain("TypeError: Unix.write: data must be a string, Uint8Array");
    b.close();
  });

  test("what is checked is what is used", () => {
    const { writer, reader } = asyncio.pipe();
    const parts = Object.assign([new Uint8Array(1)], { map: () => [{ byteLength: 1 << 24 }] });
    expect(thrown(() => void writer.writeAll(parts))).toBe("nothing was thrown");
    let asked = 0;
    const args = Object.defineProperty(["a", "b"], 1, { get: () => (asked++ === 0 ? "b" : "\0\0\0") });
    if (!isWindows) {
      const child = asyncio.Process.spawn("true", args, { stdout: "ignore" });
      expect(child.pid).toBeGreaterThan(0);
      expect(asked).toBe(1);
      expect(thrown(() => child.kill("toString" as never))).toContain("TypeError: Process.kill: signal must be");
    }
    expect(thrown(() => asyncio.fromDescriptor(0, "constructor" as never))).toContain("TypeError: asyncio.fromDescriptor: direction");
    reader.close();
    writer.close();
  });
});
