// Connections that wait in BLPOP, in the order in which they came. Each waits on a channel of its own with room for one element, so handing
// an element over never suspends the connection that pushed it.

import { Channel } from "zigcoro";
import { List } from "./list.ts";
import { popFirst } from "./lists.ts";
import type { Store } from "./store.ts";

/** The list's key and the element. */
export type Popped = [key: string, value: string];

export interface Waiter {
  readonly keys: readonly string[];
  readonly channel: Channel<Popped>;
}

export class Waiters {
  #queues = new Map<string, Set<Waiter>>();
  /** Connections that wait. */
  size = 0;

  /** Queues up behind everybody who already waits for one of the keys. */
  add(keys: readonly string[]): Waiter {
    const waiter: Waiter = { keys, channel: new Channel<Popped>(1, "blpop") };
    for (const key of keys) {
      const queue = this.#queues.get(key);
      if (queue) queue.add(waiter);
      else this.#queues.set(key, new Set([waiter]));
    }
    this.size++;
    return waiter;
  }

  /** Leaves all queues; nothing happens when it has left already. */
  remove(waiter: Waiter): void {
    let waited = false;
    for (const key of waiter.keys) {
      const queue = this.#queues.get(key);
      if (queue?.delete(waiter)) waited = true;
      if (queue?.size === 0) this.#queues.delete(key);
    }
    if (waited) this.size--;
  }

  /** Ends the wait without an element. */
  dismiss(waiter: Waiter): void {
    this.remove(waiter);
    waiter.channel.close();
  }

  /** Hands elements of the list at `key` to those who wait for it, one each, the first first. */
  serve(key: string, store: Store): void {
    for (const waiter of this.#queues.get(key) ?? []) {
      const value = popFirst(store, key);
      if (value === undefined) return;
      this.remove(waiter);
      waiter.channel.trySend([key, value]);
    }
  }

  /** Puts an element back in front that was handed to somebody who had left. */
  giveBack([key, value]: Popped, store: Store): void {
    const type = store.type(key);
    if (type === "none") store.set(key, new List());
    else if (type !== "list") return; // the key means something else by now, and there is no place for the element any more
    store.list(key)?.pushLeft(value);
    this.serve(key, store);
  }
}
