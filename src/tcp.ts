// TCP: listeners and connections. The sockets are native (zig/io/tcp.zig); these objects hold handles, check arguments and turn
// results into values and Node-shaped errors.

import { type Address, readAddress } from "./address.ts";
import { call, sequence } from "./call.ts";
import { checkInteger, checkMilliseconds, checkOptions } from "./check.ts";
import { Duplex } from "./duplex.ts";
import { EndpointOperation } from "./endpoint.ts";
import { endpoint, errnos, ioError, TimeoutError } from "./error.ts";
import { firstConnected } from "./eyeballs.ts";
import type { Coroutine } from "./frame.ts";
import { checkHost, resolve } from "./host.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { type Operation, tokenOf } from "./operation.ts";
import { Server } from "./server.ts";
import { withTimeout } from "./timeout.ts";
import type { Wait } from "./wait.ts";

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
  /** An IPv6 address takes no IPv4 connections; "::" takes both otherwise. Default false. */
  readonly ipv6Only?: boolean;
}

export interface ConnectOptions {
  /** 1 to 65535. */
  readonly port: number;
  /** An address or a host name. Default "127.0.0.1". */
  readonly host?: string;
  /** How many milliseconds it may take in all; then the error is "ETIMEDOUT". Default: as long as the system tries. */
  readonly timeout?: number;
  /**
   * Of a host with several addresses the next is tried only when the one before it has failed. Default false: also when that has had 250 ms,
   * beside it, as RFC 8305 ("happy eyeballs") has it; the first connection wins.
   */
  readonly inOrder?: boolean;
}

/** How idle connections are asked whether their peer is there; what is not given is the system's. */
export interface KeepAliveOptions {
  /** Milliseconds without traffic before the first time, rounded up to seconds. */
  readonly idle?: number;
  /** Milliseconds between one time and the next, rounded up to seconds. */
  readonly interval?: number;
  /** How many times without an answer end the connection, 1 to 127. */
  readonly count?: number;
}

/** A listening socket. */
export class TCPServer extends Server<TCP> {
  /** The address it listens on. */
  readonly local: Address;

  constructor(handle: number) {
    super(handle);
    this.local = readAddress(handle, 0) as Address;
  }

  override connection(handle: number): TCP {
    return new TCP(handle);
  }
}

/** A connection. One read and one write may be in flight at a time. */
export class TCP extends Duplex {
  readonly #addresses: (Address | undefined)[] = [];

  /**
   * Connects; the result is the connection. IO errors carry `address` and `port`. When a host has several addresses and all of them fail, the
   * error is an AggregateError of their errors, with the first one's fields.
   */
  static connect(options: ConnectOptions): Operation<TCP> {
    checkOptions(options, "asyncio.TCP.connect");
    const port = checkInteger(options.port, "asyncio.TCP.connect: port", 1, 65535);
    const host = checkHost(options.host ?? "127.0.0.1", "asyncio.TCP.connect: host");
    const { timeout, inOrder = false } = options;
    if (timeout !== undefined) checkMilliseconds(timeout, "asyncio.TCP.connect: timeout");
    const body = () => connect(host, port, inOrder === true);
    return sequence(`connect to ${endpoint(host, port)}`, timeout === undefined ? body : () => connectWithin(timeout, host, port, body));
  }

  /** Binds and listens. IO errors carry `address` and `port`. */
  static listen(options: ListenOptions): Operation<TCPServer> {
    checkOptions(options, "asyncio.TCP.listen");
    const port = checkInteger(options.port, "asyncio.TCP.listen: port", 0, 65535);
    const host = checkHost(options.host ?? "127.0.0.1", "asyncio.TCP.listen: host");
    const backlog = checkInteger(options.backlog ?? 511, "asyncio.TCP.listen: backlog", 1, 65535);
    const flags = (options.reusePort === true ? 1 : 0) + (options.ipv6Only === true ? 2 : 0);
    return sequence(`listen on ${endpoint(host, port)}`, () => listen(host, port, backlog, flags));
  }

  /** This end's address; undefined when the connection was closed before it was first asked for. */
  get local(): Address | undefined {
    return this.#addressOf(0);
  }

  /** The other end's address, also after that has gone; undefined when this was closed before it was first asked for. */
  get remote(): Address | undefined {
    return this.#addressOf(1);
  }

  /** Small writes go out at once instead of being gathered (TCP_NODELAY). */
  setNoDelay(on = true): void {
    if (this.handle === 0) return;
    library.zc_tcp_no_delay(env, this.handle, on ? 1 : 0);
  }

  /** The system asks an idle peer whether it is there, so that one that vanished is noticed: reads then fail with "ETIMEDOUT". */
  setKeepAlive(on = true, options: KeepAliveOptions = {}): void {
    checkOptions(options, "TCP.setKeepAlive");
    const { idle, interval, count } = options;
    const figures = [
      seconds(idle, "TCP.setKeepAlive: idle"),
      seconds(interval, "TCP.setKeepAlive: interval"),
      count === undefined ? 0 : checkInteger(count, "TCP.setKeepAlive: count", 1, 127),
    ] as const;
    if (this.handle === 0) return;
    const status = library.zc_tcp_keep_alive(env, this.handle, on ? 1 : 0, ...figures);
    if (status < 0) throw ioError(status, "setsockopt");
  }

  override get noun(): string {
    return "connection";
  }

  override get closedNoun(): string {
    return "socket";
  }

  #addressOf(peer: 0 | 1): Address | undefined {
    this.#addresses[peer] ??= readAddress(this.handle, peer);
    return this.#addresses[peer];
  }
}

/** Whole seconds for the system; 0 for what is not given. */
function seconds(ms: number | undefined, what: string): number {
  return ms === undefined ? 0 : Math.ceil(checkInteger(ms, what, 1, 32_767_000) / 1000);
}

function* connectWithin(timeout: number, host: string, port: number, body: () => Coroutine<TCP>): Coroutine<TCP> {
  try {
    return yield* withTimeout(timeout, call(body));
  } catch (cause) {
    if (!(cause instanceof TimeoutError)) throw cause;
    throw Object.assign(ioError(errnos.ETIMEDOUT, "connect", { address: host, port }), { cause });
  }
}

function* connect(host: string, port: number, inOrder: boolean): Coroutine<TCP> {
  const addresses = yield* resolve(host, "connect", port);
  return yield* firstConnected(addresses, (address) => connectTo(address, port), inOrder);
}

function* connectTo(address: string, port: number): Coroutine<TCP> {
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

function* listen(host: string, port: number, backlog: number, flags: number): Coroutine<TCPServer> {
  const [address = ""] = yield* resolve(host, "listen", port);
  const bytes = encoder.encode(address);
  const handle = library.zc_tcp_listen(env, bytes, bytes.byteLength, port, backlog, flags);
  if (handle === 0) throw ioError(lastErrno(), "listen", { address, port });
  return new TCPServer(handle);
}

class Connect extends EndpointOperation<void> {
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
