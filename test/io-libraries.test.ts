// What libraries do over our sockets: node:http as server and client, https, TLS servers, HTTP/2, WebSockets by Bun's `ws` and by the
// package of that name, ioredis, pg. And the examples of examples/io, as programs of their own. Runs on each backend (ZIGCORO_BACKEND).

import { afterAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { connect, createServer } from "node:net";
import type { Duplex } from "node:stream";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import * as bunWs from "ws";
import { asyncio, run, xasync } from "zigcoro";
import { hello, serve } from "../examples/io/http-server.ts";
import { get, ZigcoroAgent } from "../examples/io/https-get.ts";
import { pool } from "../examples/io/postgres.ts";
import { redis } from "../examples/io/redis.ts";
import { dial, echo } from "../examples/io/websocket.ts";
import { Server } from "../examples/kv/server.ts";
import * as postgres from "./support/postgres.ts";
import { freePort } from "./support/sockets.ts";

const certFile = fileURLToPath(new URL("fixtures/tls/cert.pem", import.meta.url));
const key = readFileSync(new URL("fixtures/tls/key.pem", import.meta.url), "utf8");
const cert = readFileSync(certFile, "utf8");
// Bun answers `ws` with its own; a path gets the package's.
const npmWs = (await import(fileURLToPath(new URL("../node_modules/ws/wrapper.mjs", import.meta.url)))) as typeof bunWs;

/** Listens, and gives each connection to `take` as a duplex. */
async function listen(take: (duplex: asyncio.SocketDuplex) => void): Promise<Disposable & { port: number }> {
  const server = await asyncio.TCP.listen({ port: 0 });
  (async () => {
    for await (const connection of server) take(connection.toDuplex({ allowHalfOpen: true }));
  })();
  return { port: server.local.port, [Symbol.dispose]: () => server.close() };
}

async function text(response: http.IncomingMessage): Promise<string> {
  return (await Array.fromAsync(response.setEncoding("utf8") as AsyncIterable<string>)).join("");
}

async function ask(options: http.RequestOptions, body?: Uint8Array): Promise<string> {
  const request = http.request({ host: "127.0.0.1", ...options });
  const responded = once(request, "response");
  request.end(body);
  const [response] = (await responded) as [http.IncomingMessage];
  return `${response.statusCode} ${await text(response)}`;
}

describe("node:http", () => {
  test("serves Bun's fetch, node's client and a bare socket on our listener", async () => {
    // Clients may end their side and wait for answers.
    const app = Object.assign(hello(), { httpAllowHalfOpen: true });
    let connections = 0;
    using server = await listen((duplex) => {
      connections++;
      app.emit("connection", duplex);
    });
    const url = `http://127.0.0.1:${server.port}/`;
    expect(await (await fetch(url)).text()).toBe("hello, world\n");
    expect(await (await fetch(url, { method: "PUT", body: new Uint8Array(5_000_000) })).text()).toBe("PUT with 5000000 bytes\n");
    const before = connections;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 3; i++)
      expect(await ask({ port: server.port, method: "POST", agent }, Buffer.alloc(i))).toBe(`200 POST with ${i} bytes\n`);
    expect(connections).toBe(before + 1);
    agent.destroy();
    // Three requests in one packet, and the client's end right after them.
    const socket = connect(server.port, "127.0.0.1");
    socket.end(`${"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(2)}GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
    const answers = String(Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)));
    expect(answers.match(/HTTP\/1\.1 200 OK/g)?.length).toBe(3);
    const garbage = connect(server.port, "127.0.0.1");
    garbage.write("no http\r\n\r\n");
    expect(String(Buffer.concat(await Array.fromAsync(garbage as AsyncIterable<Buffer>)))).toStartWith("HTTP/1.1 400 Bad Request");
  });

  test("streams an answer at the pace of who reads it", async () => {
    let sent = 0;
    const app = http.createServer(async (_request, response) => {
      for (let i = 0; i < 512; i++) {
        sent++;
        if (!response.write(Buffer.alloc(65_536, i))) await once(response, "drain");
      }
      response.end();
    });
    using server = await listen((duplex) => app.emit("connection", duplex));
    const connection = await asyncio.TCP.connect({ port: server.port });
    await connection.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    await Bun.sleep(50);
    expect(sent).toBeLessThan(512);
    const bytes = await new Response(connection.readable).bytes();
    expect(sent).toBe(512);
    expect(bytes.byteLength).toBeGreaterThan(32 << 20);
    connection.close();
  });

  test("asks over our connections: one by one, by an agent that keeps them, and with errors as they are", async () => {
    const app = hello().listen(0, "127.0.0.1");
    await once(app, "listening");
    const { port } = app.address() as { port: number };
    expect(await ask({ port, createConnection: asyncio.createConnection as never })).toBe("200 hello, world\n");
    let made = 0;
    class Agent extends http.Agent {
      override createConnection(options: { port: number }): Duplex {
        made++;
        return asyncio.createConnection(options);
      }
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 2 });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => ask({ port, agent, method: "POST" }, Buffer.alloc(i * 100_000))),
    );
    expect(answers).toEqual(Array.from({ length: 10 }, (_, i) => `200 POST with ${i * 100_000} bytes\n`));
    expect(made).toBe(2);
    agent.destroy();
    app.close();
    app.closeAllConnections();
    await once(app, "close");
    const refused = await ask({ port, createConnection: asyncio.createConnection as never }).catch((error) => error);
    expect(refused).toMatchObject({ code: "ECONNREFUSED", port });
  });
});

describe("TLS", () => {
  test("an https GET over our connection, with the certificate checked", async () => {
    const app = https.createServer({ key, cert }, (request, response) => response.end(`secure ${request.url}`)).listen(0, "127.0.0.1");
    await once(app, "listening");
    const url = `https://localhost:${(app.address() as { port: number }).port}`;
    const agent = new ZigcoroAgent({ ca: cert });
    expect(await run(() => get(`${url}/one`, agent))).toEqual({ status: 200, body: "secure /one" });
    const error = await run(() => get(url, new ZigcoroAgent())).catch((error) => error);
    expect(error.code).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
    app.close();
    app.closeAllConnections();
  });

  test("tells why a connection failed, and closes it when a request is given up", async () => {
    const agent = new ZigcoroAgent({ ca: cert });
    const port = await run(freePort);
    const refused = await run(() => get(`https://localhost:${port}/`, agent)).catch((error) => error);
    expect(refused).toMatchObject({ code: "ECONNREFUSED", port });
    const listener = await asyncio.TCP.listen({ port: 0 });
    const url = `https://localhost:${listener.local.port}/`;
    const dropping = listener.accept().then((connection) => connection.close());
    const dropped = await run(() => get(url, agent)).catch((error) => error);
    expect(dropped.code).toBe("ECONNRESET");
    await dropping;
    const asking = xasync(get, [url, agent]);
    const connection = await listener.accept();
    expect((await connection.read())?.[0]).toBe(22); // a handshake
    await asking.cancel();
    expect(asking.status).toBe("done");
    expect(await connection.read()).toBeNull();
    connection.close();
    listener.close();
  });

  test("an https server on our listener: a TLS server, whose sockets node:http serves", async () => {
    const app = http.createServer((request, response) => response.end(`${(request.socket as tls.TLSSocket).encrypted} ${request.url}`));
    const secure = tls.createServer({ key, cert, ALPNProtocols: ["http/1.1"] }, (socket) => app.emit("connection", socket));
    using server = await listen((duplex) => secure.emit("connection", duplex));
    const url = `https://localhost:${server.port}/two`;
    expect(await (await fetch(url, { tls: { ca: cert } })).text()).toBe("true /two");
    expect((await run(() => get(url, new ZigcoroAgent({ ca: cert })))).body).toBe("true /two");
  });
});

test("HTTP/2 on both ends", async () => {
  const app = http2.createServer();
  app.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.respond({ ":status": 200 });
    stream.end(Buffer.alloc(1_000_000, String(headers[":path"])));
  });
  using server = await listen((duplex) => app.emit("connection", duplex));
  const client = http2.connect(`http://localhost:${server.port}`, {
    createConnection: () => asyncio.createConnection({ port: server.port }),
  });
  const request = client.request({ ":path": "/" });
  request.end();
  expect(String(Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>)))).toBe("/".repeat(1_000_000));
  client.destroy();
});

