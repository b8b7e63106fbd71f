// Channel: typed messages between coroutines, first in first out, with backpressure. The queue and those who wait are in native
// code (zig/channel.zig); the values stay here in a table, and native code moves their places in it.

import { checkInteger, checkString } from "./check.ts";
import { codes } from "./code.ts";
import { ChannelClosed, ioError } from "./error.ts";
import { env, lastErrno, library, type Wait } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { poke } from "./scheduler.ts";

const handles = new FinalizationRegistry<number>((handle) => library.zc_channel_destroy(env, handle));
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
  readonly #core: Core<T>;
  readonly #recv: Recv<T>;
  readonly #next: Next<T>;

  /**
   * @param capacity an integer from 0 to 2^31 - 1
   * @param name shown in errors and reports; default: "channel 1" and so on
   * @throws RangeError, TypeError
   */
  constructor(capacity = 0, name?: string) {
    checkInteger(capacity, "new Channel: capacity", 0, 2 ** 31 - 1);
    const label = name === undefined ? `channel ${++unnamed}` : checkString(name, "new Channel: name");
    const handle = library.zc_channel_create(env, capacity);
    if (handle === 0) throw ioError(lastErrno(), "channel");
    this.#core = new Core<T>(handle, capacity, label);
    this.#recv = new Recv(this.#core);
    this.#next = new Next(this.#core);
    // The core, which operations hold, outlives the channel object where it must.
    handles.register(this.#core, handle);
  }

  get capacity(): number {
    return this.#core.capacity;
  }

  get name(): string {
    return this.#core.name;
  }

  /** Whether `close` was called. Buffered values can still be received. */
  get closed(): boolean {
    return this.#core.closed;
  }

  /** Sends a value; waits while the channel is full. @throws ChannelClosed when it is closed, also while waiting. */
  send(value: T): Operation<void> {
    return new Send(this.#core, value);
  }

  /** Receives a value; waits while there is none. undefined once the channel is closed and drained. */
  recv(): Operation<T | undefined> {
    return this.#recv;
  }

  /** Sends if that takes no waiting. @throws ChannelClosed */
  trySend(value: T): boolean {
    const core = this.#core;
    const place = core.put(value);
    const status = library.zc_channel_try_send(env, core.handle, place);
    if (status === 0) {
      poke();
      return true;
    }
    core.take(place);
    if (status === codes.wouldBlock) return false;
    throw core.error(status);
  }

  /** A value if one is there, else undefined. */
  tryRecv(): T | undefined {
    const status = library.zc_channel_try_recv(env, this.#core.handle);
    if (status < 0) return undefined;
    poke();
    return this.#core.take(status);
  }

  /** No more sends: receivers drain what is buffered, everyone who waits is woken. Closing twice does nothing. */
  close(): void {
    if (this.#core.closed) return;
    this.#core.closed = true;
    library.zc_channel_close(env, this.#core.handle);
    poke();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Receives until the channel is closed and drained. Leaving the loop early leaves the channel open. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    const next = this.#next;
    return { next: () => next.then() };
  }
}

/** What the operations share with their channel. */
class Core<T> {
  closed = false;
  readonly handle: number;
  readonly capacity: number;
  readonly name: string;
  /** Values on their way, each at a place that native code knows; `#free` lists the empty places. */
  readonly #values: (T | undefined)[] = [];
  readonly #free: number[] = [];

  constructor(handle: number, capacity: number, name: string) {
    this.handle = handle;
    this.capacity = capacity;
    this.name = name;
  }

  put(value: T): number {
    const place = this.#free.pop();
    if (place === undefined) return this.#values.push(value) - 1;
    this.#values[place] = value;
    return place;
  }

  take(place: number): T {
    const value = this.#values[place] as T;
    this.#values[place] = undefined;
    this.#free.push(place);
    return value;
  }

  error(status: number): Error {
    return status === codes.closed ? new ChannelClosed(this.name) : ioError(status, "channel");
  }
}

class Send<T> extends Operation<void> {
  readonly #core: Core<T>;
  readonly #value: T;

  constructor(core: Core<T>, value: T) {
    super();
    this.#core = core;
    this.#value = value;
  }

  /** The place of the value is the wait's scratch. */
  override begin(wait: Wait): number {
    const token = tokenOf(wait);
    const place = this.#core.put(this.#value);
    wait.scratch = place;
    return library.zc_op_channel_send(env, this.#core.handle, token, place);
  }

  override finish(status: number, _value: number, wait: Wait): void {
    if (status === 0) return;
    this.#core.take(wait.scratch);
    throw this.#core.error(status);
  }

  override takeBack(wait: Wait): boolean {
    if (!super.takeBack(wait)) return false;
    this.#core.take(wait.scratch);
    return true;
  }

  override get what(): string {
    return `send to channel "${this.#core.name}"`;
  }
}

/** A receive; what its result looks like is the subclass's. */
abstract class Receive<T, R> extends Operation<R> {
  readonly #core: Core<T>;

  constructor(core: Core<T>) {
    super();
    this.#core = core;
  }

  protected abstract received(value: T): R;

  /** The channel is closed and drained. */
  protected abstract ended(): R;

  override begin(wait: Wait): number {
    return library.zc_op_channel_recv(env, this.#core.handle, tokenOf(wait));
  }

  override finish(status: number, _value: number): R {
    if (status >= 0) return this.received(this.#core.take(status));
    if (status === codes.closed) return this.ended();
    throw this.#core.error(status);
  }

  override get what(): string {
    return `receive from channel "${this.#core.name}"`;
  }
}

class Recv<T> extends Receive<T, T | undefined> {
  protected override received(value: T): T {
    return value;
  }

  protected override ended(): undefined {}
}

/** A receive that can tell `undefined` from the end. */
class Next<T> extends Receive<T, IteratorResult<T, undefined>> {
  protected override received(value: T): IteratorResult<T, undefined> {
    return { done: false, value };
  }

  protected override ended(): IteratorResult<T, undefined> {
    return { done: true, value: undefined };
  }
}
