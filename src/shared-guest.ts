// SharedGuest: a shared channel on a thread that did not make it: asks the home and tells who waits what the answer is.
//
// Invariants:
//  * A question is in `#asked` until its answer comes or it is taken back; an answer to one that is not there belongs to nobody, for the
//    `drop` that went out tells the home all it has to know.
//  * The port keeps the process alive while there are questions.
//  * What a guest has been promised (`granted` room, messages) it uses or drops with one post, before anybody else runs.
//  * Room that it was lent (`#lent`) is used only while nobody here waits for an answer to a send, and goes back when it has not been used
//    for a moment, when the home recalls it, and with the close.

import { closed, parked } from "./code.ts";
import { ChannelClosed } from "./error.ts";
import { ready } from "./scheduler.ts";
import { type Ask, asks, isAnswer, isCount, notice, notices, type Side } from "./shared-port.ts";
import type { Wait } from "./wait.ts";

/** What a wait keeps: which question is its own (0: none had to be asked), and what it was handed. */
interface Question<T> {
  readonly id: number;
  readonly sends: boolean;
  values: T[];
}

/** Milliseconds without a send, after which room that was lent goes back. */
const idleMs = 2;

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
  #askedSends = 0;
  #lent = 0;
  /** Room that was lent has been used since the last look. */
  #busy = false;
  #looking = false;
  /** What was put back here after the home had let go of us. */
  readonly #own: T[] = [];

  constructor(name: string, capacity: number, port: MessagePort) {
    this.name = name;
    this.capacity = capacity;
    this.#port = port;
    const died = () => {
      if (!this.#finished) this.dead = true;
      port.close();
      this.#end();
    };
    port.addEventListener("close", died);
    port.addEventListener("messageerror", died);
    port.onmessage = (event: { data: unknown }) => {
      if (!this.#answered(event.data)) died();
    };
    port.unref();
  }

  askSend(wait: Wait, waits: boolean): number {
    if (this.closed) return closed;
    if (this.#lent === 0 || this.#askedSends > 0) return this.#ask(waits ? asks.send : asks.trySend, wait, true);
    this.#lent--;
    this.#busy = true;
    wait.payload = { id: 0, sends: true, values: [] } satisfies Question<T>;
    return 0;
  }

  commit(wait: Wait, value: T, transfer: ArrayBuffer[]): void {
    const { id } = questionOf(wait);
    if (this.dead) throw closedError(this);
    try {
      this.#post([asks.commit, id, value], transfer);
    } catch (error) {
      this.#unused(id);
      throw error;
    }
  }

  /** The room that was kept for a send is not needed. */
  #unused(id: number): void {
    this.#post(id === 0 ? [asks.refund, 0, 1] : [asks.drop, id]);
  }

  askRecv(wait: Wait, max: number, waits: boolean): number {
    if (this.#own.length > 0) {
      wait.payload = { id: 0, sends: false, values: this.#own.splice(0, max) } satisfies Question<T>;
      return 0;
    }
    return this.#finished || this.dead ? closed : this.#ask(waits ? asks.recv : asks.tryRecv, wait, false, max);
  }

  take(wait: Wait): T[] {
    const { id, values } = questionOf<T>(wait);
    if (id !== 0) this.#post([asks.taken, id]);
    return values;
  }

  drop(wait: Wait): void {
    const { id, sends, values } = questionOf<T>(wait);
    if (sends) this.#unused(id);
    else if (id === 0) this.#own.unshift(...values);
    else this.#post([asks.drop, id]);
  }

  takeBack(wait: Wait): boolean {
    const { id } = wait.payload as Question<T>;
    if (this.#asked.get(id) !== wait) return false;
    this.#over(wait);
    wait.payload = undefined;
    this.#post([asks.drop, id]);
    return true;
  }

  putBack(values: T[]): void {
    if (this.#finished || this.dead) this.#own.unshift(...values);
    else this.#post([asks.putBack, 0, values]);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#refund();
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

  #ask(ask: number, wait: Wait, sends: boolean, max = 0): number {
    const id = ++this.#lastId;
    wait.payload = { id, sends, values: [] } satisfies Question<T>;
    this.#asked.set(id, wait);
    if (sends) this.#askedSends++;
    if (this.#asked.size === 1) this.#port.ref();
    this.#post([ask, id, max]);
    return parked;
  }

  /** The question of `wait` is answered, or taken back. */
  #over(wait: Wait): void {
    const { id, sends } = wait.payload as Question<T>;
    this.#asked.delete(id);
    if (sends) this.#askedSends--;
    if (this.#asked.size === 0) this.#port.unref();
  }

  /** False: no home says that. */
  #answered(data: unknown): boolean {
    if (!isAnswer(data)) return false;
    const [id, status, values] = data;
    if (id === notice) return this.#told(status, values);
    const wait = this.#asked.get(id);
    if (wait === undefined) return true;
    const question = wait.payload as Question<T>;
    if (!question.sends && status === 0) {
      if (values === undefined) return false;
      question.values = values as T[];
    }
    this.#over(wait);
    ready(wait, status, 0);
    return true;
  }

  #told(status: number, values?: unknown[]): boolean {
    if (status === notices.lent) {
      const [count] = values ?? [];
      if (!isCount(count)) return false;
      this.#lent += count;
      // Closed here while it was on its way.
      if (this.closed) this.#refund();
      else if (!this.#looking) this.#look();
      return true;
    }
    if (status !== notices.recalled) this.closed = true;
    this.#refund();
    if (status === notices.finished) {
      this.#finished = true;
      this.#port.close();
      this.#end();
    }
    return true;
  }

  /** Looks again as long as there is something to give back. It keeps nobody alive: with the thread its loans end, too. */
  #look(): void {
    this.#looking = true;
    this.#busy = false;
    setTimeout(() => {
      this.#looking = false;
      if (!this.#busy) this.#refund();
      if (this.#lent > 0) this.#look();
    }, idleMs).unref();
  }

  #refund(): void {
    if (this.#lent > 0) this.#post([asks.refund, 0, this.#lent]);
    this.#lent = 0;
  }

  /** No answers will come. */
  #end(): void {
    this.closed = true;
    this.#lent = 0;
    for (const wait of [...this.#asked.values()]) {
      this.#over(wait);
      ready(wait, closed, 0);
    }
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
