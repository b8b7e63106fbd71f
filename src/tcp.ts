// TCP: listeners and connections. The sockets are native (zig/io/tcp.zig); these objects hold handles, check arguments and turn
// results into values and Node-shaped errors.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Address, readAddress } from "./address.ts";
import { sequence } from "./call.ts";
import { checkInteger, checkString, show } from "./check.ts";
import { Duplex } from "./duplex.ts";
import { EndpointOperation } from "./endpoint.ts";
import { endpoint, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { type Operation, tokenOf } from "./operation.ts";
import { Server } from "./server.ts";
import { Shutdown } from "./stream-write.ts";
import { until } from "./until.ts";
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
}

export interface ConnectOptions {
  /** 1 to 65535. */
  readonly port: number;
  /** An address or a host name. Default "127.0.0.1". */
  readonly host?: string;
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
    return this.#addressOf(0);
  }

  /** The other end's address; undefined when that was gone, or this closed, before it was first asked for. */
  get remote(): Address | undefined {
    return this.#addressOf(1);
  }

  /** Small writes go out at once instead of being gathered (TCP_NODELAY). */
  setNoDelay(on = true): void {
    if (this.handle === 0) return;
    library.zc_tcp_no_delay(env, this.handle, on ? 1 : 0);
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
