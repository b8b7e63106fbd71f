// Streams over descriptors: what a program was started with, what others have opened, and pipes.

import { checkInteger, checkOptions, show } from "./check.ts";
import { Duplex, Reader, Writer } from "./duplex.ts";
import { collected } from "./endpoint.ts";
import { ioError } from "./error.ts";
import { env, lastErrno, library } from "./native/env.ts";

/** What zc_stream_adopt is told: zig/io/descriptor.zig, Terms. */
const terms = { readable: 1, writable: 2, keep: 4 } as const;
const classes = {
  r: [Reader, terms.readable],
  w: [Writer, terms.writable],
  rw: [Duplex, terms.readable + terms.writable],
} as const;
const maxDescriptor = 2 ** 31 - 1;

export interface DescriptorOptions {
  /**
   * The descriptor stays the caller's, and the stream works on one of its own, so that closing the one leaves the other open. Default
   * false: the stream owns it and closes it.
   */
  readonly keep?: boolean;
}

/**
 * A stream over descriptor `fd`: a pipe, terminal, stream socket, device or regular file, open for `direction`: "r" to read, "w" to write,
 * "rw" for both. Nothing that others share with it is changed: it is not made non-blocking, and yet no read or write of it keeps the
 * loop waiting. A regular file is read and written on the spot.
 *
 * @throws TypeError, RangeError; IO errors: "EBADF" when it is not open, or not for that; "EISDIR", "EOPNOTSUPP" when it is no stream
 */
export function fromDescriptor(fd: number, direction: "r", options?: DescriptorOptions): Reader;
export function fromDescriptor(fd: number, direction: "w", options?: DescriptorOptions): Writer;
export function fromDescriptor(fd: number, direction: "rw", options?: DescriptorOptions): Duplex;
export function fromDescriptor(fd: number, direction: "r" | "w" | "rw", options: DescriptorOptions = {}): Reader | Writer {
  checkInteger(fd, "asyncio.fromDescriptor: fd", 0, maxDescriptor);
  if (typeof direction !== "string" || !Object.hasOwn(classes, direction)) {
    throw new TypeError(`asyncio.fromDescriptor: direction must be "r", "w" or "rw", got ${show(direction)}`);
  }
  checkOptions(options, "asyncio.fromDescriptor");
  const [Class, ways] = classes[direction];
  return new Class(adopt(fd, ways + (options.keep === true ? terms.keep : 0)));
}

function named(error: Error, what: string): Error {
  return Object.assign(error, { message: `${error.message}, ${what}` });
}

function adopt(fd: number, ways: number): number {
  const handle = library.zc_stream_adopt(env, fd, ways);
  if (handle === 0) throw named(ioError(lastErrno(), "open"), `descriptor ${fd}`);
  return handle;
}

/** Both ends of a new pipe: what is written to the one is read from the other. */
export function pipe(): { readonly reader: Reader; readonly writer: Writer } {
  const ends = new Uint32Array(2);
  const status = library.zc_stream_pipe(env, ends);
  if (status < 0) throw ioError(status, "pipe");
  return { reader: new Reader(ends[0] as number), writer: new Writer(ends[1] as number) };
}

/** The descriptor that the program was started with is looked at when it is first used. Closing the stream leaves it open. */
class StandardReader extends Reader {
  #isNew = true;

  constructor() {
    super(0);
  }

  override get closed(): boolean {
    return !this.#isNew && super.closed;
  }

  override opened(): number {
    if (this.#isNew) open(this, 0, terms.readable);
    this.#isNew = false;
    return this.handle;
  }

  override close(): void {
    this.#isNew = false;
    super.close();
  }
}

class StandardWriter extends Writer {
  readonly #fd: number;
  #isNew = true;

  constructor(fd: number) {
    super(0);
    this.#fd = fd;
  }

  override get closed(): boolean {
    return !this.#isNew && super.closed;
  }

  override opened(): number {
    if (this.#isNew) open(this, this.#fd, terms.writable);
    this.#isNew = false;
    return this.handle;
  }

  override close(): void {
    this.#isNew = false;
    super.close();
  }
}

function open(stream: Reader | Writer, fd: number, way: number): void {
  stream.handle = adopt(fd, way + terms.keep);
  collected.register(stream, stream.handle, stream);
}

/** What the program reads from: a terminal, pipe, socket or file. Not to be read by Bun at the same time. */
export const stdin: Reader = new StandardReader();
/** What the program writes to. */
export const stdout: Writer = new StandardWriter(1);
/** Where the program complains. */
export const stderr: Writer = new StandardWriter(2);
