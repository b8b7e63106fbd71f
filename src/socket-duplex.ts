// SocketDuplex: a connection as Node's libraries know one, a Duplex with what they use of net.Socket. Node's stream says when to read
// and when to write; one read and one write are in flight at most, and nothing is read while the stream's buffer is full.
//
// It is unconnected, connecting, open or destroyed. What the stream asks for before it is open is held: it runs when it opens, or is told
// that it never will. The connection is closed once, by `_destroy`, which the stream calls when both sides have ended, too.

import { Duplex } from "node:stream";
import { type ByteStream, isGone } from "./byte-stream.ts";
import { CallbackWait } from "./callback.ts";
import { checkInteger, checkOptions } from "./check.ts";
import { throwLater } from "./native/env.ts";
import type { Operation } from "./operation.ts";
import { sleep } from "./sleep.ts";

/** At most this much comes in one chunk. */
const readSize = 65_536;
/** Small chunks that wait together are written together, up to this size. */
const gatherSize = 65_536;
/** What the system takes, in whole seconds. */
const maxIdleMs = 32_767_000;
/** Reads in a row that end at once before others have their turn. */
const readBudget = 16;

export interface DuplexOptions {
  /** The writing side stays open when the peer has ended its own. Default false: it is ended, too. Servers that answer such peers want true. */
  readonly allowHalfOpen?: boolean;
  /** Bytes that the stream buffers in each direction before it stops reading, and asks writers to wait. 1 to 2^31 - 1, default 65,536. */
  readonly highWaterMark?: number;
  /** Small writes go out at once (TCP_NODELAY), which suits what libraries write: whole messages in parts. Default true. */
  readonly noDelay?: boolean;
}

/** Where a duplex that is not connected yet connects to, from the options that `connect` was given. */
export type Connector = (options: object) => Operation<ByteStream>;

type KeepAlive = [on: boolean, options: { idle?: number }];
type Callback = (error?: Error | null) => void;

/** A connection as a Duplex with what libraries use of a net.Socket. */
export class SocketDuplex extends Duplex {
  /** Whether it is still being connected. What is written meanwhile is kept. */
  connecting = false;
  /** Bytes that came in. */
  bytesRead = 0;
  /** What `setTimeout` set, in milliseconds. */
  timeout: number | undefined = undefined;
  readonly #connector: Connector | undefined;
  #stream: ByteStream | undefined;
  #noDelay: boolean;
  #keepAlive: KeepAlive | undefined;
  #opening: CallbackWait<ByteStream> | undefined;
  /** What the stream asked for before it was connected: at most a read, and a write or its end. */
  #held: ((stream: ByteStream | undefined) => void)[] = [];
  #bytesSent = 0;
  /** Corked until the end of the turn. */
  #isGathering = false;
  /** Reads in a row that ended at once. */
  #instantReads = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When there was traffic, in milliseconds. */
  #lastActive = 0;

  /** Over a connection that is open, or one that `connect` is to open. */
  constructor(stream: ByteStream | undefined, options: DuplexOptions = {}, connector?: Connector) {
    checkOptions(options, "toDuplex");
    const highWaterMark = checkInteger(options.highWaterMark ?? readSize, "toDuplex: highWaterMark", 1, 2 ** 31 - 1);
    super({
      allowHalfOpen: options.allowHalfOpen === true,
      highWaterMark,
      // `_destroy` emits it, with the argument that net.Socket gives it.
      emitClose: false,
    });
    this.#noDelay = options.noDelay !== false;
    this.#connector = connector;
    if (stream !== undefined) this.#use(stream);
  }

