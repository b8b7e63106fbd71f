// Datagram: one that came or is to be sent, and the records that cross to native code (zig/io/datagram.zig).
//
// A record is eight words: length, whole length, family and port (16 bits each), scope, and the address in four. All machines that Bun
// runs on are little-endian.

import { Address, ip6Text } from "./address.ts";
import type { Writable } from "./bytes.ts";
import { layouts } from "./native/abi.ts";
import { library } from "./native/env.ts";

/** A datagram that has come. */
export interface Datagram {
  /** Its bytes, none for an empty one, in memory of their own. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** Who sent it. */
  readonly address: Address;
  /** It was longer than what was asked for; the rest is lost. */
  readonly truncated: boolean;
}

/** Where a datagram goes: the address of one that came, or an address or host name and a port. */
export type Destination = Address | { readonly address: string; readonly port: number } | { readonly host: string; readonly port: number };

/** A datagram to send; a `Datagram` is one, and goes back to its sender. Without an address it goes where the socket is connected to. */
export interface Outgoing {
  /** A string is sent as UTF-8. */
  readonly data: Writable;
  readonly address?: Destination | undefined;
}

/** Datagrams in one native call. */
export const maxBatch = layouts.datagramBatch;
export const recordWords = 8;
/** No datagram is longer. */
export const maxDatagram = 65_535;
const slotSize = layouts.datagramSize;

const encoder = new TextEncoder();

/** Where native code puts what it receives: records, then 64 KiB for each datagram. Used within one call; memory is touched as far as needed. */
class Block {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly words: Int32Array<ArrayBuffer>;

  constructor(slots: number) {
    this.bytes = new Uint8Array(maxBatch * recordWords * 4 + slots * slotSize);
    this.words = new Int32Array(this.bytes.buffer, 0, maxBatch * recordWords);
  }
}

let block: Block | undefined;
let largeBlock: Block | undefined;

/** The smaller block is enough for most; who receives more at a time gets the larger. */
export const smallBatch = 2;

export function blockFor(count: number): Block {
  if (count <= smallBatch) {
    block ??= new Block(smallBatch);
    return block;
  }
  largeBlock ??= new Block(maxBatch);
  return largeBlock;
}

/** Datagram number `index` of those that were received into `from`. */
export function takeDatagram(from: Block, index: number): Datagram {
  const at = index * recordWords;
  const length = from.words[at] as number;
  const start = maxBatch * recordWords * 4 + index * slotSize;
  const truncated = from.words[at + 1] !== length;
  return { data: from.bytes.slice(start, start + length), address: addressOf(from.words, at), truncated };
}

/** The addresses seen last, by hash: a few peers send most datagrams, and texts are slow to make. */
const recent: { words: Int32Array; address: Address }[] = [];
const recentMask = 255;

/** The address of the record at `at`. */
export function addressOf(words: Int32Array, at: number): Address {
  const familyAndPort = words[at + 2] as number;
  const last = words[at + 7] as number;
  const hash = (familyAndPort ^ (words[at + 4] as number) ^ last) * 0x9e3779b1;
  const index = (hash >>> 20) & recentMask;
  const known = recent[index];
  if (known !== undefined && isSame(known.words, words, at)) return known.address;
  const own = words.slice(at + 2, at + recordWords);
  const address = makeAddress(own);
  recent[index] = { words: own, address };
  return address;
}

function isSame(known: Int32Array, words: Int32Array, at: number): boolean {
  for (let i = 0; i < 6; i++) if (known[i] !== words[at + 2 + i]) return false;
  return true;
}

function makeAddress([familyAndPort = 0, scope = 0, ...address]: Int32Array): Address {
  // As `ip6Text` wants it.
  const { buffer } = new Int32Array([familyAndPort, ...address]);
  const port = familyAndPort >>> 16;
  if ((familyAndPort & 0xffff) === 4) return new Address(new Uint8Array(buffer, 4, 4).join("."), port, "IPv4");
  const text = ip6Text(new DataView(buffer));
  return new Address(scope === 0 ? text : `${text}%${scope >>> 0}`, port, "IPv6");
}

/** Address literals that were parsed. */
const literals = new Map<string, Int32Array>();
const maxLiterals = 4096;

/** A record with the address of a literal, its port 0; undefined when `text` is none. A zone after "%" is given by `scopeOf`. */
export function parseLiteral(text: string, scopeOf: (zone: string) => number): Int32Array | undefined {
  const known = literals.get(text);
  if (known !== undefined) return known;
  const [plain = "", zone] = text.split("%", 2);
  const bytes = encoder.encode(plain);
  const record = new Int32Array(recordWords);
  if (bytes.byteLength === 0 || library.zc_udp_parse(bytes, bytes.byteLength, record) < 0) return undefined;
  if (zone !== undefined) record[3] = scopeOf(zone);
  if (literals.size === maxLiterals) literals.clear();
  // A name may stand for another interface tomorrow.
  if (zone === undefined) literals.set(text, record);
  return record;
}

/** Makes the record at `at` say `length` bytes for `to` (undefined: where the socket is connected to) and `port`. */
export function fillRecord(words: Int32Array, at: number, length: number, to: Int32Array | undefined, port: number): void {
  words[at] = length;
  if (to === undefined) {
    words[at + 2] = 0;
    return;
  }
  words[at + 2] = ((to[2] as number) & 0xffff) | (port << 16);
  for (let i = 3; i < recordWords; i++) words[at + i] = to[i] as number;
}
