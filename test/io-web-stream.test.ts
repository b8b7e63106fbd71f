// connection.readable and connection.writable: Web streams over a connection, in all that takes them. Both modes where Bun's loop is not
// needed; each backend (ZIGCORO_BACKEND).

import { describe, expect, test } from "bun:test";
import { type asyncio, run, select, sleep, until, xasync } from "zigcoro";
import { failure, rejected } from "./support/failure.ts";
import { inBothModesSlowly as inBothModes } from "./support/modes.ts";
import { isWine } from "./support/platform.ts";
import { Random } from "./support/random.ts";
import { pair, pattern, readAll, readText, sockets } from "./support/sockets.ts";

const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);

function sha1(...chunks: Uint8Array[]): string {
  const hash = new Bun.CryptoHasher("sha1");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}

describe("readable", () => {
  inBothModes("is bytes up to the end of the stream", function* () {
    const [a, b] = yield* pair();
    expect(a.readable).toBe(a.readable);
    yield* b.write("hello");
    b.close();
    const reader = a.readable.getReader();
    expect(yield* until(reader.read())).toEqual({ done: false, value: new Uint8Array([104, 101, 108, 108, 111]) });
    expect((yield* until(reader.read())).done).toBe(true);
    yield* until(reader.closed);
    expect(a.closed).toBe(false);
    a.close();
  });

  inBothModes("reads into a reader's own memory, as much as fits", function* () {
    const [a, b] = yield* pair();
    yield* b.write("abcdefg");
    b.close();
    const reader = a.readable.getReader({ mode: "byob" });
    const memory = new ArrayBuffer(10);
    const first = yield* until(reader.read(new Uint8Array(memory, 2, 3)));
    expect(Buffer.from(first.value as Uint8Array).toString()).toBe("abc");
    expect([first.value?.byteOffset, first.value?.buffer.byteLength, memory.byteLength]).toEqual([2, 10, 0]);
    const second = yield* until(reader.read(new Uint8Array(10)));
    expect(Buffer.from(second.value as Uint8Array).toString()).toBe("defg");
    const end = yield* until(reader.read(new Uint8Array(10)));
    expect([end.done, end.value?.byteLength]).toEqual([true, 0]);
    a.close();
  });

  test("is a body of a Response, a Blob, and of what Bun's server and fetch send", async () => {
    const sender = async (data: string | Uint8Array): Promise<asyncio.TCP> => {
      const [a, b] = await run(pair);
      b.write(data).then(() => b.close());
      return a;
    };
    expect(await new Response((await sender("some text")).readable).text()).toBe("some text");
    expect(await new Response((await sender('{"a":1}')).readable).json()).toEqual({ a: 1 });
    const data = pattern(3_000_000);
    const blob = await new Response((await sender(data)).readable).blob();
    expect(sha1(await blob.bytes())).toBe(sha1(data));
    await using server = Bun.serve({
      port: 0,
      fetch: async (request) => new Response(request.method === "PUT" ? sha1(await request.bytes()) : (await sender(data)).readable),
    });
    expect(sha1(await (await fetch(server.url)).bytes())).toBe(sha1(data));
    expect(await (await fetch(server.url, { method: "PUT", body: (await sender(data)).readable })).text()).toBe(sha1(data));
  });

  test("goes through pipes, tees and loops", async () => {
    const [a, b] = await run(pair);
    b.write("grüße 🌍").then(() => b.close());
    expect((await Array.fromAsync(a.readable.pipeThrough(new TextDecoderStream() as never) as AsyncIterable<string>)).join("")).toBe(
      "grüße 🌍",
    );
    const [c, d] = await run(pair);
    d.write(pattern(1_000_000)).then(() => d.close());
    const [left, right] = c.readable.tee();
    const both = await Promise.all([new Response(left).bytes(), new Response(right).bytes()]);
    expect(both.map((bytes) => sha1(bytes))).toEqual([sha1(pattern(1_000_000)), sha1(pattern(1_000_000))]);
    for (const connection of [a, c]) connection.close();
  });

  inBothModes("takes nothing that nobody asked for", function* () {
    const [a, b] = yield* pair();
    const { readable } = a;
    yield* b.write("first second");
    yield* sleep(1);
    // It would be gone.
    expect(yield* readText(a, 6)).toBe("first ");
    const reader = readable.getReader({ mode: "byob" });
    expect(Buffer.from((yield* until(reader.read(new Uint8Array(3)))).value as Uint8Array).toString()).toBe("sec");
    yield* sleep(1);
    expect(yield* readText(a, 3)).toBe("ond");
    a.close();
    b.close();
  });

  test("makes a fast writer wait for a slow reader", async () => {
    const [a, b] = await run(pair);
    const data = pattern(32 << 20);
    const writer = xasync(function* () {
      yield* b.write(data);
      b.close();
    });
    const chunks: Uint8Array[] = [];
    const reader = a.readable.getReader();
    chunks.push((await reader.read()).value as Uint8Array);
    await Bun.sleep(20);
    expect(writer.status).toBe("suspended");
    for (let at = await reader.read(); !at.done; at = await reader.read()) {
      expect(at.value.byteLength).toBeLessThanOrEqual(65_536);
      chunks.push(at.value);
    }
    await writer;
    expect(sha1(...chunks)).toBe(sha1(data));
    a.close();
  });

  inBothModes("cancelled in the middle of a read, it leaves the other side alone", function* () {
    const [a, b] = yield* pair();
    const reader = a.readable.getReader();
    const reading = reader.read();
    yield* until(reader.cancel("enough"));
    expect(yield* until(reading)).toEqual({ done: true, value: undefined });
    expect(a.closed).toBe(false);
    const writer = a.writable.getWriter();
    yield* until(writer.write("still there"));
    expect(yield* readText(b, 11)).toBe("still there");
    yield* until(writer.close());
    expect(a.closed).toBe(true);
    b.close();
  });
});

