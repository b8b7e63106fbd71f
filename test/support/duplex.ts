// Duplexes over new connections, and what tests ask of them.

import { once } from "node:events";
import type { Duplex } from "node:stream";
import { type asyncio, run } from "zigcoro";
import { pair } from "./sockets.ts";

/** Both ends of a new connection. */
export async function duplexes(options?: asyncio.DuplexOptions): Promise<[asyncio.SocketDuplex, asyncio.SocketDuplex]> {
  const [a, b] = await run(pair);
  return [a.toDuplex(options), b.toDuplex(options)];
}

/** Names of the events in the order in which they come; "close" with its argument. */
export function record(duplex: Duplex): string[] {
  const events: string[] = [];
  for (const name of ["connect", "ready", "end", "finish"]) duplex.on(name, () => events.push(name));
  duplex.on("error", (error: NodeJS.ErrnoException) => events.push(`error ${error.code ?? error.message}`));
  duplex.on("close", (hadError: boolean) => events.push(`close ${hadError}`));
  return events;
}

export async function closed(duplex: Duplex): Promise<void> {
  if (!duplex.closed) await new Promise((resolve) => duplex.once("close", resolve));
  // A second "close" would come by then.
  await Bun.sleep(0);
}

export function sha1(...chunks: Uint8Array[]): string {
  const hash = new Bun.CryptoHasher("sha1");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

/** Everything up to its end. An iterator would destroy it then. */
export async function collect(duplex: Duplex): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  duplex.on("data", (chunk) => chunks.push(chunk));
  await once(duplex, "end");
  return Buffer.concat(chunks);
}

/** Until `condition` holds: every round trip through the loop it is asked again. */
export async function reaches(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}
