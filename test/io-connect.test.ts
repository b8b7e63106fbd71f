// Connecting: hosts with several addresses, limits of time, networks that are not there. Runs on each backend (ZIGCORO_BACKEND).

import { beforeAll, describe, expect, test } from "bun:test";
import { createServer, connect as nodeConnect } from "node:net";
import { asyncio, type Coroutine, run, sleep, until, withTimeout, xasync } from "zigcoro";
import { firstConnected, interleaved } from "../src/eyeballs.ts";
import { runFixture } from "./support/child.ts";
import { failed, failure } from "./support/failure.ts";
import { errnoOf, isWindows, isWine } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { freePort, openDescriptors, openedSince, pair } from "./support/sockets.ts";

const { TCP } = asyncio;

// The loop parks for the first time, and has then all descriptors that it will ever have.
beforeAll(() => sleep(30).then());

/** A listener at `host` whose queue is full, so that who connects waits. */
function* fullListener(host: string): Coroutine<[asyncio.TCPServer, asyncio.TCP[]]> {
  const server = yield* TCP.listen({ port: 0, host, backlog: 1 });
  const filling: asyncio.TCP[] = [];
  for (;;) {
    try {
      filling.push(yield* withTimeout(100, TCP.connect({ port: server.local.port, host })));
    } catch {
      return [server, filling];
    }
  }
}

describe("localhost", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    test(`is reached at ${host}`, () =>
      run(function* () {
        using server = yield* TCP.listen({ port: 0, host });
        using connection = yield* TCP.connect({ port: server.local.port, host: "localhost" });
        using served = yield* server.accept();
        expect(connection.remote?.address).toBe(host);
        expect(String(served.remote)).toBe(String(connection.local));
      }));
  }

  test("where nobody listens is an AggregateError with the first one's fields", async () => {
    const port = await run(freePort);
    const error = (await failure(TCP.connect({ port, host: "localhost" }))) as unknown as AggregateError & Record<string, unknown>;
    expect(error).toBeInstanceOf(AggregateError);
    expect(error.message).toBe(`connect ECONNREFUSED 127.0.0.1:${port} (and 1 more)`);
    expect(error.errors.map(String)).toEqual([
      `Error: connect ECONNREFUSED 127.0.0.1:${port}`,
      `Error: connect ECONNREFUSED [::1]:${port}`,
    ]);
    const { code, errno, syscall, address } = error;
    expect({ code, errno, syscall, address, port: error.port }).toEqual({
      code: "ECONNREFUSED",
      errno: errnoOf("ECONNREFUSED"),
      syscall: "connect",
      address: "127.0.0.1",
      port,
    });
  });

  test("is reached at the second address after a quarter of a second when the first does not answer", () =>
    run(function* () {
      const before = openDescriptors();
      const [full, filling] = yield* fullListener("127.0.0.1");
      const { port } = full.local;
      const server = yield* TCP.listen({ port, host: "::1" });
      const start = performance.now();
      const connection = yield* TCP.connect({ port, host: "localhost" });
      expect(performance.now() - start).toBeGreaterThanOrEqual(249);
      expect(connection.remote?.address).toBe("::1");
      // In order it waits for the first, and the limit ends it.
      const error = (yield* xasync(
        async () => await failure(TCP.connect({ port, host: "localhost", inOrder: true, timeout: 300 })),
      )) as Error;
      expect(error.message).toBe(`connect ETIMEDOUT localhost:${port}`);
      for (const one of [connection, server, full, ...filling]) one.close();
      yield* sleep(1);
      expect(openedSince(before)).toEqual([]);
    }));
});

