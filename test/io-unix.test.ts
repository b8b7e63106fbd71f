// asyncio.Unix: paths, names and pairs; peers of Node and Bun. Runs on each backend (ZIGCORO_BACKEND).

import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, connect as nodeConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { asyncio, run, select, sleep, until, withTimeout, xasync } from "zigcoro";
import { failed, failure, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf } from "./support/platform.ts";
import { openDescriptors, openedSince, pattern, readAll } from "./support/sockets.ts";

const { Unix } = asyncio;
const folder = mkdtempSync(join(tmpdir(), "zigcoro-unix-"));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;
const newPath = () => join(folder, `s${count++}`);
const newName = () => `\0zigcoro-test-${process.pid}-${count++}`;
const text = (bytes: Uint8Array | null) => Buffer.from(bytes ?? []).toString();

describe("a Unix socket", () => {
  for (const [kind, make] of [
    ["path", newPath],
    ["name", newName],
  ] as const) {
    inBothModes(`carries bytes both ways (${kind})`, function* () {
      const path = make();
      const server = yield* Unix.listen({ path });
      expect(server.path).toBe(path);
      if (kind === "path") expect(statSync(path).isSocket()).toBe(true);
      const client = yield* Unix.connect({ path });
      const served = yield* server.accept();
      expect([client.path, served.path]).toEqual([path, path]);
      const bytes = pattern(1_000_000);
      const writing = xasync(function* () {
        yield* client.write(bytes);
        yield* client.shutdown();
      });
      expect(Buffer.compare(yield* readAll(served as unknown as asyncio.TCP), bytes)).toBe(0);
      yield* writing;
      yield* served.write("and back");
      served.close();
      expect(text(yield* client.readExactly(8))).toBe("and back");
      expect(yield* client.read()).toBeNull();
      client.close();
      server.close();
      if (kind === "path") expect(existsSync(path)).toBe(false);
    });
  }

  test("says who the peer is", () => {
    const [a, b] = Unix.pair();
    expect(a.peer).toEqual({ pid: process.pid, uid: process.getuid?.() as number, gid: process.getgid?.() as number });
    expect(a.path).toBeUndefined();
    a.close();
    expect(a.peer).toBeUndefined();
    b.close();
  });

  test("is iterated over, and gives its connections back with it", async () => {
    const path = newPath();
    const server = await Unix.listen({ path });
    const clients = xasync(function* () {
      for (let i = 0; i < 3; i++) {
        using client = yield* Unix.connect({ path });
        yield* client.write(`hello ${i}`);
      }
    });
    const got: string[] = [];
    for await (const connection of server) {
      got.push(text(await connection.readExactly(7)));
      connection.close();
      if (got.length === 3) server.close();
    }
    await clients;
    expect(got).toEqual(["hello 0", "hello 1", "hello 2"]);
  });
});

describe("errors", () => {
  test("name the path", async () => {
    const path = newPath();
    const error = await failure(Unix.connect({ path }));
    expect(error.message).toBe(`connect ENOENT ${path}`);
    expect({ ...error }).toEqual({ code: "ENOENT", errno: errnoOf("ENOENT"), syscall: "connect", path } as never);
    const name = newName();
    expect((await failure(Unix.connect({ path: name }))).message).toBe(`connect ECONNREFUSED ${name.replace("\0", "@")}`);
  });

  test("EADDRINUSE, while somebody listens and after a program has left its path behind", async () => {
    const path = newPath();
    using server = await Unix.listen({ path });
    const error = await failure(Unix.listen({ path }));
    expect(error.message).toBe(`listen EADDRINUSE: address already in use ${path}`);
    expect(existsSync(path)).toBe(true);
    server.close();
    const left = newPath();
    Bun.spawnSync([
      process.execPath,
      "-e",
      `Bun.listen({ unix: ${JSON.stringify(left)}, socket: { data() {} } }); process.kill(process.pid, 9)`,
    ]);
    expect(statSync(left).isSocket()).toBe(true);
    expect((await failure(Unix.listen({ path: left }))).code).toBe("EADDRINUSE");
    expect((await failure(Unix.connect({ path: left }))).code).toBe("ECONNREFUSED");
  });

  test("a path that is something else, or cannot be made", async () => {
    const file = newPath();
    writeFileSync(file, "text");
    expect((await failure(Unix.connect({ path: file }))).code).toBe("ECONNREFUSED");
    expect((await failure(Unix.listen({ path: `${file}/below` }))).code).toBe("ENOTDIR");
    expect((await failure(Unix.listen({ path: join(folder, "none/below") }))).code).toBe("ENOENT");
  });

  test("wrong arguments", () => {
    const long = `/${"x".repeat(107)}`;
    expect(thrown(() => Unix.listen({ path: long }))).toStartWith("RangeError: asyncio.Unix.listen: path must be at most 107 bytes long");
    expect(thrown(() => Unix.connect({ path: "ü".repeat(54) }))).toStartWith("RangeError: asyncio.Unix.connect: path");
    expect(thrown(() => Unix.connect({ path: `\0${"x".repeat(108)}` }))).toStartWith("RangeError");
    expect(thrown(() => Unix.connect({ path: "" }))).toBe("TypeError: asyncio.Unix.connect: path must not be empty");
    expect(thrown(() => Unix.connect({ path: "a\0b" }))).toStartWith("TypeError: asyncio.Unix.connect: path must not have a zero byte");
    expect(thrown(() => Unix.connect({} as { path: string }))).toBe(
      "TypeError: asyncio.Unix.connect: path must be a string, got undefined",
    );
    expect(thrown(() => Unix.connect({ path: "x", timeout: -1 }))).toStartWith("RangeError: asyncio.Unix.connect: timeout");
    expect(thrown(() => Unix.listen({ path: "x", backlog: 0 }))).toStartWith("RangeError: asyncio.Unix.listen: backlog");
  });

  test("the longest path and name there are", () =>
    run(function* () {
      const path = join(folder, "x".repeat(106 - folder.length));
      expect(path.length).toBe(107);
      for (const longest of [path, `\0${path}`]) {
        using server = yield* Unix.listen({ path: longest });
        using client = yield* Unix.connect({ path: longest });
        using _ = yield* server.accept();
        expect(client.closed).toBe(false);
      }
    }));
});

