// Bytes: what may be written, checked before native code sees it.

import { show } from "./check.ts";

/** What can be written: a string goes out as UTF-8. */
export type Writable = string | Uint8Array | ArrayBuffer | SharedArrayBuffer;

const encoder = new TextEncoder();

/**
 * `data` as bytes, a string as UTF-8. `whose` and `what` are named only when it is wrong, for this is a hot path: all of the name, or the
 * object whose method it is and the argument.
 *
 * @throws TypeError when it is something else, or was transferred
 */
export function checkBytes(data: unknown, whose: object | string, what = "write: data"): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  const isBuffer = (data instanceof ArrayBuffer && !data.detached) || data instanceof SharedArrayBuffer;
  const bytes = isBuffer ? new Uint8Array(data) : data;
  // Only an empty view is asked for its buffer: the engine makes one for each small array that is.
  const isDetached =
    bytes instanceof ArrayBuffer || (bytes instanceof Uint8Array && bytes.byteLength === 0 && isDetachedBuffer(bytes.buffer));
  if (bytes instanceof Uint8Array && !isDetached) return bytes;
  const where = typeof whose === "string" ? whose : `${whose.constructor.name}.${what}`;
  if (isDetached) throw new TypeError(`${where} must not be detached (transferred)`);
  throw new TypeError(`${where} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
}

function isDetachedBuffer(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}
