// Reads requests out of a byte stream: RESP2 arrays of bulk strings, and inline commands as somebody types them into telnet. Pure: bytes in,
// argument lists out. An argument is a binary-safe string with one character (0 to 255) a byte; the store keeps it as it is.

import { Inbox } from "./inbox.ts";
import { MAX_ARGUMENTS, MAX_BULK_BYTES, MAX_LINE_BYTES, MAX_REQUEST_BYTES } from "./limits.ts";

const ASTERISK = 42;
const DOLLAR = 36;

/** The peer does not speak RESP. It is told why, and the connection ends: where the next request begins is not known any more. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

export class RequestParser {
  #inbox = new Inbox();
  #args: string[] = [];
  #missing = 0;
  /** Length of the argument that is arriving, -1 while that is not known. */
  #bulk = -1;
  #bytes = 0;

  /** Bytes that no request has been made of yet. */
  get size(): number {
    return this.#inbox.size;
  }

  /** Adds bytes, which must not change afterwards. */
  push(chunk: Uint8Array): void {
    this.#inbox.push(chunk);
  }

  /** The next complete request, never empty; undefined when more bytes are needed. Throws ProtocolError. */
  next(): string[] | undefined {
    const inbox = this.#inbox;
    while (this.#missing === 0) {
      if (inbox.size === 0) {
        inbox.release();
        return undefined;
      }
      if (inbox.peek() !== ASTERISK) {
        const line = this.#line(inbox.line(), "too big inline request");
        if (line === undefined) return undefined;
        const words = splitWords(line);
        if (words.length > 0) return words;
      } else if (!this.#beginArray()) return undefined;
    }
    while (this.#missing > 0) {
      if (this.#bulk < 0 && !this.#beginBulk()) return undefined;
      const argument = inbox.bulk(this.#bulk);
      if (argument === undefined) return undefined;
      this.#args.push(argument);
      this.#bulk = -1;
      this.#missing--;
    }
    return this.#args;
  }

  #beginArray(): boolean {
    const count = this.#line(this.#inbox.header(), "too big mbulk count string");
    if (count === undefined) return false;
    if (Number.isNaN(count) || count > MAX_ARGUMENTS) throw new ProtocolError("invalid multibulk length");
    this.#missing = Math.max(count, 0); // *0 and *-1 say nothing, and nothing is answered
    this.#args = [];
    this.#bytes = 0;
    return true;
  }

  #beginBulk(): boolean {
    if (this.#inbox.size === 0) return false;
    const kind = this.#inbox.peek();
    if (kind !== DOLLAR) throw new ProtocolError(`expected '$', got '${String.fromCharCode(kind)}'`);
    const length = this.#line(this.#inbox.header(), "too big bulk count string");
    if (length === undefined) return false;
    if (!(length >= 0 && length <= MAX_BULK_BYTES)) throw new ProtocolError("invalid bulk length");
    this.#bytes += length;
    if (this.#bytes > MAX_REQUEST_BYTES) throw new ProtocolError("too big request");
    this.#bulk = length;
    return true;
  }

  /** Passes a line on; one that is not complete yet must not grow for ever. */
  #line<T>(line: T | undefined, complaint: string): T | undefined {
    if (line === undefined && this.#inbox.size > MAX_LINE_BYTES) throw new ProtocolError(complaint);
    return line;
  }
}

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };
const BLANK = /[\s\0]/;

/** Splits an inline command: words, "with \n and \x00 escapes", 'or only \' escaped'. */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  for (let i = 0; ; ) {
    while (i < line.length && BLANK.test(line.charAt(i))) i++;
    if (i === line.length) return words;
    let word = "";
    while (i < line.length && !BLANK.test(line.charAt(i))) {
      const quote = line.charAt(i);
      if (quote !== '"' && quote !== "'") {
        word += quote;
        i++;
        continue;
      }
      const part = quoted(line, i);
      word += part.text;
      i = part.end;
      if (i < line.length && !BLANK.test(line.charAt(i))) throw new ProtocolError("unbalanced quotes in request");
    }
    words.push(word);
  }
}

function quoted(line: string, open: number): { text: string; end: number } {
  const quote = line.charAt(open);
  let text = "";
  for (let i = open + 1; i < line.length; i++) {
    const char = line.charAt(i);
    if (char === quote) return { text, end: i + 1 };
    if (char !== "\\" || i + 1 === line.length) {
      text += char;
      continue;
    }
    const next = line.charAt(i + 1);
    const hex = /^x[0-9a-fA-F]{2}/.exec(line.slice(i + 1, i + 4));
    if (quote === "'") {
      text += next === "'" ? "'" : "\\";
      if (next === "'") i++;
    } else if (hex) {
      text += String.fromCharCode(Number.parseInt(hex[0].slice(1), 16));
      i += 3;
    } else {
      text += ESCAPES[next] ?? next;
      i++;
    }
  }
  throw new ProtocolError("unbalanced quotes in request");
}
