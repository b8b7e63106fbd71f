// Channel: typed messages between coroutines, first in first out, with backpressure. What happens to values and to those who wait is
// in queue.ts; here are the operations and what users hold.

import { call } from "./call.ts";
import { checkFunction, checkInteger, checkString } from "./check.ts";
import { closed, parked } from "./code.ts";
import { ChannelClosed } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { give, Operation, suspend } from "./operation.ts";
import { type Overflow, Queue } from "./queue.ts";
import { state } from "./scheduler.ts";
import { isGenerator } from "./start.ts";
import type { Wait } from "./wait.ts";

let unnamed = 0;

/**
 * A channel of `T`. Capacity 0 is a rendezvous: a send ends when a receiver takes the value. With capacity n, n values wait
 * without a receiver. Values leave in the order in which they were sent. It belongs to the thread that made it.
 *
 * @example
 * ```ts
 * const numbers = new Channel<number>(1);
 * xasync(function* () {
 *   for (const n of [1, 2, 3]) yield* numbers.send(n);
 *   numbers.close();
 * });
 * for await (const n of numbers) console.log(n); // 1, 2, 3
 * ```
 */
export class Channel<T> {
  readonly #queue: Queue<T>;
  readonly #recv: Recv<T>;
  readonly #next: Next<T>;

  /**
   * @param capacity an integer from 0 to 2^31 - 1, or Infinity: sends never wait
   * @param name shown in errors and reports; default: "channel 1" and so on
   * @throws RangeError, TypeError
   */
  constructor(capacity?: number, name?: string);
  /** @internal */
  constructor(capacity: number, name: string | undefined, overflow: Overflow);
  constructor(capacity = 0, name?: string, overflow: Overflow = "wait") {
    if (capacity !== Number.POSITIVE_INFINITY) checkInteger(capacity, "new Channel: capacity", 0, 2 ** 31 - 1);
    const label = name === undefined ? `channel ${++unnamed}` : checkString(name, "new Channel: name");
    this.#queue = new Queue<T>(capacity, overflow, label);
    this.#recv = new Recv(this.#queue);
    this.#next = new Next(this.#queue);
  }

  /**
   * A channel that keeps the newest `capacity` values (1 to 2^31 - 1): a send never waits, and drops the oldest value when there is no room.
   *
   * @example
   * ```ts
   * const prices = Channel.sliding<number>(1); // only the last one counts
   * for (const price of [1, 2, 3]) prices.trySend(price);
   * console.log(prices.tryRecv()); // 3
   * ```
   */
  static sliding<T>(capacity: number, name?: string): Channel<T> {
    return new Channel<T>(checkInteger(capacity, "Channel.sliding: capacity", 1, 2 ** 31 - 1), name, "slide");
  }

  /**
   * A channel that keeps the oldest `capacity` values (1 to 2^31 - 1): a send never waits, and its value is dropped when there is no room.
   *
   * @example
   * ```ts
   * const samples = Channel.dropping<number>(2);
   * for (const sample of [1, 2, 3]) samples.trySend(sample);
   * console.log(samples.tryRecv(), samples.tryRecv(), samples.tryRecv()); // 1 2 undefined
   * ```
   */
  static dropping<T>(capacity: number, name?: string): Channel<T> {
    return new Channel<T>(checkInteger(capacity, "Channel.dropping: capacity", 1, 2 ** 31 - 1), name, "drop");
  }

  /** A channel whose sends never wait: all values are kept until they are received. The same as `new Channel(Infinity)`. */
  static unbounded<T>(name?: string): Channel<T> {
    return new Channel<T>(Number.POSITIVE_INFINITY, name);
  }

  get capacity(): number {
    return this.#queue.capacity;
  }

  get name(): string {
    return this.#queue.name;
  }

  /** How many values are buffered. */
  get length(): number {
    return this.#queue.buffer.length;
  }

  /** Whether `close` was called. Buffered values can still be received. */
  get closed(): boolean {
    return this.#queue.closed;
  }

