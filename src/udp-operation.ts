// Operations on UDP sockets.
//
// A read receives a few datagrams at once when many come, and keeps what nobody has asked for yet (`arrived`). What a read that lost, or
// was cancelled, received all the same goes there, too, so that no datagram is lost. A write that would have to wait holds the socket until
// it has ended, and the others queue up behind it.

import { changed, codes, parked } from "./code.ts";
import { blockFor, type Datagram, fillRecord, maxBatch, maxDatagram, recordWords, smallBatch, takeDatagram } from "./datagram.ts";
import { Deque } from "./deque.ts";
import { closedError, errnos, ioError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { interrupt, Operation, tokenOf } from "./operation.ts";
import { readyToGoOn, state } from "./scheduler.ts";
import type { UDP } from "./udp.ts";
import { type Wait, WaitList } from "./wait.ts";

/** The status of an operation that has its result; 0 says that trying errnos.EAGAIN pays. */
const done = 1;
/** A longer length is no number for native code; it is too long for a datagram anyway. */
const maxLength = 2 ** 31 - 1;
/** Bytes of a batch that are copied together. */
const maxPacked = 256 * 1024;
/** Stands in for an empty array, which may have no address. */
const nothing = new Uint8Array(1);

/** What is going on on a socket. */
export interface Traffic {
  /** Who waits to read. */
  reading: Wait | undefined;
  /** Datagrams that came and were not asked for yet, a few at most, and an error that came after them. */
  arrived: Deque<Datagram>;
  failed: number;
  /** How many the next read receives at once. */
  ahead: number;
  /** Who waits to write, and who waits for that. */
  writing: Wait | undefined;
  readonly writers: WaitList;
  /** Whose turn to write has come, and who has still to be told; whether that was taken back. */
  turn: Wait | undefined;
  turnIsOver: boolean;
}

export function newTraffic(): Traffic {
  return {
    reading: undefined,
    arrived: new Deque(),
    failed: 0,
    ahead: smallBatch,
    writing: undefined,
    writers: new WaitList(),
    turn: undefined,
    turnIsOver: false,
  };
}

/** Where a datagram goes, as errors say it. */
export interface Target {
  readonly host: string;
  readonly port: number;
}

abstract class UdpOperation<T> extends Operation<T> {
  protected readonly socket: UDP;

  constructor(socket: UDP) {
    super();
    this.socket = socket;
  }

  /** "read" or "write", as errors say it. */
  protected abstract get syscall(): string;

  /** Makes the native call: `done`, with the result as payload, `parked`, or an error. */
  protected abstract start(wait: Wait): number;

  /** A wait for readiness has ended, with 0; what ended at once comes here, too. */
  override advance(status: number, _value: number, wait: Wait): number {
    return status === 0 ? this.start(wait) : status;
  }

  protected error(status: number, target?: Target): Error {
    const isClosed = status === codes.badHandle || (status === errnos.ECANCELED && this.socket.closed);
    if (isClosed) return closedError(this.syscall, "socket");
    if (status === codes.busy) return new Error(`cannot ${this.what}: a native body does so already`);
    return ioError(status, this.syscall, target === undefined ? {} : { address: target.host, port: target.port });
  }
}

/** Reads: one at a time. */
abstract class Reading<T> extends UdpOperation<T> {
  protected override get syscall(): string {
    return "read";
  }

  /** Takes of what has arrived, which is something, as payload. */
  protected abstract takeArrived(wait: Wait): void;

  /** Receives what is there: `done`, -EAGAIN, or an error. With a `token`, waits for it: `parked`. */
  protected abstract receive(wait: Wait, token: number): number;

  override poll(wait: Wait): number {
    if (this.socket.traffic.reading !== undefined || this.socket.closed) return parked;
    const status = this.ended(wait);
    if (status !== parked) return status;
    const received = this.receive(wait, -1);
    return received === errnos.EAGAIN ? parked : received;
  }

  override begin(wait: Wait): number {
    const { traffic } = this.socket;
    if (traffic.reading !== undefined) throw new Error(`cannot ${this.what}: another coroutine does so already`);
    const status = this.ended(wait);
    if (status !== parked) return status;
    const started = this.start(wait);
    if (started === parked) traffic.reading = wait;
    return started;
  }

  override advance(status: number, value: number, wait: Wait): number {
    // What was put back while it waited is its own now.
    if ((status !== 0 && status !== errnos.ECANCELED) || this.socket.traffic.arrived.length === 0)
      return super.advance(status, value, wait);
    this.takeArrived(wait);
    return done;
  }

  /** Puts datagrams in front of what the next read gets, or the one that waits. */
  protected unread(datagrams: readonly Datagram[]): void {
    const { traffic, closed } = this.socket;
    if (closed) return;
    for (const datagram of datagrams.toReversed()) traffic.arrived.unshift(datagram);
    interrupt(traffic.reading);
  }

  /** The status of what has arrived before, `parked` when nothing has. */
  private ended(wait: Wait): number {
    const { traffic } = this.socket;
    if (traffic.arrived.length > 0) {
      this.takeArrived(wait);
      return done;
    }
    const { failed } = traffic;
    traffic.failed = 0;
    return failed < 0 ? failed : parked;
  }

  protected override start(wait: Wait): number {
    const status = this.receive(wait, tokenOf(wait));
    if (status === parked) state.submitted = true;
    return status;
  }

  /** One call for up to `count` datagrams: how many came. */
  protected call(token: number, count: number): number {
    const { handle } = this.socket;
    const { bytes } = blockFor(count);
    return token < 0 ? library.zc_udp_receive(env, handle, bytes, count) : library.zc_op_udp_receive(env, handle, token, bytes, count);
  }

  override finish(status: number, _value: number, wait: Wait): T {
    const { payload } = wait;
    this.forget(wait);
    if (status < 0) throw this.error(status);
    return payload as T;
  }

  override forget(wait: Wait): void {
    const { traffic } = this.socket;
    if (traffic.reading === wait) traffic.reading = undefined;
    wait.payload = undefined;
  }

  override giveBack(status: number, _value: number, wait: Wait): void {
    const { payload } = wait;
    this.forget(wait);
    if (status >= 0) this.putBack(payload as T);
    // An error is told once by the kernel; codes of our own will be told again.
    else if (status > -4096) this.socket.traffic.failed = status;
  }
}

export class Read extends Reading<Datagram> {
  readonly #max: number;

  constructor(socket: UDP, max = maxDatagram) {
    super(socket);
    this.#max = max;
  }

  protected override takeArrived(wait: Wait): void {
    wait.payload = this.socket.traffic.arrived.shift();
  }

  protected override receive(wait: Wait, token: number): number {
    const { traffic } = this.socket;
    const { ahead } = traffic;
    const count = this.call(token, ahead);
    if (count <= 0) return count;
    const block = blockFor(ahead);
    wait.payload = takeDatagram(block, 0);
    for (let i = 1; i < count; i++) traffic.arrived.push(takeDatagram(block, i));
    // Many are coming: more at once; few: fewer, for room costs, too.
    traffic.ahead = count === ahead ? Math.min(ahead * 2, maxBatch) : Math.max(smallBatch, count);
    return done;
  }

  override finish(status: number, value: number, wait: Wait): Datagram {
    const datagram = super.finish(status, value, wait);
    if (datagram.data.byteLength <= this.#max) return datagram;
    return { data: datagram.data.slice(0, this.#max), address: datagram.address, truncated: true };
  }

  override putBack(datagram: Datagram): void {
    this.unread([datagram]);
  }

  override get what(): string {
    return "read a datagram";
  }
}

export class ReadMany extends Reading<Datagram[]> {
  readonly #max: number;

  constructor(socket: UDP, max: number) {
    super(socket);
    this.#max = max;
  }

  protected override takeArrived(wait: Wait): void {
    const { arrived } = this.socket.traffic;
    const datagrams: Datagram[] = [];
    while (arrived.length > 0 && datagrams.length < this.#max) datagrams.push(arrived.shift());
    wait.payload = datagrams;
    // What the kernel has comes after them.
    if (arrived.length === 0) this.#fill(datagrams);
  }

  protected override receive(wait: Wait, token: number): number {
    const datagrams: Datagram[] = [];
    const count = this.#receiveInto(datagrams, token);
    if (count <= 0) return count;
    wait.payload = datagrams;
    if (count === maxBatch) this.#fill(datagrams);
    return done;
  }

  /** Adds what is there. An error is for the next read: these have come. */
  #fill(datagrams: Datagram[]): void {
    const { traffic } = this.socket;
    if (traffic.failed < 0) return;
    while (datagrams.length < this.#max) {
      const count = this.#receiveInto(datagrams, -1);
      if (count < 0 && count !== errnos.EAGAIN) traffic.failed = count;
      if (count !== maxBatch) return;
    }
  }

  #receiveInto(datagrams: Datagram[], token: number): number {
    const wanted = Math.min(maxBatch, this.#max - datagrams.length);
    const count = this.call(token, wanted);
    const block = blockFor(wanted);
    for (let i = 0; i < count; i++) datagrams.push(takeDatagram(block, i));
    return count;
  }

  override putBack(datagrams: Datagram[]): void {
    this.unread(datagrams);
  }

  override get what(): string {
    return "read datagrams";
  }
}

/** What is sent: records, and the bytes of those that go together. Used within one call. */
const outgoing = { words: new Int32Array(maxBatch * recordWords), bytes: nothing };

/** Writes: they wait for each other, in order, in case one has to wait. */
abstract class Writing extends UdpOperation<void> {
  protected override get syscall(): string {
    return "write";
  }

  override begin(wait: Wait): number {
    wait.payload = 0;
    return this.start(wait);
  }

  protected override start(wait: Wait): number {
    const { traffic } = this.socket;
    if (traffic.writing !== undefined && traffic.writing !== wait) {
      traffic.writers.push(wait);
      return parked;
    }
    const status = this.send(wait);
    if (status === parked) {
      state.submitted = true;
      traffic.writing = wait;
    }
    return status;
  }

  /** Sends what is left: `done` when all is gone, `parked`, or an error. */
  protected abstract send(wait: Wait): number;

  override takeBack(wait: Wait): boolean {
    const { traffic } = this.socket;
    if (traffic.writers.remove(wait)) {
      wait.payload = undefined;
      return true;
    }
    if (traffic.turn !== wait) return super.takeBack(wait);
    // It will be told, and sends nothing then.
    traffic.turnIsOver = true;
    return false;
  }

  override advance(status: number, value: number, wait: Wait): number {
    const { traffic } = this.socket;
    if (traffic.turn !== wait) return super.advance(status, value, wait);
    traffic.turn = undefined;
    return traffic.turnIsOver ? errnos.ECANCELED : this.start(wait);
  }

  override finish(status: number, _value: number, wait: Wait): void {
    const { payload } = wait;
    this.forget(wait);
    if (status < 0) throw this.failure(status, payload as number);
  }

  /** The next one may write. */
  override forget(wait: Wait): void {
    const { traffic } = this.socket;
    wait.payload = undefined;
    if (traffic.writing !== wait) return;
    traffic.writing = traffic.writers.shift();
    if (traffic.writing === undefined) return;
    traffic.turn = traffic.writing;
    traffic.turnIsOver = false;
    readyToGoOn(traffic.writing, 0, 0);
  }

  protected abstract failure(status: number, sent: number): Error;

  protected native(token: number, count: number, bytes: Uint8Array): number {
    return library.zc_op_udp_send(env, this.socket.handle, token, outgoing.words, count, bytes.byteLength === 0 ? nothing : bytes);
  }
}

export class Write extends Writing {
  readonly #bytes: Uint8Array;
  readonly #length: number;
  readonly #address: Int32Array | undefined;
  readonly #to: Target | undefined;

  constructor(socket: UDP, bytes: Uint8Array, address: Int32Array | undefined, to: Target | undefined) {
    super(socket);
    this.#bytes = bytes;
    this.#length = bytes.byteLength;
    this.#address = address;
    this.#to = to;
  }

  protected override send(wait: Wait): number {
    const bytes = this.#bytes;
    if (bytes.byteLength !== this.#length) return changed;
    fillRecord(outgoing.words, 0, Math.min(this.#length, maxLength), this.#address, this.#to?.port ?? 0);
    const status = this.native(tokenOf(wait), 1, bytes);
    return status > 0 ? done : status;
  }

  protected override failure(status: number): Error {
    return status === changed ? new TypeError("UDP.write: data was detached or resized before it was sent") : this.error(status, this.#to);
  }

  override get what(): string {
    return "write a datagram";
  }
}

/** A datagram of a batch. */
export interface Part {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly to: Target | undefined;
  target: Int32Array | undefined;
}

export class WriteMany extends Writing {
  readonly #parts: readonly Part[];

  constructor(socket: UDP, parts: readonly Part[]) {
    super(socket);
    this.#parts = parts;
  }

  protected override send(wait: Wait): number {
    const parts = this.#parts;
    for (let sent = wait.payload as number; sent < parts.length; sent = wait.payload as number) {
      const first = parts[sent] as Part;
      const count = this.#pack(sent);
      if (count === 0) return changed;
      // One alone goes as it is.
      const status = this.native(tokenOf(wait), count, count === 1 ? first.bytes : outgoing.bytes);
      if (status < 0) return status;
      wait.payload = sent + status;
    }
    // Of nothing, too, one learns that the socket is closed.
    return this.socket.closed ? codes.badHandle : done;
  }

  /** Makes records of the datagrams from number `start` on and copies their bytes together; how many, 0 when the first has changed. */
  #pack(start: number): number {
    let size = 0;
    let count = 0;
    for (; count < maxBatch && start + count < this.#parts.length; count++) {
      const { bytes, length, target, to } = this.#parts[start + count] as Part;
      if (bytes.byteLength !== length || (count > 0 && size + length > maxPacked)) break;
      fillRecord(outgoing.words, count * recordWords, Math.min(length, maxLength), target, to?.port ?? 0);
      if (length > maxPacked) return 1;
      if (outgoing.bytes.byteLength < maxPacked) outgoing.bytes = new Uint8Array(maxPacked);
      outgoing.bytes.set(bytes, size);
      size += length;
    }
    return count;
  }

  protected override failure(status: number, sent: number): Error {
    const error =
      status === changed
        ? new TypeError("UDP.writeMany: data was detached or resized before it was sent")
        : this.error(status, this.#parts[sent]?.to);
    return Object.assign(error, { sent });
  }

  override get what(): string {
    return `write ${this.#parts.length} datagrams`;
  }
}
