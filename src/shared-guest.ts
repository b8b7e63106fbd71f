// SharedGuest: a shared channel on a thread that did not make it: asks the home and tells who waits what the answer is.
//
// Invariants:
//  * A question is in `#asked` until its answer comes or it is taken back; an answer to one that is not there belongs to nobody, for the
//    `drop` that went out tells the home all it has to know.
//  * The port keeps the process alive while there are questions.
//  * What a guest has been promised (`granted` room, messages) it uses or drops with one post, before anybody else runs.

import { closed, parked } from "./code.ts";
import { ChannelClosed } from "./error.ts";
import { ready } from "./scheduler.ts";
import { type Answer, type Ask, asks, notice, notices, type Side } from "./shared-port.ts";
import type { Wait } from "./wait.ts";

/** What a wait keeps: which question is its own, and what it was handed. */
interface Question<T> {
  readonly id: number;
  values: T[];
}

export class SharedGuest<T> implements Side<T> {
  readonly name: string;
  readonly capacity: number;
  closed = false;
  dead = false;
  /** Closed, and nothing left to receive: the port is gone. */
  #finished = false;
  readonly #port: MessagePort;
  readonly #asked = new Map<number, Wait>();
  #lastId = 0;
  /** What was put back here after the home had let go of us. */
  readonly #own: T[] = [];

  constructor(name: string, capacity: number, port: MessagePort) {
    this.name = name;
    this.capacity = capacity;
    this.#port = port;
    port.addEventListener("close", () => {
      if (!this.#finished) this.dead = true;
      this.#end();
    });
    port.onmessage = (event: { data: Answer }) => this.#answered(...event.data);
    port.unref();
  }

  askSend(wait: Wait, waits: boolean): number {
    return this.closed ? closed : this.#ask(waits ? asks.send : asks.trySend, wait);
  }

  commit(wait: Wait, value: T, transfer: ArrayBuffer[]): void {
    const { id } = questionOf(wait);
    if (this.dead) throw closedError(this);
    try {
      this.#post([asks.commit, id, value], transfer);
    } catch (error) {
      this.#post([asks.drop, id]);
      throw error;
    }
  }

  askRecv(wait: Wait, max: number, waits: boolean): number {
    if (this.#own.length > 0) {
      wait.payload = { id: 0, values: this.#own.splice(0, max) };
      return 0;
    }
    return this.#finished || this.dead ? closed : this.#ask(waits ? asks.recv : asks.tryRecv, wait, max);
  }

  take(wait: Wait): T[] {
    const { id, values } = questionOf<T>(wait);
    this.#post([asks.taken, id]);
    return values;
  }

  drop(wait: Wait): void {
    const { id, values } = questionOf<T>(wait);
    if (id === 0) this.#own.unshift(...values);
    else this.#post([asks.drop, id]);
  }

  takeBack(wait: Wait): boolean {
    const { id } = wait.payload as Question<T>;
    if (!this.#asked.delete(id)) return false;
    wait.payload = undefined;
    this.#post([asks.drop, id]);
    this.#rest();
    return true;
  }

  putBack(values: T[]): void {
    if (this.#finished || this.dead) this.#own.unshift(...values);
    else this.#post([asks.putBack, 0, values]);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#post([asks.close, 0]);
  }

  connect(): MessagePort {
    if (this.#finished || this.dead) throw closedError(this);
    const { port1, port2 } = new MessageChannel();
    this.#post([asks.join, 0, port1], [port1]);
    return port2;
  }

  #post(ask: Ask, transfer: (ArrayBuffer | MessagePort)[] = []): void {
    this.#port.postMessage(ask, transfer);
  }

  #ask(ask: number, wait: Wait, max = 0): number {
    const id = ++this.#lastId;
    wait.payload = { id, values: [] } satisfies Question<T>;
    this.#asked.set(id, wait);
    if (this.#asked.size === 1) this.#port.ref();
    this.#post([ask, id, max]);
    return parked;
  }

  #answered(id: number, status: number, values?: unknown[]): void {
    if (id === notice) {
      this.closed = true;
      if (status !== notices.finished) return;
      this.#finished = true;
      this.#port.close();
      this.#end();
      return;
    }
    const wait = this.#asked.get(id);
    if (wait === undefined) return;
    this.#asked.delete(id);
    this.#rest();
    if (values !== undefined) (wait.payload as Question<T>).values = values as T[];
    ready(wait, status, 0);
  }

  #rest(): void {
    if (this.#asked.size === 0) this.#port.unref();
  }

  /** No answers will come. */
  #end(): void {
    this.closed = true;
    const waits = [...this.#asked.values()];
    this.#asked.clear();
    this.#rest();
    for (const wait of waits) ready(wait, closed, 0);
  }
}

function questionOf<T>(wait: Wait): Question<T> {
  const question = wait.payload as Question<T>;
  wait.payload = undefined;
  return question;
}

/** Why nothing can be sent, or received, on that side any more. */
export function closedError(side: Side<unknown>): ChannelClosed {
  return new ChannelClosed(
    side.name,
    undefined,
    side.dead ? `channel "${side.name}" is closed: the thread that made it has ended` : undefined,
  );
}
