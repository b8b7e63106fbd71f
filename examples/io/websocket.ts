// WebSockets over zigcoro's TCP, both ends: an echo server on our listener, and a client on a connection of ours. The protocol is the `ws`
// package's, which Bun brings.
//
//   bun examples/io/websocket.ts

import { Agent, createServer } from "node:http";
import { WebSocket, WebSocketServer } from "ws";
import { asyncio, Channel, type Coroutine, run, scope } from "zigcoro";
import { serve } from "./http-server.ts";

/** An agent that makes its connections with zigcoro. */
class ZigcoroAgent extends Agent {
  override createConnection(options: { port: number }): asyncio.SocketDuplex {
    return asyncio.createConnection(options);
  }
}

/** Sends back what comes. */
export function* echo(listener: asyncio.TCPServer): Coroutine<void> {
  const app = createServer();
  const sockets = new WebSocketServer({ server: app });
  sockets.on("connection", (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })));
  yield* serve(listener, app);
}

/** What comes from `url`, as a channel that ends with the connection, and how to send. */
export function dial(url: string): { readonly messages: Channel<string>; readonly socket: WebSocket } {
  const messages = new Channel<string>(16);
  const socket = new WebSocket(url, { agent: new ZigcoroAgent() });
  socket.on("message", (data) => messages.trySend(String(data)));
  socket.on("error", (error) => messages.close(error));
  socket.on("close", () => messages.close());
  return { messages, socket };
}

export function* main(): Coroutine<void> {
  yield* scope(function* (s) {
    using listener = yield* asyncio.TCP.listen({ port: 0 });
    const server = s.spawn(echo, [listener]);
    const { messages, socket } = dial(`ws://127.0.0.1:${listener.local.port}/`);
    socket.on("open", () => ["one", "two", "three"].forEach((word) => void socket.send(word)));
    for (let i = 0; i < 3; i++) console.log(yield* messages.recv());
    socket.close(1000, "bye");
    console.log("closed", yield* messages.recv());
    yield* server.cancel();
  });
}

if (import.meta.main) await run(main);
