// Broadcast: every subscriber gets every message. Each has a channel of its own, so who is slow and what then happens is its choice.

import { sequence } from "./call.ts";
import { Channel } from "./channel.ts";
import { show } from "./check.ts";
import { ChannelClosed } from "./error.ts";
import type { Operation } from "./operation.ts";

/**
 * Sends each message to all who subscribe at that moment. A subscription is a channel: with `capacity` n the sender waits for whoever is
 * n messages behind; a sliding or dropping one never makes it wait. Closing the channel ends the subscription.
 *
 * @example
 * ```ts
 * const news = new Broadcast<string>();
 * const [ann, bob] = [news.subscribe(1), news.subscribe(Channel.sliding<string>(1))];
 * yield* news.send("hello");
 * console.log(yield* ann.recv(), yield* bob.recv());
 * ```
 */
export class Broadcast<T> {
  readonly #channels = new Set<Channel<T>>();
  #closed: { readonly error: unknown } | undefined;

  /** How many subscribe. */
  get size(): number {
    for (const channel of this.#channels) if (channel.closed) this.#channels.delete(channel);
    return this.#channels.size;
  }

  /** A new subscription: a channel of that capacity, or the channel that is given. @throws ChannelClosed, TypeError, RangeError */
  subscribe(channel: number | Channel<T> = 0): Channel<T> {
    if (this.#closed) throw new ChannelClosed("broadcast", this.#closed.error);
    if (typeof channel !== "number" && !(channel instanceof Channel)) {
      throw new TypeError(`Broadcast.subscribe: channel must be a Channel or a capacity, got ${show(channel)}`);
    }
    const subscription = typeof channel === "number" ? new Channel<T>(channel) : channel;
    this.#channels.add(subscription);
    return subscription;
  }

  /** Sends to all, in the order of their subscriptions; ends when the last has room. @throws ChannelClosed when it is closed */
  send(value: T): Operation<void> {
    const broadcast = this;
    return sequence("send to all subscribers", function* () {
      if (broadcast.#closed) throw new ChannelClosed("broadcast", broadcast.#closed.error);
      for (const channel of [...broadcast.#channels]) {
        try {
          yield* channel.send(value);
        } catch (error) {
          if (!(error instanceof ChannelClosed)) throw error;
        }
        if (channel.closed) broadcast.#channels.delete(channel);
      }
    });
  }

  /** Closes all subscriptions, as `Channel.close` does. Twice does nothing. */
  close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = { error };
    for (const channel of this.#channels) channel.close(error);
    this.#channels.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
