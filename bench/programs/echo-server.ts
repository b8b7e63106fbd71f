// A server for echo.bench.ts: `bun` (Bun.listen), `node` (node:net), `guest`, `owner` (coroutines) or `native` (bodies in C, owner mode). What it
// does: `echo`, `sink` (reads) or `source` (writes). Prints its port and serves until it is killed.

import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { asyncio, run, xasync } from "zigcoro";
import { native } from "zigcoro/native";

const [task, mode] = process.argv.slice(2);
const host = "127.0.0.1";
const block = new Uint8Array(64 * 1024).fill(7);
const loop = new asyncio.Loop();

const bodies = {
  *echo(connection: asyncio.TCP) {
    for (let chunk = yield* connection.read(); chunk; chunk = yield* connection.read()) yield* connection.write(chunk);
  },
  *sink(connection: asyncio.TCP) {
    while (yield* connection.read());
  },
  *source(connection: asyncio.TCP) {
    for (;;) yield* connection.write(block);
  },
};

function* serve() {
  const body = bodies[task as "echo"];
  const server = yield* asyncio.TCP.listen({ port: 0, backlog: 1024 });
  console.log(server.local.port);
  for (;;) {
    const connection = yield* server.accept();
    const close = () => connection.close();
    // The load ends its connections in the middle of things.
    xasync(body, [connection]).then(close, close);
  }
}

function* serveNative() {
  const body = native.cc(join(import.meta.dir, "echo-server.c"), ["echo", "sink", "source"])[task as "echo"];
  const server = yield* asyncio.TCP.listen({ port: 0, backlog: 1024 });
  console.log(server.local.port);
  for (;;) {
    const connection = yield* server.accept();
    xasync(body, [connection], { stack: task === "echo" ? 32 * 1024 : 96 * 1024 }).then(() => connection.close());
  }
}

function serveBun() {
  const fill = (socket: Bun.Socket<unknown>) => {
    while (socket.write(block) === block.length);
  };
  // What the socket did not take goes when it drains.
  const unsent = new Map<object, Uint8Array>();
  const send = (socket: Bun.Socket<unknown>, data: Uint8Array) => {
    const waiting = unsent.get(socket);
    if (waiting !== undefined) return void unsent.set(socket, Buffer.concat([waiting, data]));
    const sent = socket.write(data);
    if (sent >= 0 && sent < data.length) unsent.set(socket, data.slice(sent));
  };
  const drain = (socket: Bun.Socket<unknown>) => {
    const waiting = unsent.get(socket);
    if (waiting === undefined) return;
    unsent.delete(socket);
    send(socket, waiting);
  };
  const close = (socket: Bun.Socket<unknown>) => void unsent.delete(socket);
  const handlers = {
    echo: { data: send, drain, close },
    sink: { data() {} },
    source: { open: fill, drain: fill, data() {} },
  }[task as "echo"];
  const server = Bun.listen({ hostname: host, port: 0, socket: { ...handlers, error() {} } });
  console.log(server.port);
}

function serveNode() {
  const handlers: Record<string, (socket: Socket) => void> = {
    echo: (socket) => socket.on("data", (data) => void socket.write(data)),
    sink: (socket) => socket.on("data", () => {}),
    source: (socket) => {
      const fill = () => {
        while (!socket.destroyed && socket.write(block));
      };
      socket.on("drain", fill);
      fill();
    },
  };
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    handlers[task as string]?.(socket);
  });
  server.listen(0, host, () => console.log((server.address() as { port: number }).port));
}

if (mode === "bun") serveBun();
else if (mode === "node") serveNode();
else if (mode === "guest") run(serve);
else if (mode === "owner") asyncio.run(loop, serve);
else if (mode === "native") asyncio.run(loop, serveNative);
else throw new Error(`echo-server: bun, node, guest, owner or native, got ${mode}`);
