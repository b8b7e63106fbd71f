// The bytes a connection has received and nobody has understood yet. Both ends of the protocol read from one: the server its requests, the
// client its replies. Pure memory: it knows neither sockets nor RESP.
//
// A chunk is used where it lies as long as nothing is left over from the chunk before. What is left over is carried in a buffer of our own
// that at least doubles when it grows, so a value that arrives in n pieces costs O(n), and memory follows the bytes that really came, not the
// length that somebody announced.

const EMPTY = Buffer.alloc(0);
const LF = 10;
const CR = 13;

export class Inbox {
  #bytes: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** No line end lies in `start .. scanned`, so a line that arrives byte by byte is searched once. */
  #scanned = 0;
  #own = false;

  /** Bytes waiting. */
  get size(): number {
    return this.#end - this.#start;
  }

  /** Adds a chunk, which must not change until it has been read. */
  push(chunk: Uint8Array): void {
    if (this.#start === this.#end) {
      this.#bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      this.#own = false;
      this.#start = this.#scanned = 0;
      this.#end = chunk.length;
      return;
    }
    if (!this.#own || this.#bytes.length - this.#end < chunk.length) this.#makeRoom(chunk.length);
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next byte, which must exist. */
  peek(): number {
    return this.#bytes[this.#start] as number;
  }

  /** Takes a line without its LF or CRLF; undefined while it is not complete. */
  line(): string | undefined {
    const end = this.#lineEnd();
    if (end < 0) return undefined;
    const last = end > this.#start && this.#bytes[end - 1] === CR ? end - 1 : end;
    const text = this.#bytes.toString("latin1", this.#start, last);
    this.#start = this.#scanned = end + 1;
    return text;
  }

  /** Takes `*12\r\n`, `$-1\r\n` or `:7\r\n`: undefined while it is not complete, NaN when there is no number as RESP writes them. */
  header(): number | undefined {
    const end = this.#lineEnd();
    if (end < 0) return undefined;
    const last = end > this.#start && this.#bytes[end - 1] === CR ? end - 1 : end;
    const value = decimal(this.#bytes, this.#start + 1, last);
    this.#start = this.#scanned = end + 1;
    return value;
  }

  /** Takes `length` bytes and the line end behind them; undefined while they have not all come. */
  bulk(length: number): string | undefined {
    const end = this.#start + length;
    if (end + 2 > this.#end) return undefined;
    const text = this.#bytes.toString("latin1", this.#start, end);
    this.#start = this.#scanned = end + 2;
    return text;
  }

  /** Lets go of the memory once everything has been read. */
  release(): void {
    if (this.#start === this.#end) {
      this.#bytes = EMPTY;
      this.#start = this.#end = this.#scanned = 0;
    }
  }

  #lineEnd(): number {
    const bytes = this.#bytes;
    const end = this.#end;
    for (let i = this.#scanned; i < end; i++) {
      if (bytes[i] === LF) return i;
    }
    this.#scanned = end;
    return -1;
  }

  #makeRoom(more: number): void {
    const held = this.size;
    if (this.#own && this.#bytes.length >= held + more) {
      this.#bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const larger = Buffer.allocUnsafeSlow(Math.max(held + more, held * 2));
      this.#bytes.copy(larger, 0, this.#start, this.#end);
      this.#bytes = larger;
      this.#own = true;
    }
    this.#scanned -= this.#start;
    this.#start = 0;
    this.#end = held;
  }
}

/** The decimal integer in `bytes[from..to]`, NaN for anything else: no sign but '-', no leading zero, no blank. */
function decimal(bytes: Uint8Array, from: number, to: number): number {
  const negative = bytes[from] === 45;
  const first = negative ? from + 1 : from;
  const leadingZero = bytes[first] === 48 && (negative || to - first > 1);
  if (first >= to || to - first > 18 || leadingZero) return Number.NaN;
  let value = 0;
  for (let i = first; i < to; i++) {
    const digit = (bytes[i] as number) - 48;
    if (digit < 0 || digit > 9) return Number.NaN;
    value = value * 10 + digit;
  }
  return negative ? -value : value;
}