  #use(stream: ByteStream): void {
    this.#stream = stream;
    if (this.#noDelay) stream.setNoDelay?.();
    if (this.#keepAlive !== undefined) stream.setKeepAlive?.(...this.#keepAlive);
    for (const run of this.#held.splice(0)) run(stream);
    // Sees an end or a reset before anybody reads, as a net.Socket does.
    if (!this.destroyed) this.read(0);
  }

  /** Bytes that were given to `write`, those that still wait included. */
  get bytesWritten(): number {
    return this.#bytesSent + this.writableLength;
  }

  get pending(): boolean {
    return this.#stream === undefined;
  }

  get readyState(): "opening" | "open" | "readOnly" | "writeOnly" | "closed" {
    if (this.connecting) return "opening";
    if (this.pending || this.destroyed) return "closed";
    if (this.readable) return this.writable ? "open" : "readOnly";
    return this.writable ? "writeOnly" : "closed";
  }

  get remoteAddress(): string | undefined {
    return this.#stream?.remote?.address;
  }

  get remotePort(): number | undefined {
    return this.#stream?.remote?.port;
  }

  get remoteFamily(): string | undefined {
    return this.#stream?.remote?.family;
  }

  get localAddress(): string | undefined {
    return this.#stream?.local?.address;
  }

  get localPort(): number | undefined {
    return this.#stream?.local?.port;
  }

  get localFamily(): string | undefined {
    return this.#stream?.local?.family;
  }

  /** This end's address, or an empty object. */
  address(): { address: string; port: number; family: string } | Record<string, never> {
    const local = this.#stream?.local;
    return local === undefined ? {} : { address: local.address, port: local.port, family: local.family };
  }

  /**
   * `connect(options)`, `connect(port, host?)`, each with a listener for "connect" after it if wanted. To a duplex that is connected, or
   * about to be, the other arguments mean nothing: it emits "connect", now or then. So a library that connects what it was given is content.
   */
  connect(...args: readonly unknown[]): this {
    if (this.destroyed) throw new Error("cannot connect a duplex that was destroyed; make a new one");
    const listener = args.at(-1);
    if (typeof listener === "function") this.once("connect", listener as () => void);
    if (this.#stream !== undefined) process.nextTick(() => this.destroyed || this.#emitConnect());
    else if (!this.connecting) this.#open(args);
    return this;
  }

  #open([first, host]: readonly unknown[]): void {
    if (this.#connector === undefined) throw new Error("this duplex cannot connect");
    const isObject = typeof first === "object" && first !== null;
    const operation = this.#connector(isObject ? first : { port: first, ...(typeof host === "string" && { host }) });
    this.connecting = true;
    let isInstant = true;
    this.#opening = new CallbackWait(
      operation,
      (stream) => {
        // Whoever calls has still to listen.
        if (isInstant) process.nextTick(() => this.#opened(stream));
        else this.#opened(stream);
      },
      (error) => {
        this.connecting = false;
        this.destroy(error as Error);
      },
    );
    isInstant = false;
  }

  #opened(stream: ByteStream): void {
    this.connecting = false;
    // A destroy came too late to stop it.
    if (this.destroyed) {
      stream.close();
      return;
    }
    this.#use(stream);
    this.#emitConnect();
  }

  /** Runs `run` with the connection once there is one; without any if it is destroyed before. */
  #whenOpen(run: (stream: ByteStream | undefined) => void): void {
    if (this.#stream === undefined && !this.destroyed) this.#held.push(run);
    else run(this.#stream);
  }

  #emitConnect(): void {
    this.#active();
    this.emit("connect");
    this.emit("ready");
  }

  /** Small writes go out at once (TCP_NODELAY), which is the default. */
  setNoDelay(on = true): this {
    this.#noDelay = on;
    this.#stream?.setNoDelay?.(on);
    return this;
  }

  /** The system asks an idle peer whether it is there, first after `idleMs`; 0 leaves that as it is. */
  setKeepAlive(on = true, idleMs = 0): this {
    this.#keepAlive = [on, idleMs > 0 ? { idle: Math.min(Math.ceil(idleMs), maxIdleMs) } : {}];
    this.#stream?.setKeepAlive?.(...this.#keepAlive);
    return this;
  }

  /** For libraries that call it: what is in flight keeps the process alive. `destroy` ends that. */
  ref(): this {
    return this;
  }

  /** As `ref`. */
  unref(): this {
    return this;
  }

  /**
   * Emits "timeout" once nothing has been read or written for `ms`, and again after more traffic; nothing else happens then. 0 stops it.
   *
   * @param ms an integer from 0 to 2^31 - 1
   */
  setTimeout(ms: number, listener?: () => void): this {
    this.timeout = checkInteger(ms, "setTimeout: ms", 0, 2 ** 31 - 1);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (listener !== undefined) {
      if (ms === 0) this.removeListener("timeout", listener);
      else this.once("timeout", listener);
    }
    this.#active();
    return this;
  }

  /** Ends it, and destroys it once all is written. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  /** As a Duplex does it; what is written in one turn goes out together. */
  override write(chunk: unknown, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    if (!this.#isGathering && !this.destroyed) {
      this.#isGathering = true;
      this.cork();
      process.nextTick(() => this.#flush());
    }
    return super.write(chunk, encoding as BufferEncoding, callback);
  }

  #flush(): void {
    if (!this.#isGathering) return;
    this.#isGathering = false;
    this.uncork();
  }

  /** As a Duplex does it. What was written just before still goes out if the kernel takes it at once. */
  override destroy(error?: Error): this {
    if (!this.destroyed) this.#flush();
    return super.destroy(error);
  }

  override _read(): void {
    this.#whenOpen((stream) => stream && this.#readFrom(stream));
  }

  #readFrom(stream: ByteStream): void {
    let isInstant = true;
    // The stream asks again only after a push, so that one read is in flight at most.
    new CallbackWait(
      stream.read(readSize),
      (bytes) => {
        this.#instantReads = isInstant ? this.#instantReads + 1 : 0;
        if (this.#instantReads < readBudget) {
          this.#push(bytes);
          return;
        }
        // With a peer that is always faster the stream would read for ever.
        this.#instantReads = 0;
        new CallbackWait(sleep(0), () => this.#push(bytes), throwLater);
      },
      (error) => this.#readFailed(error),
    );
    isInstant = false;
  }

  #push(bytes: Uint8Array<ArrayBuffer> | null): void {
    if (this.destroyed) return;
    this.#active();
    this.bytesRead += bytes?.byteLength ?? 0;
    try {
      this.push(bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
      if (bytes !== null) return;
    } catch (error) {
      // A listener's own error is an uncaught one; the stream goes on.
      throwLater(error);
    }
    // Tells an end behind no data even when nobody reads, and reads on after an error.
    this.read(0);
  }

  #readFailed(error: unknown): void {
    // Closed under the stream by whoever has the connection: that is no failure, as `destroy` is none.
    this.destroy(this.#stream?.closed ? undefined : (error as Error));
  }

  override _write(chunk: Buffer, _encoding: unknown, callback: Callback): void {
    this.#writeParts([chunk], callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: Callback): void {
    this.#writeParts(gather(chunks), callback);
  }

  #writeParts(parts: Buffer[], callback: Callback): void {
    this.#whenOpen((stream) => {
      if (stream !== undefined) this.#writeTo(stream, parts, 0, callback);
      else callback(Object.assign(new Error("destroyed before it was connected"), { code: "ERR_SOCKET_CLOSED_BEFORE_CONNECTION" }));
    });
  }

