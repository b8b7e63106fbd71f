// asyncio.TCP over loopback, in guest and owner mode: streams, half-close, close, addresses, errors, cancels, limits, leaks, peers of
// Bun and Node. Runs on each backend (ZIGCORO_BACKEND).

import { afterAll, describe, expect, test } from "bun:test";
import { createServer, connect as nodeConnect } from "node:net";
import { networkInterfaces } from "node:os";
import { asyncio, Channel, type Coroutine, run, until, withTimeout, xasync } from "zigcoro";
import { failed, failure, microtasks, rejected, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows, isWine } from "./support/platform.ts";
import { descriptors, freePort, openDescriptors, openedSince, pair, pattern, readAll, readText } from "./support/sockets.ts";

const { TCP } = asyncio;
const hasIp6 = Object.values(networkInterfaces()).some((list) => list?.some((one) => one.address === "::1"));
const closedText = (syscall: string) => `Error: ${syscall} ECANCELED: the socket was closed`;

describe("a stream", () => {
  inBothModes("carries bytes both ways until each side ends it", function* () {
    const [a, b] = yield* pair();
    yield* a.write("ping");
    expect(yield* readText(b, 4)).toBe("ping");
    yield* b.write(new Uint8Array([1, 2, 3]));
    expect(Buffer.from((yield* a.read()) ?? []).toString("hex")).toBe("010203");
    yield* a.shutdown();
    expect(yield* b.read()).toBeNull();
    expect(yield* b.read()).toBeNull();
    yield* b.write("still open");
    expect(yield* readText(a, 10)).toBe("still open");
    b.close();
    expect(yield* a.read()).toBeNull();
    a.close();
  });

  inBothModes("gives at most what a read asks for, and keeps the rest", function* () {
    const [a, b] = yield* pair();
    yield* a.write("abcdefghij");
    a.close();
    const parts: string[] = [];
    for (let max = 1; ; max++) {
      const chunk = yield* b.read(max);
      if (chunk === null) break;
      expect(chunk.byteLength).toBeLessThanOrEqual(max);
      parts.push(Buffer.from(chunk).toString());
    }
    expect(parts).toEqual(["a", "bc", "def", "ghij"]);
    b.close();
  });

  inBothModes("takes strings as UTF-8, ArrayBuffers, Buffers and views of a part", function* () {
    const [a, b] = yield* pair();
    const bytes = new Uint8Array([0x78, 0x79, 0x7a, 0x21]);
    yield* a.write("grüße 🌍 ");
    yield* a.write(bytes.buffer);
    yield* a.write(Buffer.from(" buffer "));
    yield* a.write(bytes.subarray(1, 3));
    yield* a.write("\u0000");
    a.close();
    expect(Buffer.from(yield* readAll(b)).toString()).toBe("grüße 🌍 xyz! buffer yz\u0000");
    b.close();
  });

  inBothModes("ends a write of nothing at once, and the stream stays in order", function* () {
    const [a, b] = yield* pair();
    yield* a.write("");
    yield* a.write(new Uint8Array(0));
    yield* a.write("x");
    yield* a.write(new ArrayBuffer(0));
    a.close();
    expect(Buffer.from(yield* readAll(b)).toString()).toBe("x");
    b.close();
  });

  inBothModes(
    "carries 64 MiB in one write to a reader that is slow",
    function* () {
      const [a, b] = yield* pair();
      const data = pattern(64 << 20);
      const writer = xasync(function* () {
        yield* a.write(data);
        a.close();
      });
      const hash = new Bun.CryptoHasher("sha1");
      let length = 0;
      for (let turn = 0; ; turn++) {
        const chunk = yield* b.read(turn % 3 === 0 ? 1000 : undefined);
        if (chunk === null) break;
        hash.update(chunk);
        length += chunk.byteLength;
        if (turn % 100 === 0) yield* asyncio.sleep(0);
      }
      yield* writer;
      expect(length).toBe(data.byteLength);
      expect(hash.digest("hex")).toBe(new Bun.CryptoHasher("sha1").update(data).digest("hex"));
      b.close();
    },
    20_000,
  );

  inBothModes("carries writes of every size around the buffers' own, both ways at once", function* () {
    const [a, b] = yield* pair();
    const sizes = [1, 2, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 262_144, 1_048_577];
    const total = sizes.reduce((sum, n) => sum + n, 0);
    function* writeAll(conn: asyncio.TCP): Coroutine<void> {
      for (const size of sizes) yield* conn.write(pattern(size));
      yield* conn.shutdown();
    }
    const writers = [xasync(writeAll, [a]), xasync(writeAll, [b])];
    const readers = [xasync(readAll, [a]), xasync(readAll, [b])];
    for (const reader of readers) {
      const bytes = yield* reader;
      expect(bytes.byteLength).toBe(total);
      let at = 0;
      for (const size of sizes) {
        expect(Buffer.compare(bytes.subarray(at, at + size), pattern(size))).toBe(0);
        at += size;
      }
    }
    for (const writer of writers) yield* writer;
    a.close();
    b.close();
  });

  inBothModes("gives each read memory of its own", function* () {
    const [a, b] = yield* pair();
    yield* a.write("first");
    const first = (yield* b.read()) as Uint8Array;
    yield* a.write("other");
    const other = (yield* b.read()) as Uint8Array;
    expect([Buffer.from(first).toString(), Buffer.from(other).toString()]).toEqual(["first", "other"]);
    expect(first.buffer).not.toBe(other.buffer);
    expect(first.buffer.byteLength).toBe(5);
    a.close();
    b.close();
  });

  inBothModes("may use one read operation again and again", function* () {
    const [a, b] = yield* pair();
    const read = b.read(1);
    yield* a.write("xyz");
    a.close();
    const got: (number | undefined)[] = [];
    for (let i = 0; i < 4; i++) got.push((yield* read)?.[0]);
    expect(got).toEqual([0x78, 0x79, 0x7a, undefined]);
    b.close();
  });

  test("is used with await alone", async () => {
    using server = await TCP.listen({ port: 0 });
    const [client, served] = await Promise.all([TCP.connect({ port: server.local.port }), server.accept()]);
    const reading = served.read();
    const later = reading.then((chunk) => Buffer.from(chunk ?? []).toString());
    await client.write("awaited");
    expect(await later).toBe("awaited");
    client.close();
    expect(await served.read()).toBeNull();
    served.close();
  });

  test("setNoDelay is taken before and after the close", async () => {
    const [a, b] = await run(pair);
    a.setNoDelay();
    a.setNoDelay(false);
    a.close();
    a.setNoDelay(true);
    b.close();
  });
});

