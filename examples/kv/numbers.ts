// Numbers as Redis takes them from arguments and values: 64-bit integers in their one canonical spelling, and timeouts in seconds. Pure.

import { ReplyError } from "./command.ts";

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
export const NOT_AN_INTEGER = "ERR value is not an integer or out of range";

/** Most milliseconds a deadline can lie from now: the server counts in signed 64-bit milliseconds, as Redis does. */
const MAX_MS = 2 ** 63;

/** `text` as a number (rounded beyond 2^53, which no length, index or count here reaches). Throws ReplyError. */
export function integer(text: string, complaint = NOT_AN_INTEGER): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && String(value) === text) return value;
  if (int64(text) === undefined) throw new ReplyError(complaint);
  return value;
}

/** The sum of two integers given as text, as text. Throws ReplyError when either is none, or when 64 bits cannot hold the sum. */
export function sum(left: string, right: string): string {
  const quick = Number(left) + Number(right);
  if (Number.isSafeInteger(quick) && quick < 1e15 && quick > -1e15 && String(Number(left)) === left && String(Number(right)) === right)
    return String(quick);
  const a = int64(left);
  const b = int64(right);
  if (a === undefined || b === undefined) throw new ReplyError(NOT_AN_INTEGER);
  const total = a + b;
  if (total > INT64_MAX || total < INT64_MIN) throw new ReplyError("ERR increment or decrement would overflow");
  return total.toString();
}

/** The integer with its sign turned, as text. Throws ReplyError when it is none, or when 64 bits cannot hold the result. */
export function negated(text: string): string {
  const value = int64(text);
  if (value === undefined) throw new ReplyError(NOT_AN_INTEGER);
  if (value === INT64_MIN) throw new ReplyError("ERR decrement would overflow");
  return (-value).toString();
}

/** When something happens in `amount` units of `unit` milliseconds. Throws ReplyError naming `command` when that is out of range. */
export function deadline(amount: number, unit: number, now: number, command: string): number {
  const at = now + amount * unit;
  if (at >= MAX_MS || Math.abs(amount * unit) > MAX_MS) throw new ReplyError(`ERR invalid expire time in '${command}' command`);
  return at;
}

/** A timeout given in seconds, in milliseconds; 0 means for ever. Throws ReplyError. */
export function timeoutMs(text: string): number {
  const seconds = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(seconds)) throw new ReplyError("ERR timeout is not a float or out of range");
  if (seconds < 0) throw new ReplyError("ERR timeout is negative");
  if (seconds * 1000 >= MAX_MS) throw new ReplyError("ERR timeout is out of range");
  return Math.min(Math.ceil(seconds * 1000), Number.MAX_SAFE_INTEGER); // what no timer takes: 285,000 years
}

function int64(text: string): bigint | undefined {
  if (!/^(0|-?[1-9]\d{0,18})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value > INT64_MAX || value < INT64_MIN ? undefined : value;
}
