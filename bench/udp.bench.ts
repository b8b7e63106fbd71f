// UDP: coroutines in guest and owner mode, one datagram at a time and in batches, and a native body, against Bun.udpSocket. Echo of 64 bytes
// with 1 to 64 datagrams under way, receiving a flood, and sending one. Client and servers share the machine, so the CPU time that the
// server's threads use per datagram counts, beside datagrams a second. `--mode bun,guest` chooses some.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { smoke } from "./measure.ts";
import { compareServers, cpuTimeOf, each, type Sample, type Server, startServer } from "./server.ts";

const { values } = parseArgs({ options: { mode: { type: "string" }, smoke: { type: "boolean" } }, strict: false });
const modes = String(values.mode ?? "bun,guest,owner,many,native").split(",");
const milliseconds = smoke ? 50 : 500;
const host = "127.0.0.1";

type ConnectedSocket = Bun.udp.ConnectedSocket<"buffer">;

/** Keeps `count` datagrams under way for a while. */
async function echo({ port, process }: Server, count: number): Promise<Sample> {
  let answers = 0;
  const message = new Uint8Array(64);
  const sockets = await Promise.all(
    Array.from({ length: count }, () =>
      Bun.udpSocket({
        connect: { hostname: host, port },
        socket: {
          data(socket) {
            answers++;
            (socket as ConnectedSocket).send(message);
          },
          error() {},
        },
      }),
    ),
  );
  for (const socket of sockets) socket.send(message);
  await Bun.sleep(milliseconds / 5);
  const before = { answers, cpu: cpuTimeOf(process.pid), time: Bun.nanoseconds() };
  await Bun.sleep(milliseconds);
  const done = answers - before.answers;
  const sample = { rate: (done * 1e9) / (Bun.nanoseconds() - before.time), cpu: (cpuTimeOf(process.pid) - before.cpu) / done };
  for (const socket of sockets) socket.close();
  if (done === 0) throw new Error("the server answered nothing");
  return sample;
}

/** Asks until there is an answer, which may be lost behind a flood. */
async function ask(server: Server, question: Uint8Array): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const socket = await Bun.udpSocket({
    connect: { hostname: host, port: server.port },
    socket: { data: (_, data) => resolve(Number(data.toString())), error() {} },
  });
  socket.send(question);
  const asking = setInterval(() => socket.send(question), 2000);
  const answer = await promise;
  clearInterval(asking);
  socket.close();
  return answer;
}

/** Sends more than a server can take for a while: how many it received. */
async function flood(server: Server): Promise<Sample> {
  await ask(server, Uint8Array.of(2));
  const message = new Uint8Array(64).fill(1);
  const socket = await Bun.udpSocket({ connect: { hostname: host, port: server.port }, socket: { error() {} } });
  const many = Array.from({ length: 32 }, () => message);
  const before = { cpu: cpuTimeOf(server.process.pid), time: Bun.nanoseconds() };
  while (Bun.nanoseconds() - before.time < milliseconds * 1e6) {
    socket.sendMany(many);
    await Promise.resolve();
  }
  const came = await ask(server, Uint8Array.of(2));
  const sample = {
    rate: (came * 1e9) / (Bun.nanoseconds() - before.time),
    cpu: (cpuTimeOf(server.process.pid) - before.cpu) / came,
  };
  socket.close();
  return sample;
}

/** Lets the server send to a socket that nobody reads; the thread's time counts, so the rate is what it could reach. */
async function send(server: Server): Promise<Sample> {
  const sink = await Bun.udpSocket({ hostname: host, socket: { data() {} } });
  const question = new Uint8Array(7);
  const view = new DataView(question.buffer);
  view.setUint8(0, 3);
  view.setUint32(1, smoke ? 6400 : 64_000);
  view.setUint16(5, sink.port);
  const cpu = await ask(server, question);
  sink.close();
  return { rate: 1e9 / cpu, cpu };
}

const perDatagram = each("datagram");
const program = join(import.meta.dir, "programs/udp-server.ts");
const servers = await Promise.all(modes.map((mode) => startServer(program, mode)));
try {
  for (const count of smoke ? [1, 16] : [1, 16, 64]) {
    await compareServers(`UDP echo, 64 bytes, ${count} under way`, perDatagram, servers, (server) => echo(server, count));
  }
  await compareServers("UDP, receiving a flood of 64 bytes", perDatagram, servers, flood);
  const senders = servers.filter(({ mode }) => mode !== "native");
  if (senders.length > 0) await compareServers("UDP, sending 64 bytes", perDatagram, senders, send);
} finally {
  for (const { process } of servers) process.kill();
}
