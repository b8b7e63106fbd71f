// Channels to and from iterables and web streams.

import { describe, expect, test } from "bun:test";
import { Channel, channelFrom, readableFrom, run, select, sleep, writableTo, xasync } from "zigcoro";
import { rejected, thrown } from "./support/failure.ts";

async function* numbers(upTo: number, onEnd?: () => void) {
  try {
    for (let n = 1; n <= upTo; n++) {
      await null;
      yield n;
    }
  } finally {
    onEnd?.();
  }
}

async function drained<T>(channel: Channel<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of channel) values.push(value);
  return values;
}

describe("channelFrom", () => {
  test("reads iterables of both kinds and streams to their ends", async () => {
    expect(await drained(channelFrom([1, 2, 3]))).toEqual([1, 2, 3]);
    expect(await drained(channelFrom(numbers(3), 2))).toEqual([1, 2, 3]);
    expect(await drained(channelFrom(new Response("hello").body as ReadableStream<Uint8Array>))).toHaveLength(1);
  });

  test("reads only as receivers make room", async () => {
    let made = 0;
    const channel = channelFrom(
      (function* () {
        for (;;) yield ++made;
      })(),
      2,
    );
    await sleep(1);
    expect(made).toBe(3);
    expect(await channel.recv()).toBe(1);
    await sleep(1);
    expect(made).toBe(4);
    channel.close();
  });

  test("fails as its source does, after the last value", async () => {
    async function* failing() {
      yield 1;
      throw new Error("the source broke");
    }
    const channel = channelFrom(failing());
    expect(await channel.recv()).toBe(1);
    expect(await rejected(channel.recv())).toBe("Error: the source broke");
  });

  test("closed early ends its source", async () => {
    let ended = false;
    const channel = channelFrom(
      numbers(1000, () => {
        ended = true;
      }),
    );
    expect(await channel.recv()).toBe(1);
    channel.close();
    await sleep(1);
    expect(ended).toBe(true);
  });

  test("closed while its source is silent ends that, too", async () => {
    let cancelled: unknown;
    const silent = new ReadableStream<number>({
      cancel(reason) {
        cancelled = reason ?? "cancelled";
      },
    });
    const channel = channelFrom(silent);
    const closed = xasync(function* () {
      yield* channel.whenClosed();
    });
    channel.close();
    await closed;
    await channel.whenClosed();
    await sleep(1);
    expect(cancelled).toBe("cancelled");
    expect(await channel.recv()).toBeUndefined();
  });

  test("fits a select", async () => {
    await run(function* () {
      const [a, b] = [channelFrom(numbers(50)), channelFrom(numbers(50))];
      let sum = 0;
      for (let i = 0; i < 100; i++) {
        const { value } = yield* select({ a: a.recv(), b: b.recv() });
        if (value === undefined) break;
        sum += value;
      }
      for (const rest of [a, b]) for (let n = yield* rest.recv(); n !== undefined; n = yield* rest.recv()) sum += n;
      expect(sum).toBe(2550);
    });
  });
});

describe("readableFrom and writableTo", () => {
  test("carry values through web streams with backpressure", async () => {
    const [source, target] = [new Channel<number>(), new Channel<number>()];
    const piping = readableFrom(source)
      .pipeThrough(new TransformStream<number, number>({ transform: (n, controller) => controller.enqueue(n * 2) }))
      .pipeTo(writableTo(target));
    const received = drained(target);
    for (const n of [1, 2, 3]) await source.send(n);
    source.close();
    await piping;
    expect(await received).toEqual([2, 4, 6]);
    expect(target.closed).toBe(true);
  });

  test("carry errors and cancels", async () => {
    const failing = new Channel<number>();
    const reader = readableFrom(failing).getReader();
    failing.close(new Error("no more"));
    expect(await rejected(reader.read())).toBe("Error: no more");
    const left = new Channel<number>();
    const leaving = readableFrom(left).getReader();
    const pending = leaving.read();
    await leaving.cancel();
    expect((await pending).done).toBe(true);
    expect(left.closed).toBe(true);
    const aborted = new Channel<number>();
    await writableTo(aborted).abort(new Error("stop"));
    expect(await rejected(aborted.recv())).toBe("Error: stop");
  });

  test("answer a request", async () => {
    const chunks = new Channel<Uint8Array>(4);
    for (const text of ["a", "b"]) chunks.trySend(new TextEncoder().encode(text));
    chunks.close();
    expect(await new Response(readableFrom(chunks)).text()).toBe("ab");
  });

  test("refuse what is no channel or source", () => {
    expect(thrown(() => channelFrom(1 as never))).toBe("TypeError: channelFrom: source must be iterable or a ReadableStream, got 1");
    expect(thrown(() => channelFrom([], -1))).toStartWith("RangeError: channelFrom: capacity");
    expect(thrown(() => readableFrom(1 as never))).toBe("TypeError: readableFrom: channel must be a Channel, got 1");
    expect(thrown(() => writableTo(1 as never))).toBe("TypeError: writableTo: channel must be a Channel, got 1");
  });
});
