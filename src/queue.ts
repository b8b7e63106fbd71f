// Queue: the state of a channel, and its rules. It knows waits and values; channel.ts makes operations of it.
//
// Invariants, for what has not ended yet:
//  * Senders wait only while the buffer is full (capacity 0: always), receivers only while it is empty. So both wait at the same time
//    only when they are branches of one select, which never ends itself.
//  * A wait is decided once: it leaves its list in the step that hands over its value or closes the channel.
//  * Values leave in the order in which their sends began.
//  * A value is kept in one place, by the buffer or by who waits to send it, and nowhere once it is received.
//
// The values are JavaScript's, so only JavaScript can send and receive them, and all of it runs on the channel's one thread: a
// hand-over is a step that nothing can come between.

import { closed, parked } from "./code.ts";
import { Deque } from "./deque.ts";
import { ready } from "./scheduler.ts";
import { type Wait, WaitList } from "./wait.ts";

/** What a send does when the buffer is full: wait, drop the oldest value, or drop its own. */
export type Overflow = "wait" | "slide" | "drop";

export class Queue<T> {
  closed = false;
  /** What receivers get once it is closed and drained, in place of the end. */
  failure: { readonly error: unknown } | undefined = undefined;
  readonly capacity: number;
  readonly overflow: Overflow;
  readonly name: string;
  readonly buffer = new Deque<T>();
  readonly senders = new WaitList();
  readonly receivers = new WaitList();
  /** Who waits for the close. */
  readonly closers = new WaitList();

  constructor(capacity: number, overflow: Overflow, name: string) {
    this.capacity = capacity;
    this.overflow = overflow;
    this.name = name;
    places.add(this);
  }

  /** 0 when sent, `closed`, or `parked`: it would have to wait. `wait` is who sends, when that could be a branch. */
  send(value: T, wait?: Wait): number {
    if (this.closed) return closed;
    if (this.receivers.head !== undefined) {
      const receiver = this.receivers.shiftFor(wait);
      if (receiver !== undefined) {
        receiver.payload = value;
        ready(receiver, 0, 0);
        return 0;
      }
    }
    if (this.buffer.length >= this.capacity) {
      if (this.overflow === "wait") return parked;
      if (this.overflow === "drop") return 0;
      this.buffer.shift();
    }
    this.buffer.push(value);
    return 0;
  }

  /** 0 with the value as `wait`'s payload, `closed` (and drained), or `parked`: it would have to wait. */
  recv(wait: Wait): number {
    if (this.buffer.length > 0) {
      wait.payload = this.shift(wait);
      return 0;
    }
    if (this.senders.head !== undefined) {
      const sender = this.senders.shiftFor(wait);
      if (sender !== undefined) {
        wait.payload = sender.payload;
        sender.payload = undefined;
        ready(sender, 0, 0);
        return 0;
      }
    }
    return this.closed ? closed : parked;
  }

  /** Whether `take` has a value to give. */
  get hasValue(): boolean {
    return this.buffer.length > 0 || this.senders.head !== undefined;
  }

  /** The next value; there must be one. */
  take(): T {
    if (this.buffer.length > 0) return this.shift();
    const sender = this.senders.shift() as Wait;
    const value = sender.payload as T;
    sender.payload = undefined;
    ready(sender, 0, 0);
    return value;
  }

  /** The first buffered value; the first who waits to send takes the room, unless that is another branch of who receives. */
  private shift(wait?: Wait): T {
    const value = this.buffer.shift();
    if (this.buffer.length < this.capacity) {
      const sender = this.senders.shiftFor(wait);
      if (sender !== undefined) {
        this.buffer.push(sender.payload as T);
        sender.payload = undefined;
        ready(sender, 0, 0);
      }
    }
    return value;
  }

  /** A value that was received and is not wanted: the next receiver gets it, before all others. */
  putBack(value: T): void {
    const receiver = this.receivers.shift();
    if (receiver === undefined) {
      this.buffer.unshift(value);
      return;
    }
    receiver.payload = value;
    ready(receiver, 0, 0);
  }

  close(failure?: { readonly error: unknown }): void {
    this.closed = true;
    this.failure = failure;
    for (let wait = this.closers.shift(); wait !== undefined; wait = this.closers.shift()) ready(wait, 0, 0);
    for (let wait = this.senders.shift(); wait !== undefined; wait = this.senders.shift()) {
      wait.payload = undefined;
      ready(wait, closed, 0);
    }
    for (let wait = this.receivers.shift(); wait !== undefined; wait = this.receivers.shift()) ready(wait, closed, 0);
  }

  /** Who waits here, for reports. */
  *waiting(): Generator<Wait, void, undefined> {
    yield* this.senders;
    yield* this.receivers;
    yield* this.closers;
  }
}

/** A thing that holds waits which native code does not know. */
interface Place {
  waiting(): Iterable<Wait>;
}

/** All places, for reports of deadlocks; none is kept alive by this. */
class Places {
  #refs: WeakRef<Place>[] = [];
  #sweepAt = 1024;

  add(place: Place): void {
    this.#refs.push(new WeakRef(place));
    if (this.#refs.length < this.#sweepAt) return;
    this.#refs = this.#refs.filter((ref) => ref.deref() !== undefined);
    this.#sweepAt = Math.max(1024, this.#refs.length * 2);
  }

  *waiting(): Generator<Wait, void, undefined> {
    for (const ref of this.#refs) yield* ref.deref()?.waiting() ?? [];
  }
}

export const places: { add(place: Place): void; waiting(): Iterable<Wait> } = new Places();
