// TCP sockets seen from their ends: addresses, errors, arguments, servers, descriptors, peers that others have made. Runs on each backend
// (ZIGCORO_BACKEND).

import { afterAll, describe, expect, test } from "bun:test";
import { createServer, connect as nodeConnect } from "node:net";
import { networkInterfaces } from "node:os";
import { asyncio, run, xasync } from "zigcoro";
import { failed, failure, rejected, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows, isWine } from "./support/platform.ts";
import { descriptors, freePort, pair, pattern, readAll, readText } from "./support/sockets.ts";

const { TCP } = asyncio;
const hasIp6 = Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === "::1"));

describe("addresses", () => {
  inBothModes("of both ends agree, and stay known after the close", function* () {
    using server = yield* TCP.listen({ port: 0 });
    expect(server.local).toMatchObject({ address: "127.0.0.1", family: "IPv4" });
    expect(server.local.port).toBeGreaterThan(0);
    const client = yield* TCP.connect({ port: server.local.port });
    const served = yield* server.accept();
    expect(client.remote).toEqual(server.local);
    expect(served.local).toEqual(server.local);
    expect(served.remote).toEqual(client.local);
    expect(`${client.remote}`).toBe(`127.0.0.1:${server.local.port}`);
    const { local, remote } = client;
    client.close();
    served.close();
    expect([client.local, client.remote]).toEqual([local, remote]);
  });

  test("are known after a close even when nobody asked before", async () => {
    const [a, b] = await run(pair);
    a.close();
    b.close();
    expect(a.remote).toEqual(b.local);
    expect(b.remote).toEqual(a.local);
  });

  inBothModes("localhost is this machine; 0.0.0.0 listens on all", function* () {
    using server = yield* TCP.listen({ port: 0, host: "0.0.0.0" });
    expect(server.local.address).toBe("0.0.0.0");
    for (const host of ["localhost", "127.0.0.1", "127.0.0.2"]) {
      const client = yield* TCP.connect({ port: server.local.port, host });
      const served = yield* server.accept();
      yield* client.write(host);
      expect(yield* readText(served, host.length)).toBe(host);
      client.close();
      served.close();
    }
  });

  test.skipIf(!hasIp6)("may be IPv6", async () => {
    await run(function* () {
      using server = yield* TCP.listen({ port: 0, host: "::1" });
      expect(server.local).toMatchObject({ address: "::1", family: "IPv6" });
      using client = yield* TCP.connect({ port: server.local.port, host: "::1" });
      using served = yield* server.accept();
      expect(`${client.remote}`).toBe(`[::1]:${server.local.port}`);
      expect(served.remote).toEqual(client.local);
      yield* client.write("six");
      expect(yield* readText(served, 3)).toBe("six");
    });
    expect(await rejected(TCP.connect({ port: 1, host: "::1" }))).toBe("Error: connect ECONNREFUSED [::1]:1");
  });

  test.skipIf(!hasIp6)("a listener on :: takes IPv6, and shows mapped IPv4 as it is", async () => {
    using server = await TCP.listen({ port: 0, host: "::" });
    expect(server.local.address).toBe("::");
    using client = await TCP.connect({ port: server.local.port, host: "::1" });
    using served = await server.accept();
    expect(served.remote?.address).toBe("::1");
    expect(client.remote?.family).toBe("IPv6");
  });
});

