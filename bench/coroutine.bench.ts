// Coroutines: spawning and joining, cancelling many, resuming at depth, choosing among several, and what a live one takes. The peers are
// async functions, and Effect, Effection and Go where they are installed (peers.mjs).

import { heapSize } from "bun:jsc";
import { Channel, type Coroutine, call, type Frame, run, select, sleep, xasync, xresume, xsuspend } from "zigcoro";
import { type Case, compare, cpuTime, ratio, smoke, table, timed } from "./measure.ts";
import { peers } from "./peers.mjs";

const count = smoke ? 1_000 : 300_000;
const peerCount = smoke ? 50 : 5_000;
const others = Object.entries(await peers());

// biome-ignore lint/correctness/useYield: a body that never suspends is the case here
function* child(n: number): Coroutine<number> {
  return n;
}

async function asyncChild(n: number): Promise<number> {
  return n;
}

function show(title: string, unit: string, results: Map<string, number>): void {
  const [first] = results.values();
  table(
    title,
    ["", unit, "to the first"],
    [...results].map(([name, ns]) => [name, ns.toFixed(1), ratio(ns, first as number)]),
  );
}

const spawns: Case[] = [
  {
    name: "call and await an async function",
    run: async () => {
      const start = cpuTime();
      for (let i = 0; i < count; i++) await asyncChild(i);
      return (cpuTime() - start) / count;
    },
  },
  {
    name: "spawn and join",
    run: () =>
      run(function* () {
        const start = cpuTime();
        for (let i = 0; i < count; i++) yield* xasync(child, [i]);
        return (cpuTime() - start) / count;
      }),
  },
];
for (const [name, peer] of others)
  if (peer.spawn) spawns.push({ name, run: () => (peer.spawn as (n: number) => Promise<number>)(peerCount) });
show("Spawn and join", "ns", await compare(spawns));

function* suspending(depth: number): Coroutine<void> {
  if (depth > 0) yield* call(suspending(depth - 1));
  for (;;) yield* xsuspend();
}

function* plain(depth: number): Coroutine<void> {
  if (depth > 0) yield* plain(depth - 1);
  for (;;) yield* xsuspend();
}

const resumeAt = (body: (depth: number) => Coroutine<void>, depth: number) => () => {
  const frame = xasync(body, [depth]);
  const ns = timed(count, () => {
    for (let i = 0; i < count; i++) xresume(frame);
  });
  frame.cancel();
  return ns;
};
show(
  "Resume at depth",
  "ns",
  await compare([
    { name: "depth 1, yield* call", run: resumeAt(suspending, 1) },
    { name: "depth 100, yield* call", run: resumeAt(suspending, 100) },
    { name: "depth 100, plain yield*", run: resumeAt(plain, 100) },
  ]),
);

const choose = (branches: number) => () =>
  run(function* () {
    const channels = Array.from({ length: branches }, () => new Channel<number>());
    const sending = xasync(function* () {
      for (let i = 0; i < count / 10; i++) yield* (channels[i % branches] as Channel<number>).send(i);
    });
    const start = cpuTime();
    const receives = Object.fromEntries(channels.map((channel, i) => [i, channel.recv()]));
    for (let i = 0; i < count / 10; i++) yield* select(receives);
    yield* sending;
    return (cpuTime() - start) / (count / 10);
  });
show(
  "Select, one message each",
  "ns",
  await compare([
    { name: "2 branches", run: choose(2) },
    { name: "8 branches", run: choose(8) },
  ]),
);

function* sleeping(): Coroutine<void> {
  yield* sleep(60_000);
}

const cancels: Case[] = [
  {
    name: "cancel a coroutine that sleeps, and wait for its end",
    run: () =>
      run(function* () {
        const frames = Array.from({ length: count / 10 }, () => xasync(sleeping));
        const start = cpuTime();
        for (const frame of frames) frame.cancel();
        for (const frame of frames) yield* frame.cancel();
        return (cpuTime() - start) / (count / 10);
      }),
  },
];
for (const [name, peer] of others) {
  if (peer.cancel) cancels.push({ name, run: () => (peer.cancel as (n: number) => Promise<number>)(peerCount) });
}
show("Cancel storm", "ns", await compare(cancels));

function* minimal(): Coroutine<void> {
  for (;;) yield* xsuspend();
}

const live = smoke ? 1_000 : 1_000_000;
const frames: Frame<void>[] = new Array(live);
Bun.gc(true);
const before = heapSize();
for (let i = 0; i < live; i++) frames[i] = xasync(minimal);
Bun.gc(true);
const bytes = (heapSize() - before) / live;
const ns = timed(live, () => {
  for (const frame of frames) xresume(frame);
});
table(
  `${live.toLocaleString("en")} live coroutines`,
  ["", "bytes each", "ns/resume"],
  [["suspended in xsuspend", bytes.toFixed(0), ns.toFixed(1)]],
);
process.exit(0);
