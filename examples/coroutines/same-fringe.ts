// Same fringe: do two trees have the same leaves in the same order, whatever their shapes? Two walks take turns, and the first difference
// ends both. `bun examples/coroutines/same-fringe.ts`

import { CoroT, type Coroutine } from "zigcoro";

type Tree = string | readonly [Tree, Tree];

// With coroutines: two recursive walks, compared leaf by leaf.

function* leaves(co: CoroT<string>, tree: Tree): Coroutine<void> {
  if (typeof tree === "string") {
    yield* co.xyield(tree);
    return;
  }
  for (const branch of tree) yield* leaves(co, branch);
}

export function sameFringe(a: Tree, b: Tree): boolean {
  const left = new CoroT<string>((co) => leaves(co, a))[Symbol.iterator]();
  const right = new CoroT<string>((co) => leaves(co, b))[Symbol.iterator]();
  for (;;) {
    const [x, y] = [left.next(), right.next()];
    if (x.done || y.done || x.value !== y.value) {
      left.return?.();
      right.return?.();
      return x.done === true && y.done === true;
    }
  }
}

// Without: either all leaves are collected first, as here, or both stacks are kept by hand, as in recursive-iterator.ts.

export function sameFringeCollected(a: Tree, b: Tree): boolean {
  const collect = (tree: Tree): string[] => (typeof tree === "string" ? [tree] : tree.flatMap(collect));
  const [x, y] = [collect(a), collect(b)];
  return x.length === y.length && x.every((leaf, i) => leaf === y[i]);
}

if (import.meta.main) {
  const [a, b, c]: Tree[] = [
    [
      ["a", "b"],
      ["c", "d"],
    ],
    ["a", ["b", ["c", "d"]]],
    ["a", ["b", ["d", "c"]]],
  ] as [Tree, Tree, Tree];
  for (const same of [sameFringe, sameFringeCollected]) console.log(same(a as Tree, b as Tree), same(a as Tree, c as Tree));
}
