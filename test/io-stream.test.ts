// What every stream can do: reads into memory, of an exact length, up to a delimiter; writes of several parts; shutdown of either side.
// Over TCP, Unix sockets and pipes, in guest and owner mode. Runs on each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { totalmem } from "node:os";
import { all, asyncio, type Coroutine, Event, run, select, sleep, UnexpectedEnd, withTimeout, xasync } from "zigcoro";
import { failed } from "./support/failure.ts";
import { isWine } from "./support/platform.ts";
import { openDescriptors, openedSince, pair, pattern, readAll } from "./support/sockets.ts";

const loop = new asyncio.Loop();
const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString());

type Ends = readonly [asyncio.Reader | asyncio.Duplex, asyncio.Writer | asyncio.Duplex];

const kinds: Record<string, () => Coroutine<Ends>> = {
  *TCP() {
    const [a, b] = yield* pair();
    return [a, b];
  },
  // biome-ignore lint/correctness/useYield: as the other
  *Unix() {
    return asyncio.Unix.pair();
  },
  // biome-ignore lint/correctness/useYield: as the other
  *pipe() {
    const { reader, writer } = asyncio.pipe();
    return [reader, writer];
  },
};

/** A test over each kind of stream, in both modes. */
function overEach(name: string, body: (reader: asyncio.Reader, writer: asyncio.Writer) => Coroutine<void>): void {
  for (const [kind, open] of Object.entries(kinds)) {
    function* whole(): Coroutine<void> {
      const [reader, writer] = yield* open();
      try {
        yield* body(reader, writer as asyncio.Writer);
      } finally {
        reader.close();
        writer.close();
      }
    }
    test(`${name} (${kind}, guest)`, () => run(whole));
    test(`${name} (${kind}, owner)`, () => asyncio.run(loop, () => withTimeout(5000, xasync(whole))));
  }
}

describe("readExactly", () => {
  overEach("waits for all of it, and leaves what follows", function* (reader, writer) {
    const reading = xasync(function* () {
      return text(yield* reader.readExactly(10));
    });
    for (const part of ["abc", "defg", "hijklm"]) {
      yield* writer.write(part);
      yield* sleep(0);
    }
    expect(yield* reading).toBe("abcdefghij");
    expect(text(yield* reader.readExactly(0))).toBe("");
    expect(text(yield* reader.readExactly(3))).toBe("klm");
  });

  overEach("is null at the end, and an UnexpectedEnd with what came in the middle", function* (reader, writer) {
    yield* writer.write("abcde");
    writer.close();
    expect(text(yield* reader.readExactly(2))).toBe("ab");
    try {
      yield* reader.readExactly(100);
      throw new Error("it did not fail");
    } catch (error) {
      expect(String(error)).toBe("UnexpectedEnd: the stream ended after 3 bytes, before 100 bytes");
      expect((error as UnexpectedEnd).code).toBe("ERR_UNEXPECTED_END");
      expect(text((error as UnexpectedEnd).partial)).toBe("cde");
    }
    expect(yield* reader.readExactly(1)).toBeNull();
    expect(yield* reader.read()).toBeNull();
  });

  overEach("that times out has consumed nothing", function* (reader, writer) {
    yield* writer.write("half");
    expect(yield* failed(withTimeout(5, reader.readExactly(8)))).toContain("TimeoutError");
    const outcome = yield* select({ exact: reader.readExactly(8), other: sleep(1) });
    expect(outcome.key).toBe("other");
    yield* writer.write("half");
    expect(text(yield* reader.readExactly(8))).toBe("halfhalf");
  });

  overEach("of megabytes comes whole", function* (reader, writer) {
    const bytes = pattern(5_000_001);
    const writing = xasync(function* () {
      yield* writer.write(bytes);
      writer.close();
    });
    expect(Buffer.compare((yield* reader.readExactly(5_000_000)) ?? new Uint8Array(), bytes.subarray(0, 5_000_000))).toBe(0);
    expect((yield* reader.read())?.byteLength).toBe(1);
    yield* writing;
  });
});

