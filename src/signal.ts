// Signals: what the system tells this process, as a source to receive from. The handlers are native (zig/signal.zig), so that they work in
// owner mode and in Workers, where Bun's do not run. On the main thread Bun is told of a listener, too: then it neither takes its handler away
// under ours, nor leaves one behind.

import { constants } from "node:os";
import { show } from "./check.ts";
import { parked } from "./code.ts";
import { ioError } from "./error.ts";
import { env, library } from "./native/env.ts";
import { AsyncNotification } from "./notification.ts";
import { Operation, tokenOf } from "./operation.ts";
import type { Signal } from "./process.ts";
import { state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** Those that the kernel keeps for itself, and those by which faults, Bun and its garbage collector work. */
const reserved = new Set("SIGKILL SIGSTOP SIGILL SIGTRAP SIGABRT SIGIOT SIGBUS SIGFPE SIGSEGV SIGPWR SIGSYS SIGUNUSED".split(" "));
const numbers = constants.signals as Readonly<Record<string, number>>;

/** Signals that have come, to be received. */
export class SignalSource implements Disposable {
  readonly #notification: AsyncNotification;
  readonly #index: number;
  readonly #names: ReadonlyMap<number, Signal>;
  readonly #recv: Receive<Signal | undefined>;
  readonly #next: Receive<IteratorResult<Signal, undefined>>;

  /** @internal */
  constructor(names: ReadonlyMap<number, Signal>) {
    this.#names = names;
    this.#notification = new AsyncNotification();
    for (const name of names.values()) attachBun(name);
    let [low, high] = [0, 0];
    for (const number of names.keys()) {
      if (number <= 32) low |= 1 << (number - 1);
      else high |= 1 << (number - 33);
    }
    this.#index = library.zc_signal_open(env, this.#notification.id, low >>> 0, high >>> 0);
    if (this.#index < 0) {
      this.#notification.close();
      for (const name of names.values()) detachBun(name);
      throw ioError(this.#index, "sigaction");
    }
    const what = `receive ${[...names.values()].join(", ")}`;
    const end = { notification: this.#notification, index: this.#index, names, what };
    this.#recv = new Receive(end, (signal) => signal);
    this.#next = new Receive(end, (signal) => (signal === undefined ? { done: true, value: undefined } : { done: false, value: signal }));
    collected.register(this, { index: this.#index, names: [...names.values()] }, this);
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.#notification.closed;
  }

  /** The next signal; waits for one. undefined once it is closed. */
  recv(): Operation<Signal | undefined> {
    return this.#recv;
  }

  /** Receives as iterators do. */
  next(): Operation<IteratorResult<Signal, undefined>> {
    return this.#next;
  }

  /** Ends all who receive with undefined. What the signals did before, they do again, unless another source or listener wants them. */
  close(): void {
    if (this.closed) return;
    collected.unregister(this);
    closeNow({ index: this.#index, names: [...this.#names.values()] });
    this.#notification.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Receives until it is closed. Leaving the loop early leaves it open. */
  [Symbol.asyncIterator](): AsyncIterator<Signal, undefined> {
    return { next: () => this.#next.then() };
  }
}

/**
 * Receives signals instead of what they do by default: `SIGTERM` and `SIGINT` end this process no more, from the call until `close`. It works
 * in coroutines of both modes and in Workers; several sources of one signal are all told. Listeners of `process.on` are told as well, when
 * Bun's loop runs.
 *
 * Signals of one kind that come before one was received are one, as in the kernel. Only a pending receive keeps the process alive.
 *
 * @example
 * ```ts
 * using stop = asyncio.signals("SIGTERM", "SIGINT");
 * const { key, value } = yield* select({ signal: stop.recv(), connection: server.accept() });
 * if (key === "signal") {
 *   console.log(`${value}: no new connections`);
 *   server.close();
 * }
 * ```
 * @throws TypeError when a name is no signal, or one that cannot be received; IoError (EMFILE) beyond 64 sources
 */
export function signals(...names: Signal[]): SignalSource {
  if (names.length === 0) throw new TypeError("asyncio.signals: name at least one signal");
  const wanted = new Map<number, Signal>();
  for (const name of names) {
    const number = typeof name === "string" && Object.hasOwn(numbers, name) ? (numbers[name] as number) : undefined;
    if (number === undefined) throw new TypeError(`asyncio.signals: names must be signals such as "SIGTERM", got ${show(name)}`);
    if (reserved.has(name)) throw new TypeError(`asyncio.signals: ${name} cannot be received: it belongs to the system or the runtime`);
    wanted.set(number, name);
  }
  return new SignalSource(wanted);
}

interface Registration {
  readonly index: number;
  readonly names: readonly Signal[];
}

/** A source that nobody can reach receives nothing. */
const collected = new FinalizationRegistry<Registration>(closeNow);

function closeNow({ index, names }: Registration): void {
  library.zc_signal_close(env, index);
  for (const name of names) detachBun(name);
}

/** Sources of this thread that want a signal. */
const attached = new Map<Signal, number>();
const nothing = (): void => {};

function attachBun(name: Signal): void {
  const count = attached.get(name) ?? 0;
  attached.set(name, count + 1);
  if (count === 0 && Bun.isMainThread) process.on(name, nothing);
}

function detachBun(name: Signal): void {
  const count = (attached.get(name) as number) - 1;
  attached.set(name, count);
  if (count === 0 && Bun.isMainThread) process.off(name, nothing);
}

interface End {
  readonly notification: AsyncNotification;
  readonly index: number;
  readonly names: ReadonlyMap<number, Signal>;
  readonly what: string;
}

/** `payload`: the number of the signal that ended it. */
class Receive<R> extends Operation<R> {
  readonly #end: End;
  readonly #result: (signal: Signal | undefined) => R;

  constructor(end: End, result: (signal: Signal | undefined) => R) {
    super();
    this.#end = end;
    this.#result = result;
  }

  override begin(wait: Wait): number {
    const { notification, index } = this.#end;
    for (;;) {
      if (notification.closed) return 0;
      const number = library.zc_signal_take(env, index);
      if (number > 0) {
        wait.payload = number;
        return 0;
      }
      const status = library.zc_op_notification_wait(env, notification.id, tokenOf(wait));
      // Notified before, of what was taken since: look again.
      if (status === 0) continue;
      if (status === parked) state.submitted = true;
      return status;
    }
  }

  override advance(status: number, _value: number, wait: Wait): number {
    // One that ended inside of `begin` has its signal already.
    return status === 0 && wait.payload === undefined ? this.begin(wait) : status;
  }

  override finish(status: number, _value: number, wait: Wait): R {
    const number = wait.payload as number | undefined;
    wait.payload = undefined;
    if (status < 0 && !this.#end.notification.closed) throw ioError(status, "wait");
    return this.#result(number === undefined ? undefined : this.#end.names.get(number));
  }

  override giveBack(_status: number, _value: number, wait: Wait): void {
    const number = wait.payload as number | undefined;
    wait.payload = undefined;
    if (number !== undefined) library.zc_signal_put_back(env, this.#end.index, number);
  }

  override putBack(result: R): void {
    const signal = typeof result === "string" ? result : (result as IteratorResult<Signal> | undefined)?.value;
    if (signal !== undefined) library.zc_signal_put_back(env, this.#end.index, numbers[signal as Signal] as number);
  }

  override get what(): string {
    return this.#end.what;
  }
}
