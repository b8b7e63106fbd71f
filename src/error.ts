// The package's own errors, and IO errors shaped like Node's.

import { getSystemErrorMap } from "node:util";

/** Recording a place takes longer than spawning a coroutine, so it is done when ZIGCORO_TRACE=1 asks for it. */
export const recordsPlaces = process.env.ZIGCORO_TRACE === "1";

/**
 * Thrown inside a coroutine that was cancelled, at the operation it waited for or the next one it starts. What was given as the reason is
 * its `cause`. It records no stack unless ZIGCORO_TRACE=1 asks for that: many are made at once, and the reason says more.
 */
export class Cancelled extends Error {
  override readonly name = "Cancelled";
  readonly code = "ERR_CANCELLED";
  constructor(reason?: unknown) {
    const { stackTraceLimit } = Error;
    if (!recordsPlaces) Error.stackTraceLimit = 0;
    super("the coroutine was cancelled", { cause: reason });
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** Thrown by `withTimeout` when the time was over first. */
export class TimeoutError extends Error {
  override readonly name = "TimeoutError";
  readonly code = "ERR_TIMEOUT";
  constructor(ms: number, what: string) {
    super(`timed out after ${ms} ms waiting to ${what}`);
  }
}

/**
 * Coroutines were used in a way that means nothing: a finished one resumed, a suspend outside of any, one that awaits itself. The message
 * names them.
 */
export class MisuseError extends Error {
  readonly code = "ERR_CORO_MISUSE";
}

/** Thrown by a send on a closed channel. */
export class ChannelClosed extends Error {
  override readonly name = "ChannelClosed";
  readonly code = "ERR_CHANNEL_CLOSED";
  /** @param cause what the channel was closed with @param message when it is not that something was to be sent */
  constructor(channel: string, cause?: unknown, message = `cannot send to channel "${channel}": it is closed`) {
    super(message, cause === undefined ? {} : { cause });
  }
}

/** A stream ended in the middle of what was to be read. What came of it has been read, and is `partial`. */
export class UnexpectedEnd extends Error {
  override readonly name = "UnexpectedEnd";
  readonly code = "ERR_UNEXPECTED_END";
  readonly partial: Uint8Array<ArrayBuffer>;
  constructor(wanted: string, partial: Uint8Array<ArrayBuffer>) {
    super(`the stream ended after ${partial.byteLength} bytes, before ${wanted}`);
    this.partial = partial;
  }
}

/** Nothing is ready, nothing is in flight, and somebody waits. */
export class Deadlock extends Error {
  override readonly name = "Deadlock";
  readonly code = "ERR_DEADLOCK";
  constructor(waits: readonly string[]) {
    super(["all coroutines are asleep", ...waits].join("\n    "));
  }
}

/** Where an IO error happened. */
export interface IoErrorDetail {
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  /** Of a file, or of a Unix socket. */
  readonly path?: string | undefined;
}

/** An IO error as Node shapes it. */
export interface IoError extends Error, IoErrorDetail {
  /** The error's name, such as "ECONNREFUSED". */
  readonly code: string;
  /** Negative, as in Node. */
  readonly errno: number;
  /** The operation that failed, as the system or this package calls it: "connect", "read", "fsync", "spawn", "wait" and so on. */
  readonly syscall: string;
}

const isWindows = process.platform === "win32";

/** The error for a negative `errno` of `syscall`. */
export function ioError(errno: number, syscall: string, detail: IoErrorDetail = {}): IoError {
  // Codes of our own are no errnos; whoever can get one says what it means.
  if (errno < -4095) throw new Error(`zigcoro: ${syscall} answered code ${errno}; please report this`);
  const [code, description] = getSystemErrorMap().get(errno) ?? [`errno ${-errno}`, "unknown error"];
  const fields: Record<string, unknown> = { code, errno, syscall };
  const message = messageOf(code, code === "ENOSYS" && isWindows ? "not on Windows yet" : description, syscall, detail);
  if (detail.path !== undefined) fields.path = detail.path;
  if (detail.address !== undefined) fields.address = detail.address;
  if (detail.port !== undefined) fields.port = detail.port;
  return Object.assign(new Error(message), fields) as unknown as IoError;
}

/** What an operation on something ends with that was closed, before it or under it. */
export function closedError(syscall: string, noun: string, path?: string): IoError {
  const error = ioError(errnos.ECANCELED, syscall, { path });
  const said = `the ${noun} was closed`;
  const message = path === undefined ? `${syscall} ${error.code}: ${said}` : `${error.code}: ${said}, ${syscall} '${path}'`;
  return Object.assign(error, { message });
}

/** Errnos that mean something to us, as native code answers them: negative, and each system's own. */
export const errnos = {
  EAGAIN: errnoOf("EAGAIN"),
  ECANCELED: errnoOf("ECANCELED"),
  ENOENT: errnoOf("ENOENT"),
  ESPIPE: errnoOf("ESPIPE"),
  ESRCH: errnoOf("ESRCH"),
  ETIMEDOUT: errnoOf("ETIMEDOUT"),
} as const;

function errnoOf(wanted: string): number {
  for (const [errno, [name]] of getSystemErrorMap()) if (name === wanted) return errno;
  throw new Error(`zigcoro does not know ${wanted} on this system; please report this`);
}

/** Node's: "connect ECONNREFUSED 127.0.0.1:1", "listen EADDRINUSE: address already in use 127.0.0.1:1", "ENOENT: no such file or directory, open '/x'". */
function messageOf(code: string, description: string, syscall: string, { address, port, path }: IoErrorDetail): string {
  const isSocket = syscall === "connect" || syscall === "listen";
  if (path !== undefined && !isSocket) return `${code}: ${description}, ${syscall} '${path}'`;
  // A name that no file system knows begins with a zero byte; the system's tools show an "@".
  const place = address === undefined ? path?.replace("\0", "@") : endpoint(address, port);
  const at = place === undefined ? "" : ` ${place}`;
  return syscall === "connect" ? `${syscall} ${code}${at}` : `${syscall} ${code}: ${description}${at}`;
}

/** "127.0.0.1:80" or "[::1]:80". */
export function endpoint(address: string, port?: number): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return port === undefined ? host : `${host}:${port}`;
}
