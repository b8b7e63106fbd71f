// SharedHome: a shared channel on the thread that made it, which decides everything; shared-port.ts tells what others ask and get told.
//
// Invariants:
//  * Of `capacity` messages each is in the buffer, or room is kept for it (`#granted`; what guests were lent is a part of that). Who waits
//    to send waits only while there is no room and the channel is open; who waits to receive only while the buffer is empty. A buffer is
//    longer than its capacity only by what was put back.
//  * Nobody is lent room while somebody waits to send, and who waits for room that was lent has it recalled. A `trySend` waits for that,
//    too: it is refused when there is no room and nothing is lent any more.
//  * A message is in one place: the buffer, or with whoever it was handed to (`#handed`), and nowhere once that has taken it.
//  * Room and messages of a guest whose thread has ended are free again, the messages before all others.
//  * The end is told when the channel is closed and nothing can come any more: nothing buffered, granted or handed.

import { closed, parked } from "./code.ts";
import { Deque } from "./deque.ts";
import { places } from "./queue.ts";
import { ready } from "./scheduler.ts";
import { notice, notices, refused, type Side } from "./shared-port.ts";
import { type Home, Remote, Visit } from "./shared-remote.ts";
import { type Wait, WaitList } from "./wait.ts";

/** Guests keep no more of the room than this part of it, each. */
const lendable = 2;
const maxLent = 1024;

export class SharedHome<T> implements Side<T>, Home<T> {
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
  readonly #guests = new Set<Remote<T>>();
  /** Those of `#senders` that would rather be refused than wait. */
  readonly #tries = new Set<Wait>();
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
    if (waits || (this.#lent && this.#senders.head === undefined)) {
      if (!waits) this.#tries.add(wait);
      for (const guest of this.#guests) guest.recall();
      return this.#park(wait, this.#senders);
    }
    return refused;
  }

  commit(_wait: Wait, value: T, transfer: ArrayBuffer[]): void {
    let copy: T;
    try {
      copy = structuredClone(value, { transfer });
    } catch (error) {
      this.release(1);
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

  /** Room that was kept is not needed. */
  release(count: number): void {
    this.#granted -= count;
    this.#settle();
  }

  lend(guest: Remote<T>): number {
    if (this.closed || this.#senders.head !== undefined) return 0;
    const most = Math.min(Math.floor(this.capacity / lendable), maxLent);
    const count = Math.min(most - guest.lent, this.capacity - this.#buffer.length - this.#granted);
    // A little each time would be as many posts as questions are.
    if (count < 2 || count * 2 < most) return 0;
    this.#granted += count;
    return count;
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
    this.#tries.delete(wait);
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
    const guest = new Remote<T>(this, port);
    this.#guests.add(guest);
    if (this.#waiting > 0) port.ref();
    if (this.closed) guest.post([notice, this.#isDrained ? notices.finished : notices.closed]);
  }

  /** Backwards, so that the messages which were handed over first are the first again. */
  left(guest: Remote<T>, visits: Visit[]): void {
    this.#guests.delete(guest);
    this.#granted -= guest.lent;
    for (const visit of visits.reverse()) if (!this.takeBack(visit)) this.#undo(visit);
    this.#settle();
  }

  get #hasRoom(): boolean {
    return this.#buffer.length + this.#granted < this.capacity;
  }

  /** Whether anybody keeps room without having asked. */
  get #lent(): boolean {
    for (const guest of this.#guests) if (guest.lent > 0) return true;
    return false;
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
    this.#tries.delete(wait);
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
    if (this.#tries.size > 0 && !this.#lent) {
      for (const wait of [...this.#tries]) if (this.#senders.remove(wait)) this.#tell(wait, refused);
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
