// Event, Latch, Barrier: waits for a moment, without a value.

import { checkInteger, checkString } from "./check.ts";
import { parked } from "./code.ts";
import { Operation } from "./operation.ts";
import { places } from "./queue.ts";
import { ready } from "./scheduler.ts";
import { type Wait, WaitList } from "./wait.ts";

/** A gate: open, nobody waits at it. */
class Gate {
  open: boolean;
  readonly waiters = new WaitList();

  constructor(open: boolean) {
    this.open = open;
    places.add(this);
  }

  letAllPass(value = 0): void {
    for (let wait = this.waiters.shift(); wait !== undefined; wait = this.waiters.shift()) ready(wait, value, 0);
  }

  waiting(): Iterable<Wait> {
    return this.waiters;
  }
}

class Pass extends Operation<void> {
  readonly #gate: Gate;
  readonly what: string;

  constructor(gate: Gate, what: string) {
    super();
    this.#gate = gate;
    this.what = what;
  }

  override poll(_wait: Wait): number {
    return this.#gate.open ? 0 : parked;
  }

  override begin(wait: Wait): number {
    if (this.#gate.open) return 0;
    this.#gate.waiters.push(wait);
    return parked;
  }

  override finish(): void {}

  override takeBack(wait: Wait): boolean {
    return this.#gate.waiters.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }
}

let unnamedEvents = 0;

/**
 * Something that has happened, or not yet. Any number may wait for it.
 *
 * @example
 * ```ts
 * const ready = new Event();
 * xasync(function* () {
 *   yield* ready.wait();
 *   console.log("go");
 * });
 * ready.set();
 * ```
 */
export class Event {
  readonly name: string;
  readonly #gate = new Gate(false);
  readonly #wait: Pass;

  /** @param name shown in reports; default: "event 1" and so on */
  constructor(name?: string) {
    this.name = name === undefined ? `event ${++unnamedEvents}` : checkString(name, "new Event: name");
    this.#wait = new Pass(this.#gate, `see event "${this.name}"`);
  }

  get isSet(): boolean {
    return this.#gate.open;
  }

  /** It has happened: everyone who waits goes on, and nobody waits any more. Setting it twice does nothing. */
  set(): void {
    this.#gate.open = true;
    this.#gate.letAllPass();
  }

  /** It has not happened: from now on one waits again. */
  clear(): void {
    this.#gate.open = false;
  }

  /** Waits until it is set; no time at all when it is. */
  wait(): Operation<void> {
    return this.#wait;
  }
}

/**
 * Waits until something has happened so many times. It opens once, for good.
 *
 * @example
 * ```ts
 * const done = new Latch(2);
 * for (const n of [1, 2]) {
 *   xasync(function* () {
 *     yield* sleep(n);
 *     done.countDown();
 *   });
 * }
 * yield* done.wait();
 * console.log(done.count); // 0
 * ```
 */
export class Latch {
  readonly #gate: Gate;
  readonly #wait: Pass;
  #count: number;

  /** @param count from 0 to 2^31 - 1 @throws TypeError, RangeError */
  constructor(count: number) {
    this.#count = checkInteger(count, "new Latch: count", 0, 2 ** 31 - 1);
    this.#gate = new Gate(count === 0);
    this.#wait = new Pass(this.#gate, "see a latch open");
  }

  /** How many are missing. */
  get count(): number {
    return this.#count;
  }

  /** One less is missing. At 0 it does nothing. */
  countDown(): void {
    if (this.#count === 0 || --this.#count > 0) return;
    this.#gate.open = true;
    this.#gate.letAllPass();
  }

  wait(): Operation<void> {
    return this.#wait;
  }
}

class Arrive extends Operation<boolean> {
  readonly #gate: Gate;
  readonly #size: number;
  readonly what = "see everybody at a barrier";
  #arrived = 0;

  constructor(gate: Gate, size: number) {
    super();
    this.#gate = gate;
    this.#size = size;
  }

  override begin(wait: Wait): number {
    if (++this.#arrived === this.#size) {
      this.#arrived = 0;
      this.#gate.letAllPass(0);
      return 1;
    }
    this.#gate.waiters.push(wait);
    return parked;
  }

  override finish(status: number): boolean {
    return status === 1;
  }

  override takeBack(wait: Wait): boolean {
    if (!this.#gate.waiters.remove(wait)) return false;
    this.#arrived--;
    return true;
  }

  override wasCancelled(): boolean {
    return false;
  }
}

/**
 * Lets so many go on together, again and again. Who is cancelled while it waits has not arrived.
 *
 * @example
 * ```ts
 * const round = new Barrier(2);
 * function* player() {
 *   for (let i = 0; i < 3; i++) if (yield* round.wait()) console.log(`round ${i} begins`); // one of them says so
 * }
 * ```
 */
export class Barrier {
  readonly size: number;
  readonly #arrive: Arrive;

  /** @param size from 1 to 2^31 - 1 @throws TypeError, RangeError */
  constructor(size: number) {
    this.size = checkInteger(size, "new Barrier: size", 1, 2 ** 31 - 1);
    this.#arrive = new Arrive(new Gate(false), size);
  }

  /** Waits until `size` wait. True for the one that came last. */
  wait(): Operation<boolean> {
    return this.#arrive;
  }
}
