// Reads of a stream: operations that take what has come, or wait for it. What has come lies in native memory until an operation has won and
// takes it, so that one that is cancelled, timed out or lost in a select has consumed nothing.

import { show } from "./check.ts";
import { changed, codes, cutShort, tooLong } from "./code.ts";
import { type Endpoint, EndpointOperation } from "./endpoint.ts";
import { errnos, UnexpectedEnd } from "./error.ts";
import { env, library } from "./native/env.ts";
import { interrupt, tokenOf } from "./operation.ts";
import type { Wait } from "./wait.ts";

type Bytes = Uint8Array<ArrayBuffer>;

abstract class StreamRead<T> extends EndpointOperation<T> {
  constructor(endpoint: Endpoint) {
    super(endpoint, endpoint.receiving);
  }

  /** Takes `length` bytes that are there. */
  protected take(handle: number, length: number): Bytes {
    const bytes = new Uint8Array(length);
    if (length > 0 && library.zc_tcp_take(env, handle, bytes, length) !== length) throw this.error(codes.badHandle);
    return bytes;
  }

  /** Puts bytes back in front of what comes next; a read that waits gets them. */
  protected untake(bytes: Uint8Array | null): void {
    if (bytes === null || bytes.byteLength === 0) return;
    if (library.zc_tcp_untake(env, this.endpoint.handle, bytes, bytes.byteLength) !== codes.busy) return;
    // A native body's read is not ours to interrupt.
    if (this.endpoint.receiving.wait === undefined) return;
    // Of memory that is somebody else's a copy.
    this.endpoint.returnedBytes.push(bytes.slice());
    interrupt(this.endpoint.receiving.wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    return this.retakes(status) ? this.started(wait) : status;
  }

  /** Whether it is to look again, for something was put back while it waited. An error is told first: it would not come again. */
  protected retakes(status: number): boolean {
    const { returnedBytes, handle } = this.endpoint;
    if (returnedBytes.length === 0) return false;
    for (const bytes of returnedBytes.splice(0)) library.zc_tcp_untake(env, handle, bytes, bytes.byteLength);
    return handle !== 0 && (status >= 0 || status === errnos.ECANCELED);
  }

  override get syscall(): string {
    return "read";
  }

  override get what(): string {
    return `read from a ${this.endpoint.noun}`;
  }
}

export class Read extends StreamRead<Bytes | null> {
  readonly #max: number;

  constructor(endpoint: Endpoint, max: number) {
    super(endpoint);
    this.#max = max;
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_read(env, handle, tokenOf(wait), this.#max);
  }

  protected override result(handle: number, status: number): Bytes | null {
    return status === 0 ? null : this.take(handle, status);
  }

  override putBack(bytes: Bytes | null): void {
    this.untake(bytes);
  }
}

/** A place in memory of the caller's, which may have gone by the time that bytes come. */
export class Target {
  readonly buffer: ArrayBufferLike;
  readonly start: number;
  readonly length: number;

  constructor(buffer: ArrayBufferLike, start: number, length: number) {
    this.buffer = buffer;
    this.start = start;
    this.length = length;
  }

  /** The first `length` bytes of it, or undefined when it was detached or has shrunk. */
  view(length: number): Uint8Array | undefined {
    // A detached buffer has no bytes at all.
    return this.start + length <= this.buffer.byteLength ? new Uint8Array(this.buffer, this.start, length) : undefined;
  }
}

export class ReadInto extends StreamRead<number> {
  readonly #target: Target;

  constructor(endpoint: Endpoint, target: Target) {
    super(endpoint);
    this.#target = target;
  }

  protected override start(handle: number, wait: Wait): number {
    if (this.#target.view(this.#target.length) === undefined) return changed;
    return library.zc_op_tcp_read(env, handle, tokenOf(wait), this.#target.length);
  }

  protected override result(handle: number, status: number): number {
    if (status === 0) return 0;
    const view = this.#target.view(status);
    if (view === undefined) throw this.error(changed);
    if (library.zc_tcp_take(env, handle, view, status) !== status) throw this.error(codes.badHandle);
    return status;
  }

  protected override error(status: number): Error {
    if (status !== changed) return super.error(status);
    return new TypeError(`${this.endpoint.constructor.name}.readInto: buffer was detached or has shrunk`);
  }

  override putBack(length: number): void {
    this.untake(this.#target.view(length) ?? null);
  }
}

export class ReadExactly extends StreamRead<Bytes | null> {
  readonly #length: number;

  constructor(endpoint: Endpoint, length: number) {
    super(endpoint);
    this.#length = length;
  }

  protected override start(handle: number, wait: Wait): number {
    return this.#length === 0 ? 0 : library.zc_op_tcp_fill(env, handle, tokenOf(wait), this.#length);
  }

  protected override result(handle: number, available: number): Bytes | null {
    if (available >= this.#length) return this.take(handle, this.#length);
    if (available === 0) return null;
    throw new UnexpectedEnd(`${this.#length} bytes`, this.take(handle, available));
  }

  override putBack(bytes: Bytes | null): void {
    this.untake(bytes);
  }
}

/** Its payload is how many bytes hold no delimiter. */
export class ReadUntil extends StreamRead<Bytes | null> {
  readonly #delimiter: Uint8Array;
  readonly #max: number;

  constructor(endpoint: Endpoint, delimiter: Uint8Array, max: number) {
    super(endpoint);
    this.#delimiter = delimiter;
    this.#max = max;
  }

  override begin(wait: Wait): number {
    wait.payload = 0;
    return super.begin(wait);
  }

  /** The number of bytes up to the delimiter's end, 0 at the end of the stream, `parked` or an error. */
  protected override start(handle: number, wait: Wait): number {
    if (handle === 0) return codes.badHandle;
    for (;;) {
      // The last bytes that were looked through may be a delimiter's beginning.
      const at = this.#find(handle, Math.max(0, (wait.payload as number) - this.#delimiter.byteLength + 1));
      if (at >= 0) return at + this.#delimiter.byteLength > this.#max ? tooLong : at + this.#delimiter.byteLength;
      const available = -1 - at;
      wait.payload = available;
      if (available >= this.#max) return tooLong;
      const status = library.zc_op_tcp_fill(env, handle, tokenOf(wait), available + 1);
      if (status < 0) return status;
      if (status === available) return available === 0 ? 0 : cutShort;
    }
  }

  /** Where the delimiter begins, or -1 - n when it is not among the n bytes that are there. */
  #find(handle: number, from: number): number {
    return library.zc_tcp_find(env, handle, this.#delimiter, this.#delimiter.byteLength, from);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    if (this.retakes(status)) {
      wait.payload = 0;
      return this.started(wait);
    }
    if (status < 0) return status;
    if (status === wait.payload) return status === 0 ? 0 : cutShort;
    return this.started(wait);
  }

  protected override result(handle: number, length: number): Bytes | null {
    return length === 0 ? null : this.take(handle, length);
  }

  protected override error(status: number): Error {
    const delimiter = show(new TextDecoder().decode(this.#delimiter));
    if (status === tooLong) {
      const message = `${this.endpoint.constructor.name}.readUntil: no ${delimiter} among the first ${this.#max} bytes`;
      return Object.assign(new RangeError(message), { code: "ERR_TOO_LONG" });
    }
    if (status !== cutShort) return super.error(status);
    const { handle } = this.endpoint;
    return new UnexpectedEnd(delimiter, this.take(handle, -1 - this.#find(handle, 0)));
  }

  override putBack(bytes: Bytes | null): void {
    this.untake(bytes);
  }
}
