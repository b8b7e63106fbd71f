// SharedHome: a shared channel on the thread that made it, which decides everything; shared-port.ts tells what others ask and get told.
//
// Invariants:
//  * Of `capacity` messages each is in the buffer, or room is kept for it (`#granted`). Who waits to send waits only while there is
//    no room and the channel is open; who waits to receive only while the buffer is empty. A buffer is longer than its capacity only by
//    what was put back.
//  * A message is in one place: the buffer, or with whoever it was handed to (`#handed`), and nowhere once that has taken it.
//  * Room and messages of a guest whose thread has ended are free again, the messages before all others.
//  * The end is told when the channel is closed and nothing can come any more: nothing buffered, granted or handed.

import { closed, parked } from "./code.ts";
import { Deque } from "./deque.ts";
import { places } from "./queue.ts";
import { ready } from "./scheduler.ts";
import { type Answer, type Ask, asks, notice, notices, refused, type Side } from "./shared-port.ts";
import { PlainWait, type Wait, WaitList } from "./wait.ts";

export class SharedHome<T> implements Side<T> {
  readonly name: string;
  readonly capacity: number;
  readonly dead = false;
  closed = false;
  readonly #buffer = new Deque<T>();
  /** Sends that were told to go on and have still to bring their message. */
  #granted = 0;
  /** Receives that were told of their messages and have still to take them. */
  #handed = 0;
  readonly #senders = new WaitList();
  readonly #receivers = new WaitList();
  readonly #guests = new Set<Guest<T>>();
  /** Waits of this thread that are in a list: as long as there is one, the ports keep the process alive. */
  #waiting = 0;

  constructor(name: string, capacity: number) {
    this.name = name;
    this.capacity = capacity;
    places.add(this);
  }

  askSend(wait: Wait, waits: boolean): number {
    if (this.closed) return closed;
    if (this.#hasRoom && this.#senders.head === undefined) {
      this.#granted++;
      return 0;
    }
    return waits ? this.#park(wait, this.#senders) : refused;
  }

  commit(_wait: Wait, value: T, transfer: ArrayBuffer[]): void {
    let copy: T;
    try {
      copy = structuredClone(value, { transfer });
    } catch (error) {
      this.release();
      throw error;
    }
    this.arrived(copy);
  }

  /** A message for which room was kept. It counts also when the channel was closed meanwhile: its sender has been told to go on. */
  arrived(value: T): void {
    this.#granted--;
    this.#buffer.push(value);
    this.#settle();
  }

  /** The room that was kept for a send is not needed. */
  release(): void {
    this.#granted--;
    this.#settle();
  }

  askRecv(wait: Wait, max: number, waits: boolean): number {
    wait.payload = max;
    if (this.#buffer.length > 0) {
      this.#hand(wait);
      this.#settle();
      return 0;
    }
    if (this.#isDrained) return closed;
    return waits ? this.#park(wait, this.#receivers) : refused;
  }

  take(wait: Wait): T[] {
    const values = wait.payload as T[];
    wait.payload = undefined;
    this.#handed--;
    this.#settle();
    return values;
  }

  drop(wait: Wait): void {
    this.#undo(wait);
    this.#settle();
  }

  /** What was promised to `wait` is free again: room, or the messages that are its payload. */
  #undo(wait: Wait): void {
    const values = wait.payload as T[] | undefined;
    wait.payload = undefined;
    if (values === undefined) this.#granted--;
    else {
      this.#handed--;
      this.#unshift(values);
    }
  }

