// Servers in processes of their own, and the CPU time that all their threads have run.

import { readdirSync, readFileSync } from "node:fs";

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
