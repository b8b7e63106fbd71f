// Writes RESP2 replies and gathers those of a whole pipeline, so that they leave in one write. Pure memory: whoever owns one takes the parts
// and sends them.

/** Values from this many bytes on get a part of their own instead of being copied into (and growing) the gathering buffer. */
const LARGE_BYTES = 32 * 1024;
/** Up to here a loop in JavaScript is faster than a call to native code. */
const SHORT_BYTES = 16;
const FIRST_BYTES = 1024;
const MOST_BYTES = 64 * 1024;

const CR = 13;
const LF = 10;

/** One connection's outgoing bytes. */
export class Replies {
  #buffer: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  /** The buffer that the last take() handed out, to be used again after the next: two are enough, since one goes out while the other fills. */
  #spare: Buffer | undefined;
  #used = 0;
  #parts: Uint8Array[] = [];
  #sealed = 0;

  /** Bytes gathered and not taken. */
  get size(): number {
    return this.#sealed + this.#used;
  }

  /** Hands over what was gathered, in order. The parts are valid until the next call: finish writing them first. */
  take(): Uint8Array[] {
    const parts = this.#parts;
    if (this.#used > 0) parts.push(this.#buffer.subarray(0, this.#used));
    const next = this.#spare ?? Buffer.allocUnsafeSlow(FIRST_BYTES);
    this.#spare = this.#buffer;
    this.#buffer = next;
    this.#parts = [];
    this.#used = this.#sealed = 0;
    return parts;
  }

  /** `+OK` and the like. */
  status(text: string): void {
    this.#line(43, text);
  }

  /** `-ERR ...`; a line end inside becomes a blank, because it would end the reply. */
  error(text: string): void {
    this.#line(45, text.replace(/[\r\n]/g, " "));
  }

  /** `:7`. Integers beyond 2^53 come as text. */
  integer(value: number | string): void {
    this.#line(58, String(value));
  }

  /** A byte string, or nil. */
  bulk(value: string | undefined): void {
    if (value === undefined) {
      this.#line(36, "-1");
      return;
    }
    const length = value.length;
    this.#line(36, String(length));
    if (length >= LARGE_BYTES) this.#large(value);
    else {
      this.#reserve(length + 2);
      if (length < SHORT_BYTES) this.#copy(value);
      else this.#used += this.#buffer.write(value, this.#used, length, "latin1");
    }
    this.#end();
  }

  /** The head of an array: `length` replies follow. */
  array(length: number): void {
    this.#line(42, String(length));
  }

  /** An array of byte strings. */
  bulks(values: ArrayLike<string>): void {
    this.array(values.length);
    for (let i = 0; i < values.length; i++) this.bulk(values[i]);
  }

  /** The array that is not there: what BLPOP answers when its time is over. */
  nilArray(): void {
    this.#line(42, "-1");
  }

  #line(kind: number, text: string): void {
    this.#reserve(text.length + 3);
    this.#buffer[this.#used++] = kind;
    this.#copy(text);
    this.#end();
  }

  #copy(text: string): void {
    const buffer = this.#buffer;
    let at = this.#used;
    for (let i = 0; i < text.length; i++) buffer[at++] = text.charCodeAt(i);
    this.#used = at;
  }

  #end(): void {
    this.#reserve(2);
    this.#buffer[this.#used++] = CR;
    this.#buffer[this.#used++] = LF;
  }

  #large(value: string): void {
    this.#seal();
    const part = Buffer.allocUnsafeSlow(value.length);
    part.write(value, 0, value.length, "latin1");
    this.#part(part);
  }

  #reserve(bytes: number): void {
    if (this.#buffer.length - this.#used >= bytes) return;
    const wanted = this.#used + bytes;
    if (wanted > MOST_BYTES) {
      this.#seal();
      if (this.#buffer.length >= bytes) return;
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#used + bytes, Math.min(this.#buffer.length * 2, MOST_BYTES)));
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  /** Moves what is in the buffer to the parts. */
  #seal(): void {
    if (this.#used === 0) return;
    this.#part(this.#buffer.subarray(0, this.#used));
    this.#buffer = Buffer.allocUnsafeSlow(this.#buffer.length);
    this.#used = 0;
  }

  #part(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#sealed += bytes.length;
  }
}
