// TCP: listeners and connections. The sockets are native (zig/io/tcp.zig); these objects hold handles, check arguments and turn
// results into values and Node-shaped errors.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { checkInteger, checkString, show } from "./check.ts";
import { parked } from "./code.ts";
import { endpoint, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { codes } from "./native/abi.ts";
import { env, lastErrno, library, type Wait } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import { sequence } from "./sequence.ts";
import { until } from "./until.ts";

const canceled = -125;
/** What a write answers when its data is gone. */
const detached = -20_000;
const maxChunk = 2 ** 31 - 1;
const encoder = new TextEncoder();

/** One end of a connection. */
export class Address {
  /** "127.0.0.1" or "::1". */
  readonly address: string;
  readonly port: number;
  readonly family: "IPv4" | "IPv6";

  constructor(address: string, port: number, family: "IPv4" | "IPv6") {
    this.address = address;
    this.port = port;
    this.family = family;
  }

  /** "127.0.0.1:80" or "[::1]:80". */
  toString(): string {
    return endpoint(this.address, this.port);
  }
}

export interface ListenOptions {
  /** 0 to 65535; 0 takes a free one, see `server.local`. */
  readonly port: number;
  /** An address or a host name. Default "127.0.0.1". */
  readonly host?: string;
  /** Connections the kernel holds until they are accepted, 1 to 65535. Default 511. */
  readonly backlog?: number;
  /** Several listeners, of other processes too, share the port. Default false. */
  readonly reusePort?: boolean;
}

export interface ConnectOptions {
  /** 1 to 65535. */
  readonly port: number;
  /** An address or a host name. Default "127.0.0.1". */
  readonly host?: string;
}

abstract class Socket {
  /** The native handle, for native bodies; 0 once closed. */
  handle: number;
  readonly #addresses: (Address | undefined)[] = [];

  constructor(handle: number) {
    this.handle = handle;
    collected.register(this, handle, this);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.handle === 0;
  }

  /** Closes it. Operations in flight end with an error whose code is "ECANCELED". Closing twice does nothing. */
  close(): void {
    if (this.handle === 0) return;
    // Asked for now or never: names and logs want them after the close, too.
    this.addressOf(0);
    library.zc_tcp_close(env, this.handle);
    collected.unregister(this);
    this.handle = 0;
    state.submitted = true;
    poke();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  protected addressOf(peer: 0 | 1): Address | undefined {
    this.#addresses[peer] ??= readAddress(this.handle, peer);
    return this.#addresses[peer];
  }
}

/** A socket that nobody can reach any more is closed. */
const collected = new FinalizationRegistry<number>((handle) => {
  library.zc_tcp_close(env, handle);
  state.submitted = true;
  poke();
});

/** A listening socket. */
export class TCPServer extends Socket {
  /** The address it listens on. */
  get local(): Address {
    return this.addressOf(0) as Address;
  }

  /** The next connection. */
  accept(): Operation<TCP> {
    return new Accept(() => this.handle);
  }

  /** Accepts until the server is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<TCP, void, undefined> {
    while (!this.closed) {
      try {
        yield await this.accept();
      } catch (error) {
        if (this.closed) return;
        throw error;
      }
    }
  }
}

/** A connection. One read and one write may be in flight at a time. */
export class TCP extends Socket {
  /** Connects; the result is the connection. IO errors carry `address` and `port`. */
  static connect(options: ConnectOptions): Operation<TCP> {
    const port = checkInteger(options?.port, "asyncio.TCP.connect: port", 1, 65535);
    const host = checkString(options.host ?? "127.0.0.1", "asyncio.TCP.connect: host");
    return sequence(`connect to ${endpoint(host, port)}`, () => connect(host, port));
  }

  /** Binds and listens. IO errors carry `address` and `port`. */
  static listen(options: ListenOptions): Operation<TCPServer> {
    const port = checkInteger(options?.port, "asyncio.TCP.listen: port", 0, 65535);
    const host = checkString(options.host ?? "127.0.0.1", "asyncio.TCP.listen: host");
    const backlog = checkInteger(options.backlog ?? 511, "asyncio.TCP.listen: backlog", 1, 65535);
    return sequence(`listen on ${endpoint(host, port)}`, () => listen(host, port, backlog, options.reusePort === true));
  }

  /** This end's address. */
  get local(): Address {
    return this.addressOf(0) as Address;
  }

  /** The other end's address; undefined when it was gone before it was asked for. */
  get remote(): Address | undefined {
    return this.addressOf(1);
  }

  /** Small writes go out at once instead of being gathered (TCP_NODELAY). */
  setNoDelay(on = true): void {
    if (this.handle === 0) return;
    library.zc_tcp_no_delay(env, this.handle, on ? 1 : 0);
  }

  /**
   * The next bytes that have come, at least one and at most `max`, in memory of their own; null at the end of the stream.
   *
   * @param max an integer from 1 to 2^31 - 1
   */
  read(max: number = maxChunk): Operation<Uint8Array<ArrayBuffer> | null> {
    return new Read(() => this.handle, checkInteger(max, "TCP.read: max", 1, maxChunk));
  }

  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: string | Uint8Array | ArrayBuffer): Operation<void> {
    return new Write(() => this.handle, checkBytes(data, "TCP.write: data"));
  }

  /** Ends the writing side: the peer reads the end of the stream, and can still write. */
  shutdown(): Operation<void> {
    return new Shutdown(() => this.handle);
  }

  override close(): void {
    if (this.handle !== 0) this.addressOf(1);
    super.close();
  }
}

function* connect(host: string, port: number): Coroutine<TCP> {
  const address = yield* resolve(host, "connect", port);
  const bytes = encoder.encode(address);
  const handle = library.zc_tcp_open(env, bytes, bytes.byteLength, port);
  if (handle === 0) throw ioError(lastErrno(), "connect", { address, port });
  const connection = new TCP(handle);
  try {
    yield* new Connect(() => handle, address, port);
  } catch (error) {
    connection.close();
    throw error;
  }
  return connection;
}

function* listen(host: string, port: number, backlog: number, reusePort: boolean): Coroutine<TCPServer> {
  const address = yield* resolve(host, "listen", port);
  const bytes = encoder.encode(address);
  const handle = library.zc_tcp_listen(env, bytes, bytes.byteLength, port, backlog, reusePort ? 1 : 0);
  if (handle === 0) throw ioError(lastErrno(), "listen", { address, port });
  return new TCPServer(handle);
}

/** An address literal for `host`. Names are looked up by Bun, which owner mode does not let run. */
function* resolve(host: string, syscall: string, port: number): Coroutine<string> {
  if (isIP(host)) return host;
  if (host === "localhost") return "127.0.0.1";
  try {
    return (yield* until(lookup(host))).address;
  } catch (cause) {
    const { code = "ENOTFOUND" } = cause as { code?: string };
    throw Object.assign(new Error(`${syscall} ${code} ${host}`, { cause }), { code, syscall, hostname: host, port });
  }
}

function checkBytes(data: unknown, what: string): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : data;
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
  return bytes;
}

function readAddress(handle: number, peer: 0 | 1): Address | undefined {
  if (handle === 0) return undefined;
  const bytes = new Uint8Array(20);
  if (library.zc_tcp_address(env, handle, peer, bytes) < 0) return undefined;
  const view = new DataView(bytes.buffer);
  const port = view.getUint16(2, true);
  if (view.getUint16(0, true) === 4) return new Address(bytes.subarray(4, 8).join("."), port, "IPv4");
  return new Address(ip6Text(view), port, "IPv6");
}

/** RFC 5952: lower case, the longest run of zero groups (two at least) as "::". */
function ip6Text(view: DataView): string {
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(4 + 2 * i).toString(16));
  const text = groups.join(":");
  const runs = text.match(/\b0(?::0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (!longest) return text;
  const at = text.search(new RegExp(`(?:^|(?<=:))${longest}(?:$|(?=:))`));
  return `${text.slice(0, Math.max(0, at - 1))}::${text.slice(at + longest.length + 1)}`;
}

/** An operation on a socket: refuses a closed one, and says "closed" for what a close cancelled. */
abstract class SocketOperation<T> extends Operation<T> {
  protected readonly handleOf: () => number;

  constructor(handleOf: () => number) {
    super();
    this.handleOf = handleOf;
  }

  abstract get syscall(): string;

  protected started(status: number): number {
    if (status === parked) state.submitted = true;
    if (status === codes.busy) throw new Error(`cannot ${this.what}: another coroutine does so already`);
    return status;
  }

  protected error(status: number): Error {
    if (status === codes.badHandle || (status === canceled && this.handleOf() === 0)) {
      return Object.assign(ioError(canceled, this.syscall), { message: `${this.syscall} ECANCELED: the socket was closed` });
    }
    return ioError(status, this.syscall);
  }
}

class Accept extends SocketOperation<TCP> {
  override begin(wait: Wait): number {
    return this.started(library.zc_op_tcp_accept(env, this.handleOf(), tokenOf(wait)));
  }

  override finish(status: number, value: number): TCP {
    if (status < 0) throw this.error(status);
    return new TCP(value);
  }

  override get syscall(): string {
    return "accept";
  }

  override get what(): string {
    return "accept a connection";
  }
}

class Connect extends SocketOperation<void> {
  readonly #address: string;
  readonly #port: number;

  constructor(handleOf: () => number, address: string, port: number) {
    super(handleOf);
    this.#address = address;
    this.#port = port;
  }

  override begin(wait: Wait): number {
    return this.started(library.zc_op_tcp_connect(env, this.handleOf(), tokenOf(wait)));
  }

  override finish(status: number, _value: number): void {
    if (status < 0) throw ioError(status, "connect", { address: this.#address, port: this.#port });
  }

  override get syscall(): string {
    return "connect";
  }

  override get what(): string {
    return `connect to ${endpoint(this.#address, this.#port)}`;
  }
}

class Read extends SocketOperation<Uint8Array<ArrayBuffer> | null> {
  readonly #max: number;

  constructor(handleOf: () => number, max: number) {
    super(handleOf);
    this.#max = max;
  }

  override begin(wait: Wait): number {
    return this.started(library.zc_op_tcp_read(env, this.handleOf(), tokenOf(wait), this.#max));
  }

  override finish(status: number, _value: number): Uint8Array<ArrayBuffer> | null {
    if (status === 0) return null;
    if (status < 0) throw this.error(status);
    const bytes = new Uint8Array(status);
    if (library.zc_tcp_take(env, this.handleOf(), bytes, status) !== status) throw this.error(codes.badHandle);
    return bytes;
  }

  override get syscall(): string {
    return "read";
  }

  override get what(): string {
    return "read from a connection";
  }
}

class Write extends SocketOperation<void> {
  readonly #bytes: Uint8Array;

  constructor(handleOf: () => number, bytes: Uint8Array) {
    super(handleOf);
    this.#bytes = bytes;
  }

  override begin(wait: Wait): number {
    wait.scratch = 0;
    return this.started(this.#writeOn(wait));
  }

  override advance(status: number, _value: number, wait: Wait): number {
    if (status < 0) return status;
    wait.scratch += status;
    const next = this.#writeOn(wait);
    if (next === parked) state.submitted = true;
    return next;
  }

  /** Writes from `wait.scratch` on until all is gone or has to wait: 0 then, `parked`, or an error. */
  #writeOn(wait: Wait): number {
    const bytes = this.#bytes;
    if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.detached) return detached;
    while (wait.scratch < bytes.byteLength) {
      const length = Math.min(bytes.byteLength - wait.scratch, maxChunk);
      const status = library.zc_op_tcp_write(env, this.handleOf(), tokenOf(wait), bytes, wait.scratch, length);
      if (status < 0) return status;
      wait.scratch += status;
    }
    return 0;
  }

  override finish(status: number, _value: number): void {
    if (status === detached) throw new TypeError("TCP.write: data was detached (transferred) before all of it was written");
    if (status < 0) throw this.error(status);
  }

  override get syscall(): string {
    return "write";
  }

  override get what(): string {
    return "write to a connection";
  }
}

class Shutdown extends SocketOperation<void> {
  override begin(): number {
    return library.zc_tcp_shutdown(env, this.handleOf(), 1);
  }

  override finish(status: number, _value: number): void {
    if (status < 0) throw this.error(status);
  }

  override get syscall(): string {
    return "shutdown";
  }

  override get what(): string {
    return "shut down a connection";
  }
}
