// Streams: what bytes are read from and written to. Reader and Writer have one direction, a Duplex both.

import { checkInteger } from "./check.ts";
import { Endpoint } from "./endpoint.ts";
import type { Operation } from "./operation.ts";
import { Read } from "./stream-read.ts";
import { checkBytes, Write } from "./stream-write.ts";

const maxRead = 2 ** 31 - 1;

function isLength(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= maxRead;
}

/** What bytes are read from. One read may be in flight at a time. */
export class Reader extends Endpoint {
  /**
   * The next bytes that have come, at least one and at most `max`, in memory of their own; null at the end of the stream.
   *
   * @param max an integer from 1 to 2^31 - 1
   */
  read(max: number = maxRead): Operation<Uint8Array<ArrayBuffer> | null> {
    // Named only when it is wrong: this is the hot path.
    if (!isLength(max)) checkInteger(max, `${this.constructor.name}.read: max`, 1, maxRead);
    return new Read(this, max);
  }
}

/** What bytes are written to. One write may be in flight at a time. */
export class Writer extends Endpoint {
  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: string | Uint8Array | ArrayBuffer): Operation<void> {
    return new Write(this, checkBytes(data, this));
  }
}

/** What is read and written. One read and one write may be in flight at a time. */
export class Duplex extends Reader {
  /** Writes all of `data`, a string as UTF-8. `data` must stay unchanged until it has ended. */
  write(data: string | Uint8Array | ArrayBuffer): Operation<void> {
    return new Write(this, checkBytes(data, this));
  }
}