for (const [name, ws] of [
  ["Bun's ws", bunWs],
  ["the ws package", npmWs],
] as const) {
  test(`WebSockets on both ends by ${name}`, async () => {
    const app = http.createServer();
    const sockets = new ws.WebSocketServer({ server: app });
    sockets.on("connection", (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })));
    using server = await listen((duplex) => app.emit("connection", duplex));
    const client = new ws.WebSocket(`ws://127.0.0.1:${server.port}/`, { createConnection: asyncio.createConnection as never });
    await once(client, "open");
    const big = Buffer.alloc(3_000_000, "x");
    client.send("small");
    client.send(big);
    const messages = Promise.withResolvers<string[]>();
    const got: string[] = [];
    client.on("message", (data) => got.push(String(data)) === 2 && messages.resolve(got));
    expect(await messages.promise).toEqual(["small", String(big)]);
    client.close(1000, "bye");
    const [code, reason] = await once(client, "close");
    expect([code, String(reason)]).toEqual([1000, "bye"]);
  });
}

test("WebSockets of the example answer the browser's class, and its client a channel", async () => {
  const listener = await asyncio.TCP.listen({ port: 0 });
  const serving = xasync(echo, [listener]);
  const url = `ws://127.0.0.1:${listener.local.port}/`;
  const browser = new globalThis.WebSocket(url);
  await once(browser as never, "open");
  const answered = once(browser as never, "message");
  browser.send("hello");
  expect(((await answered)[0] as MessageEvent).data).toBe("hello");
  browser.close();
  const { messages, socket } = dial(url);
  socket.on("open", () => socket.send("hello"));
  expect(await messages.recv()).toBe("hello");
  socket.close();
  expect(await messages.recv()).toBeUndefined();
  await serving.cancel();
  listener.close();
});