describe("a limit of time", () => {
  test("is ETIMEDOUT, and leaves nothing open", () =>
    run(function* () {
      const before = openDescriptors();
      const [server, filling] = yield* fullListener("127.0.0.1");
      const { port } = server.local;
      const error = yield* xasync(async () => await failure(TCP.connect({ port, timeout: 20 })));
      expect(error.message).toBe(`connect ETIMEDOUT 127.0.0.1:${port}`);
      expect({ ...error, cause: undefined }).toEqual({
        code: "ETIMEDOUT",
        errno: errnoOf("ETIMEDOUT"),
        syscall: "connect",
        address: "127.0.0.1",
        port,
        cause: undefined,
      } as never);
      expect(String(error.cause)).toStartWith("TimeoutError: timed out after 20 ms");
      for (const one of [server, ...filling]) one.close();
      yield* sleep(1);
      expect(openedSince(before)).toEqual([]);
    }));

  test("that is not reached changes nothing", () =>
    run(function* () {
      using server = yield* TCP.listen({ port: 0 });
      using connection = yield* TCP.connect({ port: server.local.port, timeout: 5000 });
      expect(connection.closed).toBe(false);
    }));

  test("must be a number of milliseconds", () => {
    expect(() => TCP.connect({ port: 1, timeout: -1 })).toThrow("asyncio.TCP.connect: timeout must be a number of milliseconds");
  });
});

test("addresses of two families take turns", () => {
  const of = (...list: string[]) => list.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  expect(interleaved(of("::1", "::2", "::3", "1", "2"))).toEqual(["::1", "1", "::2", "2", "::3"]);
  expect(interleaved(of("1", "2", "::1"))).toEqual(["1", "::1", "2"]);
  expect(interleaved(of("1"))).toEqual(["1"]);
});

describe("the first of several attempts", () => {
  const seeds = Array.from({ length: 60 }, (_, i) => i);
  test.each(seeds)("wins, and every other ends or is closed (seed %d)", (seed) =>
    run(function* () {
      const random = new Random(seed);
      const count = 2 + random.below(4);
      const plans = Array.from({ length: count }, () => ({ ms: random.below(3), works: random.below(3) === 0 }));
      const open = new Set<string>();
      const started: string[] = [];
      let ended = 0;
      function* connectTo(address: string): Coroutine<Disposable & { address: string }> {
        const plan = plans[Number(address)] as (typeof plans)[number];
        started.push(address);
        try {
          if (plan.ms > 0) yield* sleep(plan.ms - 1);
          if (!plan.works) throw Object.assign(new Error(`${address} failed`), { code: `E${address}` });
          open.add(address);
          return { address, [Symbol.dispose]: () => void open.delete(address) };
        } finally {
          ended++;
        }
      }
      const addresses = plans.map((_, i) => String(i));
      const connecting = xasync(() => firstConnected(addresses, connectTo));
      const cancels = random.below(4) === 0;
      if (cancels) {
        yield* sleep(random.below(2));
        connecting.cancel();
      }
      let winner: string | undefined;
      try {
        winner = (yield* connecting).address;
      } catch (error) {
        if (!cancels || !String(error).startsWith("Cancelled")) {
          expect((error as AggregateError).errors.map((one) => (one as Error).message)).toEqual(
            addresses.map((address) => `${address} failed`),
          );
          expect((error as Error & { code: string }).code).toBe("E0");
          expect(plans.some(({ works }) => works)).toBe(false);
        }
      }
      // In order, each once, and none is left running.
      expect(started).toEqual(addresses.slice(0, started.length));
      expect(ended).toBe(started.length);
      expect([...open]).toEqual(winner === undefined ? [] : [winner]);
    }),
  );
});