describe("readUntil", () => {
  overEach("gives line after line, whatever way they come", function* (reader, writer) {
    const lines = ["first\r\n", "\r\n", "a\rb\nc\r\n", `${"x".repeat(20_000)}\r\n`];
    const writing = xasync(function* () {
      const whole = lines.join("");
      for (let at = 0, step = 1; at < whole.length; at += step, step = (step * 3) % 4999) {
        yield* writer.write(whole.slice(at, at + step));
        if (step % 2 === 0) yield* sleep(0);
      }
      writer.close();
    });
    for (const line of lines) expect(text(yield* reader.readUntil("\r\n"))).toBe(line);
    expect(yield* reader.readUntil("\r\n")).toBeNull();
    yield* writing;
  });

  overEach("takes bytes and one byte as delimiter, and leaves what follows", function* (reader, writer) {
    yield* writer.write("one\0two\x01\x02three");
    expect(text(yield* reader.readUntil(0))).toBe("one\0");
    expect(text(yield* reader.readUntil(new Uint8Array([1, 2])))).toBe("two\x01\x02");
    expect(text(yield* reader.read(2))).toBe("th");
    expect(text(yield* reader.read())).toBe("ree");
  });

  overEach("that finds too many bytes says so, and they stay", function* (reader, writer) {
    yield* writer.write("0123456789\n");
    expect(yield* failed(reader.readUntil("\n", { max: 10 }))).toBe(
      'RangeError: CLASS.readUntil: no "\\n" among the first 10 bytes'.replace("CLASS", reader.constructor.name),
    );
    expect(yield* failed(reader.readUntil("x", { max: 11 }))).toContain("RangeError");
    expect(text(yield* reader.readUntil("\n", { max: 11 }))).toBe("0123456789\n");
    const late = xasync(function* () {
      return yield* failed(reader.readUntil("\n", { max: 5 }));
    });
    yield* writer.write("abcdef");
    expect(yield* late).toContain("RangeError");
    expect(text(yield* reader.read())).toBe("abcdef");
  });

  overEach("is an UnexpectedEnd with what came when the end comes first", function* (reader, writer) {
    yield* writer.write("a\nrest");
    writer.close();
    expect(text(yield* reader.readUntil("\n"))).toBe("a\n");
    try {
      yield* reader.readUntil("\n");
      throw new Error("it did not fail");
    } catch (error) {
      expect(error).toBeInstanceOf(UnexpectedEnd);
      expect(text((error as UnexpectedEnd).partial)).toBe("rest");
    }
    expect(yield* reader.readUntil("\n")).toBeNull();
  });

  overEach("that is cancelled again and again loses nothing", function* (reader, writer) {
    const reading = xasync(function* () {
      for (;;) {
        try {
          return text(yield* withTimeout(0.2, reader.readUntil("\n")));
        } catch (error) {
          if (!String(error).includes("TimeoutError")) throw error;
        }
      }
    });
    for (const letter of "letter by letter\n") {
      yield* writer.write(letter);
      yield* sleep(0.3);
    }
    expect(yield* reading).toBe("letter by letter\n");
  });
});