describe("errors look like Node's", () => {
  test("ECONNREFUSED", async () => {
    const port = await run(freePort);
    const ours = await failure(TCP.connect({ port }));
    expect(ours.message).toBe(`connect ECONNREFUSED 127.0.0.1:${port}`);
    expect(Object.keys(ours).sort()).toEqual(["address", "code", "errno", "port", "syscall"]);
    // Under wine Node's own never ends.
    if (isWine) return;
    const theirs = await new Promise<Record<string, unknown>>((resolve) =>
      nodeConnect({ port, host: "127.0.0.1" }).on("error", (error) => resolve(error as never)),
    );
    for (const field of ["message", "code", "errno", "syscall", "address", "port"])
      expect([field, ours[field]]).toEqual([field, theirs[field]]);
  });

  test("EADDRINUSE", async () => {
    using server = await TCP.listen({ port: 0 });
    const { port } = server.local;
    const error = await failure(TCP.listen({ port }));
    expect(error.message).toBe(`listen EADDRINUSE: address already in use 127.0.0.1:${port}`);
    expect({ ...error }).toEqual({
      code: "EADDRINUSE",
      errno: errnoOf("EADDRINUSE"),
      syscall: "listen",
      address: "127.0.0.1",
      port,
    } as never);
  });

  test("EADDRNOTAVAIL", async () => {
    const error = await failure(TCP.listen({ port: 0, host: "192.0.2.1" }));
    expect([error.code, error.syscall, error.address]).toEqual(["EADDRNOTAVAIL", "listen", "192.0.2.1"]);
  });

  // Wine shows a reset as the stream's end.
  if (!isWine)
    inBothModes("ECONNRESET, when the peer closed with bytes unread", function* () {
      const [a, b] = yield* pair();
      yield* a.write("unread");
      yield* readText(b, 1);
      b.close();
      expect(yield* failed(a.read())).toBe("Error: read ECONNRESET: connection reset by peer");
      a.close();
    });

  inBothModes("EPIPE or ECONNRESET, when writing to a peer that is gone", function* () {
    const [a, b] = yield* pair();
    b.close();
    expect(yield* a.read()).toBeNull();
    let error = "nothing was thrown";
    for (let i = 0; i < 1000 && error === "nothing was thrown"; i++) {
      error = yield* failed(a.write("x"));
      yield* asyncio.sleep(0);
    }
    expect(error).toMatch(/^Error: write (EPIPE: broken pipe|ECONNRESET: connection reset by peer)$/);
    a.close();
  });

  inBothModes("EPIPE, when writing after one's own shutdown", function* () {
    const [a, b] = yield* pair();
    yield* a.shutdown();
    expect(yield* failed(a.write("x"))).toBe("Error: write EPIPE: broken pipe");
    a.close();
    b.close();
  });

  test("a host name that does not exist", async () => {
    for (const [syscall, operation] of [
      ["connect", TCP.connect({ port: 1, host: "no-such-host.invalid" })],
      ["listen", TCP.listen({ port: 0, host: "no-such-host.invalid" })],
    ] as const) {
      const error = await failure(operation);
      expect(error.message).toStartWith(`${syscall} E`);
      expect(error.message).toEndWith(" no-such-host.invalid");
      expect([error.syscall, error.hostname]).toEqual([syscall, "no-such-host.invalid"]);
    }
  }, 20_000);

  inBothModes("two reads, or two writes, or two accepts at once are refused, and the first goes on", function* () {
    using server = yield* TCP.listen({ port: 0 });
    const accepting = xasync(function* () {
      return yield* server.accept();
    });
    expect(yield* failed(server.accept())).toBe("Error: cannot accept a connection: another coroutine does so already");
    const a = yield* TCP.connect({ port: server.local.port });
    const b = yield* accepting;
    const reading = xasync(function* () {
      return yield* readText(a, 5);
    });
    expect(yield* failed(a.read())).toBe("Error: cannot read from a connection: another coroutine does so already");
    const data = pattern(32 << 20);
    const writing = xasync(function* () {
      yield* a.write(data);
      yield* a.shutdown();
    });
    expect(yield* failed(a.write("y"))).toBe("Error: cannot write to a connection: another coroutine does so already");
    yield* b.write("hello");
    expect(yield* reading).toBe("hello");
    expect((yield* readAll(b)).byteLength).toBe(data.byteLength);
    yield* writing;
    a.close();
    b.close();
  });
});