  /** Sends a value; waits while the channel is full. @throws ChannelClosed when it is closed, also while waiting. */
  send(value: T): Operation<void> {
    return new Send(this.#queue, value);
  }

  /** Receives a value; waits while there is none. undefined once the channel is closed and drained. @throws what `close` was given */
  recv(): Operation<T | undefined> {
    return this.#recv;
  }

  /**
   * Receives what is there, at least one value and at most `max` (1 to 2^31 - 1); waits while there is none. An empty array once the
   * channel is closed and drained.
   *
   * @example
   * ```ts
   * const batch = yield* rows.recvMany(100); // one insert for all of them
   * console.log(batch.length);
   * ```
   * @throws TypeError, RangeError
   */
  recvMany(max: number): Operation<T[]> {
    return new RecvMany(this.#queue, checkInteger(max, "Channel.recvMany: max", 1, 2 ** 31 - 1));
  }

  /** Receives as iterators do: tells a value `undefined` from the end. */
  next(): Operation<IteratorResult<T, undefined>> {
    return this.#next;
  }

  /** Sends if that takes no waiting. @throws ChannelClosed */
  trySend(value: T): boolean {
    const status = this.#queue.send(value);
    if (status === closed) throw closedError(this.#queue);
    return status === 0;
  }

  /** A value if one is there, else undefined. */
  tryRecv(): T | undefined {
    return this.#queue.hasValue ? this.#queue.take() : undefined;
  }

  /**
   * No more sends: receivers drain what is buffered, everyone who waits is woken. With an error, receivers get that after the last
   * value instead of the end. Closing twice does nothing.
   */
  close(error?: unknown): void {
    if (this.#queue.closed) return;
    this.#queue.close(error === undefined ? undefined : { error });
  }

  /** Waits until `close` is called: whoever produces values for others may then stop. */
  whenClosed(): Operation<void> {
    return new WhenClosed(this.#queue);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Receives until the channel is closed and drained. Leaving the loop early leaves the channel open. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    const next = this.#next;
    return { next: () => next.then() };
  }

  /**
   * Runs `body` with each value until the channel is closed and drained: the loop of generator coroutines, as `for await` is that of
   * async functions. `body` may be a generator, and the channel waits for it; `false` from it ends the loop.
   *
   * @example
   * ```ts
   * yield* numbers.forEach(function* (n) {
   *   yield* sleep(n);
   * });
   * ```
   */
  forEach(body: (value: T) => Coroutine<unknown> | unknown): Operation<void> {
    return forEachOf(this.#next, body, "Channel.forEach: body");
  }
}

/** Runs `body` with the value of each `next` until that says done, or `body` false. */
export function forEachOf<T>(
  next: Operation<IteratorResult<T, undefined>>,
  body: (value: T) => Coroutine<unknown> | unknown,
  what: string,
): Operation<void> {
  checkFunction(body, what);
  return call(function* forEach() {
    for (let result = yield* next; !result.done; result = yield* next) {
      const value = body(result.value);
      if ((isGenerator(value) ? yield* call(value) : value) === false) return;
    }
  });
}

function closedError(queue: Queue<unknown>): ChannelClosed {
  return new ChannelClosed(queue.name, queue.failure?.error);
}

const sent: IteratorResult<undefined, unknown> = { done: true, value: undefined };

class Send<T> extends Operation<void> {
  readonly queue: Queue<T>;
  readonly value: T;

  constructor(queue: Queue<T>, value: T) {
    super();
    this.queue = queue;
    this.value = value;
  }

  override poll(wait: Wait): number {
    return this.queue.send(this.value, wait);
  }

  override begin(wait: Wait): number {
    const status = this.queue.send(this.value, wait);
    if (status === parked) {
      wait.payload = this.value;
      this.queue.senders.push(wait);
    }
    return status;
  }

  override finish(status: number): void {
    if (status !== 0) throw closedError(this.queue);
  }

  protected override next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (frame === undefined || frame.cancelRequest !== undefined) return super.next();
    if (frame.waiting === this) {
      if (frame.endStatus !== 0) return super.next();
      frame.waiting = undefined;
      return sent;
    }
    if (state.budget <= 0) return super.next();
    const status = this.queue.send(this.value);
    if (status === 0) {
      state.budget--;
      return sent;
    }
    if (status !== parked) throw closedError(this.queue);
    frame.payload = this.value;
    this.queue.senders.push(frame);
    frame.waiting = this;
    return suspend;
  }

  override takeBack(wait: Wait): boolean {
    if (!this.queue.senders.remove(wait)) return false;
    wait.payload = undefined;
    return true;
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return `send to channel "${this.queue.name}"`;
  }
}

class WhenClosed extends Operation<void> {
  readonly #queue: Pick<Queue<unknown>, "closed" | "closers" | "name">;

  constructor(queue: Pick<Queue<unknown>, "closed" | "closers" | "name">) {
    super();
    this.#queue = queue;
  }

  override poll(_wait: Wait): number {
    return this.#queue.closed ? 0 : parked;
  }

  override begin(wait: Wait): number {
    if (this.#queue.closed) return 0;
    this.#queue.closers.push(wait);
    return parked;
  }

  override finish(): void {}

  override takeBack(wait: Wait): boolean {
    return this.#queue.closers.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override get what(): string {
    return `see channel "${this.#queue.name}" closed`;
  }
}

/** A receive; what its result looks like is the subclass's. */
abstract class Receive<T, R> extends Operation<R> {
  readonly queue: Queue<T>;

  constructor(queue: Queue<T>) {
    super();
    this.queue = queue;
  }

  protected abstract received(value: T): R;

  /** The channel is closed and drained. */
  protected abstract ended(): R;

  override poll(wait: Wait): number {
    return this.queue.recv(wait);
  }

  override begin(wait: Wait): number {
    const status = this.queue.recv(wait);
    if (status === parked) this.queue.receivers.push(wait);
    return status;
  }

  override finish(status: number, _value: number, wait: Wait): R {
    if (status !== 0) {
      if (this.queue.failure) throw this.queue.failure.error;
      return this.ended();
    }
    const value = wait.payload as T;
    wait.payload = undefined;
    return this.received(value);
  }

  protected override next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (frame === undefined || frame.cancelRequest !== undefined) return super.next();
    if (frame.waiting === this) {
      if (frame.endStatus !== 0) return super.next();
      frame.waiting = undefined;
    } else {
      if (state.budget <= 0) return super.next();
      const status = this.queue.recv(frame);
      if (status === parked) {
        this.queue.receivers.push(frame);
        frame.waiting = this;
        return suspend;
      }
      if (status !== 0) return give(this.finish(status, 0, frame));
      state.budget--;
    }
    const value = frame.payload as T;
    frame.payload = undefined;
    return give(this.received(value));
  }

  override takeBack(wait: Wait): boolean {
    return this.queue.receivers.remove(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override giveBack(status: number, _value: number, wait: Wait): void {
    if (status === 0) this.queue.putBack(wait.payload as T);
    wait.payload = undefined;
  }

  override putBack(result: R): void {
    for (const value of this.valuesOf(result).reverse()) this.queue.putBack(value);
  }

  /** What a result has received. */
  protected abstract valuesOf(result: R): T[];

  override get what(): string {
    return `receive from channel "${this.queue.name}"`;
  }
}

class Recv<T> extends Receive<T, T | undefined> {
  protected override received(value: T): T {
    return value;
  }

  protected override ended(): undefined {}

  protected override valuesOf(value: T | undefined): T[] {
    return value === undefined ? [] : [value];
  }
}

/** A receive that can tell `undefined` from the end. */
class Next<T> extends Receive<T, IteratorResult<T, undefined>> {
  protected override received(value: T): IteratorResult<T, undefined> {
    return { done: false, value };
  }

  protected override ended(): IteratorResult<T, undefined> {
    return { done: true, value: undefined };
  }

  protected override valuesOf(result: IteratorResult<T, undefined>): T[] {
    return result.done ? [] : [result.value];
  }
}

class RecvMany<T> extends Receive<T, T[]> {
  readonly #max: number;

  constructor(queue: Queue<T>, max: number) {
    super(queue);
    this.#max = max;
  }

  protected override received(value: T): T[] {
    const values = [value];
    while (values.length < this.#max && this.queue.hasValue) values.push(this.queue.take());
    return values;
  }

  protected override ended(): T[] {
    return [];
  }

  protected override valuesOf(values: T[]): T[] {
    return values;
  }
}