describe("ioredis", () => {
  test("asks, pipelines, subscribes and reconnects", async () => {
    const server = await run(() => Server.listen(0, "127.0.0.1"));
    const client = redis(server.port);
    const subscriber = redis(server.port);
    await client.set("key", "value");
    expect(await client.get("key")).toBe("value");
    const big = "x".repeat(2_000_000);
    expect(await client.set("big", big)).toBe("OK");
    expect(await client.get("big")).toBe(big);
    expect(await Promise.all(Array.from({ length: 1000 }, () => client.incr("n")))).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
    await subscriber.subscribe("topic");
    const heard = once(subscriber, "message");
    await client.publish("topic", "news");
    expect(await heard).toEqual(["topic", "news"]);
    client.disconnect(true);
    await once(client, "ready");
    expect(await client.get("key")).toBe("value");
    await Promise.all([client.quit(), subscriber.quit()]);
    await run(() => server.close());
  });
});

describe("pg", () => {
  test("asks through a pool, each client on a connection of ours", async () => {
    await using server = await postgres.serve();
    const clients = pool(`postgres://user@127.0.0.1:${server.port}/db`);
    const rows = await Promise.all([1, 2, 3, 4, 5, 6].map(async (n) => (await clients.query("select $1", [n])).rows));
    expect(rows).toEqual([1, 2, 3, 4, 5, 6].map((n) => [{ answer: `${n}` }]));
    expect(server.connections()).toBeGreaterThan(1);
    await clients.end();
  });

  test("tells that nobody listens", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, "close");
    const error = await pool(`postgres://user@127.0.0.1:${port}/db`)
      .query("select 1")
      .catch((error) => error);
    expect(error).toMatchObject({ code: "ECONNREFUSED", address: "127.0.0.1", port });
  });
});

describe("as a program", () => {
  const example = (name: string) => fileURLToPath(new URL(`../examples/io/${name}`, import.meta.url));

  async function program(name: string, ...args: string[]): Promise<{ out: string; err: string; code: number }> {
    const child = Bun.spawn([process.execPath, example(name), ...args], { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { out, err, code };
  }

  test("websocket.ts", async () => {
    expect(await program("websocket.ts")).toEqual({ out: "one\ntwo\nthree\nclosed undefined\n", err: "", code: 0 });
  });

  test("https-get.ts", async () => {
    const app = https.createServer({ key, cert }, (_request, response) => response.end("over TLS")).listen(0, "127.0.0.1");
    afterAll(() => app.closeAllConnections());
    await once(app, "listening");
    const url = `https://localhost:${(app.address() as { port: number }).port}/`;
    expect(await program("https-get.ts", url, certFile)).toEqual({ out: "200 over TLS\n", err: "", code: 0 });
    app.close();
  });

  test("redis.ts", async () => {
    const server = await run(() => Server.listen(0, "127.0.0.1"));
    expect(await program("redis.ts", `${server.port}`)).toEqual({ out: "hello 1000 997 998 999\n", err: "", code: 0 });
    await run(() => server.close());
  });

  test("http-server.ts", async () => {
    const child = Bun.spawn([process.execPath, example("http-server.ts"), "0"], { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    const line = String(Buffer.from((await reader.read()).value as Uint8Array));
    const [, port] = /^http: ready on 127\.0\.0\.1:(\d+)\n$/.exec(line) ?? [];
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello, world\n");
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
  });
});

test("a coroutine that serves ends with its listener or its cancel", async () => {
  const listener = await asyncio.TCP.listen({ port: 0 });
  const serving = xasync(serve, [listener, hello()]);
  expect(await ask({ port: listener.local.port, agent: false })).toBe("200 hello, world\n");
  await serving.cancel();
  expect(listener.closed).toBe(false);
  listener.close();
});
