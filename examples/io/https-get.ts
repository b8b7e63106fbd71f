// An https request whose bytes go over zigcoro's TCP: HTTP and TLS are Node's, as in any program, and only the agent is ours.
//
//   bun examples/io/https-get.ts https://example.com/ [certificates.pem]

import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import type { Duplex } from "node:stream";
import { connect } from "node:tls";
import { asyncio, type Coroutine, run, until, withTimeout } from "zigcoro";

/** An agent that makes its connections with zigcoro. */
export class ZigcoroAgent extends Agent {
  override createConnection(options: { host?: string; port: number }): Duplex {
    return connect({ ...options, socket: asyncio.createConnection(options) });
  }
}

/** The status and body of `url`. Limits and cancels end the request and close the connection. */
export function* get(url: string, agent: Agent): Coroutine<{ status: number; body: string }> {
  return yield* until(
    (signal) =>
      new Promise<{ status: number; body: string }>((resolve, reject) => {
        const asked = request(url, { agent, signal }, async (response) => {
          const body = await Array.fromAsync(response.setEncoding("utf8") as AsyncIterable<string>);
          resolve({ status: response.statusCode as number, body: body.join("") });
        });
        asked.on("error", reject).end();
      }),
  );
}

if (import.meta.main) {
  const [url, certificates] = process.argv.slice(2);
  if (url === undefined) throw new TypeError("usage: https-get.ts URL [FILE WITH CERTIFICATES TO TRUST]");
  const agent = new ZigcoroAgent({ keepAlive: true, ...(certificates && { ca: readFileSync(certificates, "utf8") }) });
  const { status, body } = await run(() => withTimeout(10_000, get(url, agent)));
  console.log(status, body);
  agent.destroy();
}
