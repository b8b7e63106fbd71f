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
  const bytes = isBuffer ? new Uint8Array(data) : plain(data);
  // Only an empty view is asked for its buffer: the engine makes one for each small array that is.
  if (bytes !== undefined && !(bytes.byteLength === 0 && isDetached(bytes.buffer))) return bytes;
  const where = typeof whose === "string" ? whose : `${whose.constructor.name}.${what}`;
  if (bytes !== undefined || isDetached(data)) throw new TypeError(`${where} must not be detached (transferred)`);
  throw new TypeError(`${where} must be a string, Uint8Array or ArrayBuffer, got ${show(data)}`);
}

function isDetached(buffer: unknown): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

/** What the engine says of a typed array, whatever that says of itself. */
const getters = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(Uint8Array.prototype));
const bufferOf = getters.buffer?.get as () => ArrayBufferLike;
const offsetOf = getters.byteOffset?.get as () => number;
const lengthOf = getters.byteLength?.get as () => number;

/** A Uint8Array that tells the truth about its length, on which native code relies: one of a subclass may not. Undefined for anything else. */
function plain(value: unknown): Uint8Array | undefined {
  if (!(value instanceof Uint8Array) || !ArrayBuffer.isView(value)) return undefined;
  const prototype = Object.getPrototypeOf(value);
  if ((prototype === Uint8Array.prototype || prototype === Buffer.prototype) && !Object.hasOwn(value, "byteLength")) return value;
  const buffer = bufferOf.call(value);
  return isDetached(buffer) ? new Uint8Array(buffer as ArrayBuffer) : new Uint8Array(buffer, offsetOf.call(value), lengthOf.call(value));
}
