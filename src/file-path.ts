// Paths and flags of files: what an open takes, checked before native code is reached.

import { constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkInteger, show } from "./check.ts";

/** A path, a `file:` URL, or the bytes of a path that is no UTF-8. */
export type FilePath = string | URL | Uint8Array;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A path as the system takes it and as errors show it. */
export interface Path {
  /** Never empty: an empty array may have no address. `length` says how many are meant. */
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly text: string;
}

export function checkPath(path: unknown, what: string): Path {
  const given = path instanceof URL ? fileURLToPath(path) : path;
  if (typeof given !== "string" && !(given instanceof Uint8Array)) {
    throw new TypeError(`${what} must be a string, a file: URL or a Uint8Array, got ${show(path)}`);
  }
  // A copy: nobody can change it once it is checked.
  const bytes = typeof given === "string" ? encoder.encode(`${given}\0`) : new Uint8Array(given.byteLength + 1);
  if (typeof given !== "string") bytes.set(given);
  const length = bytes.byteLength - 1;
  if (bytes.indexOf(0) !== length) throw new TypeError(`${what} must not contain a 0 byte, got ${show(given)}`);
  return { bytes, length, text: typeof given === "string" ? given : decoder.decode(given) };
}

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC } = constants;
const writes = O_WRONLY | O_CREAT;
const both = O_RDWR | O_CREAT;

/** Node's names; letters may stand in any order. */
const flagsByName = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  "r+": O_RDWR,
  "rs+": O_RDWR | O_SYNC,
  w: writes | O_TRUNC,
  wx: writes | O_TRUNC | O_EXCL,
  "w+": both | O_TRUNC,
  "wx+": both | O_TRUNC | O_EXCL,
  a: writes | O_APPEND,
  ax: writes | O_APPEND | O_EXCL,
  as: writes | O_APPEND | O_SYNC,
  "a+": both | O_APPEND,
  "ax+": both | O_APPEND | O_EXCL,
  "as+": both | O_APPEND | O_SYNC,
} as const;

export type OpenFlags = keyof typeof flagsByName;

export function checkFlags(flags: unknown, what: string): number {
  if (typeof flags === "number") return checkInteger(flags, what, 0, 2 ** 31 - 1);
  if (typeof flags === "string" && Object.hasOwn(flagsByName, flags)) return flagsByName[flags as OpenFlags];
  const names = Object.keys(flagsByName)
    .map((name) => `"${name}"`)
    .join(", ");
  throw new TypeError(`${what} must be one of ${names}, or a number of O_ constants, got ${show(flags)}`);
}

export function appends(flags: number): boolean {
  return (flags & O_APPEND) !== 0;
}
