// AsyncNotification: wakes a coroutine from any thread. The notification is native (zig/io/notification.zig); its id is good in the whole
// process, also when it was closed: then it is refused.

import { show } from "./check.ts";
import { codes, parked } from "./code.ts";
import { closedError, errnos, ioError } from "./error.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** The way of other threads to a notification: `postMessage` it. */
export interface AsyncNotificationHandle {
  /** What `zc_notify` takes. */
  readonly notification: number;
}

/** A notification of another thread, from `AsyncNotification.open`. */
export interface Notifier {
  /** As `AsyncNotification.notify`. */
  notify(): boolean;
}

/**
 * Wakes a coroutine of this thread from anywhere: from this thread, from any Worker, from any thread of native code (`zc_notify` of
 * zigcoro.h) and from its signal handlers.
 *
 * Notifications coalesce: those that come before one was waited for are kept as a single one. Each that is taken ends one wait, the oldest;
 * so of several who wait one goes on, and a wait that is cancelled or loses a `select` takes none. What a thread wrote to shared memory before
 * it notified is seen after the wait.
 *
 * Each has two descriptors. A pending wait keeps the process alive. One that nobody can reach any more is closed; so are all of a Worker that ends.
 *
 * @example
 * ```ts
 * using ready = new asyncio.AsyncNotification();
 * worker.postMessage(ready.handle); // there: asyncio.AsyncNotification.notify(handle)
 * yield* ready.wait();
 * ```
 */
export class AsyncNotification implements Disposable {
  #id: number;
  readonly #wait: NotificationWait;

  /** @throws IoError when there are no descriptors left */
  constructor() {
    this.#id = library.zc_notification_open(env);
    if (this.#id === 0) throw ioError(lastErrno(), "notification");
    collected.register(this, this.#id, this);
    this.#wait = new NotificationWait(this);
  }

  /** Notifies the one that `handle` leads to, from any thread. False: it was closed. @throws TypeError */
  static notify(handle: AsyncNotificationHandle): boolean {
    return library.zc_notification_notify(checkHandle(handle, "asyncio.AsyncNotification.notify")) === 0;
  }

  /** The same for often. @throws TypeError */
  static open(handle: AsyncNotificationHandle): Notifier {
    const id = checkHandle(handle, "asyncio.AsyncNotification.open");
    return { notify: () => library.zc_notification_notify(id) === 0 };
  }

  /** What `zc_notify` takes: a number that may be kept for ever, for once the notification is closed it is refused. 0 then. */
  get id(): number {
    return this.#id;
  }

  /** For other threads. @throws IoError (ECANCELED) when it was closed */
  get handle(): AsyncNotificationHandle {
    if (this.closed) throw closedError("notify", "notification");
    return { notification: this.#id };
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#id === 0;
  }

  /** Notifies it; never waits. False: it was closed. */
  notify(): boolean {
    return library.zc_notification_notify(this.#id) === 0;
  }

  /** Waits until it is notified; no time at all when it was since the last wait. @throws IoError (ECANCELED) when it is closed */
  wait(): Operation<void> {
    return this.#wait;
  }

  /** Ends all waits with an error whose code is "ECANCELED"; who notifies from now on is refused. Twice does nothing. */
  close(): void {
    if (this.#id === 0) return;
    collected.unregister(this);
    closeNow(this.#id);
    this.#id = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const collected = new FinalizationRegistry<number>(closeNow);

function closeNow(id: number): void {
  library.zc_notification_close(env, id);
  state.submitted = true;
  poke();
}

class NotificationWait extends Operation<void> {
  readonly what = "be notified";
  readonly #notification: AsyncNotification;

  constructor(notification: AsyncNotification) {
    super();
    this.#notification = notification;
  }

  override begin(wait: Wait): number {
    const status = library.zc_op_notification_wait(env, this.#notification.id, tokenOf(wait));
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number): void {
    if (status === errnos.ECANCELED || status === codes.badHandle) throw closedError("wait", "notification");
    if (status < 0) throw ioError(status, "wait");
  }

  override giveBack(status: number): void {
    if (status === 0) this.putBack();
  }

  override putBack(): void {
    this.#notification.notify();
  }
}

function checkHandle(handle: unknown, what: string): number {
  const id = (handle as Partial<AsyncNotificationHandle> | undefined)?.notification;
  if (typeof id === "number" && Number.isSafeInteger(id) && id > 0) return id;
  throw new TypeError(`${what}: handle must be an AsyncNotification's handle, got ${show(handle)}`);
}