describe("a buffer that is detached", () => {
  const text = "TypeError: TCP.write: data was detached or resized before all of it was written";

  inBothModes("before the write starts is refused", function* () {
    const [a, b] = yield* pair();
    const data = new Uint8Array(10);
    const write = a.write(data);
    data.buffer.transfer();
    expect(yield* failed(write)).toBe(text);
    yield* a.write("ok");
    expect(yield* readText(b, 2)).toBe("ok");
    a.close();
    b.close();
  });

  inBothModes("while the write waits ends it with an error", function* () {
    const [a, b] = yield* pair();
    const data = new Uint8Array(32 << 20);
    const writer = xasync(function* () {
      return yield* failed(a.write(data));
    });
    yield* readText(b, 1);
    data.buffer.transfer();
    const reader = xasync(function* () {
      while (yield* b.read());
    });
    expect(yield* writer).toBe(text);
    a.close();
    yield* reader;
    b.close();
  });
});

describe("one write operation", () => {
  inBothModes("used a second time while it is under way is refused, and the stream is whole", function* () {
    const [a, b] = yield* pair();
    const data = pattern(16 << 20);
    const write = a.write(data);
    const first = xasync(function* () {
      try {
        yield* write;
      } finally {
        yield* a.shutdown();
      }
    });
    let length = 0;
    while (length < 4 << 20) length += (yield* b.read())?.byteLength ?? Number.POSITIVE_INFINITY;
    expect(yield* failed(write)).toStartWith("Error: ");
    length += (yield* readAll(b)).byteLength;
    yield* first;
    expect(length).toBe(data.byteLength);
    a.close();
    b.close();
  });

  inBothModes("writes again each time it is used", function* () {
    const [a, b] = yield* pair();
    const write = a.write("again ");
    yield* write;
    yield* write;
    a.close();
    expect(Buffer.from(yield* readAll(b)).toString()).toBe("again again ");
    b.close();
  });
});

