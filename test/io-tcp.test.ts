// asyncio.TCP over loopback, in guest and owner mode: streams, half-close, close, cancels, limits. Runs on each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, run, until, withTimeout, xasync } from "zigcoro";
import { failed, failure, microtasks } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf } from "./support/platform.ts";
import { openDescriptors, openedSince, pair, pattern, readAll, readText } from "./support/sockets.ts";

const { TCP } = asyncio;
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
