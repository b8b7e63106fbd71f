// Process: starting a program that does nothing and waiting for its end, and one that says something, beside Bun.spawn. Nearly all of it is the
// kernel's work. One child of each kind after the other, so that whatever else the machine does falls on all of them.

import { asyncio } from "zigcoro";
import { median, ratio, rounds, smoke, table } from "./measure.ts";

const { Process } = asyncio;
const children = smoke ? 3 : 100 * rounds;
const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
const loop = new asyncio.Loop();

const cases: { name: string; peer: number; run: () => unknown }[] = [
  { name: "Bun.spawn and exited", peer: 0, run: () => Bun.spawn(["/bin/true"], { stdio: ["ignore", "ignore", "ignore"] }).exited },
  { name: "Process.spawn and wait", peer: 0, run: () => Process.spawn("/bin/true", [], quiet).wait() },
  {
    name: "the same in owner mode",
    peer: 0,
    run: () =>
      asyncio.run(loop, function* () {
        yield* Process.spawn("/bin/true", [], quiet).wait();
      }),
  },
  {
    name: "Bun.spawn of echo, its output and end",
    peer: 3,
    run: async () => {
      const child = Bun.spawn(["/bin/echo", "hello"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      await Promise.all([child.stdout.bytes(), child.stderr.bytes(), child.exited]);
    },
  },
  { name: "Process.run of echo", peer: 3, run: () => Process.run("/bin/echo", ["hello"]) },
];

const samples = cases.map(() => [] as number[]);
for (let i = -10; i < children; i++) {
  for (const [k, { run }] of cases.entries()) {
    const start = Bun.nanoseconds();
    await run();
    if (i >= 0) samples[k]?.push(Bun.nanoseconds() - start);
  }
}
const medians = samples.map(median);
table(
  "Processes, one after the other",
  ["", "us", "to Bun"],
  cases.map(({ name, peer }, k) => [
    name,
    ((medians[k] as number) / 1000).toFixed(0),
    ratio(medians[k] as number, medians[peer] as number),
  ]),
);
