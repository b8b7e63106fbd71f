// Remote: another thread that has the channel, as the home sees it: its port, its questions, and the room that it was lent. What comes from
// the port is checked, for whoever holds a handle can post on it: what no guest would say closes the port, as the end of its thread does.

import { parked } from "./code.ts";
import { type Answer, asks, isAsk, isCount, notice, notices } from "./shared-port.ts";
import { PlainWait, type Wait } from "./wait.ts";

/** What the home does for those who ask. */
export interface Home<T> {
  askSend(wait: Wait, waits: boolean): number;
  askRecv(wait: Wait, max: number, waits: boolean): number;
  take(wait: Wait): T[];
  drop(wait: Wait): void;
  takeBack(wait: Wait): boolean;
  putBack(values: T[]): void;
  arrived(value: T): void;
  release(count: number): void;
  close(): void;
  welcome(port: MessagePort): void;
  /** Room for `remote`, if nobody else waits for it: how much. */
  lend(remote: Remote<T>): number;
  /** Nothing more comes from `remote`; those were the questions that it had, oldest first. */
  left(remote: Remote<T>, visits: Visit[]): void;
}

/** A question of a guest, from when it came until the guest has done its second step. */
export class Visit extends PlainWait {
  readonly remote: { answer(visit: Visit, status: number): void };
  readonly id: number;
  readonly sends: boolean;
  /** It was answered with room, or messages. */
  promised = false;

  constructor(remote: Visit["remote"], id: number, sends: boolean) {
    super();
    this.remote = remote;
    this.id = id;
    this.sends = sends;
  }

  override complete(status: number): void {
    this.remote.answer(this, status);
  }
}

/** Sends one after another before a guest is lent room for more: one that sends now and then would only have to give it back. */
const patience = 4;

export class Remote<T> {
  readonly port: MessagePort;
  /** Room that it may use without asking. */
  lent = 0;
  readonly #home: Home<T>;
  readonly #visits = new Map<number, Visit>();
  /** How many values it has received, and could put back. */
  #taken = 0;
  /** Sends since it was idle last. */
  #sends = 0;
  #recalled = false;
  #finished = false;
  #gone = false;

  constructor(home: Home<T>, port: MessagePort) {
    this.#home = home;
    this.port = port;
    port.addEventListener("close", () => this.#leave());
    // A message that cannot be read may have been the second step of anything.
    port.addEventListener("messageerror", () => this.#leave());
    port.onmessage = (event: { data: unknown }) => {
      if (!this.#gone && !this.#asked(event.data)) this.#leave();
    };
    port.unref();
  }

  post(answer: Answer): void {
    if (this.#finished) return;
    this.#finished = answer[0] === notice && answer[1] === notices.finished;
    this.port.postMessage(answer);
  }

  answer(visit: Visit, status: number): void {
    if (status === 0) {
      visit.promised = true;
      this.post([visit.id, 0, visit.payload as unknown[]]);
    } else {
      this.#visits.delete(visit.id);
      this.post([visit.id, status]);
    }
  }

  /** Somebody else waits for the room that was lent. */
  recall(): void {
    if (this.lent === 0 || this.#recalled) return;
    this.#recalled = true;
    this.post([notice, notices.recalled]);
  }

  /** False: no guest says that. */
  #asked(data: unknown): boolean {
    if (!isAsk(data)) return false;
    const [ask, id, argument] = data;
    const home = this.#home;
    switch (ask) {
      case asks.send:
      case asks.trySend:
        return this.#begin(id, true, (visit) => home.askSend(visit, ask === asks.send));
      case asks.recv:
      case asks.tryRecv:
        if (!isCount(argument)) return false;
        return this.#begin(id, false, (visit) => home.askRecv(visit, argument, ask === asks.recv));
      case asks.commit:
        if (id === 0 ? !this.#useLent(1) : this.#end(id, true) === undefined) return false;
        home.arrived(argument as T);
        this.#lendMore();
        return true;
      case asks.taken: {
        const visit = this.#end(id, false);
        if (visit !== undefined) this.#taken += home.take(visit).length;
        return visit !== undefined;
      }
      case asks.drop: {
        // An answer that took its question away may have been on its way.
        const visit = this.#visits.get(id);
        this.#visits.delete(id);
        if (visit !== undefined && !home.takeBack(visit)) home.drop(visit);
        return true;
      }
      case asks.refund:
        if (!isCount(argument) || !this.#useLent(argument)) return false;
        this.#sends = 0;
        home.release(argument);
        return true;
      case asks.putBack:
        if (!Array.isArray(argument) || argument.length > this.#taken) return false;
        this.#taken -= argument.length;
        home.putBack(argument as T[]);
        return true;
      case asks.join:
        if (!(argument instanceof MessagePort)) return false;
        home.welcome(argument);
        return true;
      default:
        home.close();
        return true;
    }
  }

  #begin(id: number, sends: boolean, ask: (visit: Visit) => number): boolean {
    if (id === 0 || this.#visits.has(id)) return false;
    const visit = new Visit(this, id, sends);
    this.#visits.set(id, visit);
    const status = ask(visit);
    if (status !== parked) this.answer(visit, status);
    return true;
  }

  /** The question whose promise is used now. */
  #end(id: number, sends: boolean): Visit | undefined {
    const visit = this.#visits.get(id);
    if (visit === undefined || visit.sends !== sends || !visit.promised) return undefined;
    this.#visits.delete(id);
    return visit;
  }

  #useLent(count: number): boolean {
    if (count > this.lent) return false;
    this.lent -= count;
    if (this.lent === 0) this.#recalled = false;
    return true;
  }

  #lendMore(): void {
    if (++this.#sends < patience || this.#recalled) return;
    const count = this.#home.lend(this);
    if (count === 0) return;
    this.lent += count;
    this.post([notice, notices.lent, [count]]);
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#finished = true;
    this.port.close();
    const visits = [...this.#visits.values()];
    this.#visits.clear();
    this.#home.left(this, visits);
  }
}
