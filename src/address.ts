// Address: one end of a connection, as native code reports it and as people write it.

import { endpoint } from "./error.ts";
import { env, library } from "./native/env.ts";

/** One end of a connection. */
export class Address {
  /** "127.0.0.1" or "::1". */
  readonly address: string;
  readonly port: number;
  readonly family: "IPv4" | "IPv6";

  constructor(address: string, port: number, family: "IPv4" | "IPv6") {
    this.address = address;
    this.port = port;
    this.family = family;
  }

  /** "127.0.0.1:80" or "[::1]:80". */
  toString(): string {
    return endpoint(this.address, this.port);
  }
}

/** The address of a socket's own end (0) or its peer's (1); undefined when there is none any more. */
export function readAddress(handle: number, peer: 0 | 1): Address | undefined {
  if (handle === 0) return undefined;
  const bytes = new Uint8Array(20);
  if (library.zc_tcp_address(env, handle, peer, bytes) < 0) return undefined;
  const view = new DataView(bytes.buffer);
  return new Address(addressText(view), view.getUint16(2, true), view.getUint16(0, true) === 4 ? "IPv4" : "IPv6");
}

/** Of an address as native code writes it: { u16 family, u16 port, 16 address bytes }. */
export function addressText(view: DataView): string {
  return view.getUint16(0, true) === 4 ? new Uint8Array(view.buffer, view.byteOffset + 4, 4).join(".") : ip6Text(view);
}

/** RFC 5952: lower case, the longest run of zero groups (two at least) as "::", IPv4-mapped addresses in dots. */
export function ip6Text(view: DataView): string {
  const isMapped = view.getUint32(4) === 0 && view.getUint32(8) === 0 && view.getUint32(12) === 0xffff;
  if (isMapped) return `::ffff:${new Uint8Array(view.buffer, view.byteOffset + 16, 4).join(".")}`;
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(4 + 2 * i).toString(16));
  const text = groups.join(":");
  const runs = text.match(/\b0(?::0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), "");
  if (!longest) return text;
  const at = text.search(new RegExp(`(?:^|(?<=:))${longest}(?:$|(?=:))`));
  return `${text.slice(0, Math.max(0, at - 1))}::${text.slice(at + longest.length + 1)}`;
}
