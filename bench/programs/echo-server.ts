// An echo server for echo.bench.ts: `guest`, `owner` (coroutines) or `bun` (Bun.listen). Prints its port and serves until it is killed.

import { asyncio, run, xasync } from "zigcoro";

const mode = process.argv[2];

function* echo(connection: asyncio.TCP) {
  using _ = connection;
  try {
    for (let chunk = yield* connection.read(); chunk; chunk = yield* connection.read()) yield* connection.write(chunk);
  } catch (error) {
    // The load ends its connections in the middle of things.
    if ((error as { code?: string }).code !== "ECONNRESET") throw error;
  }
}

function* serve() {
  const server = yield* asyncio.TCP.listen({ port: 0, backlog: 1024 });
  console.log(server.local.port);
  for (;;) xasync(echo, [yield* server.accept()]);
}

if (mode === "bun") {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (socket, data) => void socket.write(data) } });
  console.log(server.port);
} else if (mode === "guest") {
  run(serve);
} else if (mode === "owner") {
  asyncio.run(new asyncio.Loop(), serve);
} else {
  throw new Error(`echo-server: guest, owner or bun, got ${mode}`);
}
