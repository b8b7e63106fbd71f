// UDP sockets over loopback.

import { networkInterfaces } from "node:os";
import { asyncio, type Coroutine } from "zigcoro";

export const host = "127.0.0.1";
export const hasIp6 = Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === "::1"));

export function* pair(at = host): Coroutine<[a: asyncio.UDP, b: asyncio.UDP]> {
  return [yield* asyncio.UDP.bind({ host: at }), yield* asyncio.UDP.bind({ host: at })];
}

export const text = ({ data }: asyncio.Datagram) => Buffer.from(data).toString();
