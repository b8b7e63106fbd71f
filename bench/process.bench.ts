// Process: starting a program that does nothing and waiting for its end, beside Bun.spawn. Starting is most of it, and the kernel's: the time
// is what passes, CPU is what this thread uses of it.

import { asyncio, run } from "zigcoro";
import { cpuTime, median, ratio, rounds, smoke, table } from "./measure.ts";

const { Process } = asyncio;
const children = smoke ? 5 : 200;
const quiet = { stdin: "ignore", stdout: "ignore", stderr: "ignore" } as const;
const program = "/bin/true";

async function bunOne(): Promise<void> {
  await Bun.spawn([program], { stdio: ["ignore", "ignore", "ignore"] }).exited;
}

async function bunPiped(): Promise<void> {
  const child = Bun.spawn(["/bin/echo", "hello"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  await child.stdout.text();
  await child.exited;
}

async function ours(one: () => ReturnType<typeof sequential>): Promise<void> {
  await run(one);
}

function* sequential() {
  for (let i = 0; i < children; i++) yield* Process.spawn(program, [], quiet).wait();
}

function* piped() {
  for (let i = 0; i < children; i++) yield* Process.run("/bin/echo", ["hello"]);
}

const cases = [
  { name: "Process.spawn and wait", run: () => ours(sequential) },
  {
    name: "Bun.spawn and exited",
    run: async () => {
      for (let i = 0; i < children; i++) await bunOne();
    },
  },
  { name: "Process.run of echo", run: () => ours(piped) },
  {
    name: "Bun.spawn of echo, stdout.text()",
    run: async () => {
      for (let i = 0; i < children; i++) await bunPiped();
    },
  },
];

const samples = cases.map(() => [] as [wall: number, cpu: number][]);
for (let round = smoke ? 1 : 0; round <= rounds; round++) {
  for (const [i, { run: runCase }] of cases.entries()) {
    const [wall, cpu] = [Bun.nanoseconds(), cpuTime()];
    await runCase();
    if (round > 0) samples[i]?.push([(Bun.nanoseconds() - wall) / children, (cpuTime() - cpu) / children]);
  }
}
const of = (i: number, which: 0 | 1): number => median((samples[i] ?? []).map((sample) => sample[which]));
table(
  "Processes, one after the other",
  ["", "us", "to Bun", "CPU us", "to Bun"],
  cases.map(({ name }, i) => {
    const peer = i | 1;
    const us = (ns: number) => (ns / 1000).toFixed(0);
    return [name, us(of(i, 0)), ratio(of(i, 0), of(peer, 0)), us(of(i, 1)), ratio(of(i, 1), of(peer, 1))];
  }),
);
