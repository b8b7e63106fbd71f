// Unix sockets: streams between processes of one machine, whose addresses are paths.

import { unlinkSync } from "node:fs";
import { sequence } from "./call.ts";
import { checkInteger, checkMilliseconds, checkOptions, checkString, show } from "./check.ts";
import { Duplex } from "./duplex.ts";
import { errnos, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { env, lastErrno, library } from "./native/env.ts";
import type { Operation } from "./operation.ts";
import { Server } from "./server.ts";
import { now, sleep } from "./sleep.ts";

const encoder = new TextEncoder();
/** What the system's address has room for, a path's end included. */
const maxPath = process.platform === "linux" ? 108 : 104;
/** Milliseconds between attempts while a listener's backlog is full: the system says nothing when it no longer is. */
const retryDelay = 5;

export interface UnixListenOptions {
  /**
   * A path of at most 107 bytes (103 on macOS), or, on Linux, a name that no file system knows: a zero byte and up to 107 bytes. Elsewhere
   * a name is the error "ENOTSUP".
   */
  readonly path: string;
  /** Connections the kernel holds until they are accepted, 1 to 65535. Default 511. */
  readonly backlog?: number;
}

export interface UnixConnectOptions {
  /** As `UnixListenOptions.path`. */
  readonly path: string;
  /** How many milliseconds it may take while the listener's backlog is full; then the error is "ETIMEDOUT". Default: for ever. */
  readonly timeout?: number;
}

/** A listening Unix socket. */
export class UnixServer extends Server<Unix> {
  readonly path: string;

  constructor(handle: number, path: string) {
    super(handle);
    this.path = path;
  }

  override connection(handle: number): Unix {
    return new Unix(handle, this.path);
  }

  /** Closes it, and removes its path. Operations in flight end with an error whose code is "ECANCELED". Closing twice does nothing. */
  override close(): void {
    if (!this.closed && !isName(this.path)) removeFile(this.path);
    super.close();
  }
}

/** A connection over a Unix socket. One read and one write may be in flight at a time. */
export class Unix extends Duplex {
  /** Where it was connected to, or accepted at; undefined for one of a pair. */
  readonly path: string | undefined;

  constructor(handle: number, path: string | undefined) {
    super(handle);
    this.path = path;
  }

  /** Connects; the result is the connection. IO errors carry `path`. While the listener's backlog is full, it tries again. */
  static connect(options: UnixConnectOptions): Operation<Unix> {
    checkOptions(options, "asyncio.Unix.connect");
    const path = checkPath(options.path, "asyncio.Unix.connect: path");
    const { timeout } = options;
    if (timeout !== undefined) checkMilliseconds(timeout, "asyncio.Unix.connect: timeout");
    return sequence(`connect to ${nameOf(path)}`, () => connect(path, timeout ?? Number.POSITIVE_INFINITY));
  }

  /**
   * Binds and listens. IO errors carry `path`: "EADDRINUSE" when there is something already, also when that is what a program that was killed
   * has left. A close removes the path.
   */
  static listen(options: UnixListenOptions): Operation<UnixServer> {
    checkOptions(options, "asyncio.Unix.listen");
    const path = checkPath(options.path, "asyncio.Unix.listen: path");
    const backlog = checkInteger(options.backlog ?? 511, "asyncio.Unix.listen: backlog", 1, 65535);
    return sequence(`listen on ${nameOf(path)}`, () => listen(path, backlog));
  }

  /** Two connections to each other. @throws IO errors */
  static pair(): [Unix, Unix] {
    const ends = new Uint32Array(2);
    const status = library.zc_stream_pair(env, ends);
    if (status < 0) throw ioError(status, "socketpair");
    return [new Unix(ends[0] as number, undefined), new Unix(ends[1] as number, undefined)];
  }

  /** Who the other end was when it connected or began to listen; undefined once this is closed. */
  get peer(): { readonly pid: number; readonly uid: number; readonly gid: number } | undefined {
    const credentials = new Int32Array(3);
    if (this.handle === 0 || library.zc_unix_peer(env, this.handle, credentials) < 0) return undefined;
    const [pid, uid, gid] = credentials;
    return { pid: pid as number, uid: uid as number, gid: gid as number };
  }

  override get noun(): string {
    return "connection";
  }

  override get closedNoun(): string {
    return "socket";
  }
}

function* connect(path: string, timeout: number): Coroutine<Unix> {
  const bytes = encoder.encode(path);
  const deadline = now() + timeout;
  for (;;) {
    const handle = library.zc_unix_connect(env, bytes, bytes.byteLength);
    if (handle !== 0) return new Unix(handle, path);
    const errno = lastErrno();
    if (errno !== errnos.EAGAIN) throw ioError(errno, "connect", { path });
    if (now() >= deadline) throw ioError(errnos.ETIMEDOUT, "connect", { path });
    yield* sleep(Math.min(retryDelay, Math.max(0, deadline - now())));
  }
}

// biome-ignore lint/correctness/useYield: an operation, as TCP's
function* listen(path: string, backlog: number): Coroutine<UnixServer> {
  const bytes = encoder.encode(path);
  const handle = library.zc_unix_listen(env, bytes, bytes.byteLength, backlog);
  if (handle === 0) throw ioError(lastErrno(), "listen", { path });
  return new UnixServer(handle, path);
}

function checkPath(value: unknown, what: string): string {
  const path = checkString(value, what);
  if (path === "" || path === "\0") throw new TypeError(`${what} must not be empty`);
  if (path.includes("\0", 1)) throw new TypeError(`${what} must not have a zero byte after its beginning, got ${show(path)}`);
  const length = encoder.encode(path).byteLength + (isName(path) ? 0 : 1);
  if (length > maxPath) throw new RangeError(`${what} must be at most ${maxPath - 1} bytes long, got ${show(path)}`);
  return path;
}

function isName(path: string): boolean {
  return path.startsWith("\0");
}

/** As the system's tools show it. */
function nameOf(path: string): string {
  return path.replace("\0", "@");
}

function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else was faster.
  }
}
