// Lookup: the addresses of a host's name by the C library's resolver, which waits on a thread of its own. Bun's resolver, which has a
// cache, is used where Bun's loop runs; this one where it stands still.

import { addressText } from "./address.ts";
import { parked } from "./code.ts";
import { errnos, ioError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** Addresses that native code keeps of a name, and the bytes of each. */
const maxAddresses = 32;
const addressSize = 20;
const encoder = new TextEncoder();

export interface Found {
  readonly address: string;
  readonly family: 4 | 6;
}

/** At least one address, best first, of `family` unless that is 0. Its errors carry `code` and `hostname`, as those of `dns.lookup`. */
export class Lookup extends Operation<Found[]> {
  readonly #host: string;
  readonly #family: 0 | 4 | 6;

  constructor(host: string, family: 0 | 4 | 6) {
    super();
    this.#host = host;
    this.#family = family;
  }

  override begin(wait: Wait): number {
    const name = encoder.encode(this.#host);
    if (name.includes(0)) return errnos.ENOENT;
    const status = library.zc_op_lookup(env, tokenOf(wait), name, name.byteLength, this.#family);
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number, number: number): Found[] {
    if (status < 0) throw this.#error(status);
    const bytes = new Uint8Array(maxAddresses * addressSize);
    const count = library.zc_lookup_take(env, number, bytes, maxAddresses);
    return Array.from({ length: count }, (_, i) => {
      const view = new DataView(bytes.buffer, i * addressSize, addressSize);
      return { address: addressText(view), family: view.getUint16(0, true) as 4 | 6 };
    });
  }

  override giveBack(status: number, number: number): void {
    if (status > 0) library.zc_lookup_take(env, number, new Uint8Array(addressSize), 0);
  }

  #error(status: number): Error {
    const codes = { [errnos.ENOENT]: "ENOTFOUND", [errnos.EAGAIN]: "EAI_AGAIN" };
    const error = ioError(status, "getaddrinfo");
    const code = codes[status] ?? error.code;
    return Object.assign(new Error(`getaddrinfo ${code} ${this.#host}`), { ...error, code, hostname: this.#host });
  }

  override get what(): string {
    return `look up ${this.#host}`;
  }
}
