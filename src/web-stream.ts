// Web streams over a connection: its two directions as a ReadableStream of bytes and a WritableStream. Nothing is read ahead: a pull is
// one read, of the size that is asked for. A direction is done when it has ended, failed or was given up; when both are, the connection
// is closed.

import type { ReadableByteStreamController, UnderlyingByteSource } from "node:stream/web";
import { type ByteStream, isGone } from "./byte-stream.ts";
import { CallbackWait } from "./callback.ts";
import type { Operation } from "./operation.ts";

export type BytesReadable = ReadableStream<Uint8Array<ArrayBuffer>>;
export type BytesWritable = WritableStream<string | Uint8Array | ArrayBuffer>;

/** At most this much comes in one chunk when the reader brings no memory of its own. */
const chunkSize = 65_536;

type SignallingController = WritableStreamDefaultController & { readonly signal: AbortSignal };

/** Both directions of one connection. */
export class WebStreams {
  readonly readable: BytesReadable;
  readonly writable: BytesWritable;
  readonly #stream: ByteStream;
  readonly #reading = new Direction();
  readonly #writing = new Direction();
  #writer: SignallingController | undefined;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.readable = new ReadableStream<Uint8Array<ArrayBuffer>>(
      {
        type: "bytes",
        pull: (controller) => this.#pull(controller),
        cancel: (reason) => this.#end(this.#reading, reason),
      } satisfies UnderlyingByteSource,
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream<string | Uint8Array | ArrayBuffer>({
      start: (bare) => {
        // Bun's types leave the signal out.
        const controller = bare as SignallingController;
        this.#writer = controller;
        // An abort waits for the write in flight, and that may wait for a peer that does not read.
        controller.signal.addEventListener("abort", () => this.#writing.cancel(controller.signal.reason));
      },
      write: (chunk) => this.#write(chunk),
      close: () => this.#shutdown(),
      abort: () => this.#shutdown(),
    });
  }

  async #pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest;
    const view = request?.view;
    let bytes: Uint8Array<ArrayBuffer> | null;
    try {
      bytes = await this.#reading.run(this.#stream.read(view?.byteLength ?? chunkSize));
    } catch (error) {
      // What cannot be read any more cannot be written to any more either.
      if (!this.#reading.isDone) this.#fail(error);
      throw error;
    }
    // A cancel came too late to keep the bytes.
    if (this.#reading.isDone) return;
    if (bytes === null) {
      this.#end(this.#reading);
      controller.close();
      request?.respond(0);
    } else if (view) {
      new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).set(bytes);
      request.respond(bytes.byteLength);
    } else {
      controller.enqueue(bytes);
    }
  }

  async #write(chunk: string | Uint8Array | ArrayBuffer): Promise<void> {
    try {
      await this.#writing.run(this.#stream.write(chunk));
    } catch (error) {
      const signal = this.#writer?.signal;
      // The abort sees to the rest.
      if (signal?.aborted) throw signal.reason;
      this.#end(this.#writing);
      throw error;
    }
  }

  async #shutdown(): Promise<void> {
    try {
      await this.#writing.run(this.#stream.shutdown());
    } catch (error) {
      if (!isGone(this.#stream, error)) throw error;
    } finally {
      this.#end(this.#writing);
    }
  }

  #fail(error: unknown): void {
    this.#end(this.#reading);
    this.#end(this.#writing);
    this.#writer?.error(error);
  }

  #end(direction: Direction, reason?: unknown): void {
    direction.isDone = true;
    direction.cancel(reason);
    if (this.#reading.isDone && this.#writing.isDone) this.#stream.close();
  }
}

/** One direction: whether it is done, and the operation in flight. */
class Direction {
  isDone = false;
  #wait: { cancel(reason: unknown): void } | undefined;

  run<T>(operation: Operation<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#wait = new CallbackWait(operation, resolve, reject);
    });
  }

  /** Cancels the operation in flight, if there is one. */
  cancel(reason: unknown): void {
    this.#wait?.cancel(reason);
  }
}
