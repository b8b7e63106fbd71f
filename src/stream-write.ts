// Writes to a stream: operations that send all of what they are given.

import { show } from "./check.ts";
import { codes } from "./code.ts";
import { type Endpoint, EndpointOperation } from "./endpoint.ts";
import { env, library } from "./native/env.ts";
import { tokenOf } from "./operation.ts";
import type { Wait } from "./wait.ts";

/** What a write answers when its data is not what it was. */
const changed = -20_000;
const maxChunk = 2 ** 31 - 1;
const encoder = new TextEncoder();

/** The bytes of `data`, which is to be written to `stream`. */
export function checkBytes(data: unknown, stream: Endpoint): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  const bytes = data instanceof ArrayBuffer && !data.detached ? new Uint8Array(data) : data;
  // Only an empty view is asked for its buffer: the engine makes one for each small array that is.
  const isDetached =
    bytes instanceof ArrayBuffer || (bytes instanceof Uint8Array && bytes.byteLength === 0 && isDetachedBuffer(bytes.buffer));
  if (bytes instanceof Uint8Array && !isDetached) return bytes;
  const what = `${stream.constructor.name}.write: data`;
  if (isDetached) throw new TypeError(`${what} must not be detached (transferred)`);
  throw new TypeError(`${what} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
}

function isDetachedBuffer(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

export class Write extends EndpointOperation<void> {
  readonly #bytes: Uint8Array;
  readonly #length: number;

  constructor(endpoint: Endpoint, bytes: Uint8Array) {
    super(endpoint, endpoint.sending);
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
    return status === changed
      ? new TypeError(`${this.endpoint.constructor.name}.write: data was detached or resized before all of it was written`)
      : super.error(status);
  }

  override get syscall(): string {
    return "write";
  }

  override get what(): string {
    return `write to a ${this.endpoint.noun}`;
  }
}

export class Shutdown extends EndpointOperation<void> {
  constructor(endpoint: Endpoint) {
    super(endpoint, { wait: undefined });
  }

  protected override start(handle: number): number {
    return library.zc_tcp_shutdown(env, handle, 1);
  }

  protected override result(): void {}

  override get syscall(): string {
    return "shutdown";
  }

  override get what(): string {
    return `shut down a ${this.endpoint.noun}`;
  }
}
