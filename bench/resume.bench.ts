// Resume: what it costs to resume a suspended generator coroutine, beside a bare generator and an `await`.

import { xasync, xresume, xsuspend } from "zigcoro";
import { compare, cpuTime, ratio, smoke, table, timed } from "./measure.ts";

const resumes = smoke ? 1_000 : 2_000_000;

function* suspending() {
  for (;;) yield* xsuspend();
}

function* bare() {
  for (;;) yield;
}

const results = await compare([
  {
    name: "xresume of a coroutine",
    run: () => {
      const frame = xasync(suspending);
      const ns = timed(resumes, () => {
        for (let i = 0; i < resumes; i++) xresume(frame);
      });
      frame.cancel();
      return ns;
    },
  },
  {
    name: "next() of a bare generator",
    run: () => {
      const generator = bare();
      return timed(resumes, () => {
        for (let i = 0; i < resumes; i++) generator.next();
      });
    },
  },
  {
    name: "await null",
    run: async () => {
      const start = cpuTime();
      for (let i = 0; i < resumes; i++) await null;
      return (cpuTime() - start) / resumes;
    },
  },
]);
const peer = results.get("await null") as number;
table(
  "Resume",
  ["", "ns", "to an await"],
  [...results].map(([name, ns]) => [name, ns.toFixed(1), ratio(ns, peer)]),
);
