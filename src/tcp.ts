// TCP: listeners and connections. The sockets are native (zig/io/tcp.zig); these objects hold handles, check arguments and turn
// results into values and Node-shaped errors.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Address, readAddress } from "./address.ts";
import { sequence } from "./call.ts";
import { checkInteger, checkString, show } from "./check.ts";
import { codes, parked } from "./code.ts";
import { endpoint, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import { until } from "./until.ts";
import type { Wait } from "./wait.ts";

/** What a write answers when its data is not what it was. */
const changed = -20_000;
const maxChunk = 2 ** 31 - 1;
const encoder = new TextEncoder();

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
  /** Who accepts or reads, and who connects or writes: one at a time. */
  readonly receiving: Lane = { wait: undefined };
  readonly sending: Lane = { wait: undefined };
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

/** One direction of a socket. */
interface Lane {
  wait: Wait | undefined;
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
  readonly local: Address;
  /** Connections that were accepted and not wanted: those of accepts that lost in a select. */
  readonly returned: TCP[] = [];

  constructor(handle: number) {
    super(handle);
    this.local = this.addressOf(0) as Address;
  }

  override close(): void {
    super.close();
    for (const connection of this.returned.splice(0)) connection.close();
  }

  /** The next connection. */
  accept(): Operation<TCP> {
    return new Accept(this);
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
    const host = checkHost(options.host, "asyncio.TCP.connect: host");
    return sequence(`connect to ${endpoint(host, port)}`, () => connect(host, port));
  }

  /** Binds and listens. IO errors carry `address` and `port`. */
  static listen(options: ListenOptions): Operation<TCPServer> {
    const port = checkInteger(options?.port, "asyncio.TCP.listen: port", 0, 65535);
    const host = checkHost(options.host, "asyncio.TCP.listen: host");
    const backlog = checkInteger(options.backlog ?? 511, "asyncio.TCP.listen: backlog", 1, 65535);
    return sequence(`listen on ${endpoint(host, port)}`, () => listen(host, port, backlog, options.reusePort === true));
  }

  /** This end's address; undefined when the connection was closed before it was first asked for. */
  get local(): Address | undefined {
    return this.addressOf(0);
  }

  /** The other end's address; undefined when that was gone, or this closed, before it was first asked for. */
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
    return new Read(this, checkInteger(max, "TCP.read: max", 1, maxChunk));
  }

  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: string | Uint8Array | ArrayBuffer): Operation<void> {
    return new Write(this, checkBytes(data, "TCP.write: data"));
  }

  /** Ends the writing side: the peer reads the end of the stream, and can still write. */
  shutdown(): Operation<void> {
    return new Shutdown(this);
  }
}

