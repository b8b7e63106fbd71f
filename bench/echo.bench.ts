// TCP: coroutines in guest and owner mode and native bodies, against Bun.listen, node:net (in Bun) and Go, where it is installed. Echo of 64 bytes
// to 16 KiB at 1 to 1024 connections, and bulk transfer both ways. Client and servers share the machine, so the CPU time that the server's
// threads use per request counts, beside requests a second. `--all` takes every size at every number of connections;
// `--mode bun,guest`, `--connections 64`, `--sizes 64,1024` and `--bulk` choose some.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { smoke } from "./measure.ts";
import { compareServers, cpuTimeOf, each, type Sample, type Server, startServer, type Unit } from "./server.ts";

const { values } = parseArgs({
  options: {
    mode: { type: "string" },
    connections: { type: "string" },
    sizes: { type: "string" },
    all: { type: "boolean" },
    bulk: { type: "boolean" },
    smoke: { type: "boolean" },
  },
  strict: false,
});
const numbers = (text: unknown) => String(text).split(",").map(Number);
const modes = String(values.mode ?? "bun,guest,owner,native,node,go").split(",");
const allCounts = [1, 16, 64, 256, 1024];
const allSizes = [64, 1024, 16 * 1024];
const milliseconds = smoke ? 50 : 500;

/** Pairs of message size and number of connections. */
function cases(): [size: number, connections: number][] {
  const sizes = values.sizes === undefined ? allSizes : numbers(values.sizes);
  const counts = values.connections === undefined ? allCounts : numbers(values.connections);
  const matrix = sizes.flatMap((size) => counts.map((count): [number, number] => [size, count]));
  if (values.all || values.sizes !== undefined || values.connections !== undefined) return matrix;
  if (smoke) return [[64, 16]];
  return matrix.filter(([size, count]) => count === 64 || (size === 64 && count < 1024));
}

interface State {
  /** Bytes of the answer that have not come. */
  left: number;
  /** Bytes of the request that were not taken. */
  unsent: number;
}

/** Rates and CPU time from now on, for a while, of what `count` counts. */
async function observe(server: Server, count: () => number): Promise<Sample> {
  await Bun.sleep(milliseconds / 5); // connected and warm
  const before = { count: count(), cpu: cpuTimeOf(server.process.pid), time: Bun.nanoseconds() };
  await Bun.sleep(milliseconds);
  const done = count() - before.count;
  if (done === 0) throw new Error(`the ${server.mode} server did nothing`);
  return { rate: (done * 1e9) / (Bun.nanoseconds() - before.time), cpu: (cpuTimeOf(server.process.pid) - before.cpu) / done };
}

/** Keeps one request in flight on each connection. */
async function echo(server: Server, size: number, connections: number): Promise<Sample> {
  const message = new Uint8Array(size).fill(7);
  let requests = 0;
  const write = (socket: Bun.Socket<State>) => {
    const sent = socket.write(message.subarray(size - socket.data.unsent));
    socket.data.unsent -= Math.max(sent, 0);
  };
  const ask = (socket: Bun.Socket<State>) => {
    socket.data.left = socket.data.unsent = size;
    write(socket);
  };
  const sockets = await Promise.all(
    Array.from({ length: connections }, () =>
      Bun.connect<State>({
        hostname: "127.0.0.1",
        port: server.port,
        data: { left: 0, unsent: 0 },
        socket: {
          data(socket, data) {
            socket.data.left -= data.length;
            if (socket.data.left > 0) return;
            requests++;
            ask(socket);
          },
          drain(socket) {
            if (socket.data.unsent > 0) write(socket);
          },
        },
      }),
    ),
  );
  for (const socket of sockets) ask(socket);
  const sample = await observe(server, () => requests);
  for (const socket of sockets) socket.terminate();
  return sample;
}

/** As many bytes as one connection carries, to a `sink` or from a `source`. */
async function transfer(server: Server, isSink: boolean): Promise<Sample> {
  const block = new Uint8Array(256 * 1024);
  let bytes = 0;
  const fill = (socket: Bun.Socket<undefined>) => {
    for (let sent = block.length; sent === block.length; bytes += Math.max(sent, 0)) sent = socket.write(block);
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: {
      data(_, data) {
        bytes += data.length;
      },
      open: isSink ? fill : () => {},
      drain: isSink ? fill : () => {},
    },
  });
  const sample = await observe(server, () => bytes);
  socket.terminate();
  return sample;
}

/** Compiles the peer in Go; undefined without Go. */
function goServer(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "zigcoro-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "echo");
  const command = ["go", "build", "-buildvcs=false", "-o", path, "."];
  const built = Bun.which("go") && Bun.spawnSync(command, { cwd: join(import.meta.dir, "peers/go-echo"), stderr: "inherit" }).success;
  return built ? path : undefined;
}

const go = modes.includes("go") && !smoke ? goServer() : undefined;

async function withServers(task: string, use: (servers: readonly Server[]) => Promise<void>): Promise<void> {
  const program = join(import.meta.dir, "programs/echo-server.ts");
  const chosen = modes.filter((mode) => mode !== "go" || go !== undefined);
  const servers = await Promise.all(
    chosen.map((mode) => startServer(mode === "go" ? [go as string, mode, task] : [Bun.argv[0] as string, program, task], mode)),
  );
  try {
    await use(servers);
  } finally {
    for (const { process } of servers) process.kill();
  }
}

const perRequest = each("request");
const perMebibyte: Unit = {
  name: "MiB",
  rate: (rate) => (rate / 2 ** 20).toFixed(0),
  cpu: (ns) => ((ns * 2 ** 20) / 1000).toFixed(1),
};

if (!values.bulk) {
  await withServers("echo", async (servers) => {
    for (const [size, connections] of cases()) {
      const title = `TCP echo, ${size < 1024 ? `${size} bytes` : `${size / 1024} KiB`}, ${connections} connections`;
      await compareServers(title, perRequest, servers, (server) => echo(server, size, connections));
    }
  });
}
if (values.bulk || (values.sizes === undefined && values.connections === undefined)) {
  for (const task of ["sink", "source"]) {
    const title = `TCP, bulk transfer over one connection, ${task === "sink" ? "to" : "from"} the server`;
    await withServers(task, (servers) => compareServers(title, perMebibyte, servers, (server) => transfer(server, task === "sink")));
  }
}