describe("readInto", () => {
  overEach("copies into buffers and views of every kind", function* (reader, writer) {
    const buffer = new ArrayBuffer(16);
    const targets: [ArrayBufferView | ArrayBufferLike, number?, number?][] = [
      [buffer],
      [new Uint8Array(buffer, 4, 8), 2, 3],
      [new Uint32Array(buffer), 1],
      [new DataView(buffer, 8)],
      [new SharedArrayBuffer(8), 3],
      [new ArrayBuffer(4, { maxByteLength: 64 }), 1],
      [Buffer.alloc(5)],
    ];
    for (const [target, offset = 0, length] of targets) {
      yield* writer.write("xyz");
      const n = yield* reader.readInto(target, offset, length);
      expect(n).toBe(3);
      const [whole, base] = ArrayBuffer.isView(target) ? [target.buffer, target.byteOffset] : [target, 0];
      expect(Buffer.from(new Uint8Array(whole, base + offset, 3)).toString()).toBe("xyz");
    }
    yield* writer.write("abcdef");
    expect(yield* reader.readInto(buffer, 15)).toBe(1);
    expect(yield* reader.readInto(buffer, 0, 2)).toBe(2);
    expect(text(new Uint8Array(buffer, 0, 2))).toBe("bc");
    expect(text(yield* reader.read())).toBe("def");
    writer.close();
    expect(yield* reader.readInto(buffer)).toBe(0);
  });

  overEach("says when the buffer is gone or too small by then, and the bytes stay", function* (reader, writer) {
    const detached = new ArrayBuffer(8);
    const shrunk = new ArrayBuffer(8, { maxByteLength: 16 });
    for (const [buffer, spoil] of [
      [detached, () => structuredClone(detached, { transfer: [detached] })],
      [shrunk, () => shrunk.resize(2)],
    ] as const) {
      const reading = xasync(function* () {
        return yield* failed(reader.readInto(buffer));
      });
      spoil();
      yield* writer.write("abcd");
      expect(yield* reading).toContain("readInto: buffer was detached or has shrunk");
      expect(text(yield* reader.read())).toBe("abcd");
      // Before it begins.
      const operation = reader.readInto(buffer === shrunk ? buffer : new ArrayBuffer(1));
      if (buffer === shrunk) {
        shrunk.resize(0);
        expect(yield* failed(operation)).toContain("readInto: buffer was detached or has shrunk");
      }
    }
    // Fewer bytes than there is room for still: they fit.
    const resizable = new ArrayBuffer(8, { maxByteLength: 16 });
    const reading = xasync(function* () {
      return yield* reader.readInto(resizable);
    });
    resizable.resize(4);
    yield* writer.write("efgh");
    expect(yield* reading).toBe(4);
    expect(text(new Uint8Array(resizable))).toBe("efgh");
  });
});

describe("a read whose result nobody wants", () => {
  overEach("gives its bytes back", function* (reader, writer) {
    const go = new Event();
    yield* writer.write("abc");
    const outcome = yield* select({
      first: sleep(0),
      nested: withTimeout(1000, withTimeout(1000, reader.read(2))),
    });
    if (outcome.key === "nested") expect(text(outcome.value)).toBe("ab");
    go.set();
    const rest = outcome.key === "nested" ? "c" : "abc";
    // Both end at once: one wins, and what the other read goes back.
    const winner = yield* select({ go: go.wait(), read: withTimeout(1000, reader.read()) });
    expect(winner.key).toBe("go");
    // A failure beside it.
    expect(
      yield* failed(
        all([
          reader.readExactly(rest.length),
          xasync(function* () {
            yield* sleep(1);
            throw new Error("the other failed");
          }),
        ]),
      ),
    ).toContain("the other failed");
    expect(text(yield* reader.read())).toBe(rest);
  });
});

describe("writeAll", () => {
  overEach("sends the parts in order, small and large, of every kind", function* (reader, writer) {
    const shared = new Uint8Array(new SharedArrayBuffer(3));
    shared.set([0x73, 0x68, 0x21]);
    const large = pattern(300_000);
    const parts = [
      "grüße",
      new Uint8Array(0),
      "",
      new Uint8Array([1, 2]),
      shared,
      large.subarray(1),
      Buffer.from("end"),
      large.buffer as ArrayBuffer,
    ];
    const expected = Buffer.concat(
      parts.map((part) => (typeof part === "string" ? Buffer.from(part) : new Uint8Array(part as Uint8Array))),
    );
    const writing = xasync(function* () {
      yield* writer.writeAll(parts);
      yield* writer.writeAll([]);
      yield* writer.writeAll(["", new Uint8Array(0)]);
      writer.close();
    });
    expect(Buffer.compare(yield* readAll(reader as asyncio.TCP), expected)).toBe(0);
    yield* writing;
  });

  overEach("of thousands of small parts keeps their order under backpressure", function* (reader, writer) {
    const parts = Array.from({ length: 20_000 }, (_, i) => `part ${i}\n`.repeat(1 + (i % 5)));
    const writing = xasync(function* () {
      yield* writer.writeAll(parts);
      writer.close();
    });
    expect(text(yield* readAll(reader as asyncio.TCP))).toBe(parts.join(""));
    yield* writing;
  });

  overEach("says when a part is gone by the time that it is its turn", function* (reader, writer) {
    for (const size of [100, 200_000]) {
      const late = new Uint8Array(size);
      const writing = xasync(function* () {
        return yield* failed(writer.writeAll([new Uint8Array(8_000_000), late]));
      });
      structuredClone(late.buffer, { transfer: [late.buffer] });
      let got = 0;
      while (got < 8_000_000) got += (yield* reader.read())?.byteLength ?? 0;
      expect(yield* writing).toContain("writeAll: one of parts was detached or resized before all of it was written");
    }
  });

  test("refuses what it cannot write", () =>
    run(function* () {
      const { reader, writer } = asyncio.pipe();
      const detached = new Uint8Array(4);
      structuredClone(detached.buffer, { transfer: [detached.buffer] });
      for (const [parts, message] of [
        ["text", 'TypeError: Writer.writeAll: parts must be an array, got "text"'],
        [[1], "TypeError: Writer.writeAll: parts[0] must be a string, Uint8Array or ArrayBuffer, got 1"],
        [["a", null], "TypeError: Writer.writeAll: parts[1] must be a string, Uint8Array or ArrayBuffer, got null"],
        [[detached], "TypeError: Writer.writeAll: parts[0] must not be detached (transferred)"],
      ] as const) {
        expect(() => writer.writeAll(parts as unknown as string[])).toThrow(message.replace(/^\w+: /, ""));
      }
      reader.close();
      writer.close();
      expect(yield* failed(writer.writeAll(["a"]))).toContain("ECANCELED");
    }));
});