describe("close", () => {
  inBothModes("ends a pending accept, read and write with ECANCELED", function* () {
    const server = yield* TCP.listen({ port: 0 });
    const accepting = xasync(function* () {
      return yield* failed(server.accept());
    });
    yield* asyncio.sleep(0);
    server.close();
    expect(yield* accepting).toBe(closedText("accept"));

    const [a, b] = yield* pair();
    const reading = xasync(function* () {
      return yield* failed(a.read());
    });
    const writing = xasync(function* () {
      return yield* failed(a.write(new Uint8Array(32 << 20)));
    });
    yield* readText(b, 1);
    a.close();
    expect(yield* reading).toBe(closedText("read"));
    expect(yield* writing).toBe(closedText("write"));
    b.close();
  });

  test("gives errors with all of Node's fields", async () => {
    const server = await TCP.listen({ port: 0 });
    const accepting = failure(server.accept());
    await microtasks();
    server.close();
    const error = await accepting;
    expect([error.code, error.errno, error.syscall]).toEqual(["ECANCELED", errnoOf("ECANCELED"), "accept"]);
  });

  inBothModes("twice does nothing; use afterwards is refused, each time", function* () {
    const [a, b] = yield* pair();
    a.close();
    a.close();
    expect(a.closed).toBe(true);
    for (let i = 0; i < 2; i++) {
      expect(yield* failed(a.read())).toBe(closedText("read"));
      expect(yield* failed(a.write("x"))).toBe(closedText("write"));
      expect(yield* failed(a.shutdown())).toBe(closedText("shutdown"));
    }
    expect(yield* b.read()).toBeNull();
    b.close();
    const server = yield* TCP.listen({ port: 0 });
    server.close();
    server.close();
    expect(yield* failed(server.accept())).toBe(closedText("accept"));
  });

  inBothModes("of one connection leaves a new one with the same descriptor alone", function* () {
    for (let i = 0; i < 50; i++) {
      const [a, b] = yield* pair();
      const reading = xasync(function* () {
        return yield* failed(a.read());
      });
      yield* asyncio.sleep(0);
      a.close();
      const [c, d] = yield* pair();
      yield* c.write("x");
      expect(yield* readText(d, 1)).toBe("x");
      expect(yield* reading).toBe(closedText("read"));
      for (const conn of [b, c, d]) conn.close();
    }
  });

  inBothModes("of a listener refuses those who come later, and frees the port", function* () {
    const server = yield* TCP.listen({ port: 0 });
    const { port } = server.local;
    server.close();
    expect(yield* failed(TCP.connect({ port }))).toBe(`Error: connect ECONNREFUSED 127.0.0.1:${port}`);
    const again = yield* TCP.listen({ port });
    expect(again.local.port).toBe(port);
    again.close();
  });

  test("is what `using` does", async () => {
    let conn: asyncio.TCP;
    let server: asyncio.TCPServer;
    {
      using listening = await TCP.listen({ port: 0 });
      using client = await TCP.connect({ port: listening.local.port });
      [server, conn] = [listening, client];
      expect([server.closed, conn.closed]).toEqual([false, false]);
    }
    expect([server.closed, conn.closed]).toEqual([true, true]);
  });
});

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