describe("writable", () => {
  inBothModes("takes strings, bytes and buffers, and ends the stream", function* () {
    const [a, b] = yield* pair();
    expect(a.writable).toBe(a.writable);
    const writer = a.writable.getWriter();
    yield* until(writer.write("text "));
    yield* until(writer.write(new Uint8Array([98, 121, 116, 101, 115])));
    yield* until(writer.write(new Uint8Array([32, 33]).buffer));
    yield* until(writer.close());
    expect(Buffer.from(yield* readAll(b)).toString()).toBe("text bytes !");
    yield* b.write("answer");
    b.close();
    expect(Buffer.from(yield* readAll(a)).toString()).toBe("answer");
    a.close();
  });

  inBothModes("makes writers wait for a peer that does not read", function* () {
    const [a, b] = yield* pair();
    const writer = a.writable.getWriter();
    const data = pattern(32 << 20);
    const written = xasync(async () => {
      await writer.write(data);
      await writer.close();
    });
    expect(writer.desiredSize).toBe(0);
    const first = yield* select({ written, slept: sleep(20) });
    expect(first.key).toBe("slept");
    expect(sha1(yield* readAll(b))).toBe(sha1(data));
    yield* written;
    a.close();
    b.close();
  });

  inBothModes("aborted in the middle of a write, ends the stream there", function* () {
    const [a, b] = yield* pair();
    const writer = a.writable.getWriter();
    const reason = new Error("enough");
    writer.closed.catch(() => {});
    const writing = rejected(writer.write(pattern(64 << 20)));
    yield* sleep(1);
    yield* until(writer.abort(reason));
    expect(yield* until(writing)).toBe("Error: enough");
    expect((yield* readAll(b)).byteLength).toBeLessThan(64 << 20);
    expect(a.closed).toBe(false);
    yield* until(a.readable.cancel());
    expect(a.closed).toBe(true);
    b.close();
  });

  inBothModes("fails with what a write fails with, and wrong chunks are its errors, too", function* () {
    const [a, b] = yield* pair();
    const writer = a.writable.getWriter();
    writer.closed.catch(() => {});
    expect(yield* until(rejected(writer.write(7 as never)))).toBe(
      "TypeError: TCP.write: data must be a string, Uint8Array or ArrayBuffer, got 7",
    );
    a.close();
    b.close();
    const [c, d] = yield* pair();
    d.close();
    const failing = c.writable.getWriter();
    failing.closed.catch(() => {});
    const error = yield* until(
      failure(
        (async () => {
          for (;;) await failing.write("x");
        })(),
      ),
    );
    expect(["EPIPE", "ECONNRESET"]).toContain(error.code as string);
    c.close();
  });
});

