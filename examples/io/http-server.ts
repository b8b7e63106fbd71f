// An HTTP/1.1 service by node:http on zigcoro's listener: each connection that is accepted becomes a Duplex, and the server takes that for a
// socket. Whatever runs on a node:http server, Express or WebSockets, runs on this.
//
//   bun examples/io/http-server.ts [port]          Ctrl-C ends it

import { createServer, type Server } from "node:http";
import { asyncio, Channel, type Coroutine, run, xasync } from "zigcoro";

/** Hands every connection to `app` until it is cancelled, or the listener is closed. */
export function* serve(listener: asyncio.TCPServer, app: Server): Coroutine<void> {
  for (;;) {
    const connection = yield* listener.accept();
    // As node:http's own listener opens them: the server says what a half-open connection means.
    app.emit("connection", connection.toDuplex({ allowHalfOpen: true }));
  }
}

/** Says hello, and what it was sent. */
export function hello(): Server {
  return createServer(async (request, response) => {
    if (request.method === "GET") {
      response.writeHead(200, { "content-type": "text/plain", "content-length": 13 }).end("hello, world\n");
      return;
    }
    let length = 0;
    for await (const chunk of request) length += chunk.length;
    response.end(`${request.method} with ${length} bytes\n`);
  });
}

function* main(port: number): Coroutine<void> {
  using listener = yield* asyncio.TCP.listen({ port });
  console.log(`http: ready on ${listener.local}`);
  const app = hello();
  const serving = xasync(serve, [listener, app]);
  const interrupts = new Channel<string>(1);
  process.once("SIGINT", (name) => interrupts.trySend(name));
  yield* interrupts.recv();
  yield* serving.cancel();
  app.closeIdleConnections(); // those in the middle of an answer end after it, and then the process does
}

if (import.meta.main) await run(main, [Number(process.argv[2] ?? 8080)]);
