// Writes to a stream: operations that send all of what they are given, one thing or several in a row.

import { checkBytes } from "./bytes.ts";
import { show } from "./check.ts";
import { changed, codes } from "./code.ts";
import { type Endpoint, EndpointOperation } from "./endpoint.ts";
import { env, library } from "./native/env.ts";
import { tokenOf } from "./operation.ts";
import type { Wait } from "./wait.ts";

const maxChunk = 2 ** 31 - 1;

/** The bytes of each of `parts`. */
export function checkParts(parts: unknown, stream: Endpoint): Uint8Array[] {
  if (!Array.isArray(parts)) throw new TypeError(`${stream.constructor.name}.writeAll: parts must be an array, got ${show(parts)}`);
  // An array may have a map of its own.
  return Array.from(parts, (part, i) => checkBytes(part, stream, `writeAll: parts[${i}]`));
}

/**
 * Whether a small write may wait for the loop's next tick, to be sent with others. Not a select's, nor one with a timeout: it would no longer
 * win by having been sent.
 */
function gathered(wait: Wait): 0 | 1 {
  return wait.group === undefined ? 1 : 0;
}

/** A write. Its payload is how many bytes have been sent. */
abstract class StreamWrite extends EndpointOperation<void> {
  constructor(endpoint: Endpoint) {
    super(endpoint, endpoint.sending);
  }

  override begin(wait: Wait): number {
    wait.payload = 0;
    return super.begin(wait);
  }

  override advance(status: number, _value: number, wait: Wait): number {
    if (status < 0) return status;
    wait.payload = (wait.payload as number) + status;
    // What has been written has been, also if the stream was closed since.
    return wait.payload === this.length ? 0 : this.started(wait);
  }

  /** How many bytes it is to send. */
  protected abstract readonly length: number;

  protected override result(): void {}

  protected override error(status: number): Error {
    if (status !== changed) return super.error(status);
    return new TypeError(`${this.endpoint.constructor.name}.${this.method} was detached or resized before all of it was written`);
  }

  protected abstract get method(): string;

  override get syscall(): string {
    return "write";
  }

  override get what(): string {
    return `write to a ${this.endpoint.noun}`;
  }
}

export class Write extends StreamWrite {
  readonly #bytes: Uint8Array;
  protected override readonly length: number;

  constructor(endpoint: Endpoint, bytes: Uint8Array) {
    super(endpoint);
    this.#bytes = bytes;
    this.length = bytes.byteLength;
  }

  /** Writes from `wait.payload` on until all is gone or has to wait: 0 then, `parked`, or an error. */
  protected override start(handle: number, wait: Wait): number {
    if (handle === 0) return codes.badHandle;
    const bytes = this.#bytes;
    for (let done = wait.payload as number; done < this.length; done = wait.payload as number) {
      if (bytes.byteLength !== this.length) return changed;
      const length = Math.min(this.length - done, maxChunk);
      const status = library.zc_op_tcp_write(env, handle, tokenOf(wait), bytes, done, length, gathered(wait));
      if (status < 0) return status;
      wait.payload = done + status;
    }
    return 0;
  }

  protected override get method(): string {
    return "write: data";
  }
}

/** Small parts are put together here, and sent with one call. Native code copies what it cannot send at once, so this is free again then. */
const assembled = new Uint8Array(64 * 1024);

export class WriteAll extends StreamWrite {
  readonly #parts: readonly Uint8Array[];
  /** Where each part begins in the whole, and the whole's length. */
  readonly #starts: readonly number[];
  protected override readonly length: number;

  constructor(endpoint: Endpoint, parts: readonly Uint8Array[]) {
    super(endpoint);
    this.#parts = parts;
    let length = 0;
    this.#starts = [0, ...parts.map((part) => (length += part.byteLength))];
    this.length = length;
  }

  /** As `Write.start`. */
  protected override start(handle: number, wait: Wait): number {
    if (handle === 0) return codes.badHandle;
    for (let done = wait.payload as number; done < this.length; done = wait.payload as number) {
      const index = this.#indexOf(done);
      const part = this.#parts[index] as Uint8Array;
      const offset = done - (this.#starts[index] as number);
      const left = (this.#starts[index + 1] as number) - done;
      const isLarge = left >= assembled.byteLength;
      if (isLarge && part.byteLength !== left + offset) return changed;
      const length = isLarge ? Math.min(left, maxChunk) : this.#gather(index, offset);
      if (length < 0) return length;
      const bytes = isLarge ? part : assembled;
      const status = library.zc_op_tcp_write(env, handle, tokenOf(wait), bytes, isLarge ? offset : 0, length, gathered(wait));
      if (status < 0) return status;
      wait.payload = done + status;
    }
    return 0;
  }

  /** The part that byte `at` of the whole is in. */
  #indexOf(at: number): number {
    let [low, high] = [0, this.#parts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= at) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Copies from byte `offset` of part `index` on as much as there is room for; how much that is. */
  #gather(index: number, offset: number): number {
    let length = 0;
    let from = offset;
    for (let i = index; i < this.#parts.length && length < assembled.byteLength; i++) {
      const part = this.#parts[i] as Uint8Array;
      if (part.byteLength !== (this.#starts[i + 1] as number) - (this.#starts[i] as number)) return changed;
      const copied = Math.min(part.byteLength - from, assembled.byteLength - length);
      assembled.set(from === 0 && copied === part.byteLength ? part : part.subarray(from, from + copied), length);
      length += copied;
      from = 0;
    }
    return length;
  }

  protected override get method(): string {
    return "writeAll: one of parts";
  }
}

/** Which sides of a stream a shutdown ends, as the system numbers them. */
export const sides = { read: 0, write: 1, both: 2 } as const;

export class Shutdown extends EndpointOperation<void> {
  readonly #how: number;

  constructor(endpoint: Endpoint, how: number) {
    super(endpoint, { wait: undefined });
    this.#how = how;
  }

  protected override start(handle: number): number {
    return library.zc_tcp_shutdown(env, handle, this.#how);
  }

  protected override result(): void {}

  override get syscall(): string {
    return "shutdown";
  }

  override get what(): string {
    return `shut down a ${this.endpoint.noun}`;
  }
}
