// The server of examples/kv over real sockets: pipelines, partial requests, large values, blocking, messages, expiry, shutdown.

import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { asyncio, type Coroutine, run, xasync, xawait } from "zigcoro";
import { Client, type Reply, ReplyFailure } from "../examples/kv/client.ts";
import { List } from "../examples/kv/list.ts";
import { Server } from "../examples/kv/server.ts";
import { Store } from "../examples/kv/store.ts";
import { Waiters } from "../examples/kv/waiters.ts";
import { itsOwn } from "./support/child.ts";
import { isWindows } from "./support/platform.ts";

/** What a test gets: a server, and clients that are closed after it. */
class Bench {
  #clients: Client[] = [];
  constructor(readonly server: Server) {}

  *client(): Coroutine<Client> {
    const client = yield* Client.connect(this.server.port, this.server.host);
    this.#clients.push(client);
    return client;
  }

  /** Goes on when the server has come to a state: asks it in turns, each a round trip in which its coroutines run. */
  *reaches(state: () => boolean): Coroutine<void> {
    const probe = yield* this.client();
    while (!state()) yield* probe.call("PING");
  }

  *close(): Coroutine<void> {
    for (const client of this.#clients) client.close();
    expect(yield* this.server.close()).toBe(0);
    expect([this.server.sessions.size, this.server.coroutines, this.server.waiters.size]).toEqual([0, 0, 0]);
  }
}

/** A test against a server of its own; afterwards nothing of it may be left. */
function serverTest(name: string, body: (bench: Bench) => Coroutine<void>, timeoutMs = 20_000): void {
  function* main(): Coroutine<void> {
    const server = yield* Server.listen(0, "127.0.0.1");
    const bench = new Bench(server);
    try {
      yield* body(bench);
    } catch (error) {
      yield* server.close();
      throw error;
    }
    yield* bench.close();
  }
  test(name, () => run(main), timeoutMs);
}

/** What the server still says before it closes the connection. */
function* untilEnd(client: Client): Coroutine<Reply[]> {
  const replies: Reply[] = [];
  try {
    for (;;) replies.push(yield* client.receive());
  } catch {
    return replies;
  }
}

const raw = (text: string) => Buffer.from(text, "latin1");

describe("requests", () => {
  serverTest("of a pipeline are answered in order", function* (bench) {
    const client = yield* bench.client();
    const commands = Array.from({ length: 5000 }, (_, i) => (i % 2 === 0 ? ["SET", "k", `value ${i}`] : ["GET", "k"]));
    const replies = yield* client.pipeline(commands);
    for (let i = 0; i < 5000; i++) expect(replies[i]).toBe(i % 2 === 0 ? "OK" : `value ${i - 1}`);
    expect(bench.server.commands).toBe(5000);
  });

  serverTest("may come byte by byte", function* (bench) {
    const client = yield* bench.client();
    for (const byte of raw("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\nGET k\r\n")) yield* client.socket.write(Uint8Array.of(byte));
    expect(yield* client.receive()).toBe("OK");
    expect(yield* client.receive()).toBe("a\r\n");
  });

  serverTest("before a protocol error are answered, then it is named and the connection ends", function* (bench) {
    const client = yield* bench.client();
    yield* client.socket.write(raw("PING\r\n*1\r\n$-1\r\nPING\r\n"));
    expect(yield* client.receive()).toBe("PONG");
    expect(yield* client.receive()).toEqual(new ReplyFailure("ERR Protocol error: invalid bulk length"));
    expect(yield* untilEnd(client)).toEqual([]);
  });

  serverTest("after QUIT are not run", function* (bench) {
    const client = yield* bench.client();
    yield* client.send([["QUIT"], ["SET", "k", "v"]]);
    expect(yield* client.receive()).toBe("OK");
    expect(yield* untilEnd(client)).toEqual([]);
    expect(bench.server.store.has("k")).toBe(false);
  });

  serverTest("carry 64 MiB there and back", function* (bench) {
    const client = yield* bench.client();
    const value = Buffer.alloc(
      64 * 1024 * 1024,
      Uint8Array.from({ length: 251 }, (_, i) => i),
    ).toString("latin1");
    expect(yield* client.call("SET", "large", value)).toBe("OK");
    expect(yield* client.call("STRLEN", "large")).toBe(value.length);
    expect((yield* client.call("GET", "large")) === value).toBe(true);
  });

  serverTest("wait while the client does not take the replies to earlier ones", function* (bench) {
    const client = yield* bench.client();
    yield* client.call("SET", "k", "x".repeat(1024 * 1024));
    yield* client.send(Array.from({ length: 200 }, () => ["GET", "k"]));
    yield* bench.reaches(() => bench.server.commands > 20);
    expect(bench.server.commands).toBeLessThan(190); // 200 MiB do not fit between the two
    for (let i = 0; i < 200; i++) expect(((yield* client.receive()) as string).length).toBe(1024 * 1024);
  });

  serverTest("of many connections at once do not mix", function* (bench) {
    function* talk(number: number): Coroutine<void> {
      const client = yield* bench.client();
      for (let i = 0; i < 50; i++) expect(yield* client.call("ECHO", `${number} ${i}`)).toBe(`${number} ${i}`);
    }
    const frames = Array.from({ length: 100 }, (_, i) => xasync(talk, [i]));
    for (const frame of frames) yield* xawait(frame);
    expect(bench.server.connections).toBe(100);
  });
});

describe("BLPOP", () => {
  /** A client that waits in BLPOP, when the server knows that it does. */
  function* blocked(bench: Bench, ...args: string[]): Coroutine<Client> {
    const client = yield* bench.client();
    const before = bench.server.waiters.size;
    yield* client.send([["BLPOP", ...args]]);
    yield* bench.reaches(() => bench.server.waiters.size === before + 1);
    return client;
  }

  serverTest("serves those who wait in the order in which they came", function* (bench) {
    const pusher = yield* bench.client();
    const first = yield* blocked(bench, "k", "0");
    const second = yield* blocked(bench, "k", "0");
    const third = yield* blocked(bench, "k", "0");
    expect(yield* pusher.call("RPUSH", "k", "a", "b")).toBe(2);
    expect(yield* first.receive()).toEqual(["k", "a"]);
    expect(yield* second.receive()).toEqual(["k", "b"]);
    expect(yield* pusher.call("EXISTS", "k")).toBe(0);
    expect(yield* pusher.call("LPUSH", "k", "c", "d")).toBe(2);
    expect(yield* third.receive()).toEqual(["k", "d"]);
    expect(yield* pusher.call("LRANGE", "k", "0", "-1")).toEqual(["c"]);
  });

  serverTest("waits for several keys and leaves them all", function* (bench) {
    const pusher = yield* bench.client();
    const client = yield* blocked(bench, "a", "b", "c", "a", "0");
    yield* pusher.call("RPUSH", "b", "x");
    expect(yield* client.receive()).toEqual(["b", "x"]);
    yield* pusher.call("RPUSH", "a", "y");
    expect(yield* pusher.call("LLEN", "a")).toBe(1);
  });

  serverTest("answers nil when its time is over, and takes nothing afterwards", function* (bench) {
    const client = yield* bench.client();
    expect(yield* client.call("BLPOP", "k", "0.01")).toBeNull();
    expect(bench.server.waiters.size).toBe(0);
    expect(yield* client.call("RPUSH", "k", "x")).toBe(1);
    expect(yield* client.call("LLEN", "k")).toBe(1);
  });

  serverTest("waits for the longest time that it takes", function* (bench) {
    const pusher = yield* bench.client();
    const client = yield* blocked(bench, "k", "1e15");
    yield* pusher.call("RPUSH", "k", "x");
    expect(yield* client.receive()).toEqual(["k", "x"]);
  });

  serverTest("holds up the pipeline behind it, and sends what stands before it", function* (bench) {
    const pusher = yield* bench.client();
    const client = yield* bench.client();
    yield* client.send([
      ["ECHO", "before"],
      ["BLPOP", "k", "0"],
      ["ECHO", "after"],
      ["BLPOP", "k", "0"],
      ["ECHO", "end"],
    ]);
    expect(yield* client.receive()).toBe("before");
    yield* bench.reaches(() => bench.server.waiters.size === 1);
    yield* client.send([["ECHO", "late"]]); // while it is blocked
    yield* pusher.call("RPUSH", "k", "1");
    expect(yield* client.receive()).toEqual(["k", "1"]);
    expect(yield* client.receive()).toBe("after");
    yield* bench.reaches(() => bench.server.waiters.size === 1);
    yield* pusher.call("RPUSH", "k", "2");
    expect(yield* client.receive()).toEqual(["k", "2"]);
    expect(yield* client.receive()).toBe("end");
    expect(yield* client.receive()).toBe("late");
    expect(yield* client.call("PING")).toBe("PONG");
  });

  serverTest("notices at each wait that its client leaves", function* (bench) {
    const pusher = yield* bench.client();
    const client = yield* bench.client();
    const value = "x".repeat(32 * 1024 * 1024);
    yield* client.call("SET", "large", value);
    yield* client.send([
      ["BLPOP", "k", "0"],
      ["GET", "large"],
      ["BLPOP", "k", "0"],
    ]);
    yield* bench.reaches(() => bench.server.waiters.size === 1);
    yield* pusher.call("RPUSH", "k", "1");
    yield* client.socket.write(raw("PI")); // while the large reply is under way: what watched in the first wait ends with this
    expect(yield* client.receive()).toEqual(["k", "1"]);
    expect((yield* client.receive()) === value).toBe(true);
    yield* bench.reaches(() => bench.server.waiters.size === 1);
    client.close();
    yield* bench.reaches(() => bench.server.waiters.size === 0);
    expect(yield* pusher.call("RPUSH", "k", "2")).toBe(1);
    expect(yield* pusher.call("LPOP", "k")).toBe("2");
  });

  test("keeps an element whose taker has just been dismissed, and takes one back in front", () => {
    const store = new Store();
    const waiters = new Waiters();
    const list = new List();
    list.pushRight("second");
    store.set("k", list);
    waiters.dismiss(waiters.add(["k"]));
    waiters.serve("k", store);
    expect(list.length).toBe(1);
    waiters.giveBack(["k", "first"], store);
    expect(store.list("k")?.range(0, 1)).toEqual(["first", "second"]);
    waiters.giveBack(["gone", "x"], store);
    expect(store.list("gone")?.length).toBe(1);
  });

  serverTest("takes nothing for a client that has left", function* (bench) {
    const pusher = yield* bench.client();
    const leaver = yield* blocked(bench, "k", "0");
    const stayer = yield* blocked(bench, "k", "0");
    leaver.close();
    yield* bench.reaches(() => bench.server.waiters.size === 1);
    yield* pusher.call("RPUSH", "k", "a", "b");
    expect(yield* stayer.receive()).toEqual(["k", "a"]);
    expect(yield* pusher.call("LRANGE", "k", "0", "-1")).toEqual(["b"]);
  });

  serverTest("survives that a client leaves in the moment it is served", function* (bench) {
    const pusher = yield* bench.client();
    for (let i = 0; i < 50; i++) {
      const leaver = yield* blocked(bench, "k", "0");
      leaver.close();
      expect(yield* pusher.call("RPUSH", "k", "x")).toBe(1);
      yield* bench.reaches(() => bench.server.waiters.size === 0);
      yield* pusher.call("DEL", "k");
    }
  });

  serverTest("gives each of many elements to exactly one of many", function* (bench) {
    const taken: string[] = [];
    function* take(): Coroutine<void> {
      const client = yield* bench.client();
      for (;;) {
        const [, value] = (yield* client.call("BLPOP", "k", "0")) as [string, string];
        if (value === "end") return;
        taken.push(value);
      }
    }
    const takers = Array.from({ length: 20 }, () => xasync(take));
    const pusher = yield* bench.client();
    for (let i = 0; i < 1000; i++) yield* pusher.call("RPUSH", "k", `${i}`);
    yield* pusher.call("RPUSH", "k", ...takers.map(() => "end"));
    for (const taker of takers) yield* xawait(taker);
    expect(taken.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });
});

describe("messages", () => {
  serverTest("reach those who have subscribed, in order", function* (bench) {
    const [one, two, publisher] = [yield* bench.client(), yield* bench.client(), yield* bench.client()];
    yield* one.send([["SUBSCRIBE", "a", "b"]]);
    expect([yield* one.receive(), yield* one.receive()]).toEqual([
      ["subscribe", "a", 1],
      ["subscribe", "b", 2],
    ]);
    expect(yield* two.call("SUBSCRIBE", "a")).toEqual(["subscribe", "a", 1]);
    for (let i = 0; i < 500; i++) expect(yield* publisher.call("PUBLISH", "a", `${i}`)).toBe(2);
    expect(yield* publisher.call("PUBLISH", "b", "x")).toBe(1);
    for (let i = 0; i < 500; i++) {
      expect(yield* one.receive()).toEqual(["message", "a", `${i}`]);
      expect(yield* two.receive()).toEqual(["message", "a", `${i}`]);
    }
    expect(yield* one.receive()).toEqual(["message", "b", "x"]);
  });

  serverTest("make the connection one for subscribing only, until it unsubscribes", function* (bench) {
    const client = yield* bench.client();
    yield* client.call("SUBSCRIBE", "a");
    const complaint = "ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    expect(yield* client.pipeline([["GET", "x"], ["PING"], ["PING", "x"], ["UNSUBSCRIBE", "zz"], ["UNSUBSCRIBE"], ["GET", "x"]])).toEqual([
      new ReplyFailure(complaint),
      ["pong", ""],
      ["pong", "x"],
      ["unsubscribe", "zz", 1],
      ["unsubscribe", "a", 0],
      null,
    ]);
    const publisher = yield* bench.client();
    expect(yield* publisher.call("PUBLISH", "a", "x")).toBe(0);
    expect(yield* client.pipeline([["SUBSCRIBE", "b"], ["RESET"], ["ECHO", "x"], ["SUBSCRIBE", "c"], ["QUIT"]])).toEqual([
      ["subscribe", "b", 1],
      "RESET",
      "x",
      ["subscribe", "c", 1],
      "OK",
    ]);
    expect(yield* untilEnd(client)).toEqual([]);
    expect(yield* publisher.call("PUBLISH", "c", "x")).toBe(0);
  });

  serverTest("are no longer kept for a subscriber that leaves or never reads", function* (bench) {
    const [leaver, sleeper, publisher] = [yield* bench.client(), yield* bench.client(), yield* bench.client()];
    yield* leaver.call("SUBSCRIBE", "a");
    yield* sleeper.call("SUBSCRIBE", "a");
    leaver.close();
    yield* bench.reaches(() => bench.server.sessions.size === 3); // sleeper, publisher and the probe
    const megabyte = "x".repeat(1024 * 1024);
    let published = 0;
    while (((yield* publisher.call("PUBLISH", "a", megabyte)) as number) > 0) {
      if (++published > 200) throw new Error("the server hoards messages for somebody who does not read them");
    }
    expect(published).toBeGreaterThanOrEqual(32);
    yield* bench.reaches(() => bench.server.sessions.size === 3); // publisher and two probes
  });
});

