// Endpoint: what a native handle of a socket, pipe or other descriptor looks like from here, and the operations on one. One operation at a
// time in each direction; what a close cancels says so.

import { codes, parked } from "./code.ts";
import { closedError, errnos, ioError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { Operation } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** One direction of an endpoint, and who uses it. */
export interface Lane {
  wait: Wait | undefined;
}

export abstract class Endpoint {
  /** The native handle, for native bodies; 0 once closed. */
  handle: number;
  /** Who accepts or reads, and who connects or writes: one at a time. */
  readonly receiving: Lane = { wait: undefined };
  readonly sending: Lane = { wait: undefined };
  /** Bytes that were put back while a read waited, each in front of those before it. */
  readonly returnedBytes: Uint8Array[] = [];

  constructor(handle: number) {
    this.handle = handle;
    if (handle !== 0) collected.register(this, handle, this);
  }

  /** What messages call it. */
  get noun(): string {
    return "stream";
  }

  /** What messages call it once it is closed. */
  get closedNoun(): string {
    return this.noun;
  }

  /** The handle for an operation that begins. */
  opened(): number {
    return this.handle;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.handle === 0;
  }

  /** Closes it. Operations in flight end with an error whose code is "ECANCELED". Closing twice does nothing. */
  close(): void {
    if (this.handle === 0) return;
    library.zc_tcp_close(env, this.handle);
    collected.unregister(this);
    this.handle = 0;
    state.submitted = true;
    poke();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** What nobody can reach any more is closed. */
export const collected = new FinalizationRegistry<number>((handle) => {
  library.zc_tcp_close(env, handle);
  state.submitted = true;
  poke();
});

/** An operation on an endpoint: one at a time in its lane, and "closed" for what a close cancelled. */
export abstract class EndpointOperation<T> extends Operation<T> {
  protected readonly endpoint: Endpoint;
  readonly #lane: Lane;

  constructor(endpoint: Endpoint, lane: Lane) {
    super();
    this.endpoint = endpoint;
    this.#lane = lane;
  }

  /** "read", "write" and so on, as errors say it. */
  abstract get syscall(): string;

  /** Makes the native call. */
  protected abstract start(handle: number, wait: Wait): number;

  /** The result of a status that is no error. */
  protected abstract result(handle: number, status: number, value: number): T;

  override begin(wait: Wait): number {
    if (this.#lane.wait !== undefined) throw new Error(`cannot ${this.what}: another coroutine does so already`);
    const status = this.started(wait);
    this.#lane.wait = wait;
    return status;
  }

  protected started(wait: Wait): number {
    const status = this.start(this.endpoint.opened(), wait);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, value: number, wait: Wait): T {
    this.#lane.wait = undefined;
    wait.payload = undefined;
    if (status < 0) throw this.error(status);
    return this.result(this.endpoint.handle, status, value);
  }

  override forget(wait: Wait): void {
    this.#lane.wait = undefined;
    wait.payload = undefined;
  }

  protected error(status: number): Error {
    const isClosed = status === codes.badHandle || (status === errnos.ECANCELED && this.endpoint.closed);
    return isClosed ? closedError(this.syscall, this.endpoint.closedNoun) : ioError(status, this.syscall);
  }
}
