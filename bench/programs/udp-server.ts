// A UDP server for udp.bench.ts: `bun` (Bun.udpSocket), `guest`, `owner` (coroutines), `many` (owner mode, in batches) or `native` (a body
// in C, owner mode). Prints its port and serves until it is killed. The first byte of a datagram says what to do: 0 echo it, 1 count it,
// 2 answer with the count and begin anew, 3 send as many datagrams as the four bytes after it say to the port after that, and answer with
// the nanoseconds of this thread that each took.

import { join } from "node:path";
import { asyncio, run, xasync } from "zigcoro";
import { native } from "zigcoro/native";
import { cpuTime } from "../measure.ts";

const mode = process.argv[2];
const host = "127.0.0.1";
const payload = new Uint8Array(64).fill(9);
const batch = 32;
let count = 0;

function request(data: Uint8Array): { amount: number; port: number } {
  const view = new DataView(data.buffer, data.byteOffset);
  return { amount: view.getUint32(1), port: view.getUint16(5) };
}

/** Answers all but an echo. */
function* control(socket: asyncio.UDP, { data, address }: asyncio.Datagram) {
  if (data[0] === 1) count++;
  else if (data[0] === 2) {
    yield* socket.write(String(count), address);
    count = 0;
  } else if (data[0] === 3) {
    const { amount, port } = request(data);
    const to = { address: host, port };
    const many = Array.from({ length: batch }, () => ({ data: payload, address: to }));
    const start = cpuTime();
    if (mode === "many") for (let i = 0; i < amount; i += batch) yield* socket.writeMany(many);
    else for (let i = 0; i < amount; i++) yield* socket.write(payload, to);
    yield* socket.write(String((cpuTime() - start) / amount), address);
  }
}

function* serve() {
  const socket = yield* asyncio.UDP.bind({ host });
  socket.setReceiveBufferSize(4 << 20);
  console.log(socket.local.port);
  for (;;) {
    const datagram = yield* socket.read();
    if (datagram.data[0] === 0) yield* socket.write(datagram.data, datagram.address);
    else if (datagram.data[0] === 1) count++;
    else yield* control(socket, datagram);
  }
}

function* serveMany() {
  const socket = yield* asyncio.UDP.bind({ host });
  socket.setReceiveBufferSize(4 << 20);
  console.log(socket.local.port);
  for (;;) {
    const datagrams = yield* socket.readMany();
    if (datagrams[0]?.data[0] === 0) yield* socket.writeMany(datagrams);
    else for (const datagram of datagrams) yield* control(socket, datagram);
  }
}

function* serveNative() {
  const { serve } = native.cc(join(import.meta.dir, "udp-server.c"), ["serve"]);
  const socket = yield* asyncio.UDP.bind({ host });
  socket.setReceiveBufferSize(4 << 20);
  console.log(socket.local.port);
  yield* xasync(serve, [socket]);
}

async function serveBun() {
  const socket = await Bun.udpSocket({
    hostname: host,
    socket: {
      data(socket, data, port, address) {
        if (data[0] === 0) socket.send(data, port, address);
        else if (data[0] === 1) count++;
        else if (data[0] === 2) {
          socket.send(String(count), port, address);
          count = 0;
        } else {
          const to = request(data);
          const start = cpuTime();
          for (let i = 0; i < to.amount; i++) socket.send(payload, to.port, host);
          socket.send(String((cpuTime() - start) / to.amount), port, address);
        }
      },
      // A client that has gone.
      error() {},
    },
  });
  console.log(socket.port);
}

const loop = new asyncio.Loop();
if (mode === "bun") await serveBun();
else if (mode === "guest") run(serve);
else if (mode === "owner") asyncio.run(loop, serve);
else if (mode === "many") asyncio.run(loop, serveMany);
else if (mode === "native") asyncio.run(loop, serveNative);
else throw new Error(`udp-server: bun, guest, owner, many or native, got ${mode}`);
