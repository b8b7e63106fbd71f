// File: an open file. The descriptor is native (zig/io/file.zig); this object holds its handle and the file's position, which is kept here
// and not by the system, so that a read that was cancelled has not moved it.

import { checkBytes, type Writable } from "./bytes.ts";
import { sequence } from "./call.ts";
import { checkInteger, checkOptions, show } from "./check.ts";
import { parked } from "./code.ts";
import { ioError } from "./error.ts";
import { Chunks, Lines, type LinesOptions, type PartOptions } from "./file-lines.ts";
import { FileOperation, type Lane, type OpenFile, Pread, PreadInto, Pwrite, Read, Stat, Sync, Truncate, Write } from "./file-operation.ts";
import { appends, checkFlags, checkPath, type FilePath, type OpenFlags, type Path } from "./file-path.ts";
import type { FileStat } from "./file-stat.ts";
import type { Coroutine } from "./frame.ts";
import { env, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

export type { OpenFlags } from "./file-path.ts";

const maxLength = 2 ** 31 - 1;
const maxPosition = Number.MAX_SAFE_INTEGER;
const defaultMode = 0o666;
const defaultRead = 64 * 1024;

export interface FileOptions {
  /** Node's names, "r", "w", "a+" and so on, or a number of `O_` constants. Default "r". */
  readonly flags?: OpenFlags | number;
  /** Permissions of a file that is created, less the process's umask: 0 to 0o7777. Default 0o666. */
  readonly mode?: number;
}

/** A file that is collected without a close is closed. */
const collected = new FinalizationRegistry<number>(closeHandle);

function closeHandle(handle: number): void {
  library.zc_file_close(env, handle);
  state.submitted = true;
  poke();
}

/**
 * An open file. Any number of `pread`s, `pwrite`s and others may be in flight; of `read` and `write`, which go on where the last one ended,
 * one at a time. What the system has in memory is read at once, in one system call; what would have to wait waits in the kernel (io_uring) or
 * in a thread of a small pool (epoll), and the loop goes on. Of a stream, a read and a write may be in flight together.
 *
 * Errors are Node's, with `code`, `errno`, `syscall` and `path`.
 *
 * @example
 * ```ts
 * await using file = await asyncio.File.open("/tmp/zigcoro-example", "w+");
 * await file.write("hello world");
 * const bytes = await file.pread(5, 6);
 * console.log(new TextDecoder().decode(bytes)); // world
 * ```
 */
export class File implements OpenFile {
  /** The native handle, for native bodies; 0 once closed. */
  handle: number;
  readonly path: string;
  readonly appends: boolean;
  /** Whether it has no positions, as pipes and terminals: `read` and `write` only. */
  readonly isStream: boolean;
  /** Who reads and who writes at the position, or the stream's ends. */
  readonly reading: Lane = { wait: undefined };
  readonly writing: Lane;
  readonly returned: Uint8Array<ArrayBuffer>[] = [];
  #position = 0;

  /** @internal */
  constructor(handle: number, path: string, flags: number) {
    this.handle = handle;
    this.path = path;
    this.appends = appends(flags);
    this.isStream = library.zc_file_is_stream(env, handle) === 1;
    this.writing = this.isStream ? { wait: undefined } : this.reading;
    collected.register(this, handle, this);
  }

  /**
   * Opens a file. `path` is relative to the process's directory when it is no absolute one. The descriptor is closed on exec.
   *
   * To open a FIFO waits until its other end is opened, too, and can be cancelled.
   *
   * @throws TypeError, RangeError
   */
  static open(path: FilePath, flags?: OpenFlags | number, mode?: number): Operation<File>;
  static open(path: FilePath, options: FileOptions): Operation<File>;
  static open(path: FilePath, flags: OpenFlags | number | FileOptions = "r", mode?: number): Operation<File> {
    const options = typeof flags === "object" && flags !== null ? flags : { flags, ...(mode !== undefined && { mode }) };
    return opening(path, options, "r", "asyncio.File.open");
  }

  /** All of a file. @throws TypeError */
  static readAll(path: FilePath): Operation<Uint8Array<ArrayBuffer>> {
    const open = opening(path, {}, "r", "asyncio.File.readAll");
    return sequence(`read '${open.path.text}'`, () => readAll(open));
  }

  /** All of a file, as UTF-8. @throws TypeError */
  static readText(path: FilePath): Operation<string> {
    const open = opening(path, {}, "r", "asyncio.File.readText");
    return sequence(`read '${open.path.text}'`, function* () {
      const { buffer, byteOffset, byteLength } = yield* readAll(open);
      return Buffer.from(buffer, byteOffset, byteLength).toString();
    });
  }

  /** Makes `data` all of a file (with flags "a": appends it). @throws TypeError, RangeError */
  static writeAll(path: FilePath, data: Writable, options: FileOptions = {}): Operation<void> {
    const bytes = checkBytes(data, "asyncio.File.writeAll: data");
    const open = opening(path, options, "w", "asyncio.File.writeAll");
    return sequence(`write '${open.path.text}'`, function* () {
      const file = yield* open;
      try {
        yield* file.write(bytes);
        yield* file.close();
      } finally {
        file[Symbol.dispose]();
      }
    });
  }

  /**
   * The lines of a file, which is opened by the first `next` and closed at the end.
   *
   * @example
   * ```ts
   * await asyncio.File.writeAll("/tmp/zigcoro-lines", "one\ntwo\r\nthree");
   * for await (const line of asyncio.File.lines("/tmp/zigcoro-lines")) console.log(line);
   * ```
   * @throws TypeError, RangeError
   */
  static lines(path: FilePath, options: LinesOptions = {}): Lines {
    const open = opening(path, {}, "r", "asyncio.File.lines");
    return new Lines(open, open.path.text, options, "asyncio.File.lines");
  }

  /** Whether a close has begun. */
  get closed(): boolean {
    return this.handle === 0;
  }

  /** Where the next `read` or `write` begins, in bytes; it may be set. A write of a file that appends goes to the end and leaves it alone. */
  get position(): number {
    return this.#position;
  }

  set position(position: number) {
    this.#position = checkInteger(position, "File.position", 0, maxPosition);
  }

  /**
   * The next bytes from the position on, in memory of their own: `max`, or fewer where the file ends; null at its end. Of a stream, what there
   * is. One that is cancelled or loses in a select has read nothing.
   *
   * @param max 1 to 2^31 - 1, default 64 KiB
   * @throws Error when another read or write at the position is in flight
   */
  read(max: number = defaultRead): Operation<Uint8Array<ArrayBuffer> | null> {
    return new Read(this, checkInteger(max, "File.read: max", 1, maxLength));
  }

  /**
   * Writes all of `data`, a string as UTF-8, from the position on. `data` must stay unchanged until it has ended. One that is cancelled may
   * have written a part; the position is behind that.
   *
   * @throws Error when another read or write at the position is in flight
   */
  write(data: Writable): Operation<void> {
    return new Write(this, checkBytes(data, "File.write: data"));
  }

  /** Bytes at `position`, in memory of their own: `length` (0 to 2^31 - 1), or fewer where the file ends. */
  pread(length: number, position: number): Operation<Uint8Array<ArrayBuffer>> {
    checkInteger(length, "File.pread: length", 0, maxLength);
    return new Pread(this, length, checkInteger(position, "File.pread: position", 0, maxPosition));
  }

  /**
   * Reads at `position` until `into` is full or the file ends; how many bytes. `into` is left alone once it has ended; one that was cancelled
   * may have filled a part.
   */
  preadInto(into: Uint8Array | ArrayBufferLike, position: number): Operation<number> {
    if (typeof into === "string") throw new TypeError(`File.preadInto: into must be a Uint8Array or ArrayBuffer, got ${show(into)}`);
    const bytes = checkBytes(into, "File.preadInto: into");
    return new PreadInto(this, bytes, checkInteger(position, "File.preadInto: position", 0, maxPosition));
  }

  /** Writes all of `data` at `position`; at the end when the file was opened to append. `data` must stay unchanged until it has ended. */
  pwrite(data: Writable, position: number): Operation<void> {
    const bytes = checkBytes(data, "File.pwrite: data");
    return new Pwrite(this, bytes, checkInteger(position, "File.pwrite: position", 0, maxPosition));
  }

  /** Kind, size, times and so on. */
  stat(): Operation<FileStat> {
    return new Stat(this);
  }

  /** Waits until all that was written is on the disk (fsync). */
  sync(): Operation<void> {
    return new Sync(this, false);
  }

  /** The same without what only `stat` shows, times for example (fdatasync). */
  dataSync(): Operation<void> {
    return new Sync(this, true);
  }

  /** Cuts it to `length` bytes, or fills it up with zeros. The position stays. */
  truncate(length = 0): Operation<void> {
    return new Truncate(this, checkInteger(length, "File.truncate: length", 0, maxPosition));
  }

  /** Lines from `options.start` on. It has a place of its own in the file, and leaves the position alone. @throws TypeError, RangeError */
  lines(options: LinesOptions = {}): Lines {
    return new Lines(this, this.path, options, "File.lines");
  }

  /** Bytes from `options.start` on, `options.size` at a time; as `lines`. @throws TypeError, RangeError */
  chunks(options: PartOptions = {}): Chunks {
    return new Chunks(this, this.path, options, "File.chunks");
  }

  /**
   * Closes it. What is in flight is cancelled, and has ended before this does: each with its result, or with an error whose code is
   * "ECANCELED". Once begun it cannot be cancelled. Closing twice does nothing.
   */
  close(): Operation<void> {
    return new Close(this);
  }

  /** Begins to close it, without waiting for that. */
  [Symbol.dispose](): void {
    const handle = this.release();
    if (handle !== 0) closeHandle(handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal */
  release(): number {
    const { handle } = this;
    this.handle = 0;
    collected.unregister(this);
    return handle;
  }
}

class Close extends FileOperation<void> {
  readonly #file: File;

  constructor(file: File) {
    super(file);
    this.#file = file;
  }

  override begin(wait: Wait): number {
    if (this.#file.closed) return 0;
    const status = library.zc_op_file_close(env, this.#file.handle, tokenOf(wait));
    if (status !== parked) return status;
    this.#file.release();
    state.submitted = true;
    return parked;
  }

  override takeBack(): boolean {
    return false;
  }

  override wasCancelled(): boolean {
    return false;
  }

  protected override result(): void {}

  override get syscall(): string {
    return "close";
  }
}

class Open extends Operation<File> {
  readonly path: Path;
  readonly #flags: number;
  readonly #mode: number;

  constructor(path: Path, flags: number, mode: number) {
    super();
    this.path = path;
    this.#flags = flags;
    this.#mode = mode;
  }

  override begin(wait: Wait): number {
    const { bytes, length } = this.path;
    const status = library.zc_op_file_open(env, tokenOf(wait), bytes, length, this.#flags, this.#mode);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, handle: number): File {
    if (status < 0) throw ioError(status, "open", { path: this.path.text });
    return new File(handle, this.path.text, this.#flags);
  }

  override giveBack(status: number, handle: number): void {
    if (status >= 0) closeHandle(handle);
  }

  override putBack(file: File): void {
    file[Symbol.dispose]();
  }

  override get what(): string {
    return `open '${this.path.text}'`;
  }
}

function opening(path: FilePath, options: FileOptions, flags: OpenFlags, what: string): Open {
  checkOptions(options, what);
  const checked = checkPath(path, `${what}: path`);
  return new Open(
    checked,
    checkFlags(options.flags ?? flags, `${what}: flags`),
    checkInteger(options.mode ?? defaultMode, `${what}: mode`, 0, 0o7777),
  );
}

/** Files of /proc say they are empty, others may grow: read until there is no more, beginning with what the file says. */
function* readAll(open: Open): Coroutine<Uint8Array<ArrayBuffer>> {
  const file = yield* open;
  try {
    const { size } = yield* file.stat();
    let bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
    for (let length = Math.max(size + 1, 4096); ; length = bytes.byteLength * 2) {
      const larger = new Uint8Array(length);
      larger.set(bytes);
      const count = yield* fill(file, larger, bytes.byteLength);
      bytes = larger.subarray(0, bytes.byteLength + count);
      if (bytes.byteLength < length) return bytes;
    }
  } finally {
    file[Symbol.dispose]();
  }
}

/** Fills `bytes` from `from` on; how many bytes there were. */
function* fill(file: File, bytes: Uint8Array<ArrayBuffer>, from: number): Coroutine<number> {
  if (!file.isStream) return yield* file.preadInto(bytes.subarray(from), from);
  let done = 0;
  while (from + done < bytes.byteLength) {
    const chunk = yield* file.read(bytes.byteLength - from - done);
    if (chunk === null) break;
    bytes.set(chunk, from + done);
    done += chunk.byteLength;
  }
  return done;
}
