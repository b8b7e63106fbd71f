// The examples of examples/coroutines: each prints what it should as a program of its own, and both of its versions agree on random input.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { withActor, withoutActor } from "../examples/coroutines/actors.ts";
import { coroutineParser, stateMachineParser } from "../examples/coroutines/parser.ts";
import { InOrderIterator, inOrder } from "../examples/coroutines/recursive-iterator.ts";
import { sameFringe, sameFringeCollected } from "../examples/coroutines/same-fringe.ts";

const folder = join(import.meta.dir, "../examples/coroutines");

const programs: [string, string][] = [
  ["recursive-iterator.ts", "a b c d e\na b c d e\n"],
  ["same-fringe.ts", "true false\ntrue false\n"],
  ["parser.ts", '[["GET","k"],["SET","k","a\\r\\nbc"]]\n[["GET","k"],["SET","k","a\\r\\nbc"]]\n'],
  ["actors.ts", "20 20\n"],
];
for (const [name, prints] of programs) {
  test(name, async () => {
    const child = Bun.spawn([process.execPath, join(folder, name)], { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ out, err, code }).toEqual({ out: prints, err: "", code: 0 });
  });
}

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
let state = seed;
/** A linear congruential generator (the constants of Numerical Recipes). */
function random(below: number): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
}

describe(`both versions agree (SEED=${seed})`, () => {
  interface Tree {
    readonly left?: Tree;
    readonly value: number;
    readonly right?: Tree;
  }
  const tree = (size: number): Tree => {
    const left = random(size);
    return {
      ...(left > 0 && { left: tree(left) }),
      value: random(100),
      ...(size - left - 1 > 0 && { right: tree(size - left - 1) }),
    };
  };

  test("on the order of a tree", () => {
    for (let i = 0; i < 50; i++) {
      const one = tree(1 + random(40));
      expect([...inOrder(one)]).toEqual([...new InOrderIterator(one)]);
    }
  });

  test("on fringes", () => {
    type Fringe = string | readonly [Fringe, Fringe];
    const shape = (leaves: readonly string[]): Fringe => {
      if (leaves.length === 1) return leaves[0] as string;
      const at = 1 + random(leaves.length - 1);
      return [shape(leaves.slice(0, at)), shape(leaves.slice(at))];
    };
    for (let i = 0; i < 50; i++) {
      const leaves = Array.from({ length: 1 + random(20) }, () => "abc"[random(3)] as string);
      const other = random(2) ? leaves : leaves.with(random(leaves.length), "z");
      const [a, b] = [shape(leaves), shape(other)];
      expect(sameFringe(a, b)).toBe(sameFringeCollected(a, b));
    }
  });

  test("on commands in chunks", () => {
    for (let i = 0; i < 50; i++) {
      const commands = Array.from({ length: 5 }, () => Array.from({ length: 1 + random(3) }, () => "x\r\n$".repeat(random(4))));
      const text = commands
        .map((parts) => `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join("")}`)
        .join("");
      const [one, other] = [coroutineParser(), stateMachineParser()];
      const got: string[][] = [];
      for (let at = 0; at < text.length; ) {
        const chunk = text.slice(at, at + 1 + random(9));
        at += chunk.length;
        const found = one(chunk);
        expect(found).toEqual(other(chunk));
        got.push(...found);
      }
      expect(got).toEqual(commands);
    }
  });

  test("on the balance", async () => {
    const amounts = Array.from({ length: 30 }, () => 1 + random(20));
    expect(await withActor(amounts, 100)).toBe(await withoutActor(amounts, 100));
  });
});
