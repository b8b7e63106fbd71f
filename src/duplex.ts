// Streams: what bytes are read from and written to. Reader and Writer have one direction, a Duplex both.

import { checkBytes, type Writable } from "./bytes.ts";
import { checkInteger, checkOptions, show } from "./check.ts";
import { Endpoint } from "./endpoint.ts";
import type { Operation } from "./operation.ts";
import { type DuplexOptions, SocketDuplex } from "./socket-duplex.ts";
import { Read, ReadExactly, ReadInto, ReadUntil, Target } from "./stream-read.ts";
import { checkParts, Shutdown, sides, Write, WriteAll } from "./stream-write.ts";
import { type BytesReadable, type BytesWritable, WebStreams } from "./web-stream.ts";

const maxRead = 2 ** 31 - 1;
/** What may have to lie in native memory at once. */
const maxHeld = 2 ** 30;
const encoder = new TextEncoder();

export interface ReadUntilOptions {
  /** How many bytes there may be up to the delimiter's end, 1 to 2^30. Default 65536. */
  readonly max?: number;
}

/** What bytes are read from. One read may be in flight at a time. */
export class Reader extends Endpoint {
  /**
   * The next bytes that have come, at least one and at most `max`, in memory of their own; null at the end of the stream.
   *
   * @param max an integer from 1 to 2^31 - 1
   */
  read(max: number = maxRead): Operation<Uint8Array<ArrayBuffer> | null> {
    // Named only when it is wrong: this is the hot path.
    if (!(Number.isInteger(max) && max >= 1 && max <= maxRead)) checkInteger(max, `${this.constructor.name}.read: max`, 1, maxRead);
    return new Read(this, max);
  }

  /**
   * The next bytes that have come, copied into `buffer`: at least one and at most `length`, from byte `offset` of it on. Gives how many, 0
   * at the end of the stream. `buffer` is looked at again when they have come: when it has been detached or has shrunk meanwhile, that is a
   * TypeError, and they stay for the next read.
   *
   * @param offset where in `buffer`, in bytes; default 0
   * @param length 1 to 2^31 - 1; default to the end of `buffer`
   */
  readInto(buffer: ArrayBufferView | ArrayBufferLike, offset?: number, length?: number): Operation<number> {
    return new ReadInto(this, targetOf(buffer, offset, length, `${this.constructor.name}.readInto`));
  }

  /**
   * The next `length` bytes; null when the stream ends before the first. When it ends later, that is an `UnexpectedEnd`, whose `partial` is
   * what came. Until they are all there they stay unread: a read that is cancelled or times out has consumed nothing.
   *
   * @param length an integer from 0 to 2^30
   */
  readExactly(length: number): Operation<Uint8Array<ArrayBuffer> | null> {
    return new ReadExactly(this, checkInteger(length, `${this.constructor.name}.readExactly: length`, 0, maxHeld));
  }

  /**
   * The next bytes up to `delimiter`, which is their end; null when the stream ends before the first. What follows stays for the next read.
   * When the stream ends before a delimiter, that is an `UnexpectedEnd`, whose `partial` is what came. When there is none among `max` bytes,
   * that is a RangeError with the code "ERR_TOO_LONG", and they stay for the next read.
   *
   * @param delimiter a string (as UTF-8), bytes, or one byte's value; not empty
   */
  readUntil(delimiter: string | Uint8Array | number, options: ReadUntilOptions = {}): Operation<Uint8Array<ArrayBuffer> | null> {
    const name = `${this.constructor.name}.readUntil`;
    checkOptions(options, name);
    const max = checkInteger(options.max ?? 65_536, `${name}: max`, 1, maxHeld);
    return new ReadUntil(this, checkDelimiter(delimiter, `${name}: delimiter`), max);
  }

  /** Reads chunk after chunk until the stream ends or is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    while (!this.closed) {
      let chunk: Uint8Array<ArrayBuffer> | null;
      try {
        chunk = await this.read();
      } catch (error) {
        if (this.closed) return;
        throw error;
      }
      if (chunk === null) return;
      yield chunk;
    }
  }
}

/** What bytes are written to. One write may be in flight at a time. */
export class Writer extends Endpoint {
  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: Writable): Operation<void> {
    return new Write(this, checkBytes(data, this));
  }

  /** Writes all of `parts` in order, small ones together with one call. They must stay unchanged until it has ended. */
  writeAll(parts: readonly Writable[]): Operation<void> {
    return new WriteAll(this, checkParts(parts, this));
  }
}

