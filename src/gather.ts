// all, allSettled, any: several operations to their ends, at most so many at a time.
//
// A gather begins its branches in order, as room comes free. Once it is decided (a failure of `all`, a result of `any`) or cancelled, it
// begins no more, takes back those that run, and ends when they have.

import { Branch, operationOf, type Result, type Waitable } from "./branch.ts";
import { checkInteger, show } from "./check.ts";
import { parked } from "./code.ts";
import { errnos } from "./error.ts";
import { Operation, reportFailure } from "./operation.ts";
import { tellNow } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

type Policy = "all" | "allSettled" | "any";
type Success = { readonly value: unknown; readonly operation: Operation<unknown> };
type Outcome = Success | { readonly error: unknown };

class Gather {
  readonly #outer: Wait;
  readonly #policy: Policy;
  readonly #operations: Iterator<Operation<unknown>>;
  readonly #limit: number;
  readonly #running = new Set<Branch>();
  readonly outcomes: Outcome[] = [];
  /** Errors of operations, in the order in which they came. */
  readonly errors: unknown[] = [];
  #count = 0;
  /** Nothing more is to be begun. */
  #stopped = false;
  #beginning = false;
  #reason: unknown;
  cancelled = false;
  /** `any`: the result. */
  won: Success | undefined = undefined;

  constructor(policy: Policy, operations: Iterable<Operation<unknown>>, limit: number, outer: Wait) {
    this.#policy = policy;
    this.#operations = operations[Symbol.iterator]();
    this.#limit = limit;
    this.#outer = outer;
  }

