// One connection: a coroutine that reads requests, runs them and writes their replies. Two more coroutines help it when they are needed: a
// sender once the connection has subscribed, because messages come while it waits for requests; and a watcher while it is blocked in BLPOP,
// so that a client that leaves meanwhile is noticed.

import { Channel, type Coroutine, type Frame, type Operation, TimeoutError, withTimeout, xasync, xawait } from "zigcoro";
import { execute } from "./commands.ts";
import { GATHER_BYTES, MAX_AHEAD_BYTES, MAX_UNREAD_BYTES } from "./limits.ts";
import { Replies } from "./replies.ts";
import { ProtocolError, RequestParser } from "./request.ts";
import type { Server } from "./server.ts";
import type { Store } from "./store.ts";
import type { Popped, Waiter } from "./waiters.ts";

/** What a session needs of its socket. */
export interface Connection {
  /** Bytes, or null at the end of the stream. */
  read(): Operation<Uint8Array | null>;
  write(data: Uint8Array): Operation<void>;
  /** Ends pending reads and writes with an error. */
  close(): void;
}

export class Session {
  readonly replies = new Replies();
  readonly subscriptions = new Set<string>();
  readonly store: Store;
  name = "";
  /** Set when the connection shall end after the command that runs. */
  closing = false;
  /** Nothing is being done for the client: its coroutine waits for requests. */
  #idle = false;
  /** The client has closed its side, or the connection broke. */
  #gone = false;
  #requests = new RequestParser();
  #waiter: Waiter | undefined;
  #watcher: Frame<void> | undefined;
  #sender: Frame<void> | undefined;
  #wake: Channel<true> | undefined;
  #sending = false;

  constructor(
    readonly server: Server,
    readonly connection: Connection,
    readonly id: number,
    readonly address: string,
  ) {
    this.store = server.store;
  }

  /** Serves the connection until it ends; never throws. */
  *run(): Coroutine<void> {
    try {
      while (!this.closing && (yield* this.#receive())) yield* this.#serve();
      this.unsubscribeAll();
      yield* this.#flush();
      yield* this.#finishSender();
    } catch (error) {
      if (!isConnectionError(error)) console.error(`kv: connection ${this.id}:`, error);
    } finally {
      this.unsubscribeAll();
      this.#wake?.close();
      this.connection.close();
    }
  }

  /** Has the session say `complaint` and end, instead of serving anything. */
  refuse(complaint: string): void {
    this.replies.error(complaint);
    this.closing = true;
  }

  /** Lets the command that runs end, and then the connection. */
  stop(): void {
    this.closing = true;
    if (this.#waiter) this.server.waiters.dismiss(this.#waiter);
    if (this.#idle && !this.#sending && this.replies.size === 0) this.connection.close(); // else its sender does, when it has finished
  }

  /** Lets messages be sent from now on while the session waits for requests. */
  startSender(): void {
    if (this.#wake) return;
    this.#wake = new Channel<true>(1, `replies of connection ${this.id}`);
    this.#sender = xasync(this.#sendUntilClosed.bind(this), [this.#wake], { name: `sender of connection ${this.id}` });
  }

  /** Has the sender send what `replies` holds. A client that reads too slowly for what it has subscribed to is disconnected, as Redis does. */
  send(): void {
    if (this.replies.size <= MAX_UNREAD_BYTES) {
      this.#wake?.trySend(true);
      return;
    }
    this.closing = true;
    this.unsubscribeAll();
    this.connection.close();
  }

  unsubscribeAll(): void {
    for (const topic of this.subscriptions) this.server.topics.unsubscribe(topic, this);
    this.subscriptions.clear();
  }

  /** Suspends until another connection pushes to one of the lists; undefined when the time (0: for ever) or the connection is over first. */
  *waitForElement(keys: readonly string[], timeoutMs: number): Coroutine<Popped | undefined> {
    if (this.#gone) return undefined;
    const { waiters } = this.server;
    const waiter = waiters.add(keys);
    this.#waiter = waiter;
    this.#watch();
    let popped: Popped | undefined;
    try {
      popped = yield* receiveWithin(waiter.channel, timeoutMs);
    } finally {
      this.#waiter = undefined;
      waiters.remove(waiter);
    }
    if (!this.#gone) return popped;
    this.closing = true;
    if (popped) waiters.giveBack(popped, this.store);
  }

  /** Runs the requests that have arrived. Their replies go out together. */
  *#serve(): Coroutine<void> {
    for (let args = this.#next(); args !== undefined; args = this.#next()) {
      this.server.commands++;
      const waiting = execute(this, args);
      if (waiting) {
        yield* this.#flush();
        yield* waiting;
      }
      if (this.replies.size > GATHER_BYTES) yield* this.#flush();
      if (this.closing) break;
    }
    yield* this.#flush();
  }

  #next(): string[] | undefined {
    try {
      return this.#requests.next();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.replies.error(`ERR Protocol error: ${error.message}`);
      this.closing = true;
    }
  }

  /** Waits for bytes; false when no more will come. */
  *#receive(): Coroutine<boolean> {
    this.#idle = true;
    if (this.#watcher) {
      yield* xawait(this.#watcher); // it reads already
      this.#watcher = undefined;
    } else yield* this.#read();
    this.#idle = false;
    return !this.#gone;
  }

  *#read(): Coroutine<void> {
    const chunk = yield* this.connection.read();
    if (chunk === null) this.#gone = true;
    else this.#requests.push(chunk);
  }

  #watch(): void {
    if (this.#watcher && this.#watcher.status !== "done") return;
    this.#watcher = xasync(this.#readAhead.bind(this), [], { name: `watcher of connection ${this.id}` });
  }

  /** Reads on while the session is blocked. Its last read may outlast that, and then the session goes on with what it brings. */
  *#readAhead(): Coroutine<void> {
    try {
      do yield* this.#read();
      while (this.#waiter && !this.#gone && this.#requests.size < MAX_AHEAD_BYTES);
    } catch (error) {
      if (!isConnectionError(error)) throw error;
      this.#gone = true;
    }
    if (this.#gone && this.#waiter) this.server.waiters.dismiss(this.#waiter);
  }

  /** Gets the replies on their way; a session without a sender waits until the client has room for them: backpressure by construction. */
  *#flush(): Coroutine<void> {
    if (this.#sender) this.send();
    else yield* this.#write();
  }

  *#write(): Coroutine<void> {
    while (this.replies.size > 0) {
      for (const part of this.replies.take()) yield* this.connection.write(part);
    }
  }

  *#sendUntilClosed(wake: Channel<true>): Coroutine<void> {
    try {
      while (yield* wake.recv()) {
        this.#sending = true;
        yield* this.#write();
        this.#sending = false;
        if (this.closing && this.#idle) break;
      }
      yield* this.#write();
      if (this.closing && this.#idle) this.connection.close();
    } catch (error) {
      if (!isConnectionError(error)) throw error;
      this.connection.close();
    }
  }

  *#finishSender(): Coroutine<void> {
    this.#wake?.close();
    if (this.#sender) yield* xawait(this.#sender);
  }
}

function* receiveWithin<T>(channel: Channel<T>, timeoutMs: number): Coroutine<T | undefined> {
  if (timeoutMs === 0) return yield* channel.recv();
  try {
    return yield* withTimeout(timeoutMs, channel.recv());
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    return channel.tryRecv(); // what was handed over in the very last moment
  }
}

/** Whether the error says that a socket broke or was closed, and not that a program is wrong. */
export function isConnectionError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "syscall" in error && "code" in error;
}