describe("wrong arguments", () => {
  const connectPort = "asyncio.TCP.connect: port must be an integer from 1 to 65535, got";
  const listenPort = "asyncio.TCP.listen: port must be an integer from 0 to 65535, got";
  const data = "TypeError: TCP.write: data must be a string, Uint8Array or ArrayBuffer, got";
  const wrong: [string, (conn: asyncio.TCP) => unknown, string][] = [
    ["connect port 0", () => TCP.connect({ port: 0 }), `RangeError: ${connectPort} 0`],
    ["connect port 70000", () => TCP.connect({ port: 70000 }), `RangeError: ${connectPort} 70000`],
    ["connect port -1", () => TCP.connect({ port: -1 }), `RangeError: ${connectPort} -1`],
    ["connect port 1.5", () => TCP.connect({ port: 1.5 }), `RangeError: ${connectPort} 1.5`],
    ["connect port NaN", () => TCP.connect({ port: Number.NaN }), `RangeError: ${connectPort} NaN`],
    ["connect port string", () => TCP.connect({ port: "80" as never }), `TypeError: ${connectPort} "80"`],
    ["connect port bigint", () => TCP.connect({ port: 80n as never }), `TypeError: ${connectPort} 80n`],
    ["connect without port", () => TCP.connect({} as never), `TypeError: ${connectPort} undefined`],
    [
      "connect without options",
      () => TCP.connect(undefined as never),
      "TypeError: asyncio.TCP.connect: options must be an object, got undefined",
    ],
    ["connect null", () => TCP.connect(null as never), "TypeError: asyncio.TCP.connect: options must be an object, got null"],
    ["connect host 5", () => TCP.connect({ port: 1, host: 5 as never }), "TypeError: asyncio.TCP.connect: host must be a string, got 5"],
    ["listen port 65536", () => TCP.listen({ port: 65536 }), `RangeError: ${listenPort} 65536`],
    ["listen port true", () => TCP.listen({ port: true as never }), `TypeError: ${listenPort} true`],
    [
      "listen without options",
      () => TCP.listen(undefined as never),
      "TypeError: asyncio.TCP.listen: options must be an object, got undefined",
    ],
    [
      "listen host {}",
      () => TCP.listen({ port: 0, host: {} as never }),
      "TypeError: asyncio.TCP.listen: host must be a string, got an object of class Object",
    ],
    [
      "listen backlog 0",
      () => TCP.listen({ port: 0, backlog: 0 }),
      "RangeError: asyncio.TCP.listen: backlog must be an integer from 1 to 65535, got 0",
    ],
    [
      'listen backlog "9"',
      () => TCP.listen({ port: 0, backlog: "9" as never }),
      'TypeError: asyncio.TCP.listen: backlog must be an integer from 1 to 65535, got "9"',
    ],
    ["read 0", (conn) => conn.read(0), "RangeError: TCP.read: max must be an integer from 1 to 2147483647, got 0"],
    ["read -1", (conn) => conn.read(-1), "RangeError: TCP.read: max must be an integer from 1 to 2147483647, got -1"],
    ["read 2^31", (conn) => conn.read(2 ** 31), "RangeError: TCP.read: max must be an integer from 1 to 2147483647, got 2147483648"],
    ["read string", (conn) => conn.read("9" as never), 'TypeError: TCP.read: max must be an integer from 1 to 2147483647, got "9"'],
    ["write nothing", (conn) => conn.write(undefined as never), `${data} undefined`],
    ["write number", (conn) => conn.write(5 as never), `${data} 5`],
    ["write null", (conn) => conn.write(null as never), `${data} null`],
    ["write array", (conn) => conn.write([1, 2] as never), `${data} an object of class Array`],
    ["write Uint16Array", (conn) => conn.write(new Uint16Array(2) as never), `${data} an object of class Uint16Array`],
    ["write DataView", (conn) => conn.write(new DataView(new ArrayBuffer(2)) as never), `${data} an object of class DataView`],
  ];
  const both = run(pair);
  for (const [name, call, message] of wrong) {
    test(name, async () => {
      const [conn] = await both;
      expect(thrown(() => call(conn))).toBe(message);
    });
  }
  afterAll(async () => {
    for (const conn of await both) conn.close();
  });
});

describe("a server", () => {
  test("is iterated with for await until it is closed", async () => {
    const server = await TCP.listen({ port: 0 });
    const serving = xasync(async () => {
      let served = 0;
      for await (const conn of server) {
        await conn.write(`hello ${served++}`);
        conn.close();
      }
      return served;
    });
    for (let i = 0; i < 5; i++) {
      using client = await TCP.connect({ port: server.local.port });
      expect(await run(() => readText(client, 7))).toBe(`hello ${i}`);
    }
    server.close();
    expect(await serving).toBe(5);
  });

  const many = isWine ? 50 : 200;
  inBothModes("echoes to many clients at once", function* () {
    using server = yield* TCP.listen({ port: 0 });
    const accepting = xasync(function* () {
      const sessions = [];
      for (let i = 0; i < many; i++) {
        const conn = yield* server.accept();
        sessions.push(
          xasync(function* () {
            using _ = conn;
            for (let chunk = yield* conn.read(); chunk; chunk = yield* conn.read()) yield* conn.write(chunk);
          }),
        );
      }
      for (const session of sessions) yield* session;
    });
    const clients = Array.from({ length: many }, (_, i) =>
      xasync(function* () {
        using conn = yield* TCP.connect({ port: server.local.port });
        for (let round = 0; round < 20; round++) {
          const text = `client ${i} round ${round}`;
          yield* conn.write(text);
          expect(yield* readText(conn, text.length)).toBe(text);
        }
      }),
    );
    for (const client of clients) yield* client;
    yield* accepting;
  });

  inBothModes("with 300 connections waiting in the backlog accepts them all", function* () {
    using server = yield* TCP.listen({ port: 0 });
    const clients: asyncio.TCP[] = [];
    for (let i = 0; i < 300; i++) clients.push(yield* TCP.connect({ port: server.local.port }));
    for (let i = 0; i < 300; i++) {
      const served = yield* server.accept();
      expect(served.remote).toEqual(clients[i]?.local as never);
      served.close();
    }
    for (const client of clients) client.close();
  });

  test("two listeners share a port when both say so", async () => {
    if (isWindows) {
      expect(await rejected(TCP.listen({ port: 0, reusePort: true }))).toContain("listen ENOTSUP");
      return;
    }
    using one = await TCP.listen({ port: 0, reusePort: true });
    using two = await TCP.listen({ port: one.local.port, reusePort: true });
    expect(two.local.port).toBe(one.local.port);
  });
});

