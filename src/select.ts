// select and race: the first of several operations to end.

import { operationOf, type Result, type Waitable } from "./branch.ts";
import { show } from "./check.ts";
import { type Contest, ContestOperation, Contest as FairContest } from "./contest.ts";
import type { Operation } from "./operation.ts";
import type { Wait } from "./wait.ts";

/** What a select gives: which branch has won, and its result. `switch` on `key` narrows `value`. */
export type Selected<B> = { [K in keyof B]: { readonly key: K; readonly value: Result<B[K]> } }[keyof B];

class Select<B> extends ContestOperation<Selected<B>> {
  readonly #keys: readonly string[];
  readonly #operations: readonly Operation<unknown>[];

  constructor(keys: readonly string[], operations: readonly Operation<unknown>[]) {
    super();
    this.#keys = keys;
    this.#operations = operations;
  }

  override begin(wait: Wait): number {
    const contest = new FairContest(this.#operations, wait);
    wait.payload = contest;
    return contest.beginFair();
  }

  protected override result(contest: Contest): Selected<B> {
    const value = contest.finish();
    return { key: this.#keys[contest.winner?.index as number], value } as Selected<B>;
  }

  override putBack({ key, value }: Selected<B>): void {
    this.#operations[this.#keys.indexOf(key as string)]?.putBack(value);
  }

  override get what(): string {
    return `select from ${this.#operations.map((operation) => operation.what).join(", ")}`;
  }
}

class Race<T> extends ContestOperation<T> {
  readonly #operations: readonly Operation<unknown>[];

  constructor(operations: readonly Operation<unknown>[]) {
    super();
    this.#operations = operations;
  }

  override begin(wait: Wait): number {
    const contest = new FairContest(this.#operations, wait);
    wait.payload = contest;
    return contest.beginFair();
  }

  protected override result(contest: Contest): T {
    return contest.finish() as T;
  }

  override get what(): string {
    return `see the first of ${this.#operations.map((operation) => operation.what).join(", ")}`;
  }
}

/**
 * Waits for the first of several operations, and says which it was. All start together; one is taken, and the others never happened:
 * a receive has consumed nothing, a send was not delivered, a read leaves its bytes in the socket, an accept its connection in the
 * queue. What ends at the same time is chosen from at random.
 *
 * Branches may be operations (receives, sends, timers, reads ...), frames, generators, promises. A frame or promise that loses goes on by
 * itself; a generator that loses is cancelled and its end awaited. Of a write that loses a part may have been written.
 *
 * @example
 * ```ts
 * const event = yield* select({ message: inbox.recv(), idle: sleep(30_000), done: child });
 * switch (event.key) {
 *   case "message": return event.value; // typed by its key
 *   case "idle": return "nothing came";
 *   case "done": return event.value;
 * }
 * ```
 * @throws what the branch that ended first throws
 * @throws TypeError when there is no branch, or one is nothing to wait for
 */
export function select<const B extends Readonly<Record<string, Waitable<unknown>>>>(branches: B): Operation<Selected<B>> {
  if (typeof branches !== "object" || branches === null) throw new TypeError(`select: branches must be an object, got ${show(branches)}`);
  const keys = Object.keys(branches);
  if (keys.length === 0) throw new TypeError("select: there must be a branch");
  const operations = keys.map((key) => operationOf(branches[key] as Waitable<unknown>, "select: branch", key));
  return new Select<B>(keys, operations);
}

/**
 * Waits for the first of several operations to end, with a result or an error, and takes the others back as `select` does.
 *
 * @example
 * ```ts
 * const page = yield* race([fetchFrom("a"), fetchFrom("b")]); // the slower one is cancelled
 * ```
 * @throws what the first one throws
 * @throws TypeError when there is none, or one is nothing to wait for
 */
export function race<const W extends Readonly<Record<string, Waitable<unknown>>> | readonly Waitable<unknown>[]>(
  branches: W,
): Operation<Result<W[keyof W & (W extends readonly unknown[] ? number : string)]>> {
  if (typeof branches !== "object" || branches === null) {
    throw new TypeError(`race: branches must be an array or an object, got ${show(branches)}`);
  }
  const operations = Object.entries(branches).map(([key, branch]) => operationOf(branch, "race: branch", key));
  if (operations.length === 0) throw new TypeError("race: there must be a branch");
  return new Race(operations);
}
