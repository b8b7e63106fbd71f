// Timers: 100,000 sleeps at once, of 1 to 100 ms, against Bun's setTimeout. What counts is the CPU time of the whole process, for waiting itself
// costs none: from the first start to the last end.

import { asyncio, run, xasync } from "zigcoro";
import { compare, ratio, smoke, table } from "./measure.ts";

const count = smoke ? 1000 : 100_000;
const milliseconds = Array.from({ length: count }, (_, i) => 1 + ((i * 7919) % 100));

/** Nanoseconds of CPU time a timer. */
async function cpu(work: () => unknown): Promise<number> {
  Bun.gc(true);
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / count;
}

const bare = "setTimeout, a callback";
const promises = "setTimeout, a promise";
const cases: Record<string, () => unknown> = {
  [bare]: () =>
    new Promise<void>((resolve) => {
      let left = count;
      for (const ms of milliseconds) {
        setTimeout(() => {
          if (--left === 0) resolve();
        }, ms);
      }
    }),
  [promises]: () => Promise.all(milliseconds.map((ms) => new Promise<void>((resolve) => void setTimeout(resolve, ms)))),
  "sleep, a promise": () => Promise.all(milliseconds.map((ms) => asyncio.sleep(ms).then())),
  "setTimeout, in async functions": () =>
    Promise.all(
      milliseconds.map(async (ms) => {
        await new Promise<void>((resolve) => void setTimeout(resolve, ms));
      }),
    ),
  "sleep, in async functions": () =>
    Promise.all(
      milliseconds.map(async (ms) => {
        await asyncio.sleep(ms);
      }),
    ),
  "sleep, in coroutines": () =>
    run(function* () {
      const frames = milliseconds.map((ms) =>
        xasync(function* () {
          yield* asyncio.sleep(ms);
        }),
      );
      for (const frame of frames) yield* frame;
    }),
};

const medians = await compare(Object.entries(cases).map(([name, work]) => ({ name, run: () => cpu(work) })));
const ended = (name: string) => medians.get(name) as number;
table(
  `${count.toLocaleString("en")} timers at once`,
  ["", "CPU ns a timer", `to ${promises}`],
  Object.keys(cases).map((name) => [name, ended(name).toFixed(0), ratio(ended(name), ended(promises))]),
);

/** Each is cancelled before its time. */
const cancels: Record<string, () => unknown> = {
  clearTimeout: () => {
    const timers = milliseconds.map((ms) => setTimeout(() => {}, ms * 1000));
    for (const timer of timers) clearTimeout(timer);
  },
  "sleep, in coroutines": async () => {
    const frames = milliseconds.map((ms) =>
      xasync(function* () {
        yield* asyncio.sleep(ms * 1000);
      }),
    );
    for (const frame of frames) frame.cancel();
    await Promise.allSettled(frames);
  },
};
const cancelled = await compare(Object.entries(cancels).map(([name, work]) => ({ name, run: () => cpu(work) })));
table(
  `${count.toLocaleString("en")} timers set and cancelled`,
  ["", "CPU ns a timer"],
  [...cancelled].map(([name, ns]) => [name, ns.toFixed(0)]),
);
