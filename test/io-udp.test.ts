// asyncio.UDP over loopback, in guest and owner mode: datagrams and their senders, batches, connected sockets, multicast and broadcast,
// data, errors, peers of Bun and Node, native bodies. Runs on each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { asyncio, run, select, sleep, xasync } from "zigcoro";
import { native } from "zigcoro/native";
import { hasIp6, host, pair, text } from "./support/datagrams.ts";
import { failed, failure, rejected, thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";
import { errnoOf, isWindows, isWine } from "./support/platform.ts";

const { UDP } = asyncio;

describe("datagrams", () => {
  for (const at of hasIp6 ? [host, "::1"] : [host]) {
    inBothModes(`come one by one with their sender, over ${at}`, function* () {
      const [a, b] = yield* pair(at);
      for (const message of ["one", "", "three", new Uint8Array([1, 2, 3]), new Uint8Array([7]).buffer]) yield* a.write(message, b.local);
      const came = [];
      for (let i = 0; i < 5; i++) came.push(yield* b.read());
      expect(came.map(({ data }) => Buffer.from(data).toString("latin1"))).toEqual(["one", "", "three", "\x01\x02\x03", "\x07"]);
      for (const { address, truncated } of came) expect([address, truncated]).toEqual([a.local, false]);
      yield* b.write("back", (came[0] as asyncio.Datagram).address);
      expect(text(yield* a.read())).toBe("back");
      a.close();
      b.close();
    });
  }

  inBothModes("wait for one that comes later", function* () {
    const [a, b] = yield* pair();
    for (let i = 0; i < 5; i++) {
      const reading = xasync(function* () {
        return text(yield* b.read());
      });
      yield* sleep(0);
      yield* a.write(`number ${i}`, b.local);
      expect(yield* reading).toBe(`number ${i}`);
    }
    a.close();
    b.close();
  });

  inBothModes("are neither lost nor doubled when a coroutine that never waits must let others run", function* () {
    const [a, b] = yield* pair();
    b.setReceiveBufferSize(1 << 20);
    for (let i = 0; i < 1000; i++) {
      yield* a.write(String(i), b.local);
      expect(text(i % 2 === 0 ? yield* b.read() : ((yield* b.readMany())[0] as asyncio.Datagram))).toBe(String(i));
    }
    // More than may end at once in a row, first all writes, then all reads.
    const count = 300;
    for (let i = 0; i < count; i++) {
      if (i % 3 === 0) yield* a.writeMany([{ data: String(i), address: b.local }]);
      else yield* a.write(String(i), b.local);
    }
    for (let i = 0; i < count; i++) expect(text(yield* b.read())).toBe(String(i));
    expect((yield* select({ read: b.read(), nothing: sleep(1) })).key).toBe("nothing");
    a.close();
    b.close();
  });

  inBothModes("of the largest size come whole, larger ones are refused", function* () {
    const [a, b] = yield* pair();
    const largest = new Uint8Array(65_507).map((_, i) => i * 7);
    yield* a.write(largest, b.local);
    expect(Buffer.compare((yield* b.read()).data, largest)).toBe(0);
    const tooLarge = "IoError EMSGSIZE";
    for (const size of [65_508, 65_536, 1 << 20]) {
      const error = yield* failed(a.write(new Uint8Array(size), b.local));
      expect([tooLarge, error]).toEqual([tooLarge, `Error: write EMSGSIZE: message too long ${b.local}`]);
    }
    a.close();
    b.close();
  });

  inBothModes("are cut to what a read asks for, and say so", function* () {
    const [a, b] = yield* pair();
    yield* a.writeMany(["abcdef", "abcdef", "abc", "x", ""].map((data) => ({ data, address: b.local })));
    const came = [];
    for (const max of [3, 0, 3, 65_535, 0]) came.push(yield* b.read(max));
    expect(came.map((one) => [text(one), one.truncated])).toEqual([
      ["abc", true],
      ["", true],
      ["abc", false],
      ["x", false],
      ["", false],
    ]);
    a.close();
    b.close();
  });

  inBothModes("go to names, literals and addresses in either spelling", function* () {
    const [a, b] = yield* pair();
    const { port } = b.local;
    for (const to of [{ host: "localhost", port }, { host, port }, { address: host, port }, b.local, { host: "::ffff:127.0.0.1", port }]) {
      yield* a.write("x", to);
      expect(text(yield* b.read())).toBe("x");
    }
    a.close();
    b.close();
  });

  if (hasIp6) {
    inBothModes("of IPv4 show as mapped addresses on a socket for both, and are answered", function* () {
      using both = yield* UDP.bind({ host: "::" });
      using four = yield* UDP.bind({ host });
      using six = yield* UDP.bind({ host: "::1" });
      yield* four.write("four", { host, port: both.local.port });
      yield* six.write("six", { host: "::1", port: both.local.port });
      const came = yield* both.readMany();
      expect(came.map((one) => [text(one), one.address.address, one.address.port])).toEqual([
        ["four", "::ffff:127.0.0.1", four.local.port],
        ["six", "::1", six.local.port],
      ]);
      yield* both.writeMany(came);
      yield* both.write("plain", four.local);
      expect([text(yield* four.read()), text(yield* four.read()), text(yield* six.read())]).toEqual(["four", "plain", "six"]);
      using only = yield* UDP.bind({ host: "::", ipv6Only: true });
      expect(yield* failed(only.write("x", four.local))).toContain("write ENETUNREACH");
      expect(yield* failed(four.write("x", six.local))).toContain("write EAFNOSUPPORT");
    });
  }
});

describe("batches", () => {
  inBothModes("keep order and bounds, across the limits of one call", function* () {
    const [a, b] = yield* pair();
    b.setReceiveBufferSize(1 << 20);
    const messages = Array.from({ length: 150 }, (_, i) => String(i).repeat(i % 5));
    yield* a.writeMany(messages.map((data) => ({ data, address: b.local })));
    const came = [];
    for (const max of [1, 2, 31, 32, 33, 1024]) came.push(...(yield* b.readMany(max)));
    expect(came.map(text)).toEqual(messages);
    // Reads one by one and in batches share what came.
    yield* a.writeMany(messages.slice(0, 20).map((data) => ({ data, address: b.local })));
    const mixed = [yield* b.read(), yield* b.read(), ...(yield* b.readMany(3)), yield* b.read(), ...(yield* b.readMany())];
    expect(mixed.map(text)).toEqual(messages.slice(0, 20));
    a.close();
    b.close();
  });

  inBothModes("of large datagrams are split as needed", function* () {
    const [a, b] = yield* pair();
    b.setReceiveBufferSize(4 << 20);
    const sizes = [60_000, 65_507, 1, 50_000, 65_507, 0, 30_000];
    yield* a.writeMany(sizes.map((size, i) => ({ data: new Uint8Array(size).fill(i), address: b.local })));
    const came = [];
    while (came.length < sizes.length) came.push(...(yield* b.readMany()));
    expect(came.map(({ data }) => data.byteLength)).toEqual(sizes);
    expect(came.every(({ data }, i) => data.every((byte) => byte === i))).toBe(true);
    a.close();
    b.close();
  });

  inBothModes("stop at the first that cannot be sent and say how many were", function* () {
    const [a, b] = yield* pair();
    const good = { data: "good", address: b.local };
    for (const before of [0, 1, 5, 40]) {
      const bad = { data: new Uint8Array(before === 5 ? 300_000 : 66_000), address: b.local };
      let error: { code?: string; sent?: number } = {};
      try {
        yield* a.writeMany([...Array.from({ length: before }, () => good), bad, good]);
      } catch (thrown) {
        error = thrown as typeof error;
      }
      expect([error.code, error.sent]).toEqual(["EMSGSIZE", before]);
      let came = 0;
      while (came < before) came += (yield* b.readMany()).length;
      expect(came).toBe(before);
    }
    yield* a.writeMany([]);
    a.close();
    b.close();
    expect(yield* failed(a.writeMany([]))).toBe("Error: write ECANCELED: the socket was closed");
  });

  inBothModes("may name hosts", function* () {
    const [a, b] = yield* pair();
    const { port } = b.local;
    yield* a.writeMany([
      { data: "1", address: { host: "localhost", port } },
      { data: "2", address: b.local },
    ]);
    expect((yield* b.readMany()).map(text)).toEqual(["1", "2"]);
    a.close();
    b.close();
  });
});

describe("a connected socket", () => {
  inBothModes("needs no destination, hears nobody else, and may be connected again", function* () {
    const [a, b] = yield* pair();
    using other = yield* UDP.bind({ host });
    expect(a.remote).toBeUndefined();
    yield* a.connect(b.local);
    expect(a.remote).toEqual(b.local);
    yield* a.write("to b");
    yield* a.writeMany([{ data: "to b, too" }, { data: "to another", address: other.local }]);
    expect((yield* b.readMany()).map(text)).toEqual(["to b", "to b, too"]);
    expect(text(yield* other.read())).toBe("to another");
    yield* other.write("not heard", a.local);
    yield* b.write("heard", a.local);
    expect(text(yield* a.read())).toBe("heard");
    yield* a.connect({ host: "localhost", port: other.local.port });
    yield* a.write("to the other");
    expect(text(yield* other.read())).toBe("to the other");
    a.close();
    b.close();
  });

  // Wine tells nobody.
  if (!isWine)
    inBothModes("is told that nobody listens there, by a read or a write, once", function* () {
      const [a, b] = yield* pair();
      yield* a.connect(b.local);
      b.close();
      yield* a.write("x");
      expect(yield* failed(a.read())).toBe("Error: read ECONNREFUSED: connection refused");
      yield* a.write("x");
      expect(yield* failed(a.write("x"))).toBe("Error: write ECONNREFUSED: connection refused");
      const reading = xasync(function* () {
        return yield* failed(a.read());
      });
      yield* sleep(0);
      yield* a.write("x");
      expect(yield* reading).toBe("Error: read ECONNREFUSED: connection refused");
      a.close();
    });

  if (!isWine)
    inBothModes("gives what came before an error first", function* () {
      const [a, b] = yield* pair();
      yield* a.connect(b.local);
      yield* b.write("1", a.local);
      yield* b.write("2", a.local);
      b.close();
      yield* a.write("x");
      // The kernel tells an error before the datagrams that it has.
      expect(yield* failed(a.readMany())).toContain("ECONNREFUSED");
      expect((yield* a.readMany()).map(text)).toEqual(["1", "2"]);
      a.close();
    });
});

/** Of the loopback. */
const card = isWindows ? (Object.entries(networkInterfaces()).find(([, list]) => list?.some((one) => one.internal))?.[0] ?? "1") : "lo";

describe("multicast and broadcast", () => {
  inBothModes("members of a group get its datagrams, until they leave", function* () {
    using sender = yield* UDP.bind({ host: "0.0.0.0" });
    using one = yield* UDP.bind({ host: "0.0.0.0", reuseAddress: true });
    using two = yield* UDP.bind({ host: "0.0.0.0", reuseAddress: true, port: one.local.port });
    const group = { host: "239.77.0.1", port: one.local.port };
    one.addMembership(group.host, host);
    two.addMembership(group.host, isWine ? host : card);
    sender.setMulticastInterface(host);
    sender.setMulticastTTL(0);
    yield* sender.write("both", group);
    expect([text(yield* one.read()), text(yield* two.read())]).toEqual(["both", "both"]);
    two.dropMembership(group.host, isWine ? host : card);
    yield* sender.write("one", group);
    expect(text(yield* one.read())).toBe("one");
    const again = thrown(() => two.dropMembership(group.host, isWine ? host : card));
    expect(again).toStartWith(`Error: dropMembership ${isWine ? "EINVAL" : "EADDRNOTAVAIL"}`);
    expect(thrown(() => one.addMembership(group.host, host))).toStartWith("Error: addMembership EADDRINUSE");
    expect(thrown(() => one.addMembership(host))).toStartWith("Error: addMembership EINVAL");
    expect(thrown(() => one.addMembership(group.host, "no-such-card"))).toStartWith("Error: addMembership ENODEV");
    expect(thrown(() => one.addMembership(group.host, "a name too long for a card"))).toStartWith("Error: addMembership ENODEV");
    expect(thrown(() => one.addMembership("localhost"))).toBe(
      'TypeError: UDP.addMembership: group must be a multicast address, got "localhost"',
    );
  });

  if (hasIp6) {
    inBothModes("of IPv6, too, with a zone in the address", function* () {
      using sender = yield* UDP.bind({ host: "::" });
      using member = yield* UDP.bind({ host: "::" });
      member.addMembership("ff01::77", card);
      sender.setMulticastInterface(card);
      sender.setMulticastTTL(1);
      sender.setMulticastLoopback(true);
      for (const zone of [card, "1"]) {
        yield* sender.write(zone, { host: `::1%${zone}`, port: member.local.port });
        expect(text(yield* member.read())).toBe(zone);
      }
      member.dropMembership("ff01::77", card);
      expect(thrown(() => member.addMembership("ff01::77", "127.0.0.1"))).not.toContain("TypeError");
      expect(thrown(() => member.addMembership("ff01::77", "::1"))).toStartWith("Error: addMembership ENODEV");
      expect(thrown(() => sender.write("x", { host: "ff01::77%no-such", port: 1 }))).toStartWith("Error: write ENODEV");
    });
  }

  inBothModes("a broadcast needs leave", function* () {
    using sender = yield* UDP.bind({ host });
    using receiver = yield* UDP.bind({ host: "0.0.0.0" });
    const everybody = { host: "127.255.255.255", port: receiver.local.port };
    expect(yield* failed(sender.write("x", everybody))).toStartWith("Error: write EACCES: permission denied 127.255.255.255:");
    sender.setBroadcast();
    yield* sender.write("all", everybody);
    expect(text(yield* receiver.read())).toBe("all");
    sender.setBroadcast(false);
    expect(yield* failed(sender.write("x", everybody))).toContain("EACCES");
    using allowed = yield* UDP.bind({ host, broadcast: true });
    yield* allowed.write("all", everybody);
    expect(text(yield* receiver.read())).toBe("all");
  });

  inBothModes("lifetimes and buffers can be set", function* () {
    using socket = yield* UDP.bind({ host });
    for (const ttl of [1, 64, 255]) socket.setTTL(ttl);
    for (const ttl of [0, 255]) socket.setMulticastTTL(ttl);
    socket.setReceiveBufferSize(50_000);
    socket.setSendBufferSize(60_000);
    expect([socket.receiveBufferSize, socket.sendBufferSize]).toEqual(isWindows ? [50_000, 60_000] : [100_000, 120_000]);
    if (!hasIp6) return;
    using six = yield* UDP.bind({ host: "::" });
    six.setTTL(3);
    six.setMulticastTTL(3);
  });
});

describe("data", () => {
  test("that is detached is refused, also when it was taken already", async () => {
    using a = await UDP.bind({ host });
    const gone = new Uint8Array(8);
    structuredClone(gone, { transfer: [gone.buffer] });
    expect(thrown(() => a.write(gone, a.local))).toBe("TypeError: UDP.write: data must not be detached (transferred)");
    const later = new Uint8Array(8);
    const writing = a.write(later, a.local);
    const many = a.writeMany([
      { data: "x", address: a.local },
      { data: later, address: a.local },
    ]);
    structuredClone(later, { transfer: [later.buffer] });
    expect(await rejected(writing)).toBe("TypeError: UDP.write: data was detached or resized before it was sent");
    expect(await rejected(many)).toBe("TypeError: UDP.writeMany: data was detached or resized before it was sent");
    expect((await failure(many)).sent).toBe(1);
  });

  test("may be shared, resizable, or a part of a buffer", async () => {
    using a = await UDP.bind({ host });
    const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(65);
    const resizable = new Uint8Array(new ArrayBuffer(2, { maxByteLength: 100 })).fill(66);
    const part = new Uint8Array([1, 67, 68, 2]).subarray(1, 3);
    for (const data of [shared, resizable, part]) await a.write(data as Uint8Array, a.local);
    expect((await a.readMany()).map(text)).toEqual(["AAA", "BB", "CD"]);
  });

  test("of 4 GiB + 1 bytes is too large, and nothing else", async () => {
    using a = await UDP.bind({ host });
    let huge: Uint8Array;
    try {
      huge = new Uint8Array(2 ** 32 + 1);
    } catch {
      return; // not enough memory for the question
    }
    expect((await failure(a.write(huge, a.local))).code).toBe("EMSGSIZE");
    expect((await failure(a.writeMany([{ data: huge, address: a.local }]))).code).toBe("EMSGSIZE");
  });

  test("of a read is the reader's own", async () => {
    using a = await UDP.bind({ host });
    await a.write("first", a.local);
    const one = await a.read();
    await a.write("other", a.local);
    const two = await a.read();
    expect([text(one), text(two), one.data.buffer.byteLength]).toEqual(["first", "other", 5]);
  });
});

test("many senders keep their addresses apart", async () => {
  using server = await UDP.bind({ host });
  server.setReceiveBufferSize(1 << 20);
  const clients = await Promise.all(Array.from({ length: 300 }, () => UDP.bind({ host })));
  for (let round = 0; round < 2; round++) {
    for (const client of clients) await client.write(String(client.local.port), server.local);
    for (let came = 0; came < clients.length; came++) {
      const datagram = await server.read();
      expect(datagram.address.port).toBe(Number(text(datagram)));
    }
  }
  for (const client of clients) client.close();
});

describe("errors", () => {
  test("have Node's fields", async () => {
    using a = await UDP.bind({ host });
    const error = await failure(a.write(new Uint8Array(70_000), { host, port: 9 }));
    expect([error.code, error.errno, error.syscall, error.address, error.port]).toEqual([
      "EMSGSIZE",
      errnoOf("EMSGSIZE"),
      "write",
      host,
      9,
    ]);
    expect(await rejected(a.write("x"))).toBe("Error: write EDESTADDRREQ: destination address required");
    // Wine binds it.
    if (!isWine) expect(await rejected(UDP.bind({ host: "192.0.2.1" }))).toStartWith("Error: bind EADDRNOTAVAIL");
    for (const operation of [
      UDP.bind({ host: "no-such-host.invalid" }),
      a.write("x", { host: "no-such-host.invalid", port: 1 }),
      a.connect({ host: "no-such-host.invalid", port: 1 }),
      a.writeMany([{ data: "x", address: { host: "no-such-host.invalid", port: 1 } }]),
    ]) {
      const lookup = await failure(operation);
      expect([lookup.hostname, ["ENOTFOUND", "EAI_AGAIN", "EREFUSED", "ESERVFAIL", "ETIMEOUT"].includes(lookup.code as string)]).toEqual([
        "no-such-host.invalid",
        true,
      ]);
    }
  }, 30_000);

  test("of wrong arguments come before anything happens", async () => {
    using a = await UDP.bind({ host });
    const wrong: [run: () => unknown, message: string][] = [
      [() => UDP.bind(null as never), "TypeError: asyncio.UDP.bind: options must be an object, got null"],
      [() => UDP.bind({ port: -1 }), "RangeError: asyncio.UDP.bind: port must be an integer from 0 to 65535, got -1"],
      [() => UDP.bind({ port: "1" as never }), 'TypeError: asyncio.UDP.bind: port must be an integer from 0 to 65535, got "1"'],
      [() => UDP.bind({ host: "" }), "TypeError: asyncio.UDP.bind: host must not be empty"],
      [() => UDP.bind({ host: 5 as never }), "TypeError: asyncio.UDP.bind: host must be a string, got 5"],
      [() => UDP.bind({ host: "fe80::1%lo" }), 'TypeError: asyncio.UDP.bind: host must not name a zone, got "fe80::1%lo"'],
      [() => a.read(-1), "RangeError: UDP.read: max must be an integer from 0 to 65535, got -1"],
      [() => a.read(65_536), "RangeError: UDP.read: max must be an integer from 0 to 65535, got 65536"],
      [() => a.readMany(0), "RangeError: UDP.readMany: max must be an integer from 1 to 1024, got 0"],
      [() => a.write(5 as never, a.local), "TypeError: UDP.write: data must be a string, Uint8Array or ArrayBuffer, got 5"],
      [() => a.write("x", "127.0.0.1" as never), 'TypeError: UDP.write: to must be an Address or { host, port }, got "127.0.0.1"'],
      [() => a.write("x", { port: 1 } as never), "TypeError: UDP.write: to.host must be a string, got undefined"],
      [() => a.write("x", { host, port: 0 }), "RangeError: UDP.write: to.port must be an integer from 1 to 65535, got 0"],
      [() => a.writeMany("x" as never), 'TypeError: UDP.writeMany: datagrams must be an array, got "x"'],
      [() => a.writeMany([null as never]), "TypeError: UDP.writeMany: datagram 0 must be an object, got null"],
      [
        () => a.writeMany([{ data: "x" }, { data: 1 as never }]),
        "TypeError: UDP.writeMany: data of datagram 1 must be a string, Uint8Array or ArrayBuffer, got 1",
      ],
      [
        () => a.writeMany([{ data: "x", address: { host, port: 1.5 } }]),
        "RangeError: UDP.writeMany: address of datagram 0.port must be an integer from 1 to 65535, got 1.5",
      ],
      [() => a.connect({ host, port: 70_000 }), "RangeError: UDP.connect: to.port must be an integer from 1 to 65535, got 70000"],
      [() => a.setTTL(0), "RangeError: UDP.setTTL: ttl must be an integer from 1 to 255, got 0"],
      [() => a.setMulticastTTL(256), "RangeError: UDP.setMulticastTTL: ttl must be an integer from 0 to 255, got 256"],
      [() => a.setReceiveBufferSize(0), "RangeError: UDP.setReceiveBufferSize: bytes must be an integer from 1 to 1073741824, got 0"],
      [() => a.addMembership(5 as never), "TypeError: UDP.addMembership: group must be a string, got 5"],
      [() => a.setMulticastInterface(5 as never), "TypeError: UDP.setMulticastInterface: name must be a string, got 5"],
    ];
    for (const [run, message] of wrong) expect(thrown(run)).toBe(message);
  });
});

describe("peers of other making", () => {
  test("Bun.udpSocket and node:dgram are answered", async () => {
    using server = await UDP.bind({ host });
    const serving = run(function* () {
      for (let i = 0; i < 2; i++) {
        const { data, address } = yield* server.read();
        yield* server.write(data, address);
      }
    });
    const answered = Promise.withResolvers<string>();
    const bun = await Bun.udpSocket({ hostname: host, socket: { data: (_, data) => answered.resolve(data.toString()) } });
    bun.send("from Bun", server.local.port, host);
    expect(await answered.promise).toBe("from Bun");
    bun.close();
    const told = Promise.withResolvers<string>();
    const node = createSocket("udp4", (data) => told.resolve(data.toString()));
    node.send("from Node", server.local.port, host);
    expect(await told.promise).toBe("from Node");
    node.close();
    await serving;
  });

  inBothModes("a body in C echoes, is cancelled, and sees the socket closed", function* () {
    const { echo_datagrams, connected_datagram } = native.cc(join(import.meta.dir, "fixtures/udp.c"), [
      "echo_datagrams",
      "connected_datagram",
    ]);
    const [a, b] = yield* pair();
    const body = xasync(echo_datagrams, [b]);
    for (const message of ["one", "", "three is too long for the body"]) {
      yield* a.write(message, b.local);
      expect(text(yield* a.read())).toBe(message.slice(0, 16));
    }
    body.cancel();
    expect(yield* body).toBe(errnoOf("ECANCELED"));
    yield* b.connect(a.local);
    expect(yield* xasync(connected_datagram, [b])).toBe(4);
    expect(text(yield* a.read())).toBe("from");
    const waiting = xasync(echo_datagrams, [b]);
    yield* sleep(0);
    expect(yield* failed(b.read())).toBe("Error: cannot read a datagram: a native body does so already");
    b.close();
    expect(yield* waiting).toBe(errnoOf("ECANCELED"));
    a.close();
  });
});
