// A small client: one coroutine calls a command and suspends until its reply is there. Used by the load and by the tests.

import { asyncio, type Coroutine, type Operation } from "zigcoro";
import { Inbox } from "./inbox.ts";

export type Reply = string | number | null | Reply[] | ReplyFailure;

/** A reply that begins with `-`, as it came. */
export class ReplyFailure extends Error {
  override name = "ReplyFailure";
}

interface Socket {
  read(): Operation<Uint8Array | null>;
  write(data: Uint8Array): Operation<void>;
  close(): void;
}

export class Client {
  #replies = new ReplyParser();
  constructor(readonly socket: Socket) {}

  static *connect(port: number, host: string): Coroutine<Client> {
    return new Client(yield* asyncio.TCP.connect({ port, host }));
  }

  /** Sends one command and gives its reply. Throws ReplyFailure for an error reply. */
  *call(...args: string[]): Coroutine<Reply> {
    yield* this.send([args]);
    const reply = yield* this.receive();
    if (reply instanceof ReplyFailure) throw reply;
    return reply;
  }

  /** Sends commands and gives their replies; errors are among them. */
  *pipeline(commands: readonly (readonly string[])[]): Coroutine<Reply[]> {
    yield* this.send(commands);
    const replies: Reply[] = [];
    for (let i = 0; i < commands.length; i++) replies.push(yield* this.receive());
    return replies;
  }

  /** Sends commands without waiting. */
  send(commands: readonly (readonly string[])[]): Operation<void> {
    return this.socket.write(encode(commands));
  }

  /** The next reply, or a message after SUBSCRIBE. Throws when the server has closed the connection. */
  *receive(): Coroutine<Reply> {
    for (;;) {
      const reply = this.#replies.next();
      if (reply !== undefined) return reply;
      const chunk = yield* this.socket.read();
      if (chunk === null) throw new Error("the server has closed the connection");
      this.#replies.push(chunk);
    }
  }

  close(): void {
    this.socket.close();
  }
}

function encode(commands: readonly (readonly string[])[]): Uint8Array {
  let text = "";
  for (const args of commands) {
    text += `*${args.length}\r\n`;
    for (const arg of args) text += `$${arg.length}\r\n${arg}\r\n`;
  }
  return Buffer.from(text, "latin1");
}

/** Reads replies out of a byte stream, in pieces of any size. */
export class ReplyParser {
  #inbox = new Inbox();
  /** The arrays that are being read, outermost first. */
  #open: { items: Reply[]; missing: number }[] = [];
  #bulk = -1;

  push(chunk: Uint8Array): void {
    this.#inbox.push(chunk);
  }

  /** The next complete reply; undefined when more bytes are needed. */
  next(): Reply | undefined {
    for (;;) {
      const value = this.#value();
      if (value === undefined) return undefined;
      const whole = this.#place(value);
      if (whole !== undefined) return whole;
    }
  }

  /** One value, or an array that has just begun. */
  #value(): Reply | undefined {
    const inbox = this.#inbox;
    if (this.#bulk >= 0) return this.#bulkBytes();
    if (inbox.size === 0) return undefined;
    switch (String.fromCharCode(inbox.peek())) {
      case "+":
        return inbox.line()?.slice(1);
      case "-": {
        const line = inbox.line();
        return line === undefined ? undefined : new ReplyFailure(line.slice(1));
      }
      case ":": {
        const line = inbox.line();
        return line === undefined ? undefined : Number(line.slice(1));
      }
      case "$": {
        const length = inbox.header();
        if (length === undefined) return undefined;
        if (length < 0) return null;
        this.#bulk = length;
        return this.#bulkBytes();
      }
      case "*": {
        const length = inbox.header();
        if (length === undefined) return undefined;
        if (length < 0) return null;
        const items: Reply[] = [];
        if (length > 0) this.#open.push({ items, missing: length });
        return items;
      }
      default:
        throw new Error("the server does not speak RESP");
    }
  }

  #bulkBytes(): string | undefined {
    const value = this.#inbox.bulk(this.#bulk);
    if (value !== undefined) this.#bulk = -1;
    return value;
  }

  /** Puts a value into the array it belongs to; the outermost value when that is complete with it. */
  #place(value: Reply): Reply | undefined {
    if (Array.isArray(value) && this.#open.at(-1)?.items === value) return undefined; // its items follow
    let whole: Reply = value;
    for (let array = this.#open.at(-1); array; array = this.#open.at(-1)) {
      array.items.push(whole);
      if (--array.missing > 0) return undefined;
      this.#open.pop();
      whole = array.items;
    }
    return whole;
  }
}
