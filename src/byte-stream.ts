// ByteStream: what the adapters for Web streams and for Node need of a connection.

import type { Operation } from "./operation.ts";

/** Two directions of bytes that end apart. One read and one write may be in flight at a time. */
export interface ByteStream {
  read(max?: number): Operation<Uint8Array<ArrayBuffer> | null>;
  write(data: string | Uint8Array | ArrayBuffer): Operation<void>;
  /** Ends the writing side. */
  shutdown(): Operation<void>;
  close(): void;
  readonly closed: boolean;
  readonly local?: Endpoint | undefined;
  readonly remote?: Endpoint | undefined;
  setNoDelay?(on?: boolean): void;
  setKeepAlive?(on?: boolean, options?: { readonly idle?: number }): void;
}

/** One end of it, where it has an address. */
interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly family: string;
}

/** Whether `error` only says that a connection was shut down that is gone already, by its peer or by a close here. */
export function isGone(stream: ByteStream, error: unknown): boolean {
  return stream.closed || (error as { code?: unknown } | undefined)?.code === "ENOTCONN";
}
