// createConnection: a duplex that connects, as net.createConnection's does. Runs on each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { asyncio, run } from "zigcoro";
import { closed, collect, duplexes, reaches, record } from "./support/duplex.ts";
import { thrown } from "./support/failure.ts";
import { freePort, sockets } from "./support/sockets.ts";

describe("createConnection", () => {
  test("keeps what is written before it is connected, and reads what comes", async () => {
    await using server = await listen();
    const duplex = asyncio.createConnection({ port: server.port });
    const events = record(duplex);
    expect([duplex.connecting, duplex.pending, duplex.readyState, duplex.bytesWritten]).toEqual([true, true, "opening", 0]);
    duplex.write("one ");
    duplex.end("two");
    expect(duplex.bytesWritten).toBe(7);
    expect(Buffer.from(await collect(duplex)).toString()).toBe("one two");
    await closed(duplex);
    expect(events).toEqual(["connect", "ready", "finish", "end", "close false"]);
  });

  test("without a port connects where `connect` says, however it says it", async () => {
    await using server = await listen();
    const ways: ((duplex: asyncio.SocketDuplex, done: () => void) => unknown)[] = [
      (duplex, done) => duplex.connect(server.port, "127.0.0.1", done),
      (duplex, done) => duplex.connect(`${server.port}`, done),
      (duplex, done) => duplex.connect({ port: server.port, host: "localhost" }, done),
    ];
    for (const connect of ways) {
      const duplex = asyncio.createConnection();
      expect([duplex.connecting, duplex.pending]).toEqual([false, true]);
      await new Promise<void>((resolve) => connect(duplex, resolve));
      expect([duplex.connecting, duplex.pending, duplex.readyState]).toEqual([false, false, "open"]);
      expect(duplex.remoteAddress).toBe("127.0.0.1");
      expect(duplex.remotePort).toBe(server.port);
      expect(duplex.remoteFamily).toBe("IPv4");
      expect(duplex.address()).toEqual({ address: "127.0.0.1", port: duplex.localPort as number, family: "IPv4" });
      duplex.destroy();
    }
  });

  test("a connected one is content to be connected", async () => {
    const [a, b] = await duplexes();
    a.connect(1, "nowhere");
    await once(a, "connect");
    expect(a.readyState).toBe("open");
    a.destroy();
    b.destroy();
  });

  test("fails as TCP.connect does", async () => {
    const port = await run(freePort);
    const duplex = asyncio.createConnection({ port });
    const events = record(duplex);
    let told: unknown;
    duplex.write("lost", (error) => (told = error));
    await closed(duplex);
    expect(events).toEqual(["error ECONNREFUSED", "close true"]);
    expect([duplex.connecting, duplex.readyState]).toEqual([false, "closed"]);
    expect(duplex.errored).toMatchObject({ code: "ECONNREFUSED", address: "127.0.0.1", port, syscall: "connect" });
    expect(told).toBeInstanceOf(Error);
    expect(thrown(() => asyncio.createConnection({ port: 70_000 }))).toStartWith("RangeError: asyncio.TCP.connect: port must be");
    expect(thrown(() => asyncio.createConnection().connect("no port"))).toStartWith("TypeError: asyncio.TCP.connect: port must be");
  });

  test("destroyed while it connects, it never connects", async () => {
    await using server = await listen();
    const before = sockets();
    const duplex = asyncio.createConnection({ port: server.port });
    const events = record(duplex);
    let told: unknown;
    duplex.write("lost", (error) => (told = error));
    duplex.on("data", () => {});
    duplex.destroy();
    await closed(duplex);
    await Bun.sleep(5);
    expect(events).toEqual(["close false"]);
    expect([duplex.connecting, duplex.readyState]).toEqual([false, "closed"]);
    expect(told).toBeInstanceOf(Error);
    await reaches(() => sockets() <= before);
  });

  /** An echo server on our listener. */
  async function listen(): Promise<AsyncDisposable & { port: number }> {
    const server = await asyncio.TCP.listen({ port: 0 });
    const serving = (async () => {
      for await (const connection of server) {
        const duplex = connection.toDuplex();
        duplex.on("error", () => {});
        duplex.pipe(duplex);
      }
    })();
    return {
      port: server.local.port,
      async [Symbol.asyncDispose]() {
        server.close();
        await serving;
      },
    };
  }
});
