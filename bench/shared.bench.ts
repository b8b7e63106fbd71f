// Shared channels: numbers from a Worker to this thread and back, beside bare postMessage, which knows no backpressure. Two threads work at
// once, so this goes by the time that passes.

import { join } from "node:path";
import { run, SharedChannel } from "zigcoro";
import { type Case, compare, ratio, smoke, table } from "./measure.ts";
import type { Task } from "./programs/shared-worker.ts";

const messages = smoke ? 200 : 20_000;
const worker = new Worker(join(import.meta.dir, "programs/shared-worker.ts"));
worker.unref();

/** Nanoseconds a message, of `here` and of what the Worker does meanwhile. */
async function timed(task: Task, here: () => Promise<unknown>): Promise<number> {
  const done = new Promise((resolve) => worker.addEventListener("message", resolve, { once: true }));
  const start = Bun.nanoseconds();
  worker.postMessage(task, [task.port ?? task.handle?.port] as MessagePort[]);
  worker.ref();
  await Promise.all([here(), done]);
  worker.unref();
  return (Bun.nanoseconds() - start) / task.count;
}

function post(): Promise<number> {
  const { port1, port2 } = new MessageChannel();
  const received = new Promise<void>((resolve) => {
    let left = messages;
    port1.onmessage = () => {
      if (--left === 0) resolve();
    };
  });
  return timed({ what: "post", count: messages, port: port2 }, () => received).finally(() => port1.close());
}

async function shared(what: "send" | "receive" | "receive many", capacity: number): Promise<number> {
  using channel = new SharedChannel<number>(capacity);
  return await timed({ what, count: messages, handle: channel.handle() }, () =>
    run(function* () {
      if (what === "send") for (let i = 0; i < messages; i++) yield* channel.recv();
      else for (let i = 0; i < messages; i++) yield* channel.send(i);
    }),
  );
}

const cases: Case[] = [{ name: "postMessage", run: post }];
for (const capacity of [1, 100, 1000]) {
  for (const what of ["send", "receive", "receive many"] as const) {
    cases.push({
      name: `the Worker ${what === "send" ? "sends" : what.replace("receive", "receives")}, capacity ${capacity}`,
      run: () => shared(what, capacity),
    });
  }
}
const results = await compare(cases);
const posted = results.get("postMessage") as number;
table(
  "Between two threads",
  ["", "ns/message", "k messages/s", "time, to postMessage"],
  [...results].map(([name, ns]) => [name, ns.toFixed(0), (1e6 / ns).toFixed(0), ratio(ns, posted)]),
);
process.exit(0);