/** What is read and written. One read and one write may be in flight at a time. */
export class Duplex extends Reader {
  #web: WebStreams | undefined;

  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: Writable): Operation<void> {
    return new Write(this, checkBytes(data, this));
  }

  /** Writes all of `parts` in order, small ones together with one call. They must stay unchanged until it has ended. */
  writeAll(parts: readonly Writable[]): Operation<void> {
    return new WriteAll(this, checkParts(parts, this));
  }

  /**
   * Ends one side or both. "write": the peer reads the end of the stream, and can still write. "read": reads here give what has come and then
   * the end of the stream; what the peer writes from then on the system may drop or refuse.
   */
  shutdown(side: "read" | "write" | "both" = "write"): Operation<void> {
    const how = typeof side === "string" && Object.hasOwn(sides, side) ? sides[side] : undefined;
    if (how === undefined) {
      throw new TypeError(`${this.constructor.name}.shutdown: side must be "read", "write" or "both", got ${show(side)}`);
    }
    return new Shutdown(this, how);
  }

  /**
   * The reading side as a Web stream of bytes, always the same one. A pull is one read of at most 64 KiB, or into the memory of a reader that
   * brings its own; nothing is read ahead. Cancelling it gives the side up. When both sides have ended, in whichever way, the connection is
   * closed; until then `close` is there.
   *
   * @example
   * ```ts
   * const page = yield* until(new Response(connection.readable).text());
   * ```
   */
  get readable(): BytesReadable {
    this.#web ??= new WebStreams(this);
    return this.#web.readable;
  }

  /**
   * The writing side as a Web stream of strings and bytes, always the same one. A write has ended when the system has taken all of it. Closing
   * it ends the side, as `shutdown` does, and so does aborting it, in the middle of a write where there is one.
   *
   * @example
   * ```ts
   * yield* until(new Blob(["a file, or a fetched body"]).stream().pipeTo(connection.writable));
   * ```
   */
  get writable(): BytesWritable {
    this.#web ??= new WebStreams(this);
    return this.#web.writable;
  }

  /**
   * The connection as a Node stream that has what libraries use of a net.Socket: TLS, node:http, WebSockets, database clients run on it. It
   * takes the connection over, and destroying it closes that. A stream that has yet to connect is `asyncio.createConnection`'s.
   *
   * @example
   * ```ts
   * const app = http.createServer((request, response) => response.end(`hello from ${request.url}`));
   * for await (const connection of server) app.emit("connection", connection.toDuplex({ allowHalfOpen: true }));
   * ```
   * @throws RangeError
   */
  toDuplex(options?: DuplexOptions): SocketDuplex {
    return new SocketDuplex(this, options);
  }
}

function targetOf(buffer: unknown, offset: number | undefined, length: number | undefined, what: string): Target {
  const isView = ArrayBuffer.isView(buffer);
  const whole = isView ? buffer.buffer : buffer;
  if (!(whole instanceof ArrayBuffer || whole instanceof SharedArrayBuffer)) {
    throw new TypeError(`${what}: buffer must be an ArrayBuffer or a view of one, got ${show(buffer)}`);
  }
  if (whole instanceof ArrayBuffer && whole.detached) throw new TypeError(`${what}: buffer must not be detached (transferred)`);
  const size = isView ? buffer.byteLength : whole.byteLength;
  if (size === 0) throw new RangeError(`${what}: buffer must not be empty`);
  const at = checkInteger(offset ?? 0, `${what}: offset`, 0, size - 1);
  const room = Math.min(size - at, maxRead);
  return new Target(whole, (isView ? buffer.byteOffset : 0) + at, checkInteger(length ?? room, `${what}: length`, 1, room));
}

function checkDelimiter(delimiter: unknown, what: string): Uint8Array {
  if (typeof delimiter === "number") return Uint8Array.of(checkInteger(delimiter, what, 0, 255));
  // A copy: it must stay what it is.
  const bytes =
    typeof delimiter === "string" ? encoder.encode(delimiter) : delimiter instanceof Uint8Array ? new Uint8Array(delimiter) : undefined;
  if (bytes === undefined) throw new TypeError(`${what} must be a string, a Uint8Array or a byte, got ${show(delimiter)}`);
  if (bytes.byteLength === 0) throw new RangeError(`${what} must not be empty`);
  return bytes;
}