  takeBack(wait: Wait): boolean {
    if (!this.#senders.remove(wait) && !this.#receivers.remove(wait)) return false;
    wait.payload = undefined;
    this.#leave(wait);
    return true;
  }

  putBack(values: T[]): void {
    this.#unshift(values);
    this.#settle();
  }

  #unshift(values: T[]): void {
    for (let i = values.length - 1; i >= 0; i--) this.#buffer.unshift(values[i] as T);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (let wait = this.#senders.shift(); wait !== undefined; wait = this.#senders.shift()) this.#tell(wait, closed);
    for (const guest of this.#guests) guest.post([notice, notices.closed]);
    this.#settle();
  }

  connect(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.welcome(port1);
    return port2;
  }

  welcome(port: MessagePort): void {
    const guest = new Guest<T>(this, port);
    this.#guests.add(guest);
    if (this.#waiting > 0) port.ref();
    if (this.closed) guest.post([notice, this.#isDrained ? notices.finished : notices.closed]);
  }

  /** The port of `guest` is closed. Backwards, so that the messages which were handed over first are the first again. */
  left(guest: Guest<T>, visits: Wait[]): void {
    this.#guests.delete(guest);
    for (const visit of visits.reverse()) if (!this.takeBack(visit)) this.#undo(visit);
    this.#settle();
  }

  get #hasRoom(): boolean {
    return this.#buffer.length + this.#granted < this.capacity;
  }

  get #isDrained(): boolean {
    return this.closed && this.#buffer.length === 0 && this.#granted === 0 && this.#handed === 0;
  }

  #park(wait: Wait, list: WaitList): number {
    list.push(wait);
    if (!(wait instanceof Visit) && ++this.#waiting === 1) for (const guest of this.#guests) guest.port.ref();
    return parked;
  }

  /** `wait` is in no list any more. */
  #leave(wait: Wait): void {
    if (!(wait instanceof Visit) && --this.#waiting === 0) for (const guest of this.#guests) guest.port.unref();
  }

  #tell(wait: Wait, status: number): void {
    this.#leave(wait);
    if (wait instanceof Visit) wait.complete(status);
    else ready(wait, status, 0);
  }

  /** `wait`, whose payload is how many it wants at most, gets what is there. */
  #hand(wait: Wait): void {
    const values: T[] = [];
    for (let max = wait.payload as number; max > 0 && this.#buffer.length > 0; max--) values.push(this.#buffer.shift());
    wait.payload = values;
    this.#handed++;
  }

  /** Something has changed: whoever can go on does. */
  #settle(): void {
    while (this.#buffer.length > 0) {
      const wait = this.#receivers.shift();
      if (wait === undefined) break;
      this.#hand(wait);
      this.#tell(wait, 0);
    }
    while (this.#hasRoom) {
      const wait = this.#senders.shift();
      if (wait === undefined) break;
      this.#granted++;
      this.#tell(wait, 0);
    }
    if (!this.#isDrained) return;
    for (let wait = this.#receivers.shift(); wait !== undefined; wait = this.#receivers.shift()) this.#tell(wait, closed);
    for (const guest of this.#guests) guest.post([notice, notices.finished]);
  }

  /** Who waits here, of this thread, for reports. */
  *waiting(): Generator<Wait, void, undefined> {
    for (const list of [this.#senders, this.#receivers]) for (const wait of list) if (!(wait instanceof Visit)) yield wait;
  }
}

/** A question of a guest, from when it came until the guest has done its second step. */
class Visit extends PlainWait {
  readonly #guest: Guest<unknown>;
  readonly id: number;

  constructor(guest: Guest<unknown>, id: number) {
    super();
    this.#guest = guest;
    this.id = id;
  }

  override complete(status: number): void {
    this.#guest.answer(this, status);
  }
}

/** Another thread, as the home sees it. */
class Guest<T> {
  readonly port: MessagePort;
  readonly #home: SharedHome<T>;
  readonly #visits = new Map<number, Visit>();
  #finished = false;

  constructor(home: SharedHome<T>, port: MessagePort) {
    this.#home = home;
    this.port = port;
    port.addEventListener("close", () => this.#leave());
    port.onmessage = (event: { data: Ask }) => this.#asked(...event.data);
    port.unref();
  }

  post(answer: Answer): void {
    if (this.#finished) return;
    this.#finished = answer[0] === notice && answer[1] === notices.finished;
    this.port.postMessage(answer);
  }

  answer(visit: Visit, status: number): void {
    if (status === 0) this.post([visit.id, 0, visit.payload as unknown[]]);
    else {
      this.#visits.delete(visit.id);
      this.post([visit.id, status]);
    }
  }

  #asked(ask: number, id: number, argument?: unknown): void {
    const home = this.#home;
    if (ask <= asks.tryRecv) this.#begin(ask, id, argument as number);
    else if (ask === asks.putBack) home.putBack(argument as T[]);
    else if (ask === asks.close) home.close();
    else if (ask === asks.join) home.welcome(argument as MessagePort);
    else this.#end(ask, id, argument as T);
  }

  #begin(ask: number, id: number, max: number): void {
    const visit = new Visit(this, id);
    this.#visits.set(id, visit);
    const status = ask <= asks.trySend ? this.#home.askSend(visit, ask === asks.send) : this.#home.askRecv(visit, max, ask === asks.recv);
    if (status !== parked) this.answer(visit, status);
  }

  #end(ask: number, id: number, value: T): void {
    const visit = this.#visits.get(id);
    // What was dropped while it ended for another reason.
    if (visit === undefined) return;
    this.#visits.delete(id);
    if (ask === asks.commit) this.#home.arrived(value);
    else if (ask === asks.taken) this.#home.take(visit);
    else if (!this.#home.takeBack(visit)) this.#home.drop(visit);
  }

  #leave(): void {
    const visits = [...this.#visits.values()];
    this.#visits.clear();
    this.#home.left(this, visits);
  }
}
