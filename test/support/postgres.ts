// A server that speaks just enough of PostgreSQL's protocol (version 3) for a client to log in and to ask with one parameter, which is the
// answer. It runs on node:net; the real server is asked by scripts/ci-clients.mjs.

import { once } from "node:events";
import { createServer, type Socket } from "node:net";

export async function serve(): Promise<AsyncDisposable & { readonly port: number; connections(): number }> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    sockets.add(socket.on("close", () => sockets.delete(socket)));
    answer(socket).catch(() => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, "close");
    },
  };
}

async function answer(socket: Socket): Promise<void> {
  let isStarted = false;
  let buffered = Buffer.alloc(0);
  let parameter: Buffer = Buffer.alloc(0);
  for await (const chunk of socket) {
    buffered = Buffer.concat([buffered, chunk]);
    for (;;) {
      // The first message has no type.
      const typeLength = isStarted ? 1 : 0;
      if (buffered.length < typeLength + 4) break;
      const length = typeLength + buffered.readUInt32BE(typeLength);
      if (buffered.length < length) break;
      const type = isStarted ? String.fromCharCode(buffered[0] as number) : "start";
      const body = buffered.subarray(typeLength + 4, length);
      buffered = buffered.subarray(length);
      isStarted = true;
      if (type === "B") parameter = parameterOf(body);
      for (const message of replies(type, parameter)) socket.write(message);
    }
  }
}

/** The one parameter of a Bind: after the portal's name, the statement's, and the formats. */
function parameterOf(bind: Buffer): Buffer {
  const formats = bind.indexOf(0, bind.indexOf(0) + 1) + 1;
  const at = formats + 2 + 2 * bind.readUInt16BE(formats) + 2;
  return Buffer.from(bind.subarray(at + 4, at + 4 + bind.readUInt32BE(at)));
}

function replies(type: string, parameter: Buffer): Buffer[] {
  switch (type) {
    case "start":
      return [message("R", uint32(0)), message("Z", "I")];
    case "P":
      return [message("1")];
    case "B":
      return [message("2")];
    case "D":
      return [message("T", uint16(1), "answer\0", uint32(0), uint16(0), uint32(25), uint16(65535), uint32(2 ** 32 - 1), uint16(0))];
    case "E":
      return [message("D", uint16(1), uint32(parameter.length), parameter), message("C", "SELECT 1\0")];
    case "S":
      return [message("Z", "I")];
    default:
      return [];
  }
}

function message(type: string, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  return Buffer.concat([Buffer.from(type), uint32(body.length + 4), body]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
