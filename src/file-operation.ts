// Operations on an open file: what moves bytes, in parts that neither hold up the others nor leave memory to the kernel, and the rest.
//
// A part is one native call: it ends at once where the system has the data or takes it without waiting, else it parks and the bytes are
// fetched from native memory when it has ended. So an operation's array is used only inside of calls.

import { changed, codes, parked } from "./code.ts";
import { closedError, errnos, ioError } from "./error.ts";
import { FileStat, statFields } from "./file-stat.ts";
import { env, library } from "./native/env.ts";
import { interrupt, Operation, tokenOf } from "./operation.ts";
import { state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** Bytes of one native call. */
const maxPart = 2 ** 20;
/** Bytes that one operation may move before the others have their turn. */
const maxAtOnce = 8 * maxPart;
const scratch = new Uint8Array(statFields * 8);

/** A file as its operations see it. */
export interface OpenFile {
  /** The native handle; 0 once closed. */
  handle: number;
  /** As it was opened, for errors and reports. */
  readonly path: string;
  /** It has no positions: a pipe, a terminal. */
  readonly isStream: boolean;
  /** Writes go to its end. */
  readonly appends: boolean;
  /** Where `read` and `write` go on. */
  position: number;
  /** Who reads and who writes there: one at a time, for a stream one of each. */
  readonly reading: Lane;
  readonly writing: Lane;
  /** What reads of a stream brought that nobody wanted. */
  readonly returned: Uint8Array<ArrayBuffer>[];
}

export interface Lane {
  wait: Wait | undefined;
}

export abstract class FileOperation<T> extends Operation<T> {
  readonly file: OpenFile;

  constructor(file: OpenFile) {
    super();
    this.file = file;
  }

  /** As errors say it. */
  abstract get syscall(): string;

  protected abstract result(status: number, value: number, wait: Wait): T;

  override finish(status: number, value: number, wait: Wait): T {
    if (status < 0) {
      this.forget(wait);
      throw this.error(status);
    }
    const result = this.result(status, value, wait);
    wait.payload = undefined;
    return result;
  }

  protected error(status: number): Error {
    const { handle, path } = this.file;
    const isClosed = status === codes.badHandle || (status === errnos.ECANCELED && handle === 0);
    return isClosed ? closedError(this.syscall, "file", path) : ioError(status, this.syscall, { path });
  }

  override get what(): string {
    return `${this.syscall} '${this.file.path}'`;
  }
}

/** One use of an operation that moves bytes, and how far it has come. */
export class Transfer {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly position: number;
  done = 0;
  /** It lets others run. */
  #resting = false;
  /** It has ended, and was told so. */
  #ended = false;

  /** @param length of `bytes`, when the operation was made */
  constructor(bytes: Uint8Array, position: number, length = bytes.byteLength) {
    this.bytes = bytes;
    this.length = length;
    this.position = position;
  }

  /** What is there already. */
  static of(bytes: Uint8Array<ArrayBuffer>): Transfer {
    const transfer = new Transfer(bytes, 0);
    transfer.#ended = true;
    return transfer;
  }

  /**
   * Reads: `parked`, or how many bytes there are, fewer than wanted only at the end and from a stream. `first` is what a first part, which
   * the caller has begun, has answered.
   */
  read(file: OpenFile, wait: Wait, first?: number): number {
    return this.#noted(this.#read(file, wait, first));
  }

  /** A part of a read has ended. */
  readOn(file: OpenFile, status: number, value: number, wait: Wait): number {
    return this.#ended ? status : this.#noted(this.#readOn(file, status, value, wait));
  }

  /** Writes: `parked`, or the number of bytes, which is all of them. */
  write(file: OpenFile, wait: Wait): number {
    return this.#noted(this.#write(file, wait));
  }

  /** A part of a write has ended. */
  writeOn(file: OpenFile, status: number, wait: Wait): number {
    return this.#ended ? status : this.#noted(this.#writeOn(file, status, wait));
  }

  #noted(status: number): number {
    this.#ended = status !== parked;
    return status;
  }

  #read(file: OpenFile, wait: Wait, first?: number): number {
    let begun = first;
    for (let moved = 0; this.done < this.length; ) {
      if (this.bytes.byteLength !== this.length) return changed;
      if (moved >= maxAtOnce) return this.#rest(wait);
      const length = Math.min(this.length - this.done, maxPart);
      const status =
        begun ?? library.zc_op_file_read(env, file.handle, tokenOf(wait), this.bytes, this.done, length, this.position + this.done);
      begun = undefined;
      if (status === parked) {
        state.submitted = true;
        return parked;
      }
      // What was read before an error counts; whoever goes on meets the error again.
      if (status <= 0) return this.done > 0 ? this.done : status;
      this.done += status;
      moved += status;
      if (file.isStream) break;
    }
    return this.done;
  }

  #readOn(file: OpenFile, status: number, value: number, wait: Wait): number {
    if (this.#resting) this.#resting = false;
    else {
      if (status <= 0) return this.done > 0 && status !== errnos.ECANCELED ? this.done : status;
      const isSame = this.bytes.byteLength === this.length;
      library.zc_file_take(env, value, isSame ? this.bytes : scratch, isSame ? this.done : 0, isSame ? status : 0);
      if (!isSame) return changed;
      this.done += status;
      if (file.isStream) return this.done;
    }
    return this.#read(file, wait);
  }

  #write(file: OpenFile, wait: Wait): number {
    for (let moved = 0; this.done < this.length; ) {
      if (this.bytes.byteLength !== this.length) return changed;
      if (moved >= maxAtOnce) return this.#rest(wait);
      const length = Math.min(this.length - this.done, maxPart);
      const status = library.zc_op_file_write(env, file.handle, tokenOf(wait), this.bytes, this.done, length, this.position + this.done);
      if (status === parked) state.submitted = true;
      if (status < 0) return status;
      this.done += status;
      moved += status;
    }
    return this.done;
  }

  #writeOn(file: OpenFile, status: number, wait: Wait): number {
    if (this.#resting) this.#resting = false;
    else if (status < 0) return status;
    else this.done += status;
    return this.#write(file, wait);
  }

  #rest(wait: Wait): number {
    const status = library.zc_op_sleep(env, tokenOf(wait), 0);
    if (status !== parked) return status;
    this.#resting = true;
    state.submitted = true;
    return parked;
  }
}

