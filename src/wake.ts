// Wake: how native code that found events wakes Bun's loop, and how a parked guest keeps the process alive meanwhile. It holds nothing of
// native code but a descriptor, and native code holds nothing of the VM.

import type { Socket, TCPSocketListener } from "bun";
import { connectWake, wakeDescriptor } from "./native/env.ts";

/** Held, it keeps the process alive and tells of wakes; not held, neither. */
export interface Wake {
  /** May throw: there is no descriptor to be had. */
  hold(): void;
  release(): void;
}

/** `woken` is called for each wake, `lost` when Bun could not wait for them: then it is not held any more. */
export function createWake(woken: () => void, lost: () => void): Wake {
  return process.platform === "win32" ? new SocketWake(woken, lost) : new DescriptorWake(woken, lost);
}

/** A pending read of the descriptor keeps the process alive and wakes us; it costs nothing while it waits. */
class DescriptorWake implements Wake {
  readonly #woken: () => void;
  readonly #lost: () => void;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #reading = false;

  constructor(woken: () => void, lost: () => void) {
    this.#woken = woken;
    this.#lost = lost;
  }

  hold(): void {
    this.#reader ??= Bun.file(wakeDescriptor()).stream().getReader() as ReadableStreamDefaultReader<Uint8Array>;
    if (this.#reading) return;
    this.#reading = true;
    const reader = this.#reader;
    reader.read().then(
      () => {
        if (reader !== this.#reader) return;
        this.#reading = false;
        // Before Bun looks again by itself, which it would do in vain.
        this.hold();
        this.#woken();
      },
      () => {
        // Bun could not read it, for want of a descriptor of its own. Another reader will.
        if (reader !== this.#reader) return;
        this.release();
        this.#lost();
      },
    );
  }

  release(): void {
    if (!this.#reader) return;
    const reader = this.#reader;
    this.#reader = undefined;
    this.#reading = false;
    reader.cancel().catch(() => {});
  }
}

/** Bun for Windows reads no descriptors but sockets: one that native code connects to us through the loopback, and writes a byte to. */
class SocketWake implements Wake {
  readonly #woken: () => void;
  readonly #lost: () => void;
  #listener: TCPSocketListener | undefined;
  #socket: Socket | undefined;
  #held = false;

  constructor(woken: () => void, lost: () => void) {
    this.#woken = woken;
    this.#lost = lost;
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    if (this.#socket) this.#socket.ref();
    else if (this.#listener) this.#listener.ref();
    else this.#connect();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    (this.#socket ?? this.#listener)?.unref();
  }

  /** The connection is made before Bun's loop takes it; a wake that comes sooner waits in it. */
  #connect(): void {
    let port = 0;
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => {
          // Anybody on this machine may have found the port.
          if (this.#socket !== undefined || socket.remotePort !== port) return void socket.terminate();
          this.#socket = socket;
          this.#listener = undefined;
          listener.stop();
          if (!this.#held) socket.unref();
        },
        data: (socket) => {
          if (socket === this.#socket) this.#woken();
        },
        close: (socket) => {
          if (socket !== this.#socket) return;
          this.#socket = undefined;
          if (!this.#held) return;
          this.#held = false;
          this.#lost();
        },
      },
    });
    try {
      port = connectWake(listener.port);
      this.#listener = listener;
    } catch (error) {
      this.#held = false;
      listener.stop();
      throw error;
    }
  }
}