serverTest("keys that expire go though nobody asks for them", function* (bench) {
  const client = yield* bench.client();
  const commands = Array.from({ length: 3000 }, (_, i) => ["SET", `k${i}`, "v", "PX", "1"]);
  yield* client.pipeline(commands);
  yield* bench.reaches(() => bench.server.store.size === 0);
  expect(yield* client.call("DBSIZE")).toBe(0);
});

describe("closing", () => {
  /** A server with one client of each kind, and itself closed by the body. */
  function* open(): Coroutine<{ server: Server; clients: Client[] }> {
    const server = yield* Server.listen(0, "127.0.0.1");
    const clients: Client[] = [];
    for (let i = 0; i < 4; i++) clients.push(yield* Client.connect(server.port, server.host));
    return { server, clients };
  }

  test("ends idle, blocked and subscribed connections, and everything is joined", () =>
    run(function* (): Coroutine<void> {
      const { server, clients } = yield* open();
      const [idle, blocked, subscribed, half] = clients as [Client, Client, Client, Client];
      yield* subscribed.call("SUBSCRIBE", "a");
      yield* half.socket.write(raw("*2\r\n$4\r\nECHO\r\n$10\r\nabc"));
      yield* blocked.send([
        ["BLPOP", "k", "0"],
        ["SET", "late", "1"],
      ]);
      while (server.waiters.size === 0) yield* idle.call("PING");
      expect(yield* server.close()).toBe(0);
      for (const client of clients) {
        expect(yield* untilEnd(client)).toEqual([]);
        client.close();
      }
      expect([server.sessions.size, server.coroutines, server.waiters.size]).toEqual([0, 0, 0]);
      expect(server.store.has("late")).toBe(false);
      const refused = yield* xawait(xasync(connectError, [server.port]));
      expect(refused).toBe("ECONNREFUSED");
    }));

  test("lets replies that are on their way arrive", () =>
    run(function* (): Coroutine<void> {
      const { server, clients } = yield* open();
      const reader = clients[0] as Client;
      const value = "x".repeat(8 * 1024 * 1024);
      yield* reader.call("SET", "k", value);
      yield* reader.send([["GET", "k"]]);
      while (server.commands < 2) yield* (clients[1] as Client).call("PING");
      const closing = xasync(server.close.bind(server), [10_000]);
      expect((yield* reader.receive()) === value).toBe(true);
      expect(yield* xawait(closing)).toBe(0);
      for (const client of clients) client.close();
    }));

  test("cuts a client that does not take its replies", () =>
    run(function* (): Coroutine<void> {
      const { server, clients } = yield* open();
      const sleeper = clients[0] as Client;
      yield* sleeper.call("SET", "k", "x".repeat(32 * 1024 * 1024));
      yield* sleeper.send([["GET", "k"]]);
      while (server.commands < 2) yield* (clients[1] as Client).call("PING");
      expect(yield* server.close(20)).toBe(1);
      expect([server.sessions.size, server.coroutines]).toEqual([0, 0]);
      for (const client of clients) client.close();
    }));
});