describe("both", () => {
  inBothModes("close the connection when both have ended, in any way", function* () {
    const before = sockets();
    const ends: [(readable: ReadableStream) => Promise<unknown>, (writable: WritableStream) => Promise<unknown>][] = [
      [(readable) => readable.cancel(), (writable) => writable.close()],
      [(readable) => readable.cancel("why"), (writable) => writable.abort("why")],
      [(readable) => new Response(readable).bytes(), (writable) => writable.close()],
    ];
    for (const [endReading, endWriting] of ends) {
      for (const first of ["reading", "writing"]) {
        const [a, b] = yield* pair();
        yield* b.shutdown();
        const steps = [() => endReading(a.readable), () => endWriting(a.writable)];
        if (first === "writing") steps.reverse();
        yield* until((steps[0] as () => Promise<unknown>)());
        expect(a.closed).toBe(false);
        yield* until((steps[1] as () => Promise<unknown>)());
        expect(a.closed).toBe(true);
        b.close();
      }
    }
    for (let tries = 0; sockets() > before && tries < 1000; tries++) yield* sleep(1);
    expect(sockets()).toBeLessThanOrEqual(before);
  });

  // Wine shows a reset as the stream's end.
  if (!isWine)
    inBothModes("fail when the peer resets, and the connection is closed", function* () {
      const [a, b] = yield* pair();
      const reader = a.readable.getReader();
      const writer = a.writable.getWriter();
      reader.closed.catch(() => {});
      const reading = failure(reader.read());
      const writerFails = failure(writer.closed);
      yield* a.write("unread");
      b.close();
      expect((yield* until(reading)).code).toBe("ECONNRESET");
      expect((yield* until(writerFails)).code).toBe("ECONNRESET");
      expect(a.closed).toBe(true);
    });

  inBothModes("fail when the connection is closed under them", function* () {
    const [a, b] = yield* pair();
    const reader = a.readable.getReader();
    reader.closed.catch(() => {});
    const reading = rejected(reader.read());
    yield* sleep(0);
    a.close();
    expect(yield* until(reading)).toBe("Error: read ECANCELED: the socket was closed");
    b.close();
  });

  test(`carry data both ways at once, whatever the sizes (SEED=${seed})`, async () => {
    const random = new Random(seed);
    for (let round = 0; round < 10; round++) {
      const ends = await run(pair);
      const data = ends.map(() => pattern(random.below(2_000_000)));
      const sending = ends.map(async (end, i) => {
        const writer = end.writable.getWriter();
        const bytes = data[i] as Uint8Array;
        for (let at = 0; at < bytes.length; ) {
          const size = random.below(4) ? random.below(5000) : random.below(500_000);
          const written = writer.write(bytes.subarray(at, at + size));
          at += size;
          if (random.below(2)) await written;
        }
        await writer.close();
      });
      const got = await Promise.all(
        ends.map(async (end) => {
          const chunks: Uint8Array[] = [];
          if (random.below(2)) {
            for await (const chunk of end.readable) chunks.push(chunk);
            return chunks;
          }
          const reader = end.readable.getReader({ mode: "byob" });
          for (;;) {
            const { done, value } = await reader.read(new Uint8Array(1 + random.below(200_000)));
            if (done) return chunks;
            chunks.push(value);
          }
        }),
      );
      await Promise.all(sending);
      expect(sha1(...(got[0] as Uint8Array[]))).toBe(sha1(data[1] as Uint8Array));
      expect(sha1(...(got[1] as Uint8Array[]))).toBe(sha1(data[0] as Uint8Array));
      expect(ends.map((end) => end.closed)).toEqual([true, true]);
    }
  }, 60_000);

  test("pipe one connection into another", async () => {
    const [a, b] = await run(pair);
    const [c, d] = await run(pair);
    const data = pattern(5_000_000);
    const piping = b.readable.pipeTo(c.writable);
    const reading = run(() => readAll(d));
    await run(function* () {
      yield* a.write(data);
      yield* a.shutdown();
    });
    await piping;
    expect(sha1(await reading)).toBe(sha1(data));
    for (const end of [a, b, c, d]) end.close();
  });
});
