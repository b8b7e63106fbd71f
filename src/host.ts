// Host: names of hosts, looked up by Bun; owner mode does not let that run.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { Coroutine } from "./frame.ts";
import { until } from "./until.ts";

/**
 * An address literal for `host`, of that family unless it is 0. Errors are shaped like Node's: code "ENOTFOUND" and so on, `syscall`,
 * `hostname`, `port`.
 */
export function* resolve(host: string, family: 0 | 4 | 6, syscall: string, port: number): Coroutine<string> {
  if (isIP(host)) return host;
  if (host === "localhost") return family === 6 ? "::1" : "127.0.0.1";
  try {
    return (yield* until(lookup(host, { family }))).address;
  } catch (cause) {
    const { code = "ENOTFOUND" } = cause as { code?: string };
    throw Object.assign(new Error(`${syscall} ${code} ${host}`, { cause }), { code, syscall, hostname: host, port });
  }
}