abstract class Moving<T> extends FileOperation<T> {
  /** One that only rests is over at once. */
  override takeBack(wait: Wait, reason?: unknown): boolean {
    if (!super.takeBack(wait, reason)) return false;
    this.forget(wait);
    return true;
  }

  protected override error(status: number): Error {
    if (status !== changed) return super.error(status);
    return new TypeError(`File.${this.syscall}: the array was detached or resized before all of it was done`);
  }
}

/** Reads at a position into `into`, or into memory of its own. */
abstract class ReadAt<T> extends Moving<T> {
  readonly #length: number;
  readonly #position: number;

  constructor(file: OpenFile, length: number, position: number) {
    super(file);
    this.#length = length;
    this.#position = position;
  }

  /** Where bytes go: an array of `length` bytes, unless it has changed. */
  protected abstract room(length: number): Uint8Array;

  override begin(wait: Wait): number {
    if (this.file.handle === 0) return codes.badHandle;
    if (this.file.isStream) return errnos.ESPIPE;
    const length = this.#length;
    const bytes = this.room(length);
    let status: number | undefined;
    if (length > 0 && length <= maxPart && bytes.byteLength === length) {
      status = library.zc_op_file_read(env, this.file.handle, tokenOf(wait), bytes, 0, length, this.#position);
      // The short cut of most reads: the first part is all of it.
      if (status === length) {
        wait.payload = bytes;
        return status;
      }
    }
    const transfer = new Transfer(bytes, this.#position, length);
    wait.payload = transfer;
    return transfer.read(this.file, wait, status);
  }

  override advance(status: number, value: number, wait: Wait): number {
    return wait.payload instanceof Transfer ? wait.payload.readOn(this.file, status, value, wait) : status;
  }

  override get syscall(): string {
    return "read";
  }
}

export class Pread extends ReadAt<Uint8Array<ArrayBuffer>> {
  protected override room(length: number): Uint8Array {
    return new Uint8Array(length);
  }

  protected override result(count: number, _value: number, wait: Wait): Uint8Array<ArrayBuffer> {
    return wait.payload instanceof Transfer ? filled(wait.payload, count) : (wait.payload as Uint8Array<ArrayBuffer>);
  }
}

/** The part of its array that a read has filled. Much less than was asked for is not to hold all of that memory. */
export function filled({ bytes, length }: Transfer, count: number): Uint8Array<ArrayBuffer> {
  const own = bytes as Uint8Array<ArrayBuffer>;
  if (count === length) return own;
  return count < length / 2 ? own.slice(0, count) : own.subarray(0, count);
}

export class PreadInto extends ReadAt<number> {
  readonly #into: Uint8Array;

  constructor(file: OpenFile, into: Uint8Array, position: number) {
    super(file, into.byteLength, position);
    this.#into = into;
  }

  protected override room(): Uint8Array {
    return this.#into;
  }

  protected override result(count: number): number {
    return count;
  }
}

export class Pwrite extends Moving<void> {
  readonly #bytes: Uint8Array;
  readonly #length: number;
  readonly #position: number;

  constructor(file: OpenFile, bytes: Uint8Array, position: number) {
    super(file);
    this.#bytes = bytes;
    this.#length = bytes.byteLength;
    this.#position = position;
  }

  override begin(wait: Wait): number {
    if (this.file.handle === 0) return codes.badHandle;
    if (this.file.isStream) return errnos.ESPIPE;
    const transfer = new Transfer(this.#bytes, this.#position, this.#length);
    wait.payload = transfer;
    return transfer.write(this.file, wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    return wait.payload === undefined ? status : (wait.payload as Transfer).writeOn(this.file, status, wait);
  }

  protected override result(): void {}

  override get syscall(): string {
    return "write";
  }
}

function enterLane({ path }: OpenFile, lane: Lane, wait: Wait, what: string): void {
  if (lane.wait !== undefined) {
    throw new Error(`cannot ${what} '${path}' at its position: another coroutine reads or writes there; use pread and pwrite`);
  }
  lane.wait = wait;
}

/** The next bytes, at least one, or null at the end. */
export class Read extends Moving<Uint8Array<ArrayBuffer> | null> {
  readonly #max: number;
  /** The position behind what it gave last. */
  #leftAt = -1;

  constructor(file: OpenFile, max: number) {
    super(file);
    this.#max = max;
  }

  override poll(wait: Wait): number {
    const { returned, reading, handle } = this.file;
    const first = returned[0];
    if (first === undefined || reading.wait !== undefined || handle === 0) return parked;
    wait.payload = Transfer.of(first.subarray(0, this.#max));
    if (first.byteLength > this.#max) returned[0] = first.subarray(this.#max);
    else returned.shift();
    reading.wait = wait;
    return Math.min(first.byteLength, this.#max);
  }

  /** Only what was given back can be told without beginning. */
  override get canOnlyBegin(): boolean {
    return this.file.returned.length === 0;
  }

  override begin(wait: Wait): number {
    const polled = this.poll(wait);
    if (polled !== parked) return polled;
    if (this.file.handle === 0) return codes.badHandle;
    enterLane(this.file, this.file.reading, wait, "read");
    const transfer = new Transfer(new Uint8Array(this.#max), this.file.position);
    wait.payload = transfer;
    return transfer.read(this.file, wait);
  }

  override advance(status: number, value: number, wait: Wait): number {
    if (wait.payload === undefined) return status;
    const { file } = this;
    if (status !== errnos.ECANCELED || file.handle === 0 || file.returned.length === 0) {
      return (wait.payload as Transfer).readOn(file, status, value, wait);
    }
    // What was put back while it waited is its own now.
    file.reading.wait = undefined;
    return this.poll(wait);
  }

  protected override result(count: number, _value: number, wait: Wait): Uint8Array<ArrayBuffer> | null {
    const transfer = wait.payload as Transfer;
    this.forget(wait);
    if (count === 0) return null;
    if (!this.file.isStream) {
      this.#leftAt = transfer.position + count;
      this.file.position = this.#leftAt;
    }
    return filled(transfer, count);
  }

  override forget(wait: Wait): void {
    if (this.file.reading.wait === wait) this.file.reading.wait = undefined;
    wait.payload = undefined;
  }

  override giveBack(count: number, _value: number, wait: Wait): void {
    const transfer = wait.payload as Transfer | undefined;
    this.forget(wait);
    if (this.file.isStream && count > 0 && transfer !== undefined) this.file.returned.unshift(filled(transfer, count));
  }

  override putBack(bytes: Uint8Array<ArrayBuffer> | null): void {
    if (bytes === null) return;
    const { file } = this;
    if (!file.isStream) {
      // Not where others have gone on since.
      if (file.position === this.#leftAt) file.position -= bytes.byteLength;
      return;
    }
    file.returned.unshift(bytes);
    interrupt(file.reading.wait);
  }

  override get syscall(): string {
    return "read";
  }
}

export class Write extends Moving<void> {
  readonly #bytes: Uint8Array;
  readonly #length: number;

  constructor(file: OpenFile, bytes: Uint8Array) {
    super(file);
    this.#bytes = bytes;
    this.#length = bytes.byteLength;
  }

  override begin(wait: Wait): number {
    if (this.file.handle === 0) return codes.badHandle;
    enterLane(this.file, this.file.writing, wait, "write");
    const transfer = new Transfer(this.#bytes, this.file.position, this.#length);
    wait.payload = transfer;
    return transfer.write(this.file, wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    return wait.payload === undefined ? status : (wait.payload as Transfer).writeOn(this.file, status, wait);
  }

  protected override result(_count: number, _value: number, wait: Wait): void {
    this.forget(wait);
  }

  /** What was written was written, however it ended. */
  override forget(wait: Wait): void {
    const transfer = wait.payload as Transfer | undefined;
    if (this.file.writing.wait === wait) this.file.writing.wait = undefined;
    wait.payload = undefined;
    const { isStream, appends } = this.file;
    if (transfer !== undefined && !isStream && !appends) this.file.position = transfer.position + transfer.done;
  }

  override get syscall(): string {
    return "write";
  }
}

export class Stat extends FileOperation<FileStat> {
  override begin(wait: Wait): number {
    return submitted(library.zc_op_file_stat(env, this.file.handle, tokenOf(wait)));
  }

  override advance(status: number, value: number, wait: Wait): number {
    if (status < 0) return status;
    library.zc_file_take_stat(env, value, scratch);
    wait.payload = new FileStat(new BigInt64Array(scratch.slice().buffer));
    return status;
  }

  protected override result(_status: number, _value: number, wait: Wait): FileStat {
    return wait.payload as FileStat;
  }

  override get syscall(): string {
    return "fstat";
  }
}

export class Sync extends FileOperation<void> {
  readonly #dataOnly: boolean;

  constructor(file: OpenFile, dataOnly: boolean) {
    super(file);
    this.#dataOnly = dataOnly;
  }

  override begin(wait: Wait): number {
    return submitted(library.zc_op_file_sync(env, this.file.handle, tokenOf(wait), this.#dataOnly ? 1 : 0));
  }

  protected override result(): void {}

  override get syscall(): string {
    return this.#dataOnly ? "fdatasync" : "fsync";
  }
}

export class Truncate extends FileOperation<void> {
  readonly #length: number;

  constructor(file: OpenFile, length: number) {
    super(file);
    this.#length = length;
  }

  override begin(wait: Wait): number {
    return submitted(library.zc_op_file_truncate(env, this.file.handle, tokenOf(wait), this.#length));
  }

  protected override result(): void {}

  override get syscall(): string {
    return "ftruncate";
  }
}

function submitted(status: number): number {
  if (status === parked) state.submitted = true;
  return status;
}
