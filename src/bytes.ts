// Bytes: what may be written, checked before native code sees it.

import { show } from "./check.ts";

const encoder = new TextEncoder();

/** `data` as bytes, a string as UTF-8. @throws TypeError when it is something else, or was transferred */
export function checkBytes(data: unknown, what: string): Uint8Array {
  if (typeof data === "string") return encoder.encode(data);
  const bytes = data instanceof ArrayBuffer && !data.detached ? new Uint8Array(data) : data;
  // Only an empty view is asked for its buffer: the engine makes one for each small array that is.
  const isDetached =
    bytes instanceof ArrayBuffer || (bytes instanceof Uint8Array && bytes.byteLength === 0 && isDetachedBuffer(bytes.buffer));
  if (isDetached) throw new TypeError(`${what} must not be detached (transferred)`);
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`${what} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
  return bytes;
}

function isDetachedBuffer(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}