  /** Writes the parts from `at` on. */
  #writeTo(stream: ByteStream, parts: readonly Buffer[], at: number, callback: Callback): void {
    this.#active();
    const part = parts[at];
    if (part !== undefined) {
      const written = () => this.#writeTo(stream, parts, at + 1, callback);
      new CallbackWait(stream.write(part), written, callback as (error: unknown) => void);
      return;
    }
    // What the stream counts as waiting until now.
    for (const { byteLength } of parts) this.#bytesSent += byteLength;
    callback();
  }

  override _final(callback: Callback): void {
    this.#whenOpen((stream) => {
      if (stream === undefined) return;
      new CallbackWait(
        stream.shutdown(),
        () => callback(),
        (error) => callback(isGone(stream, error) ? null : (error as Error)),
      );
    });
  }

  override _destroy(error: Error | null, callback: Callback): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#opening?.cancel(error);
    this.connecting = false;
    this.#stream?.close();
    for (const run of this.#held.splice(0)) run(undefined);
    callback(error);
    // After "error", which the stream emits.
    process.nextTick(() => this.emit("close", error !== null && error !== undefined));
  }

  /** There was traffic: a timeout counts from now. */
  #active(): void {
    if (!this.timeout || this.destroyed) return;
    this.#lastActive = performance.now();
    if (this.#timer === undefined) this.#arm(this.timeout);
  }

  /** One timer for much traffic: it looks how long ago the last was when it fires. */
  #arm(ms: number): void {
    this.#timer = setTimeout(() => {
      const rest = this.#lastActive + (this.timeout as number) - performance.now();
      if (rest > 0) {
        this.#arm(Math.ceil(rest));
        return;
      }
      this.#timer = undefined;
      this.emit("timeout");
    }, ms).unref();
  }
}

/** Chunks that wait together, small ones joined. */
function gather(chunks: readonly { chunk: Buffer }[]): Buffer[] {
  const parts: Buffer[] = [];
  let small: Buffer[] = [];
  let size = 0;
  const flush = () => {
    if (small.length > 0) parts.push(small.length === 1 ? (small[0] as Buffer) : Buffer.concat(small, size));
    small = [];
    size = 0;
  };
  for (const { chunk } of chunks) {
    if (size + chunk.byteLength > gatherSize) flush();
    small.push(chunk);
    size += chunk.byteLength;
  }
  flush();
  return parts;
}
