// Streams: channels to and from async iterables, ReadableStream and WritableStream.

import { Channel } from "./channel.ts";
import { checkInteger, show } from "./check.ts";
import { Cancelled } from "./error.ts";
import type { Coroutine, Frame } from "./frame.ts";
import { select } from "./select.ts";
import { startGenerator } from "./start.ts";
import { until } from "./until.ts";

/** What `channelFrom` reads: async and sync iterables, and web streams, which are both. */
export type Source<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T>;

/**
 * A channel of what `source` brings, read by a coroutine of its own as receivers make room: at most `capacity` values (default 0) wait, and
 * one is on its way. It is closed at the source's end, and with the error when that fails. Closing the channel ends the source: its
 * iterator returns, a stream is cancelled.
 *
 * @example
 * ```ts
 * const lines = channelFrom(console); // Bun's console iterates over the lines of stdin
 * const event = yield* select({ line: lines.recv(), idle: sleep(60_000) });
 * ```
 * @throws TypeError, RangeError
 */
export function channelFrom<T>(source: Source<T>, capacity = 0): Channel<T> {
  checkInteger(capacity, "channelFrom: capacity", 0, 2 ** 31 - 1);
  const iterator = iteratorOf<T>(source);
  const channel = new Channel<T>(capacity);
  startGenerator(pump(iterator, channel), "channelFrom");
  return channel;
}

function iteratorOf<T>(source: Source<T>): AsyncIterator<T> | Iterator<T> {
  if (source instanceof ReadableStream) return readerOf(source);
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source) return source[Symbol.iterator]();
  }
  throw new TypeError(`channelFrom: source must be iterable or a ReadableStream, got ${show(source)}`);
}

/** A stream's own iterator would not let go before its pending read has ended. */
function readerOf<T>(stream: ReadableStream<T>): AsyncIterator<T> {
  const reader = stream.getReader();
  return {
    next: () => reader.read() as Promise<IteratorResult<T>>,
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

function* pump<T>(iterator: AsyncIterator<T> | Iterator<T>, channel: Channel<T>): Coroutine<void> {
  try {
    while (!channel.closed) {
      const { key, value } = yield* select({ next: Promise.resolve(iterator.next()), closed: channel.whenClosed() });
      if (key === "closed") break;
      if (value.done) {
        channel.close();
        return;
      }
      if (channel.closed) break;
      yield* select({ sent: channel.send(value.value), closed: channel.whenClosed() });
    }
    yield* until(Promise.resolve(iterator.return?.()));
  } catch (error) {
    channel.close(error);
  }
}

/**
 * A ReadableStream of what a channel brings. It takes one value ahead at most. It ends when the channel does, fails with what that was closed
 * with, and cancelling it closes the channel.
 *
 * @example
 * ```ts
 * Bun.serve({ fetch: () => new Response(readableFrom(chunks)) });
 * ```
 * @throws TypeError
 */
export function readableFrom<T>(channel: Channel<T>): ReadableStream<T> {
  checkChannel(channel, "readableFrom");
  let pulling: Frame<void> | undefined;
  return new ReadableStream<T>(
    {
      pull(controller) {
        pulling = startGenerator(
          (function* (): Coroutine<void> {
            const result = yield* channel.next();
            if (result.done) controller.close();
            else controller.enqueue(result.value);
          })(),
          "readableFrom",
        );
        return pulling.then(undefined, (error) => {
          if (!(error instanceof Cancelled)) throw error;
        });
      },
      async cancel(reason) {
        await pulling?.cancel(reason);
        channel.close();
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * A WritableStream into a channel: a write ends when the channel has taken its chunk. Closing it closes the channel, aborting it closes that
 * with the reason.
 *
 * @example
 * ```ts
 * const chunks = new Channel<string>();
 * until(new Blob(["some text"]).stream().pipeThrough(new TextDecoderStream()).pipeTo(writableTo(chunks))).then();
 * console.log(yield* chunks.recv());
 * ```
 * @throws TypeError
 */
export function writableTo<T>(channel: Channel<T>): WritableStream<T> {
  checkChannel(channel, "writableTo");
  return new WritableStream<T>({
    write: (chunk) => channel.send(chunk).then(),
    close: () => channel.close(),
    abort: (reason) => channel.close(reason),
  });
}

function checkChannel(channel: unknown, what: string): void {
  if (!(channel instanceof Channel)) throw new TypeError(`${what}: channel must be a Channel, got ${show(channel)}`);
}
