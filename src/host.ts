// Host: names of hosts, and the addresses that they stand for.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { checkString, show } from "./check.ts";
import { Cancelled } from "./error.ts";
import { interleaved } from "./eyeballs.ts";
import type { Coroutine } from "./frame.ts";
import { Lookup } from "./lookup.ts";
import { state } from "./scheduler.ts";
import { until } from "./until.ts";

/** An address or a name; an address may name a zone ("fe80::1%eth0") only where `zones` says so. @throws TypeError */
export function checkHost(value: unknown, what: string, zones = false): string {
  const host = checkString(value, what);
  if (host === "") throw new TypeError(`${what} must not be empty`);
  if (!zones && host.includes("%")) throw new TypeError(`${what} must not name a zone, got ${show(host)}`);
  return host;
}

/**
 * Address literals for `host`, at least one, in the order to try them, of that family unless it is 0. Names are looked up by Bun, or in owner
 * mode, which does not let Bun's loop run, by the C library. Errors are shaped like Node's: code "ENOTFOUND" and so on, `syscall`, `hostname`, `port`.
 */
export function* resolve(host: string, syscall: string, port: number, family: 0 | 4 | 6 = 0): Coroutine<string[]> {
  if (isIP(host)) return [host];
  // RFC 6761: it is this machine, whatever a resolver says.
  if (host === "localhost") return { 0: ["127.0.0.1", "::1"], 4: ["127.0.0.1"], 6: ["::1"] }[family];
  try {
    const addresses = yield* state.owning ? new Lookup(host, family) : until(lookup(host, { all: true, family }));
    if (addresses.length > 0) return interleaved(addresses);
    throw new Error(`${host} has no address`);
  } catch (cause) {
    if (cause instanceof Cancelled) throw cause;
    const { code = "ENOTFOUND" } = cause as { code?: string };
    throw Object.assign(new Error(`${syscall} ${code} ${host}`, { cause }), { code, syscall, hostname: host, port });
  }
}