describe("while a coroutine is not told yet that its operation has ended", () => {
  inBothModes("the side is still its own: another's read is refused, and it gets its bytes", function* () {
    const [a, b] = yield* pair();
    // A limit tells its reader in two steps; the other coroutine wakes in the same tick, between them.
    const reader = xasync(function* () {
      return (yield* withTimeout(1e6, b.read()))?.byteLength;
    });
    const other = xasync(function* () {
      yield* asyncio.sleep(1);
      return yield* failed(b.read());
    });
    yield* asyncio.sleep(0);
    yield* a.write("bytes");
    const start = performance.now();
    while (performance.now() - start < 3);
    expect(yield* reader).toBe(5);
    a.close();
    // Too late to be refused is right as well: then it read the end of the stream.
    expect(["nothing was thrown", "Error: cannot read from a connection: another coroutine does so already"]).toContain(yield* other);
    b.close();
  });

  inBothModes("a long write stays whole: other writes are refused until its last byte is sent", function* () {
    const [a, b] = yield* pair();
    const data = pattern(32 << 20);
    const writer = xasync(function* () {
      try {
        yield* a.write(data);
        return "whole";
      } finally {
        yield* a.shutdown();
      }
    });
    const told = new Set<string>();
    const chunks: Uint8Array[] = [];
    for (let chunk = yield* b.read(); chunk; chunk = yield* b.read(60_000)) {
      chunks.push(chunk);
      // Whoever reads wakes just as the peer's part is sent, perhaps before the writer knows.
      if (writer.status !== "done") told.add(yield* failed(a.write("!")));
    }
    expect(yield* writer).toBe("whole");
    expect(Buffer.compare(Buffer.concat(chunks), data)).toBe(0);
    expect([...told]).toEqual(["Error: cannot write to a connection: another coroutine does so already"]);
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

describe("cancel and limits", () => {
  inBothModes("a cancelled accept takes no connection: the next accept gets it", function* () {
    using server = yield* TCP.listen({ port: 0 });
    const accepting = xasync(function* () {
      yield* server.accept();
    });
    yield* asyncio.sleep(0);
    accepting.cancel();
    expect(yield* failed(accepting)).toBe("Cancelled: the coroutine was cancelled");
    expect(yield* failed(withTimeout(1, server.accept()))).toBe("TimeoutError: timed out after 1 ms waiting to accept a connection");
    using client = yield* TCP.connect({ port: server.local.port });
    using served = yield* withTimeout(10_000, server.accept());
    expect(served.remote).toEqual(client.local);
  });

  inBothModes("a cancelled read leaves the bytes to the next read", function* () {
    const [a, b] = yield* pair();
    const reading = xasync(function* () {
      yield* b.read();
    });
    yield* asyncio.sleep(0);
    reading.cancel();
    expect(yield* failed(reading)).toBe("Cancelled: the coroutine was cancelled");
    expect(yield* failed(withTimeout(1, b.read()))).toBe("TimeoutError: timed out after 1 ms waiting to read from a connection");
    yield* a.write("kept");
    expect(yield* withTimeout(10_000, readTextOperation(b, 4))).toBe("kept");
    a.close();
    b.close();
  });

  inBothModes("a cancelled write has sent a prefix and no more", function* () {
    const [a, b] = yield* pair();
    const data = pattern(32 << 20);
    const writing = xasync(function* () {
      yield* a.write(data);
    });
    yield* readText(b, 1);
    writing.cancel();
    expect(yield* failed(writing)).toBe("Cancelled: the coroutine was cancelled");
    a.close();
    const rest = yield* readAll(b);
    expect(rest.byteLength).toBeLessThan(data.byteLength - 1);
    expect(Buffer.compare(rest, data.subarray(1, 1 + rest.byteLength))).toBe(0);
    b.close();
  });

  inBothModes("a write with a limit to a peer that does not read times out", function* () {
    const [a, b] = yield* pair();
    const data = pattern(32 << 20);
    expect(yield* failed(withTimeout(20, a.write(data)))).toBe("TimeoutError: timed out after 20 ms waiting to write to a connection");
    a.close();
    const got = yield* readAll(b);
    expect(Buffer.compare(got, data.subarray(0, got.byteLength))).toBe(0);
    b.close();
  });

  /** A listener whose queue of connections is full, so that a further connect waits; it gives those that fill it. */
  function* fullListener(): Coroutine<[asyncio.TCPServer, asyncio.TCP[]]> {
    const server = yield* TCP.listen({ port: 0, backlog: 1 });
    const filling: asyncio.TCP[] = [];
    try {
      for (;;) filling.push(yield* withTimeout(50, TCP.connect({ port: server.local.port })));
    } catch {
      return [server, filling];
    }
  }

  inBothModes("a connect with a limit times out, a cancelled one is Cancelled, and neither leaks", function* () {
    const before = openDescriptors();
    const [server, filling] = yield* fullListener();
    const { port } = server.local;
    const connect = TCP.connect({ port });
    expect(yield* failed(withTimeout(5, connect))).toBe(`TimeoutError: timed out after 5 ms waiting to connect to 127.0.0.1:${port}`);
    const connecting = xasync(function* () {
      yield* connect;
    });
    yield* asyncio.sleep(0);
    connecting.cancel();
    expect(yield* failed(connecting)).toBe("Cancelled: the coroutine was cancelled");
    const asynchronous = xasync(async () => void (await connect));
    yield* asyncio.sleep(1);
    asynchronous.cancel("reason");
    try {
      yield* asynchronous;
    } catch (error) {
      expect([String(error), (error as Error).cause]).toEqual(["Cancelled: the coroutine was cancelled", "reason"]);
    }
    for (const conn of filling) conn.close();
    server.close();
    yield* asyncio.sleep(0);
    expect(openedSince(before)).toEqual([]);
  });

  test("the same connect operation may be used twice at once, with limits too", async () => {
    using server = await TCP.listen({ port: 0 });
    const connect = TCP.connect({ port: server.local.port });
    const conns = await Promise.all([connect, connect, withTimeout(10_000, connect), withTimeout(10_000, connect)]);
    expect(new Set(conns.map((conn) => conn.local?.port)).size).toBe(4);
    for (const conn of conns) conn.close();
  });

  inBothModes("a limit that ends as the bytes come loses none of them", function* () {
    const [a, b] = yield* pair();
    const rounds = 400;
    const sent = new Channel<void>(1);
    const writer = xasync(function* () {
      for (let i = 0; i < rounds; i++) {
        yield* asyncio.sleep((i % 10) / 10);
        yield* a.write(new Uint8Array([i & 255, (i >> 8) & 255]));
        sent.trySend();
      }
      a.close();
    });
    const got: number[] = [];
    let timeouts = 0;
    for (let i = 0; ; i++) {
      try {
        const chunk = yield* withTimeout(((i * 7) % 10) / 10, b.read(1 + (i % 5)));
        if (chunk === null) break;
        got.push(...chunk);
      } catch (error) {
        expect((error as Error).name).toBe("TimeoutError");
        timeouts++;
      }
    }
    yield* writer;
    expect(timeouts).toBeGreaterThan(0);
    expect(got.length).toBe(2 * rounds);
    for (let i = 0; i < rounds; i++) expect((got[2 * i] as number) + 256 * (got[2 * i + 1] as number)).toBe(i);
    b.close();
  });

  inBothModes("a reader that is cancelled as the bytes come loses none of them", function* () {
    const [a, b] = yield* pair();
    let got = "";
    let cancels = 0;
    let expected = "";
    for (let i = 0; i < 300; i++) {
      const reader = xasync(function* () {
        for (;;) got += Buffer.from((yield* b.read(3)) as Uint8Array).toString();
      });
      expected += `<${i}>`;
      if (i % 3 === 0) yield* asyncio.sleep(0);
      yield* a.write(`<${i}>`);
      if (i % 2 === 0) yield* asyncio.sleep(0);
      reader.cancel();
      if ((yield* failed(reader)).startsWith("Cancelled")) cancels++;
    }
    a.close();
    got += Buffer.from(yield* readAll(b)).toString();
    expect(got).toBe(expected);
    expect(cancels).toBe(300);
    b.close();
  });

  inBothModes("an accept that is cancelled as the connection comes loses none of them", function* () {
    const before = openDescriptors();
    using server = yield* TCP.listen({ port: 0 });
    const served: asyncio.TCP[] = [];
    const clients: asyncio.TCP[] = [];
    for (let i = 0; i < 100; i++) {
      const acceptor = xasync(function* () {
        for (;;) served.push(yield* server.accept());
      });
      if (i % 3 === 0) yield* asyncio.sleep(0);
      const connecting = xasync(function* () {
        clients.push(yield* TCP.connect({ port: server.local.port }));
      });
      if (i % 2 === 0) yield* asyncio.sleep(0);
      acceptor.cancel();
      yield* failed(acceptor);
      yield* connecting;
    }
    while (served.length < 100) served.push(yield* withTimeout(10_000, server.accept()));
    const ports = (list: asyncio.TCP[], port: (conn: asyncio.TCP) => number | undefined) => list.map(port).sort();
    expect(ports(served, (conn) => conn.remote?.port)).toEqual(ports(clients, (conn) => conn.local?.port));
    for (const conn of [...served, ...clients]) conn.close();
    server.close();
    yield* asyncio.sleep(0);
    expect(openedSince(before)).toEqual([]);
  });
});

/** readText as one operation, for a limit. */
function readTextOperation(conn: asyncio.TCP, length: number) {
  return xasync(readText, [conn, length]);
}

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

test("until and sockets mix: a coroutine waits for fetch and for a socket in turns", async () => {
  using http = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("web") });
  const [a, b] = await run(pair);
  const text = await run(function* () {
    let all = "";
    for (let i = 0; i < 5; i++) {
      const response = yield* until(fetch(http.url));
      yield* a.write(yield* until(response.text()));
      all += yield* readText(b, 3);
    }
    return all;
  });
  expect(text).toBe("web".repeat(5));
  a.close();
  b.close();
});