describe("shutdown", () => {
  for (const kind of ["TCP", "Unix"] as const) {
    test(`ends the writing side, the reading side, or both (${kind})`, () =>
      run(function* () {
        const [a, b] = (yield* (kinds[kind] as () => Coroutine<Ends>)()) as unknown as [asyncio.TCP, asyncio.TCP];
        yield* a.shutdown("write");
        expect(yield* b.read()).toBeNull();
        yield* b.write("still");
        expect(text(yield* a.read())).toBe("still");
        expect(yield* failed(a.write("x"))).toContain("EPIPE");
        // A read that waits ends.
        const reading = xasync(function* () {
          return yield* a.read();
        });
        yield* a.shutdown("read");
        expect(yield* reading).toBeNull();
        yield* b.shutdown("both");
        expect(yield* failed(b.write("x"))).toContain("EPIPE");
        expect(yield* b.read()).toBeNull();
        expect(() => a.shutdown("no" as "read")).toThrow('shutdown: side must be "read", "write" or "both", got "no"');
        a.close();
        b.close();
      }));
  }
});

describe("a stream as an async iterable", () => {
  test("gives chunks until its end, and ends when it is closed", async () => {
    const { reader, writer } = asyncio.pipe();
    const writing = xasync(function* () {
      for (const part of ["a", "b", "c"]) {
        yield* writer.write(part);
        yield* sleep(1);
      }
      writer.close();
    });
    let got = "";
    for await (const chunk of reader) got += text(chunk);
    expect(got).toBe("abc");
    await writing;
    reader.close();
    const other = asyncio.pipe();
    setTimeout(() => other.reader.close(), 1);
    for await (const _ of other.reader) throw new Error("there is nothing to read");
    other.writer.close();
  });
});

