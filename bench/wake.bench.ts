// Wakes: what a waiting process costs, and how long it takes from a datagram that another process sent to the answer, with pauses long enough for
// everybody to sleep. Guest mode is woken through Bun's loop, so it is compared with Bun's own socket in the same run; owner mode sleeps in the
// kernel itself.

import { join } from "node:path";
import { asyncio } from "zigcoro";
import { median, rounds, smoke, table } from "./measure.ts";
import { cpuTimeOf, type Server, startServer } from "./server.ts";

const modes = ["bun", "guest", "owner"];
const wakes = smoke ? 20 : 500;
const pauseNs = 200_000;
const servers = await Promise.all(modes.map((mode) => startServer(join(import.meta.dir, "programs/udp-server.ts"), mode)));

/** Median nanoseconds from a question to its answer. The client blocks in the kernel, so it is the same for all. */
function* ask({ port }: Server) {
  using socket = yield* asyncio.UDP.bind({ host: "127.0.0.1" });
  yield* socket.connect({ host: "127.0.0.1", port });
  const question = new Uint8Array(8);
  const times: number[] = [];
  for (let i = 0; i < wakes; i++) {
    const start = Bun.nanoseconds();
    yield* socket.write(question);
    yield* socket.read();
    const end = Bun.nanoseconds();
    times.push(end - start);
    while (Bun.nanoseconds() < end + pauseNs);
  }
  return median(times);
}

try {
  const loop = new asyncio.Loop();
  const samples = new Map(servers.map(({ mode }) => [mode, { wake: [] as number[], cpu: [] as number[] }]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) {
      const { pid } = server.process;
      const before = cpuTimeOf(pid);
      samples.get(server.mode)?.wake.push(asyncio.run(loop, ask, [server]));
      samples.get(server.mode)?.cpu.push((cpuTimeOf(pid) - before) / wakes);
    }
  }
  // After the last answer: everybody has parked, and waits for a datagram that does not come.
  await Bun.sleep(smoke ? 20 : 500);
  const before = servers.map(({ process }) => cpuTimeOf(process.pid));
  const idle = smoke ? 50 : 1000;
  await Bun.sleep(idle);
  const idleNs = servers.map(({ process }, i) => cpuTimeOf(process.pid) - (before[i] as number));
  const wakeOf = (mode: string) => median(samples.get(mode)?.wake ?? []);
  table(
    `A wake by a datagram, ${pauseNs / 1000} us apart, and a second of waiting`,
    ["server", "answer us", "to bun", "CPU us a wake", "CPU us a second of waiting"],
    servers.map(({ mode }, i) => [
      mode,
      (wakeOf(mode) / 1000).toFixed(1),
      `${((wakeOf(mode) - wakeOf("bun")) / 1000).toFixed(1)} us`,
      (median(samples.get(mode)?.cpu ?? []) / 1000).toFixed(1),
      ((idleNs[i] as number) / idle).toFixed(1),
    ]),
  );
} finally {
  for (const { process } of servers) process.kill();
}