describe("peers of other making", () => {
  test("Bun.connect talks to our server", async () => {
    using server = await TCP.listen({ port: 0 });
    const serving = xasync(function* () {
      using conn = yield* server.accept();
      yield* conn.write(`you said ${yield* readText(conn, 5)}`);
    });
    const { promise, resolve } = Promise.withResolvers<string>();
    let text = "";
    await Bun.connect({
      hostname: "127.0.0.1",
      port: server.local.port,
      socket: {
        open: (socket) => void socket.write("hello"),
        data: (_, chunk) => {
          text += chunk.toString();
        },
        close: () => resolve(text),
      },
    });
    expect(await promise).toBe("you said hello");
    await serving;
  });

  test("we talk to a server of node:net, 8 MiB each way", async () => {
    const theirs = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => theirs.listen(0, "127.0.0.1", resolve));
    const { port } = theirs.address() as { port: number };
    const data = pattern(8 << 20);
    const echoed = await run(function* () {
      using conn = yield* TCP.connect({ port });
      const writer = xasync(function* () {
        yield* conn.write(data);
        yield* conn.shutdown();
      });
      const bytes = yield* readAll(conn);
      yield* writer;
      return bytes;
    });
    expect(Buffer.compare(echoed, data)).toBe(0);
    await new Promise((resolve) => theirs.close(resolve));
  });

  test("Bun.serve answers our plain HTTP", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => new Response(`path ${new URL(request.url).pathname}`) });
    const text = await run(function* () {
      using conn = yield* TCP.connect({ port: server.port as number });
      yield* conn.write("GET /there HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      return Buffer.from(yield* readAll(conn)).toString();
    });
    expect(text).toStartWith("HTTP/1.1 200 OK");
    expect(text).toEndWith("path /there");
  });
});

describe("descriptors", () => {
  inBothModes(
    "are all given back after many connections",
    function* () {
      using server = yield* TCP.listen({ port: 0 });
      const acceptor = xasync(function* () {
        for (;;) {
          const conn = yield* server.accept();
          xasync(function* () {
            using _ = conn;
            const chunk = yield* conn.read();
            if (chunk) yield* conn.write(chunk);
          });
        }
      });
      // What stays open for good (the wake, the ring) is open after the first round.
      let before = 0;
      for (let round = 0; round < (isWine ? 5 : 41); round++) {
        const clients = Array.from({ length: 50 }, () =>
          xasync(function* () {
            using conn = yield* TCP.connect({ port: server.local.port });
            yield* conn.write("x");
            yield* conn.read();
          }),
        );
        for (const client of clients) yield* client;
        if (round === 0) {
          yield* asyncio.sleep(5);
          before = descriptors();
        }
      }
      for (let i = 0; i < 1000 && descriptors() > before; i++) yield* asyncio.sleep(1);
      expect(descriptors()).toBeLessThanOrEqual(before);
      acceptor.cancel();
      yield* failed(acceptor);
    },
    20_000,
  );

  test("of connections that nobody holds any more are given back by the collector", async () => {
    const before = descriptors();
    await run(function* () {
      for (let i = 0; i < 100; i++) yield* pair();
    });
    for (let i = 0; i < 200 && descriptors() > before + 20; i++) {
      Bun.gc(true);
      await asyncio.sleep(1);
    }
    expect(descriptors()).toBeLessThanOrEqual(before + 20);
  });

  test("a promise for a read keeps its connection from the collector", async () => {
    using server = await TCP.listen({ port: 0 });
    const client = await TCP.connect({ port: server.local.port });
    const text = (await server.accept()).read().then((chunk) => Buffer.from(chunk ?? []).toString());
    for (let i = 0; i < 5; i++) {
      Bun.gc(true);
      await asyncio.sleep(1);
    }
    await client.write("held");
    expect(await text).toBe("held");
    client.close();
  });
});
