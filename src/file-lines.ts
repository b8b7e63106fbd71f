// Lines and Chunks: a file in parts, one after the other, for coroutines (`yield* lines.next()`) and `for await`.
//
// A read that was cancelled or has lost leaves what it brought here, so nothing is lost and nothing is skipped.

import { sequence } from "./call.ts";
import { checkInteger, checkOptions } from "./check.ts";
import { codes, tooLong } from "./code.ts";
import type { File } from "./file.ts";
import { FileOperation, filled, Transfer } from "./file-operation.ts";
import type { Coroutine } from "./frame.ts";
import type { Operation } from "./operation.ts";
import type { Wait } from "./wait.ts";

export interface PartOptions {
  /** Bytes of a chunk, 1 to 2^31 - 1; of a stream, at most. Default 64 KiB. */
  readonly size?: number;
  /** Where it begins, in bytes. Default 0. */
  readonly start?: number;
}

export interface LinesOptions {
  /** Bytes that a line may have, without its end, 1 to 2^31 - 1. A longer one is an error. Default 16 MiB. */
  readonly maxLength?: number;
  /** Where it begins, in bytes. Default 0. */
  readonly start?: number;
  /** Bytes that it reads at a time, 1 to 2^31 - 1. Default 64 KiB. */
  readonly size?: number;
}

const maxSize = 2 ** 31 - 1;
const defaultSize = 64 * 1024;
const newline = 0x0a;
const carriageReturn = 0x0d;

abstract class Parts<T> implements AsyncIterable<T> {
  /** Undefined until it is opened. */
  file: File | undefined;
  position: number;
  readonly size: number;
  readonly path: string;
  readonly lane: { wait: Wait | undefined } = { wait: undefined };
  /** The file has no more. */
  ended = false;
  readonly #open: Operation<File> | undefined;
  #opening = false;
  readonly #returned: T[] = [];

  /** @internal */
  constructor(file: File | Operation<File>, path: string, options: PartOptions, what: string) {
    checkOptions(options, what);
    const { size = defaultSize, start = 0 } = options;
    // A file is what has positions; an operation is how to get one, and then it is closed here, too.
    if ("pread" in file) this.file = file;
    else this.#open = file;
    this.path = path;
    this.size = checkInteger(size, `${what}: options.size`, 1, maxSize);
    this.position = checkInteger(start, `${what}: options.start`, 0, Number.MAX_SAFE_INTEGER);
  }