describe("wrong arguments", () => {
  const { reader, writer } = asyncio.pipe();
  const cases: [string, () => unknown, string][] = [
    [
      "readExactly(-1)",
      () => reader.readExactly(-1),
      "RangeError: Reader.readExactly: length must be an integer from 0 to 1073741824, got -1",
    ],
    ["readExactly(2^30 + 1)", () => reader.readExactly(2 ** 30 + 1), "RangeError"],
    ["readExactly('5')", () => reader.readExactly("5" as unknown as number), "TypeError"],
    ["readUntil('')", () => reader.readUntil(""), "RangeError: Reader.readUntil: delimiter must not be empty"],
    ["readUntil(256)", () => reader.readUntil(256), "RangeError: Reader.readUntil: delimiter must be an integer from 0 to 255, got 256"],
    ["readUntil(null)", () => reader.readUntil(null as unknown as string), "TypeError"],
    ["readUntil max 0", () => reader.readUntil("\n", { max: 0 }), "RangeError: Reader.readUntil: max must be"],
    [
      "readInto text",
      () => reader.readInto("text" as unknown as ArrayBuffer),
      "TypeError: Reader.readInto: buffer must be an ArrayBuffer or a view",
    ],
    ["readInto nothing", () => reader.readInto(new ArrayBuffer(0)), "RangeError: Reader.readInto: buffer must not be empty"],
    ["readInto beyond", () => reader.readInto(new ArrayBuffer(4), 4), "RangeError: Reader.readInto: offset"],
    ["readInto too long", () => reader.readInto(new ArrayBuffer(4), 1, 4), "RangeError: Reader.readInto: length"],
    ["readInto length 0", () => reader.readInto(new ArrayBuffer(4), 1, 0), "RangeError: Reader.readInto: length"],
  ];
  for (const [name, call, message] of cases) {
    test(name, () => {
      try {
        call();
      } catch (error) {
        expect(String(error)).toStartWith(message);
        return;
      }
      throw new Error("it was accepted");
    });
  }

  test("a detached buffer", () => {
    const buffer = new ArrayBuffer(4);
    structuredClone(buffer, { transfer: [buffer] });
    expect(() => reader.readInto(buffer)).toThrow("must not be detached");
    reader.close();
    writer.close();
  });
});

test("pipes and pairs give their descriptors back", () =>
  run(function* () {
    const before = openDescriptors();
    for (let i = 0; i < 200; i++) {
      const { reader, writer } = asyncio.pipe();
      const [a, b] = asyncio.Unix.pair();
      const reading = xasync(function* () {
        return yield* failed(reader.read());
      });
      for (const stream of [reader, writer, a, b]) stream.close();
      expect(yield* reading).toContain("ECANCELED: the stream was closed");
    }
    yield* sleep(1);
    expect(openedSince(before)).toEqual([]);
  }));

describe("a write of more than 4 GiB", () => {
  // The engine has no larger ones.
  const length = 2 ** 32;
  const has = !isWine && totalmem() > 3 * length;
  test.skipIf(!has)(
    "goes out to its last byte",
    () =>
      run(function* () {
        const [reader, writer] = asyncio.Unix.pair();
        const bytes = new Uint8Array(length);
        bytes[2 ** 31] = 1;
        bytes[2 ** 32 - 1] = 2;
        const writing = xasync(function* () {
          yield* writer.writeAll(["begin", bytes, "end"]);
          yield* writer.shutdown();
        });
        const target = new Uint8Array(1 << 18);
        const found = new Map<number, number>();
        let got = 0;
        for (let n = yield* reader.readInto(target); n > 0; n = yield* reader.readInto(target)) {
          const at = got - 5;
          for (const place of [2 ** 31, 2 ** 32 - 1]) if (place >= at && place < at + n) found.set(place, target[place - at] as number);
          got += n;
        }
        yield* writing;
        expect(got).toBe(length + 8);
        expect(() => new Uint8Array(2 ** 32 + 1)).toThrow("Out of memory");
        expect([...found]).toEqual([
          [2 ** 31, 1],
          [2 ** 32 - 1, 2],
        ]);
        reader.close();
        writer.close();
      }),
    120_000,
  );
});

describe("what is written", () => {
  overEach("may be shared, resizable, or nothing", function* (reader, writer) {
    const shared = new SharedArrayBuffer(4);
    new Uint8Array(shared).set([1, 2, 3, 4]);
    const resizable = new ArrayBuffer(2, { maxByteLength: 8 });
    const tracking = new Uint8Array(resizable);
    yield* writer.write(shared);
    yield* writer.write(new Uint8Array(shared, 1, 2));
    yield* writer.write(resizable);
    resizable.resize(3);
    tracking[2] = 9;
    yield* writer.write(tracking);
    yield* writer.write(new ArrayBuffer(0));
    yield* writer.write(new Uint8Array(new SharedArrayBuffer(0)));
    expect([...((yield* reader.readExactly(11)) ?? [])]).toEqual([1, 2, 3, 4, 2, 3, 0, 0, 0, 0, 9]);
  });
});
