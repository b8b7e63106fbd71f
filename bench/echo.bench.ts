// TCP echo of 64 bytes at 1, 16, 64 and 256 connections: coroutines in guest and in owner mode against Bun.listen. Client and servers
// share the machine, so the CPU time that the server's threads use per request counts, beside requests a second.
// `--mode guest,bun` and `--connections 64` choose some.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median, ratio, rounds, smoke, table } from "./measure.ts";

const { values } = parseArgs({
  options: { mode: { type: "string" }, connections: { type: "string" }, smoke: { type: "boolean" } },
  strict: false,
});
const modes = String(values.mode ?? "bun,guest,owner").split(",");
const counts = String(values.connections ?? "1,16,64,256")
  .split(",")
  .map(Number);
const milliseconds = smoke ? 50 : 700;
const message = new Uint8Array(64).fill(7);

interface Server {
  readonly mode: string;
  readonly port: number;
  readonly process: Bun.Subprocess<"ignore", "pipe", "inherit">;
}

async function start(mode: string): Promise<Server> {
  const process = Bun.spawn([Bun.argv[0] as string, join(import.meta.dir, "programs/echo-server.ts"), mode], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await process.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  if (!port) throw new Error(`the ${mode} server did not start`);
  return { mode, port, process };
}

/** Nanoseconds that all threads of a process have run. */
function cpuTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]), 0);
}

/** Keeps one request in flight on each connection for a while; requests a second and server CPU nanoseconds a request. */
async function load(server: Server, connections: number): Promise<{ rate: number; cpu: number }> {
  let requests = 0;
  let missing = new Map<object, number>();
  const sockets = await Promise.all(
    Array.from({ length: connections }, () =>
      Bun.connect({
        hostname: "127.0.0.1",
        port: server.port,
        socket: {
          data(socket, data) {
            const left = (missing.get(socket) ?? message.length) - data.length;
            missing.set(socket, left > 0 ? left : message.length);
            if (left > 0) return;
            requests++;
            socket.write(message);
          },
        },
      }),
    ),
  );
  for (const socket of sockets) socket.write(message);
  await Bun.sleep(milliseconds / 5); // connected and warm
  const before = { requests, cpu: cpuTime(server.process.pid), time: Bun.nanoseconds() };
  await Bun.sleep(milliseconds);
  const done = requests - before.requests;
  const cpu = (cpuTime(server.process.pid) - before.cpu) / done;
  const rate = (done * 1e9) / (Bun.nanoseconds() - before.time);
  for (const socket of sockets) socket.terminate();
  missing = new Map();
  if (done === 0) throw new Error(`the ${server.mode} server answered nothing`);
  return { rate, cpu };
}

const servers = await Promise.all(modes.map(start));
try {
  for (const connections of counts) {
    const samples = new Map(modes.map((mode) => [mode, { rate: [] as number[], cpu: [] as number[] }]));
    for (let round = 0; round < rounds; round++) {
      for (const server of servers) {
        const { rate, cpu } = await load(server, connections);
        samples.get(server.mode)?.rate.push(rate);
        samples.get(server.mode)?.cpu.push(cpu);
      }
    }
    const medians = [...samples].map(([mode, { rate, cpu }]) => ({ mode, rate: median(rate), cpu: median(cpu) }));
    const peer = medians[0] as (typeof medians)[0];
    table(
      `TCP echo, 64 bytes, ${connections} connections`,
      ["server", "requests/s", "CPU us/request", `CPU, to ${peer.mode}`],
      medians.map(({ mode, rate, cpu }) => [mode, Math.round(rate).toLocaleString("en"), (cpu / 1000).toFixed(2), ratio(cpu, peer.cpu)]),
    );
  }
} finally {
  for (const { process } of servers) process.kill();
}
