// UDP sockets over loopback, and tests that run in both modes.

import { test } from "bun:test";
import { networkInterfaces } from "node:os";
import { asyncio, type Coroutine, type Operation, run, withTimeout, xasync } from "zigcoro";

const loop = new asyncio.Loop();
export const host = "127.0.0.1";
export const hasIp6 = Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === "::1"));

/** A test whose body runs in both modes. */
export function inBothModes(name: string, body: () => Coroutine<void>, timeoutMs = 5000): void {
  test(`${name} (guest)`, () => run(body), timeoutMs);
  // Bun's own limit cannot end a blocked thread.
  test(`${name} (owner)`, () => asyncio.run(loop, () => withTimeout(timeoutMs, xasync(body))), timeoutMs);
}

export function* pair(at = host): Coroutine<[a: asyncio.UDP, b: asyncio.UDP]> {
  return [yield* asyncio.UDP.bind({ host: at }), yield* asyncio.UDP.bind({ host: at })];
}

export const text = ({ data }: asyncio.Datagram) => Buffer.from(data).toString();

export function* failed(operation: Operation<unknown>): Coroutine<string> {
  try {
    yield* operation;
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}