function* connectError(port: number): Coroutine<string> {
  try {
    (yield* asyncio.TCP.connect({ port })).close();
    return "connected";
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("the program", () => {
  const main = fileURLToPath(new URL("../examples/kv/main.ts", import.meta.url));

  async function start(...args: string[]) {
    const child = Bun.spawn([process.execPath, main, ...args], { stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout: itsOwn(stdout), stderr: itsOwn(stderr), code };
  }

  test("serves 50 clients, checks their answers, shows a table and ends by itself", async () => {
    const { stdout, stderr, code } = await start("--seconds", "0.5");
    expect(stderr).toBe("");
    for (const command of ["BLPOP", "GET", "HGET", "HSET", "INCR", "LPOP", "LPUSH", "PUBLISH", "RPUSH", "SADD", "SET", "all"]) {
      expect(stdout).toMatch(new RegExp(`^${command} +[\\d,]+ +[\\d,]+`, "m"));
    }
    expect(stdout).toContain("all answers were right");
    expect(code).toBe(0);
  }, 20_000);

  // On Windows another process ends it without a word.
  test.skipIf(isWindows).each(["SIGINT", "SIGTERM"] as const)(
    "serves until %s",
    async (signal) => {
      const child = Bun.spawn([process.execPath, main, "--serve", "--port", "0"], { stdout: "pipe", stderr: "inherit" });
      let output = "";
      for await (const chunk of child.stdout) {
        output += Buffer.from(chunk).toString();
        const ready = /^kv: ready on 127\.0\.0\.1:(\d+)/.exec(output);
        if (!ready || output.includes("signalled")) continue;
        expect(await ask(Number(ready[1]), "PING\r\n")).toBe("+PONG\r\n");
        output += "signalled\n";
        child.kill(signal);
      }
      expect(output).toContain(`kv: closed on ${signal}: 1 commands on 1 connections served`);
      expect(await child.exited).toBe(0);
    },
    20_000,
  );

  test("says in one line that the port is taken", async () => {
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { stderr, code } = await start("--serve", "--port", String(taken.port));
    taken.stop(true);
    expect(stderr.trim().split("\n")).toEqual([expect.stringContaining("EADDRINUSE")]);
    expect(stderr).toContain("--port");
    expect(code).toBe(1);
  }, 20_000);

  test.each([
    [["--port", "70000", "--serve"]],
    [["--port", "abc", "--serve"]],
    [["--seconds", "0"]],
    [["--foo"]],
    [["foo"]],
    [["--port", "1"]],
  ])(
    "refuses %j",
    async (args) => {
      const { stderr, code } = await start(...args);
      expect(stderr).toMatch(/^kv: .+; --help shows/);
      expect(code).toBe(1);
    },
    20_000,
  );

  test("explains itself", async () => {
    const { stdout, code } = await start("--help");
    expect(stdout).toContain("--serve");
    expect(code).toBe(0);
  }, 20_000);
});

/** Sends text from a socket of Bun's own and gives the first answer. */
async function ask(port: number, text: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: (_, data) => resolve(data.toString()) } });
  socket.write(text);
  const answer = await promise;
  socket.end();
  return answer;
}
