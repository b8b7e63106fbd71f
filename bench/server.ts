// Servers in processes of their own, the CPU time that all their threads have run, and how they compare.

import { readdirSync, readFileSync } from "node:fs";
import { median, ratio, rounds, smoke, table } from "./measure.ts";

export interface Server {
  readonly mode: string;
  readonly port: number;
  readonly process: Bun.Subprocess<"ignore", "pipe", "inherit">;
}

/** Runs `program` (a TypeScript file, or a command with its arguments) with `mode`; it prints its port and serves until it is killed. */
export async function startServer(program: string | readonly string[], mode: string): Promise<Server> {
  const command = typeof program === "string" ? [Bun.argv[0] as string, program, mode] : [...program, mode];
  const process = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const { value } = await process.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  if (!port) throw new Error(`the ${mode} server did not start`);
  return { mode, port, process };
}

/** Nanoseconds that all threads of a process have run. */
export function cpuTimeOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]), 0);
}

export interface Sample {
  /** Requests, datagrams or bytes a second. */
  readonly rate: number;
  /** Nanoseconds of the server for each. */
  readonly cpu: number;
}

/** What is counted, and how a rate and a CPU time are shown. */
export interface Unit {
  readonly name: string;
  rate(perSecond: number): string;
  cpu(ns: number): string;
}

/** Whole numbers a second, microseconds each. */
export function each(name: string): Unit {
  return { name, rate: (rate) => Math.round(rate).toLocaleString("en"), cpu: (ns) => (ns / 1000).toFixed(2) };
}

/** Measures all servers in turns, after one turn to warm up, and prints their medians, compared with those of the first. */
export async function compareServers(
  title: string,
  unit: Unit,
  servers: readonly Server[],
  sample: (server: Server) => Promise<Sample>,
): Promise<void> {
  const samples = new Map(servers.map(({ mode }) => [mode, [] as Sample[]]));
  for (let round = smoke ? 1 : 0; round <= rounds; round++) {
    for (const server of servers) {
      const taken = await sample(server);
      if (round > 0) samples.get(server.mode)?.push(taken);
    }
  }
  const medians = [...samples].map(([mode, all]) => ({
    mode,
    rate: median(all.map(({ rate }) => rate)),
    cpu: median(all.map(({ cpu }) => cpu)),
  }));
  const peer = medians[0] as (typeof medians)[0];
  table(
    title,
    ["server", `${unit.name}s/s`, `rate, to ${peer.mode}`, `CPU us/${unit.name}`, `CPU, to ${peer.mode}`],
    medians.map(({ mode, rate, cpu }) => [mode, unit.rate(rate), ratio(rate, peer.rate), unit.cpu(cpu), ratio(cpu, peer.cpu)]),
  );
}
