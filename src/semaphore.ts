// Semaphore and Mutex: so many at a time. First come, first served; a permit that is given back goes to the first who waits in that step.

import { checkInteger, checkString } from "./check.ts";
import { parked } from "./code.ts";
import { Operation } from "./operation.ts";
import { places } from "./queue.ts";
import { ready } from "./scheduler.ts";
import { type Wait, WaitList } from "./wait.ts";

/** A permit that is held: `using _ = yield* semaphore.acquire()` gives it back at the end of the block. */
export class Permit implements Disposable {
  #pool: Pool | undefined;

  /** @internal */
  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** Gives it back. Twice does nothing. */
  release(): void {
    const pool = this.#pool;
    this.#pool = undefined;
    pool?.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** The permits and who waits for one. While somebody waits none is free. */
class Pool {
  free: number;
  readonly waiters = new WaitList();

  constructor(permits: number) {
    this.free = permits;
    places.add(this);
  }

  take(): boolean {
    if (this.free === 0) return false;
    this.free--;
    return true;
  }

  release(): void {
    const wait = this.waiters.shift();
    if (wait === undefined) this.free++;
    else ready(wait, 0, 0);
  }

  waiting(): Iterable<Wait> {
    return this.waiters;
  }
}

class Acquire extends Operation<Permit> {
  readonly #pool: Pool;
  readonly what: string;

  constructor(pool: Pool, what: string) {
    super();
    this.#pool = pool;
    this.what = what;
  }

  override poll(): number {
    return this.#pool.take() ? 0 : parked;
  }

  override begin(wait: Wait): number {
    if (this.#pool.take()) return 0;
    this.#pool.waiters.push(wait);
    return parked;
  }

  override finish(): Permit {
    return new Permit(this.#pool);
  }

  override takeBack(wait: Wait): boolean {
    return this.#pool.waiters.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override giveBack(): void {
    this.#pool.release();
  }

  override putBack(permit: Permit): void {
    permit.release();
  }
}

let unnamedSemaphores = 0;
let unnamedMutexes = 0;

/**
 * At most so many at a time.
 *
 * @example
 * ```ts
 * const downloads = new Semaphore(4);
 * function* download(url: string) {
 *   using _ = yield* downloads.acquire();
 *   return yield* until(fetch(url));
 * }
 * ```
 */
export class Semaphore {
  readonly name: string;
  readonly #pool: Pool;
  readonly #acquire: Acquire;

  /**
   * @param permits from 0 to 2^31 - 1
   * @param name shown in reports; default: "semaphore 1" and so on
   * @throws TypeError, RangeError
   */
  constructor(permits: number, name?: string) {
    this.#pool = new Pool(checkInteger(permits, "new Semaphore: permits", 0, 2 ** 31 - 1));
    this.name = name === undefined ? `semaphore ${++unnamedSemaphores}` : checkString(name, "new Semaphore: name");
    this.#acquire = new Acquire(this.#pool, `acquire semaphore "${this.name}"`);
  }

  /** How many permits are free. */
  get free(): number {
    return this.#pool.free;
  }

  /** Takes a permit; waits while there is none. */
  acquire(): Operation<Permit> {
    return this.#acquire;
  }

  /** A permit if one is free. */
  tryAcquire(): Permit | undefined {
    return this.#pool.take() ? new Permit(this.#pool) : undefined;
  }

  /** Adds permits (1 to 2^31 - 1), as for a count that others bring: who waits gets them first. */
  release(count = 1): void {
    checkInteger(count, "Semaphore.release: count", 1, 2 ** 31 - 1);
    for (let i = 0; i < count; i++) this.#pool.release();
  }
}

/**
 * One at a time. Not reentrant: who locks it twice waits for itself.
 *
 * @example
 * ```ts
 * using _ = yield* mutex.lock();
 * yield* update(table); // nobody else is in here
 * ```
 */
export class Mutex {
  readonly name: string;
  readonly #pool = new Pool(1);
  readonly #lock: Acquire;

  /** @param name shown in reports; default: "mutex 1" and so on */
  constructor(name?: string) {
    this.name = name === undefined ? `mutex ${++unnamedMutexes}` : checkString(name, "new Mutex: name");
    this.#lock = new Acquire(this.#pool, `lock mutex "${this.name}"`);
  }

  get locked(): boolean {
    return this.#pool.free === 0;
  }

  /** Locks it; waits while others hold it. */
  lock(): Operation<Permit> {
    return this.#lock;
  }

  /** The lock if it is free. */
  tryLock(): Permit | undefined {
    return this.#pool.take() ? new Permit(this.#pool) : undefined;
  }
}
