// Server: what connections are accepted from, and the accepting.

import { parked } from "./code.ts";
import type { Duplex } from "./duplex.ts";
import { Endpoint, EndpointOperation } from "./endpoint.ts";
import { errnos, type IoError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { interrupt, type Operation, tokenOf } from "./operation.ts";
import { sleep } from "./sleep.ts";
import type { Wait } from "./wait.ts";

/** A listening socket. */
export abstract class Server<C extends Duplex> extends Endpoint {
  /** Connections that were accepted and not wanted: those of accepts that lost in a select. */
  readonly returned: C[] = [];

  /** The connection that an accepted handle stands for. */
  abstract connection(handle: number): C;

  override get noun(): string {
    return "socket";
  }

  override close(): void {
    super.close();
    for (const connection of this.returned.splice(0)) connection.close();
  }

  /** The next connection. */
  accept(): Operation<C> {
    return new Accept(this);
  }

  /**
   * Accepts until the server is closed. A connection that is gone before it was accepted is passed over; while descriptors or memory have
   * run out, it waits until there are some again.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<C, void, undefined> {
    while (!this.closed) {
      let connection: C;
      try {
        connection = await this.accept();
      } catch (error) {
        if (this.closed) return;
        const { code } = error as IoError;
        if (code === "ECONNABORTED") continue;
        if (!exhausted.has(code)) throw error;
        await sleep(exhaustedDelay);
        continue;
      }
      yield connection;
    }
  }
}

const exhausted = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);
/** Milliseconds: nobody tells when there are descriptors again. */
const exhaustedDelay = 50;

class Accept<C extends Duplex> extends EndpointOperation<C> {
  readonly #server: Server<C>;

  constructor(server: Server<C>) {
    super(server, server.receiving);
    this.#server = server;
  }

  override poll(wait: Wait): number {
    if (this.#server.returned.length === 0 || this.#server.closed) return parked;
    wait.payload = this.#server.returned.shift();
    return 0;
  }

  override begin(wait: Wait): number {
    const status = this.poll(wait);
    return status === parked ? super.begin(wait) : status;
  }

  override finish(status: number, value: number, wait: Wait): C {
    if (wait.payload === undefined) return super.finish(status, value, wait);
    const connection = wait.payload as C;
    if (this.#server.receiving.wait === wait) this.#server.receiving.wait = undefined;
    wait.payload = undefined;
    return connection;
  }

  override advance(status: number, _value: number, wait: Wait): number {
    // What was put back while it waited is its own now.
    return status === errnos.ECANCELED && this.poll(wait) === 0 ? 0 : status;
  }

  override giveBack(status: number, value: number, wait: Wait): void {
    if (status < 0) this.forget(wait);
    else this.putBack(this.finish(status, value, wait));
  }

  override putBack(connection: C): void {
    if (this.#server.closed) connection.close();
    else {
      this.#server.returned.unshift(connection);
      interrupt(this.#server.receiving.wait);
    }
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_accept(env, handle, tokenOf(wait));
  }

  protected override result(_handle: number, _status: number, accepted: number): C {
    return this.#server.connection(accepted);
  }

  override get syscall(): string {
    return "accept";
  }

  override get what(): string {
    return "accept a connection";
  }
}
