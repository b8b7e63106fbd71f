// SharedChannel: messages between threads. Here are the operations and what users hold; who decides is in shared-home.ts.

import { forEachOf } from "./channel.ts";
import { checkInteger, checkString, show } from "./check.ts";
import { closed } from "./code.ts";
import type { Coroutine } from "./frame.ts";
import { Operation } from "./operation.ts";
import { closedError, SharedGuest } from "./shared-guest.ts";
import { SharedHome } from "./shared-home.ts";
import type { Side } from "./shared-port.ts";
import type { Wait } from "./wait.ts";

/** The way of one other thread to a shared channel. Its port is transferred with it: `postMessage(handle, [handle.port])`. */
export interface SharedChannelHandle {
  readonly port: MessagePort;
  readonly name: string;
  readonly capacity: number;
}

const maxCapacity = 2 ** 31 - 1;
let unnamed = 0;
const opened = new WeakSet<MessagePort>();

/**
 * A channel between threads: the main thread and its Workers. Messages are copied as by structured clone, or moved (`transfer`); at most
 * `capacity` of them wait for a receiver. Each arrives once, at one of those who receive, on whichever thread.
 *
 * The thread that made it is the channel's home: it keeps the messages, and answers the others when its event loop comes round, so it
 * should not be the one that computes for long. When it ends, the channel is closed for all, and what was buffered is gone. Nothing comes
 * from other threads while a thread is in owner mode (`asyncio.run`): there Bun's loop, which brings it, stands still.
 *
 * A thread that sends one message after another is lent up to half of the capacity, so that it need not wait for an answer each time. It
 * gives that back when it has not sent for some milliseconds, or when another wants to send; both wait for its event loop.
 *
 * Any other thread may be terminated at any time. What it had sent (the send had ended) arrives; a message on its way to it that no
 * receive there had ended with is the first again; messages that it had received are its own. A send or receive that is cancelled has
 * not happened.
 *
 * @example
 * ```ts
 * const jobs = new SharedChannel<number>(16);
 * const handle = jobs.handle(); // one for each thread
 * worker.postMessage(handle, [handle.port]); // there: const jobs = SharedChannel.from<number>(handle)
 * yield* jobs.send(42);
 * ```
 */
export class SharedChannel<T> {
  readonly #side: Side<T>;
  readonly #recv: Receive<T, T | undefined>;
  readonly #next: Receive<T, IteratorResult<T, undefined>>;

  /**
   * @param capacity an integer from 1 to 2^31 - 1
   * @param name shown in errors and reports; default: "shared channel 1" and so on
   * @throws TypeError, RangeError
   */
  constructor(capacity: number, name?: string);
  /** @internal */
  constructor(capacity: number, name: string | undefined, port: MessagePort);
  constructor(capacity: number, name?: string, port?: MessagePort) {
    checkInteger(capacity, "new SharedChannel: capacity", 1, maxCapacity);
    const label = name === undefined ? `shared channel ${++unnamed}` : checkString(name, "new SharedChannel: name");
    this.#side = port === undefined ? new SharedHome<T>(label, capacity) : new SharedGuest<T>(label, capacity, port);
    this.#recv = new Receive(this.#side, 1, true, first, (value) => (value === undefined ? [] : [value]));
    this.#next = new Receive(this.#side, 1, true, step, (result) => (result.done ? [] : [result.value]));
  }

  /** Opens the channel that a handle from another thread leads to. A handle opens once. @throws TypeError */
  static from<T>(handle: SharedChannelHandle): SharedChannel<T> {
    const { port, name, capacity } = (handle ?? {}) as Partial<SharedChannelHandle>;
    const isCapacity = Number.isInteger(capacity) && (capacity as number) > 0 && (capacity as number) <= maxCapacity;
    if (!(port instanceof MessagePort) || typeof name !== "string" || !isCapacity) {
      throw new TypeError(`SharedChannel.from: handle must be what SharedChannel.handle() gave, got ${show(handle)}`);
    }
    if (opened.has(port)) throw new TypeError(`SharedChannel.from: this handle of channel "${name}" was opened before; make one for each`);
    opened.add(port);
    return new SharedChannel<T>(capacity as number, name, port);
  }

