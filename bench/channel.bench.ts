// Channel: messages a second between two generator coroutines, at capacity 0, 1 and 100. The peer is a queue of promises, what
// one would write without channels.

import { Channel, run, xasync } from "zigcoro";
import { compare, ratio, smoke, table } from "./measure.ts";

const messages = smoke ? 1_000 : 1_000_000;

function* receiver(channel: Channel<number>) {
  let sum = 0;
  for (let value = yield* channel.recv(); value !== undefined; value = yield* channel.recv()) sum += value;
  return sum;
}

async function generators(capacity: number): Promise<number> {
  const start = Bun.nanoseconds();
  const sum = await run(function* main() {
    const channel = new Channel<number>(capacity);
    const receiving = xasync(receiver, [channel]);
    for (let i = 0; i < messages; i++) yield* channel.send(i);
    channel.close();
    return yield* receiving;
  });
  if (sum !== (messages * (messages - 1)) / 2) throw new Error(`the messages add up to ${sum}`);
  return (Bun.nanoseconds() - start) / messages;
}

async function promises(): Promise<number> {
  const queue: number[] = [];
  let wake = () => {};
  const start = Bun.nanoseconds();
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
  return (Bun.nanoseconds() - start) / messages;
}

const capacities = [0, 1, 100];
const results = await compare([
  ...capacities.map((capacity) => ({ name: `capacity ${capacity}`, run: () => generators(capacity) })),
  { name: "queue of promises, one at a time", run: promises },
]);
const peer = results.get("queue of promises, one at a time") as number;
table(
  "Channel between two coroutines",
  ["", "ns/message", "M messages/s", "time, to the promises"],
  [...results].map(([name, ns]) => [name, ns.toFixed(1), (1000 / ns).toFixed(1), ratio(ns, peer)]),
);