  /** Begins as many as there is room for: `parked`, or 0 when all is over. */
  begin(): number {
    this.#beginning = true;
    while (!this.#stopped && this.#running.size < this.#limit) {
      let next: IteratorResult<Operation<unknown>>;
      try {
        next = this.#operations.next();
      } catch (error) {
        this.#fail(error);
        break;
      }
      if (next.done) this.#stopped = true;
      else this.#start(next.value);
    }
    this.#beginning = false;
    if (this.#running.size > 0) return parked;
    if (this.#isDecided) this.#putBack();
    return 0;
  }

  #start(operation: Operation<unknown>): void {
    const branch = new Branch(operation, this.#count++, this);
    try {
      const status = operation.begin(branch);
      if (status === parked) {
        branch.running = true;
        this.#running.add(branch);
        return;
      }
      branch.over(status, 0);
    } catch (error) {
      branch.over(0, 0);
      this.#settle(branch, { error });
      return;
    }
    this.#finish(branch);
  }

  ended(branch: Branch, told: number, value: number): void {
    const status = branch.operation.advance(told, value, branch);
    if (status !== parked) {
      branch.over(status, value);
      this.#running.delete(branch);
      this.#finish(branch);
    } else if (this.#isDecided) {
      // A cancel that met the end of one part is for the next part, too.
      if (branch.takeBack(this.#reason)) this.#running.delete(branch);
    }
    if (this.#beginning || this.begin() === parked) return;
    tellNow(this.#outer, this.cancelled && this.errors.length === 0 && this.won === undefined ? errnos.ECANCELED : 0);
  }

  get #isDecided(): boolean {
    return this.cancelled || this.won !== undefined || (this.#policy === "all" && this.errors.length > 0);
  }

  #finish(branch: Branch): void {
    if (this.#isDecided && branch.wasCancelled()) {
      branch.operation.forget(branch);
      return;
    }
    if (this.won !== undefined) {
      branch.discard();
      return;
    }
    try {
      this.#settle(branch, { value: branch.finish(), operation: branch.operation });
    } catch (error) {
      this.#settle(branch, { error });
    }
  }

  #settle(branch: Branch, outcome: Outcome): void {
    this.outcomes[branch.index] = outcome;
    if ("error" in outcome) this.#fail(outcome.error);
    else if (this.#policy === "any") {
      this.won = outcome;
      this.#stop(undefined);
    }
  }

  #fail(error: unknown): void {
    this.errors.push(error);
    if (this.#policy === "all") this.#stop(error);
  }

  #stop(reason: unknown): void {
    this.#stopped = true;
    this.#reason = reason;
    for (const branch of this.#running) if (branch.takeBack(reason)) this.#running.delete(branch);
  }

  /** Results that nobody gets any more go back to where they came from. */
  #putBack(): void {
    for (const outcome of this.outcomes.splice(0).reverse()) {
      if (outcome !== undefined && "value" in outcome && outcome !== this.won) outcome.operation.putBack(outcome.value);
    }
  }

  /** It has ended with a result that nobody wants. */
  giveBack(): void {
    this.won?.operation.putBack(this.won.value);
    this.#putBack();
  }

  /** True: over. */
  takeBack(reason: unknown): boolean {
    // The end is on its way.
    if (this.#running.size === 0) return false;
    this.cancelled = true;
    this.#stop(reason);
    if (this.#running.size > 0) return false;
    this.#putBack();
    return true;
  }

  *waitsFor(): Iterable<object> {
    for (const branch of this.#running) yield* branch.operation.waitsFor(branch);
  }
}

class GatherOperation<T> extends Operation<T> {
  readonly #policy: Policy;
  readonly #operations: () => Iterable<Operation<unknown>>;
  readonly #limit: number;
  readonly #result: (gather: Gather) => T;

  constructor(policy: Policy, operations: () => Iterable<Operation<unknown>>, limit: number, result: (gather: Gather) => T) {
    super();
    this.#policy = policy;
    this.#operations = operations;
    this.#limit = limit;
    this.#result = result;
  }

  override begin(wait: Wait): number {
    const gather = new Gather(this.#policy, this.#operations(), this.#limit, wait);
    wait.payload = gather;
    return gather.begin();
  }

  override finish(_status: number, _value: number, wait: Wait): T {
    const gather = wait.payload as Gather;
    wait.payload = undefined;
    return this.#result(gather);
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    if (!(wait.payload as Gather).takeBack(reason)) return false;
    wait.payload = undefined;
    return true;
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    const gather = wait.payload as Gather;
    reportFailure(() => this.finish(status, value, wait));
    gather.giveBack();
  }

  override waitsFor(wait: Wait): Iterable<object> {
    return (wait.payload as Gather | undefined)?.waitsFor() ?? [];
  }

  override get what(): string {
    return `see ${this.#policy === "any" ? "any" : "all"} of several operations`;
  }
}

export interface GatherOptions {
  /** How many may run at a time, from 1 on. Default: all. */
  readonly concurrency?: number;
}

type Many = Readonly<Record<string, Waitable<unknown>>> | Iterable<Waitable<unknown>>;

/** The results, shaped as what was given: tuple, array or object. */
export type Results<W> = W extends readonly unknown[]
  ? { -readonly [I in keyof W]: Result<W[I]> }
  : W extends Iterable<infer E>
    ? Result<E>[]
    : { -readonly [K in keyof W]: Result<W[K]> };

/** What `allSettled` gives for one operation. */
export type Settled<T> = { readonly status: "fulfilled"; readonly value: T } | { readonly status: "rejected"; readonly reason: unknown };

export type SettledResults<W> = W extends readonly unknown[]
  ? { -readonly [I in keyof W]: Settled<Result<W[I]>> }
  : W extends Iterable<infer E>
    ? Settled<Result<E>>[]
    : { -readonly [K in keyof W]: Settled<Result<W[K]>> };

type OneOf<W> = W extends Iterable<infer E> ? Result<E> : Result<W[keyof W]>;

function gather<T>(
  policy: Policy,
  many: Many,
  options: GatherOptions | undefined,
  result: (gather: Gather, values: Outcome[], shape: Shape) => T,
) {
  if (typeof many !== "object" || many === null) {
    throw new TypeError(`${policy}: what to wait for must be an iterable or an object, got ${show(many)}`);
  }
  const limit = options?.concurrency ?? Number.POSITIVE_INFINITY;
  if (limit !== Number.POSITIVE_INFINITY) checkInteger(limit, `${policy}: options.concurrency`, 1, 2 ** 31 - 1);
  const isLazy = Symbol.iterator in many && !Array.isArray(many);
  const keys = Symbol.iterator in many ? undefined : Object.keys(many);
  const values = Symbol.iterator in many ? many : Object.values(many);
  function* operations() {
    let index = 0;
    for (const value of values) {
      yield operationOf(value, `${policy}: operation`, keys?.[index] ?? index);
      index++;
    }
  }
  // What is there already is checked now, what an iterator makes when it makes it.
  const ops = isLazy ? undefined : [...operations()];
  const shape: Shape = (outcomes) => (keys === undefined ? outcomes : Object.fromEntries(keys.map((key, i) => [key, outcomes[i]])));
  return new GatherOperation<T>(
    policy,
    () => ops ?? operations(),
    limit,
    (done) => result(done, done.outcomes, shape),
  );
}

type Shape = (values: readonly unknown[]) => unknown;

/** One error as it is, several together. */
function failure(errors: readonly unknown[], what: string): unknown {
  return errors.length === 1
    ? errors[0]
    : new AggregateError(errors, `${errors.length} operations of ${what} failed`, { cause: errors[0] });
}

/**
 * Waits for all: their results, shaped as what was given (array, tuple, object). The first failure takes all others back, waits for
 * their end, and is thrown; others that fail on the way make it an AggregateError. Then, and after a cancel, messages that were received go back
 * to the front of their channels, accepted connections to their queue, bytes and datagrams in front of what comes next, permits to their
 * semaphores. An iterator is asked for the next operation only when there is room for it.
 *
 * @example
 * ```ts
 * const { user, posts } = yield* all({ user: fetchUser(7), posts: fetchPosts(7) });
 * const pages = yield* all(urls.map((url) => fetchPage(url)), { concurrency: 4 }); // generators: at most 4 at a time
 * ```
 * @throws TypeError, RangeError
 */
export function all<const W extends Many>(operations: W, options?: GatherOptions): Operation<Results<W>> {
  return gather("all", operations, options, ({ errors }, outcomes, shape) => {
    if (errors.length > 0) throw failure(errors, "all");
    return shape(outcomes.map((outcome) => ("value" in outcome ? outcome.value : undefined))) as Results<W>;
  });
}

/**
 * Waits for all, whatever their ends: `{ status, value }` or `{ status, reason }` of each, as `Promise.allSettled` has them.
 *
 * @example
 * ```ts
 * const ends = yield* allSettled([fetchPage("a"), fetchPage("b")], { concurrency: 1 });
 * console.log(ends.filter((end) => end.status === "fulfilled").length);
 * ```
 * @throws TypeError, RangeError
 */
export function allSettled<const W extends Many>(operations: W, options?: GatherOptions): Operation<SettledResults<W>> {
  return gather("allSettled", operations, options, (_gather, outcomes, shape) => {
    const settled = outcomes.map((outcome) =>
      "value" in outcome ? { status: "fulfilled", value: outcome.value } : { status: "rejected", reason: outcome.error },
    );
    return shape(settled) as SettledResults<W>;
  });
}

/**
 * Waits for the first that succeeds, and takes the others back.
 *
 * @example
 * ```ts
 * const page = yield* any([fetchPage("down"), fetchPage("up")]);
 * ```
 * @throws AggregateError of all errors when none does
 * @throws TypeError, RangeError
 */
export function any<const W extends Many>(operations: W, options?: GatherOptions): Operation<OneOf<W>> {
  return gather("any", operations, options, ({ won, errors }) => {
    if (won === undefined) throw new AggregateError(errors, "none of any's operations succeeded");
    return won.value as OneOf<W>;
  });
}