describe("networks that are not there", () => {
  const unreachable: [name: string, setUp: string, address: string, code: string][] = [
    ["no network at all", "true", "127.0.0.1", "ENETUNREACH"],
    ["no way to the host", "ip link set lo up; ip route add unreachable 10.9.0.0/16", "10.9.1.1", "EHOSTUNREACH"],
  ];
  for (const [name, setUp, address, code] of unreachable) {
    const works = !isWindows && Bun.spawnSync(["unshare", "-rn", "sh", "-c", setUp]).exitCode === 0;
    test.skipIf(!works)(`${name}: ${code}`, async () => {
      const fixture = new URL("./fixtures/connects.ts", import.meta.url).pathname;
      const child = Bun.spawn(["unshare", "-rn", "sh", "-c", `${setUp}; exec "$0" "$@"`, process.execPath, fixture, address, "7"]);
      expect(await child.stdout.text()).toBe(`Error: connect ${code} ${address}:7 ${code}\n`);
    });
  }
  const hasUsers = !isWindows && Bun.spawnSync(["unshare", "-Un", "true"]).exitCode === 0;
  test.skipIf(!hasUsers)("a port that is not for everybody: EACCES", async () => {
    const fixture = new URL("./fixtures/connects.ts", import.meta.url).pathname;
    const child = Bun.spawn(["unshare", "-Un", process.execPath, fixture, "127.0.0.1", "7", "listen"]);
    expect(await child.stdout.text()).toBe("Error: listen EACCES: permission denied 127.0.0.1:7 EACCES\n");
  });

  test("the address of another machine cannot be listened on", async () => {
    const error = await failure(TCP.listen({ port: 0, host: "192.0.2.1" }));
    expect(error.message).toBe("listen EADDRNOTAVAIL: address not available 192.0.2.1:0");
  });
});

describe("options", () => {
  test("an IPv6 listener takes IPv4 connections, unless it is to take its own only", () =>
    run(function* () {
      using both = yield* TCP.listen({ port: 0, host: "::" });
      using client = yield* TCP.connect({ port: both.local.port });
      using served = yield* both.accept();
      expect(served.remote?.address).toBe("::ffff:127.0.0.1");
      expect(client.remote?.address).toBe("127.0.0.1");
      using only = yield* TCP.listen({ port: 0, host: "::", ipv6Only: true });
      expect(yield* failed(TCP.connect({ port: only.local.port }))).toContain("ECONNREFUSED");
      using six = yield* TCP.connect({ port: only.local.port, host: "::1" });
      expect(six.remote?.family).toBe("IPv6");
    }));

  // Wine knows no count.
  test.skipIf(isWine)("keep-alive takes its figures", () =>
    run(function* () {
      const [a, b] = yield* pair();
      a.setKeepAlive();
      a.setKeepAlive(true, { idle: 1500, interval: 1000, count: 3 });
      a.setKeepAlive(false);
      expect(() => a.setKeepAlive(true, { count: 128 })).toThrow("TCP.setKeepAlive: count must be an integer from 1 to 127, got 128");
      expect(() => a.setKeepAlive(true, { idle: 0 })).toThrow("TCP.setKeepAlive: idle must be");
      a.close();
      b.close();
      a.setKeepAlive();
    }),
  );
});

// Wine shows a reset as the stream's end.
test.skipIf(isWine)("a peer is known after it has reset the connection", () =>
  run(function* () {
    using server = yield* TCP.listen({ port: 0 });
    const client = nodeConnect(server.local.port, "127.0.0.1");
    using served = yield* server.accept();
    yield* until(new Promise((resolve) => client.once("connect", resolve)));
    const { localPort } = client;
    client.resetAndDestroy();
    expect(yield* failed(served.read())).toContain("ECONNRESET");
    expect(served.remote?.port).toBe(localPort as number);
  }),
);

test("a name that nobody knows is ENOTFOUND", async () => {
  const error = await failure(TCP.connect({ port: 1, host: "nobody.invalid" }));
  expect({ ...error, cause: undefined }).toEqual({
    code: "ENOTFOUND",
    syscall: "connect",
    hostname: "nobody.invalid",
    port: 1,
    cause: undefined,
  } as never);
});

test.skipIf(isWindows).each(["warm", "cold"])("descriptors that run out end an accept, not the server (%s)", async (start) => {
  const ended = await runFixture("emfile.ts", [start]);
  expect(ended).toEqual({ code: 0, signal: null, out: "EMFILE\naccepted after that\niterated after that\n", err: "" });
});

test("Node's servers are reached by name", async () => {
  const server = createServer((socket) => socket.end("hello"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const connection = await TCP.connect({ port, host: "localhost" });
  expect(Buffer.from((await connection.readExactly(5)) ?? []).toString()).toBe("hello");
  connection.close();
  server.close();
});