  /** A handle for one more thread: post it with its port in the transfer list. Any thread that has the channel can make one. @throws ChannelClosed */
  handle(): SharedChannelHandle {
    return { port: this.#side.connect(), name: this.name, capacity: this.capacity };
  }

  get name(): string {
    return this.#side.name;
  }

  get capacity(): number {
    return this.#side.capacity;
  }

  /** Whether it was closed, as far as this thread has been told. What is buffered can still be received. */
  get closed(): boolean {
    return this.#side.closed;
  }

  /**
   * Sends a value; waits while the channel is full. The value is copied, and what `transfer` lists is moved, at the moment when the send
   * ends: one that is cancelled or fails leaves them alone.
   *
   * @throws ChannelClosed; DataCloneError when the value cannot be copied; TypeError when `transfer` has others than ArrayBuffers
   */
  send(value: T, options?: { transfer?: ArrayBuffer[] }): Operation<void> {
    return new Send<T, void>(this.#side, value, true, () => {}, checkTransfer("SharedChannel.send", options?.transfer));
  }

  /** Sends unless the channel is full; whether it did. Another thread than the home asks for that, so it is an operation. @throws as `send` */
  trySend(value: T, options?: { transfer?: ArrayBuffer[] }): Operation<boolean> {
    return new Send<T, boolean>(this.#side, value, false, Boolean, checkTransfer("SharedChannel.trySend", options?.transfer));
  }

  /** Receives a value; waits while there is none. undefined once the channel is closed and drained. @throws ChannelClosed when its home has ended */
  recv(): Operation<T | undefined> {
    return this.#recv;
  }

  /** Receives a value if one is there, else undefined. Another thread than the home asks for that, so it is an operation. @throws as `recv` */
  tryRecv(): Operation<T | undefined> {
    return new Receive<T, T | undefined>(this.#side, 1, false, first, (value) => (value === undefined ? [] : [value]));
  }

  /** Receives what is there, at least one value and at most `max` (1 to 2^31 - 1), in one question. Empty at the end. @throws as `recv`, TypeError, RangeError */
  recvMany(max: number): Operation<T[]> {
    checkInteger(max, "SharedChannel.recvMany: max", 1, maxCapacity);
    return new Receive<T, T[]>(
      this.#side,
      max,
      true,
      (values) => values,
      (values) => values,
    );
  }

  /** Receives as iterators do: tells a value `undefined` from the end. */
  next(): Operation<IteratorResult<T, undefined>> {
    return this.#next;
  }

  /** No more sends, on any thread: receivers drain what is buffered or was on its way, everyone who waits is woken. Twice does nothing. */
  close(): void {
    this.#side.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Receives until the channel is closed and drained. Leaving the loop early leaves the channel open. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.#next.then() };
  }

  /** Runs `body` with each value until the channel is closed and drained, as `Channel.forEach` does. */
  forEach(body: (value: T) => Coroutine<unknown> | unknown): Operation<void> {
    return forEachOf(this.#next, body, "SharedChannel.forEach: body");
  }
}

const first = <T>(values: T[]): T | undefined => values[0];

function step<T>(values: T[]): IteratorResult<T, undefined> {
  return values.length > 0 ? { done: false, value: values[0] as T } : { done: true, value: undefined };
}

/** Only what can be copied, too, so that a message which a terminated thread had been handed is not lost with it. */
function checkTransfer(what: string, transfer: readonly unknown[] = []): ArrayBuffer[] {
  if (!Array.isArray(transfer)) throw new TypeError(`${what}: transfer must be an array, got ${show(transfer)}`);
  for (const [i, buffer] of transfer.entries()) {
    if (!(buffer instanceof ArrayBuffer)) throw new TypeError(`${what}: transfer[${i}] must be an ArrayBuffer, got ${show(buffer)}`);
  }
  return transfer as ArrayBuffer[];
}

/** What both kinds share. A use that ended with 0 has been promised something, which `finish` uses and `giveBack` drops. */
abstract class Shared<T, R> extends Operation<R> {
  readonly side: Side<T>;

  constructor(side: Side<T>) {
    super();
    this.side = side;
  }

  override takeBack(wait: Wait): boolean {
    return this.side.takeBack(wait);
  }

  override wasCancelled(): boolean {
    return false;
  }

  override giveBack(status: number, _value: number, wait: Wait): void {
    if (status === 0) this.side.drop(wait);
    wait.payload = undefined;
  }
}

class Send<T, R> extends Shared<T, R> {
  readonly #value: T;
  readonly #waits: boolean;
  readonly #result: (sent: boolean) => R;
  readonly #transfer: ArrayBuffer[];

  constructor(side: Side<T>, value: T, waits: boolean, result: (sent: boolean) => R, transfer: ArrayBuffer[]) {
    super(side);
    this.#value = value;
    this.#waits = waits;
    this.#result = result;
    this.#transfer = transfer;
  }

  override begin(wait: Wait): number {
    return this.side.askSend(wait, this.#waits);
  }

  override finish(status: number, _value: number, wait: Wait): R {
    if (status === 0) this.side.commit(wait, this.#value, this.#transfer);
    wait.payload = undefined;
    if (status === closed) throw closedError(this.side);
    return this.#result(status === 0);
  }

  override get what(): string {
    return `send to channel "${this.side.name}"`;
  }
}

class Receive<T, R> extends Shared<T, R> {
  readonly #max: number;
  readonly #waits: boolean;
  /** From no values: the end, or none there. */
  readonly #result: (values: T[]) => R;
  readonly #valuesOf: (result: R) => T[];

  constructor(side: Side<T>, max: number, waits: boolean, result: (values: T[]) => R, valuesOf: (result: R) => T[]) {
    super(side);
    this.#max = max;
    this.#waits = waits;
    this.#result = result;
    this.#valuesOf = valuesOf;
  }

  override begin(wait: Wait): number {
    return this.side.askRecv(wait, this.#max, this.#waits);
  }

  override finish(status: number, _value: number, wait: Wait): R {
    const values = status === 0 ? this.side.take(wait) : [];
    wait.payload = undefined;
    if (status === closed && this.side.dead) throw closedError(this.side);
    return this.#result(values);
  }

  override putBack(result: R): void {
    const values = this.#valuesOf(result);
    if (values.length > 0) this.side.putBack(values);
  }

  override get what(): string {
    return `receive from channel "${this.side.name}"`;
  }
}
