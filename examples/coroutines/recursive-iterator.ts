// A recursive iterator: walk a tree in order, from outside. After "Revisiting Coroutines" (de Moura and Ierusalimschy, 2004), section 4.2.
// `bun examples/coroutines/recursive-iterator.ts`

import { CoroT, type Coroutine } from "zigcoro";

interface Tree<T> {
  readonly left?: Tree<T>;
  readonly value: T;
  readonly right?: Tree<T>;
}

// With a coroutine the walk is the recursion that one would write anyway; it yields in place of printing.

function* walk<T>(co: CoroT<T>, tree: Tree<T> | undefined): Coroutine<void> {
  if (tree === undefined) return;
  yield* walk(co, tree.left);
  yield* co.xyield(tree.value);
  yield* walk(co, tree.right);
}

export function inOrder<T>(tree: Tree<T>): Iterable<T> {
  return new CoroT<T>((co) => walk(co, tree));
}

// Without one, what the call stack knew is in a stack of one's own.

export class InOrderIterator<T> implements Iterator<T, void> {
  readonly #path: Tree<T>[] = [];

  constructor(tree: Tree<T>) {
    this.#descend(tree);
  }

  next(): IteratorResult<T, void> {
    const tree = this.#path.pop();
    if (tree === undefined) return { done: true, value: undefined };
    this.#descend(tree.right);
    return { done: false, value: tree.value };
  }

  #descend(tree: Tree<T> | undefined): void {
    for (let at = tree; at !== undefined; at = at.left) this.#path.push(at);
  }

  [Symbol.iterator](): this {
    return this;
  }
}

if (import.meta.main) {
  const tree: Tree<string> = {
    left: { left: { value: "a" }, value: "b", right: { value: "c" } },
    value: "d",
    right: { value: "e" },
  };
  console.log([...inOrder(tree)].join(" "));
  console.log([...new InOrderIterator(tree)].join(" "));
}
