// The service of examples/io/http-server.ts for scripts/ci-clients.mjs: on zigcoro's listener (`zigcoro`), on Bun's own as `listen` opens it
// (`bun`), or on node:net's, whose sockets the server is handed as it is handed ours (`net`). Prints its port and serves until it is killed.

import type { Server } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { asyncio, run } from "zigcoro";
import { hello, serve } from "../../examples/io/http-server.ts";

const mode = process.argv[2];
const app: Server = hello();

function listen(server: Server | ReturnType<typeof createServer>): void {
  server.listen(0, "127.0.0.1", () => console.log(`port ${(server.address() as AddressInfo).port}`));
}

if (mode === "zigcoro") {
  run(function* () {
    const listener = yield* asyncio.TCP.listen({ port: 0, backlog: 1024 });
    console.log(`port ${listener.local.port}`);
    yield* serve(listener, app);
  });
} else if (mode === "bun") {
  listen(app);
} else if (mode === "net") {
  listen(createServer({ allowHalfOpen: true, noDelay: true }, (socket) => app.emit("connection", socket)));
} else {
  throw new Error(`http-server: zigcoro, bun or net, got ${mode}`);
}
