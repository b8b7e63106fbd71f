// Resolve: the addresses that a host name stands for.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { checkString, show } from "./check.ts";
import { interleaved } from "./eyeballs.ts";
import type { Coroutine } from "./frame.ts";
import { until } from "./until.ts";

/** Address literals for `host`, at least one, in the order to try them. Names are looked up by Bun, which owner mode does not let run. */
export function* resolve(host: string, syscall: string, port: number): Coroutine<string[]> {
  if (isIP(host)) return [host];
  // RFC 6761: it is this machine, whatever a resolver says.
  if (host === "localhost") return ["127.0.0.1", "::1"];
  try {
    const addresses = yield* until(lookup(host, { all: true }));
    if (addresses.length > 0) return interleaved(addresses);
    throw new Error(`${host} has no address`);
  } catch (cause) {
    const { code = "ENOTFOUND" } = cause as { code?: string };
    throw Object.assign(new Error(`${syscall} ${code} ${host}`, { cause }), { code, syscall, hostname: host, port });
  }
}

export function checkHost(value: unknown, what: string): string {
  const host = checkString(value ?? "127.0.0.1", what);
  if (host === "") throw new TypeError(`${what} must not be empty`);
  if (host.includes("%")) throw new TypeError(`${what} must not name a zone, got ${show(host)}`);
  return host;
}