  /** The next one; null at the end. One `next` at a time. */
  next(): Operation<T | null> {
    if (this.#open === undefined) return new Next(this, this.file as File);
    const open = this.#open;
    return sequence<T | null>(
      `read '${this.path}'`,
      () => this.#openFirst(open),
      (part) => this.putBack(part),
    );
  }

  *#openFirst(open: Operation<File>): Coroutine<T | null> {
    if (this.#opening) throw new Error(`cannot read '${this.path}': another coroutine waits for its next part already`);
    if (this.file === undefined) {
      if (this.ended) return null;
      this.#opening = true;
      try {
        this.file = yield* open;
      } finally {
        this.#opening = false;
      }
    }
    const part = yield* new Next<T>(this, this.file);
    if (part === null) yield* this.file.close();
    return part;
  }

  /** Closes the file if this has opened it. What follows is the end. */
  [Symbol.dispose](): void {
    this.ended = true;
    if (this.#open !== undefined) this.file?.[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ended = true;
    if (this.#open !== undefined) await this.file?.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (let part = await this.next(); part !== null; part = await this.next()) yield part;
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  /** Whether `take` has one; `tooLong` when that is longer than allowed. */
  isReady(): boolean | typeof tooLong {
    return this.#returned.length > 0 || this.hasNext();
  }

  take(): T | null {
    return this.#returned.shift() ?? this.takeNext();
  }

  putBack(part: T | null): void {
    if (part !== null) this.#returned.unshift(part);
  }

  /** The error for a part that is too long. */
  tooLong(): Error {
    return new RangeError(`a part of '${this.path}' is too long`);
  }

  protected abstract hasNext(): boolean | typeof tooLong;
  protected abstract takeNext(): T | null;
  /** Bytes that came, or null at the end. */
  abstract feed(bytes: Uint8Array<ArrayBuffer> | null): void;
}

class Next<T> extends FileOperation<T | null> {
  readonly #parts: Parts<T>;

  constructor(parts: Parts<T>, file: File) {
    super(file);
    this.#parts = parts;
  }

  override begin(wait: Wait): number {
    const { lane, path } = this.#parts;
    if (lane.wait !== undefined) throw new Error(`cannot read '${path}': another coroutine waits for its next part already`);
    const status = this.#goOn(wait);
    lane.wait = wait;
    return status;
  }

  /** Reads until there is a part or no more. */
  #goOn(wait: Wait): number {
    const parts = this.#parts;
    for (;;) {
      const ready = parts.isReady();
      if (ready === tooLong) return tooLong;
      if (ready || parts.ended) return 0;
      if (this.file.handle === 0) return codes.badHandle;
      const transfer = new Transfer(new Uint8Array(parts.size), parts.position);
      wait.payload = transfer;
      const status = this.#read(transfer, transfer.read(this.file, wait), wait);
      if (status !== 0) return status;
    }
  }

  #read(transfer: Transfer, status: number, wait: Wait): number {
    if (status < 0) return status;
    const parts = this.#parts;
    wait.payload = undefined;
    parts.position += status;
    if (status === 0) parts.ended = true;
    parts.feed(status === 0 ? null : filled(transfer, status));
    return 0;
  }

  override advance(status: number, value: number, wait: Wait): number {
    const transfer = wait.payload as Transfer | undefined;
    if (transfer === undefined) return status;
    const read = this.#read(transfer, transfer.readOn(this.file, status, value, wait), wait);
    return read === 0 ? this.#goOn(wait) : read;
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    if (!super.takeBack(wait, reason)) return false;
    this.forget(wait);
    return true;
  }

  protected override result(_status: number, _value: number, wait: Wait): T | null {
    this.forget(wait);
    return this.#parts.take();
  }

  override forget(wait: Wait): void {
    this.#parts.lane.wait = undefined;
    wait.payload = undefined;
  }

  override putBack(part: T | null): void {
    this.#parts.putBack(part);
  }

  protected override error(status: number): Error {
    return status === tooLong ? this.#parts.tooLong() : super.error(status);
  }

  override get syscall(): string {
    return "read";
  }
}

/** A file in chunks of bytes, each in memory of its own. */
export class Chunks extends Parts<Uint8Array<ArrayBuffer>> {
  #chunk: Uint8Array<ArrayBuffer> | null = null;

  protected override hasNext(): boolean {
    return this.#chunk !== null;
  }

  protected override takeNext(): Uint8Array<ArrayBuffer> | null {
    const chunk = this.#chunk;
    this.#chunk = null;
    return chunk;
  }

  override feed(bytes: Uint8Array<ArrayBuffer> | null): void {
    this.#chunk = bytes;
  }
}

/**
 * A file in lines, without their ends ("\n" or "\r\n"). Bytes that are no UTF-8 become U+FFFD. What follows the last end is a line, unless it is
 * nothing.
 */
export class Lines extends Parts<string> {
  readonly #maxLength: number;
  /** What came last, how far it was taken, and where its next line ends (-1: not in it). */
  #chunk = Buffer.alloc(0);
  #at = 0;
  #end = -1;
  /** The beginning of a line, from chunks before. */
  #before: Buffer[] = [];
  #beforeLength = 0;
  #number = 1;

  /** @internal */
  constructor(file: File | Operation<File>, path: string, options: LinesOptions, what: string) {
    super(file, path, options, what);
    this.#maxLength = checkInteger(options.maxLength ?? 16 * 1024 * 1024, `${what}: options.maxLength`, 1, maxSize);
  }

  protected override hasNext(): boolean | typeof tooLong {
    const isThere = this.#end >= 0 || (this.ended && this.#beforeLength > 0);
    const length = this.#beforeLength + Math.max(0, this.#end - this.#at);
    // The carriage return of an end does not count, and may be the last byte so far.
    if (length > this.#maxLength && length - (this.#endsInReturn() ? 1 : 0) > this.#maxLength) return tooLong;
    return isThere;
  }

  /** The last byte of the line so far. */
  #endsInReturn(): boolean {
    if (this.#end > this.#at) return this.#chunk[this.#end - 1] === carriageReturn;
    const last = this.#before.at(-1);
    return last?.[last.length - 1] === carriageReturn;
  }

  protected override takeNext(): string | null {
    if (this.hasNext() !== true) return null;
    const isEnded = this.#end >= 0;
    const cut = isEnded && this.#endsInReturn() ? 1 : 0;
    let line: string;
    if (this.#beforeLength === 0) line = this.#chunk.toString("utf8", this.#at, this.#end - cut);
    else {
      const all = Buffer.concat([...this.#before, this.#chunk.subarray(this.#at, Math.max(this.#at, this.#end))]);
      line = all.toString("utf8", 0, all.length - cut);
      this.#before = [];
      this.#beforeLength = 0;
    }
    this.#number++;
    if (isEnded) {
      this.#at = this.#end + 1;
      this.#findEnd();
    }
    return line;
  }

  override feed(bytes: Uint8Array<ArrayBuffer> | null): void {
    if (bytes === null) return;
    this.#chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#findEnd();
  }

  /** Where the next line ends; what has no end in this chunk is put aside for the next. */
  #findEnd(): void {
    this.#end = this.#chunk.indexOf(newline, this.#at);
    if (this.#end >= 0) return;
    const rest = this.#chunk.subarray(this.#at);
    if (rest.length > 0) {
      this.#before.push(rest);
      this.#beforeLength += rest.length;
    }
    this.#chunk = Buffer.alloc(0);
    this.#at = 0;
  }

  override tooLong(): Error {
    return new RangeError(`line ${this.#number} of '${this.path}' is longer than ${this.#maxLength} bytes`);
  }
}