function* connect(host: string, port: number): Coroutine<TCP> {
  const address = yield* resolve(host, "connect", port);
  const bytes = encoder.encode(address);
  const handle = library.zc_tcp_open(env, bytes, bytes.byteLength, port);
  if (handle === 0) throw ioError(lastErrno(), "connect", { address, port });
  const connection = new TCP(handle);
  try {
    yield* new Connect(connection, address, port);
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

function checkHost(value: unknown, what: string): string {
  const host = checkString(value ?? "127.0.0.1", what);
  if (host === "") throw new TypeError(`${what} must not be empty`);
  if (host.includes("%")) throw new TypeError(`${what} must not name a zone, got ${show(host)}`);
  return host;
}

export function checkBytes(data: unknown, what: string): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  const bytes = data instanceof ArrayBuffer && !data.detached ? new Uint8Array(data) : data;
  // Only an empty view is asked for its buffer: the engine makes one for each small array that is.
  const isDetached =
    bytes instanceof ArrayBuffer || (bytes instanceof Uint8Array && bytes.byteLength === 0 && isDetachedBuffer(bytes.buffer));
  if (isDetached) throw new TypeError(`${what} must not be detached (transferred)`);
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
  return bytes;
}

function isDetachedBuffer(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

/** An operation on a socket: one at a time in its lane, and "closed" for what a close cancelled. */
abstract class SocketOperation<T> extends Operation<T> {
  readonly #socket: Socket;
  readonly #lane: Lane;

  constructor(socket: Socket, lane: Lane) {
    super();
    this.#socket = socket;
    this.#lane = lane;
  }

  /** "read", "write" and so on, as errors say it. */
  abstract get syscall(): string;

  /** Makes the native call. */
  protected abstract start(handle: number, wait: Wait): number;

  /** The result of a status that is no error. */
  protected abstract result(handle: number, status: number, value: number): T;

  override begin(wait: Wait): number {
    if (this.#lane.wait !== undefined) throw new Error(`cannot ${this.what}: another coroutine does so already`);
    const status = this.started(wait);
    this.#lane.wait = wait;
    return status;
  }

  protected started(wait: Wait): number {
    const status = this.start(this.#socket.handle, wait);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, value: number, wait: Wait): T {
    this.#lane.wait = undefined;
    wait.payload = undefined;
    if (status < 0) throw this.error(status);
    return this.result(this.#socket.handle, status, value);
  }

  override forget(wait: Wait): void {
    this.#lane.wait = undefined;
    wait.payload = undefined;
  }

  protected error(status: number): Error {
    const isClosed = status === codes.badHandle || (status === codes.canceled && this.#socket.closed);
    const error = ioError(isClosed ? codes.canceled : status, this.syscall);
    return isClosed ? Object.assign(error, { message: `${this.syscall} ECANCELED: the socket was closed` }) : error;
  }
}

class Accept extends SocketOperation<TCP> {
  readonly #server: TCPServer;

  constructor(server: TCPServer) {
    super(server, server.receiving);
    this.#server = server;
  }

  override poll(wait: Wait): number {
    if (this.#server.returned.length === 0 || this.#server.closed) return parked;
    wait.payload = this.#server.returned.shift();
    return 0;
  }

  override begin(wait: Wait): number {
    const status = this.poll(wait);
    return status === parked ? super.begin(wait) : status;
  }

  override finish(status: number, value: number, wait: Wait): TCP {
    if (wait.payload === undefined) return super.finish(status, value, wait);
    const connection = wait.payload as TCP;
    wait.payload = undefined;
    return connection;
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    if (status < 0) this.forget(wait);
    else this.putBack(this.finish(status, value, wait));
  }

  override putBack(connection: TCP): void {
    if (this.#server.closed) connection.close();
    else this.#server.returned.unshift(connection);
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_accept(env, handle, tokenOf(wait));
  }

  protected override result(_handle: number, _status: number, accepted: number): TCP {
    return new TCP(accepted);
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

  constructor(socket: TCP, address: string, port: number) {
    super(socket, socket.sending);
    this.#address = address;
    this.#port = port;
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_connect(env, handle, tokenOf(wait));
  }

  protected override result(): void {}

  protected override error(status: number): Error {
    return ioError(status, "connect", { address: this.#address, port: this.#port });
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

  constructor(socket: TCP, max: number) {
    super(socket, socket.receiving);
    this.#max = max;
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_read(env, handle, tokenOf(wait), this.#max);
  }

  protected override result(handle: number, status: number): Uint8Array<ArrayBuffer> | null {
    if (status === 0) return null;
    const bytes = new Uint8Array(status);
    if (library.zc_tcp_take(env, handle, bytes, status) !== status) throw this.error(codes.badHandle);
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
  readonly #length: number;

  constructor(socket: TCP, bytes: Uint8Array) {
    super(socket, socket.sending);
    this.#bytes = bytes;
    this.#length = bytes.byteLength;
  }

  /** Writes from `wait.payload` on until all is gone or has to wait: 0 then, `parked`, or an error. */
  protected override start(handle: number, wait: Wait): number {
    if (handle === 0) return codes.badHandle;
    const bytes = this.#bytes;
    for (let done = wait.payload as number; done < this.#length; done = wait.payload as number) {
      if (bytes.byteLength !== this.#length) return changed;
      const length = Math.min(this.#length - done, maxChunk);
      const status = library.zc_op_tcp_write(env, handle, tokenOf(wait), bytes, done, length);
      if (status < 0) return status;
      wait.payload = done + status;
    }
    return 0;
  }

  override begin(wait: Wait): number {
    wait.payload = 0;
    return super.begin(wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    if (status < 0) return status;
    wait.payload = (wait.payload as number) + status;
    return this.started(wait);
  }

  protected override result(): void {}

  protected override error(status: number): Error {
    return status === changed ? new TypeError("TCP.write: data was detached or resized before all of it was written") : super.error(status);
  }

  override get syscall(): string {
    return "write";
  }

  override get what(): string {
    return "write to a connection";
  }
}

class Shutdown extends SocketOperation<void> {
  constructor(socket: TCP) {
    super(socket, { wait: undefined });
  }

  protected override start(handle: number): number {
    return library.zc_tcp_shutdown(env, handle, 1);
  }

  protected override result(): void {}

  override get syscall(): string {
    return "shutdown";
  }

  override get what(): string {
    return "shut down a connection";
  }
}
