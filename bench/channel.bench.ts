// Channel: messages a second between two generator coroutines, at capacity 0, 1 and 100. The peers are a queue of promises, what one
// would write without channels, and the channels of Effect, Effection, @thi.ng/csp and Go where they are installed (peers.mjs).

import { Channel, run, xasync } from "zigcoro";
import { type Case, compare, cpuTime, ratio, smoke, table } from "./measure.ts";
import { peers } from "./peers.mjs";

const messages = smoke ? 1_000 : 1_000_000;
/** The peers take many times as long. */
const peerMessages = smoke ? 100 : 50_000;

function* receiver(channel: Channel<number>) {
  let sum = 0;
  for (let value = yield* channel.recv(); value !== undefined; value = yield* channel.recv()) sum += value;
  return sum;
}

async function generators(capacity: number): Promise<number> {
  const start = cpuTime();
  const sum = await run(function* main() {
    const channel = new Channel<number>(capacity);
    const receiving = xasync(receiver, [channel]);
    for (let i = 0; i < messages; i++) yield* channel.send(i);
    channel.close();
    return yield* receiving;
  });
  if (sum !== (messages * (messages - 1)) / 2) throw new Error(`the messages add up to ${sum}`);
  return (cpuTime() - start) / messages;
}

async function promises(): Promise<number> {
  const queue: number[] = [];
  let wake = () => {};
  const start = cpuTime();
  const receiving = (async () => {
    for (let received = 0, sum = 0; ; ) {
      const value = queue.shift();
      if (value !== undefined) {
        sum += value;
        if (++received === messages) return sum;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  })();
  for (let i = 0; i < messages; i++) {
    queue.push(i);
    wake();
    await null;
  }
  await receiving;
  return (cpuTime() - start) / messages;
}

async function awaits(): Promise<number> {
  const start = cpuTime();
  for (let i = 0; i < messages; i++) await null;
  return (cpuTime() - start) / messages;
}

const capacities = [0, 1, 100];
const cases: Case[] = [
  { name: "one await", run: awaits },
  ...capacities.map((capacity) => ({ name: `capacity ${capacity}`, run: () => generators(capacity) })),
  { name: "queue of promises, one at a time", run: promises },
];
for (const [name, peer] of Object.entries(await peers())) {
  for (const capacity of peer.capacities) {
    const label = capacity === Infinity ? "unbounded" : `capacity ${capacity}`;
    cases.push({ name: `${name}, ${label}`, run: () => peer.channel(peerMessages, capacity) });
  }
}
const results = await compare(cases);
const one = results.get("one await") as number;
table(
  "Channel between two coroutines",
  ["", "ns/message", "M messages/s", "time, to an await"],
  [...results].map(([name, ns]) => [name, ns.toFixed(1), (1000 / ns).toFixed(2), ratio(ns, one)]),
);