describe("a full backlog", () => {
  inBothModes("is waited for, with a limit or without", function* () {
    const path = newName();
    using server = yield* Unix.listen({ path, backlog: 1 });
    const waiting = [yield* Unix.connect({ path }), yield* Unix.connect({ path })];
    expect(yield* failed(Unix.connect({ path, timeout: 12 }))).toBe(`Error: connect ETIMEDOUT ${path.replace("\0", "@")}`);
    expect(yield* failed(withTimeout(7, Unix.connect({ path })))).toStartWith(
      "TimeoutError: timed out after 7 ms waiting to connect to @zigcoro",
    );
    const connecting = xasync(function* () {
      return yield* Unix.connect({ path });
    });
    yield* sleep(3);
    expect(connecting.status).toBe("suspended");
    using served = yield* server.accept();
    waiting.push(yield* connecting);
    expect(served.closed).toBe(false);
    for (const connection of waiting) connection.close();
  });
});

describe("cancelled", () => {
  inBothModes("accepts and reads leave everything as it was", function* () {
    const before = openDescriptors();
    const path = newName();
    const server = yield* Unix.listen({ path });
    for (let round = 0; round < 50; round++) {
      const accepting = xasync(function* () {
        return yield* server.accept();
      });
      const client = yield* Unix.connect({ path });
      if (round % 3 === 0) yield* sleep(0);
      accepting.cancel();
      let served: asyncio.Unix;
      try {
        served = yield* accepting;
      } catch (error) {
        expect(String(error)).toStartWith("Cancelled");
        served = yield* server.accept();
      }
      const reading = xasync(function* () {
        return text(yield* served.readExactly(2));
      });
      yield* client.write("ab");
      if (round % 2 === 0) yield* sleep(0);
      reading.cancel();
      let got: string;
      try {
        got = yield* reading;
      } catch {
        got = text(yield* served.read());
      }
      expect(got).toBe("ab");
      client.close();
      served.close();
    }
    server.close();
    yield* sleep(1);
    expect(openedSince(before)).toEqual([]);
  });
});

describe("peers", () => {
  test("Node's client and server", async () => {
    const path = newPath();
    using server = await Unix.listen({ path });
    const client = nodeConnect(path);
    client.end("from node");
    using served = await server.accept();
    expect(text(await served.readExactly(9))).toBe("from node");
    const other = newPath();
    const nodeServer = createServer((socket) => socket.end("hello"));
    await new Promise<void>((resolve) => nodeServer.listen(other, resolve));
    using connection = await Unix.connect({ path: other });
    expect(text(await connection.readExactly(5))).toBe("hello");
    nodeServer.close();
  });

  test("an accept that loses gives its connection back", () =>
    run(function* () {
      const path = newName();
      using server = yield* Unix.listen({ path });
      using client = yield* Unix.connect({ path });
      const outcome = yield* select({ soon: sleep(0), accepted: withTimeout(1000, server.accept()) });
      const served = outcome.key === "accepted" ? outcome.value : yield* server.accept();
      yield* served.write("x");
      expect((yield* client.read())?.byteLength).toBe(1);
      served.close();
      yield* until(Promise.resolve());
    }));
});
