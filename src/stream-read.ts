// Reads of a stream: operations that take what has come, or wait for it.

import { codes } from "./code.ts";
import { type Endpoint, EndpointOperation } from "./endpoint.ts";
import { env, library } from "./native/env.ts";
import { tokenOf } from "./operation.ts";
import type { Wait } from "./wait.ts";

export class Read extends EndpointOperation<Uint8Array<ArrayBuffer> | null> {
  readonly #max: number;

  constructor(endpoint: Endpoint, max: number) {
    super(endpoint, endpoint.receiving);
    this.#max = max;
  }

  protected override start(handle: number, wait: Wait): number {
    return library.zc_op_tcp_read(env, handle, tokenOf(wait), this.#max);
  }

  protected override result(handle: number, status: number): Uint8Array<ArrayBuffer> | null {
    if (status === 0) return null;
    const bytes = new Uint8Array(status);
    if (library.zc_tcp_take(env, handle, bytes, status) !== status) throw this.error(codes.badHandle);
    return bytes;
  }

  override get syscall(): string {
    return "read";
  }

  override get what(): string {
    return `read from a ${this.endpoint.noun}`;
  }
}
