// Who has subscribed to what. A message is written straight into each subscriber's replies; its connection's sender coroutine does the rest.

import type { Session } from "./session.ts";

export class Topics {
  #subscribers = new Map<string, Set<Session>>();

  subscribe(topic: string, session: Session): void {
    const subscribers = this.#subscribers.get(topic);
    if (subscribers) subscribers.add(session);
    else this.#subscribers.set(topic, new Set([session]));
  }

  unsubscribe(topic: string, session: Session): void {
    const subscribers = this.#subscribers.get(topic);
    subscribers?.delete(session);
    if (subscribers?.size === 0) this.#subscribers.delete(topic);
  }

  /** Gives the message to everybody who has subscribed now; how many that are. */
  publish(topic: string, message: string): number {
    const subscribers = this.#subscribers.get(topic);
    if (subscribers === undefined) return 0;
    const count = subscribers.size;
    for (const session of subscribers) {
      session.replies.bulks(["message", topic, message]);
      session.send();
    }
    return count;
  }
}
