// Connections over loopback, and what checks them.

import { dlopen } from "bun:ffi";
import { readdirSync, readlinkSync } from "node:fs";
import { asyncio, type Coroutine, xasync } from "zigcoro";
import { isWindows } from "./platform.ts";

/** Both ends of a new connection. */
export function* pair(host = "127.0.0.1"): Coroutine<[client: asyncio.TCP, served: asyncio.TCP]> {
  using server = yield* asyncio.TCP.listen({ port: 0, host });
  const connecting = xasync(function* () {
    return yield* asyncio.TCP.connect({ port: server.local.port, host });
  });
  const served = yield* server.accept();
  return [yield* connecting, served];
}

/** Everything up to the end of the stream. */
export function* readAll(conn: asyncio.TCP, max?: number): Coroutine<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = yield* conn.read(max);
    if (chunk === null) return Buffer.concat(chunks);
    chunks.push(chunk);
  }
}

/** Exactly `length` bytes as text. */
export function* readText(conn: asyncio.TCP, length: number): Coroutine<string> {
  let text = "";
  while (text.length < length) {
    const chunk = yield* conn.read(length - text.length);
    if (chunk === null) throw new Error(`the stream ended after ${JSON.stringify(text)}`);
    text += Buffer.from(chunk).toString();
  }
  return text;
}

/** Bytes that differ from place to place with a long period. */
export function pattern(length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
  return new Uint8Array(words.buffer, 0, length);
}

/** How many descriptors this process has open. */
export function descriptors(): number {
  return isWindows ? openHandles().size : readdirSync("/proc/self/fd").length;
}

/** The descriptors that are open, each with what it leads to. */
export function openDescriptors(): ReadonlySet<string> {
  if (isWindows) return openHandles();
  const all = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return `${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return ""; // the one that read the folder
    }
  });
  return new Set(all.filter((one) => one !== "" && !one.endsWith("/fd")));
}

let kernel32: { GetFileType(handle: number): number } | undefined;

/** Files, sockets and pipes among the first handles of Windows, which gives small numbers first. */
function openHandles(): Set<string> {
  kernel32 ??= dlopen("kernel32.dll", { GetFileType: { args: ["ptr"], returns: "u32" } }).symbols as never;
  const found = new Set<string>();
  for (let handle = 4; handle < 0x4000; handle += 4) {
    const type = kernel32?.GetFileType(handle);
    if (type === 1 || type === 3) found.add(`${handle} of type ${type}`);
  }
  return found;
}

/** Those that were opened since `before` and are still open. What an earlier test has left to be closed may go meanwhile. */
export function openedSince(before: ReadonlySet<string>): string[] {
  return [...openDescriptors()].filter((one) => !before.has(one));
}

/** How many of them are sockets. */
export function sockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // the descriptor that listed them
    }
  }).length;
}

/** A port that nobody listens on: it was free a moment ago. */
export function* freePort(): Coroutine<number> {
  using server = yield* asyncio.TCP.listen({ port: 0 });
  return server.local.port;
}
