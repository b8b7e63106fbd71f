// Frame: a coroutine. Its body is a generator, an async function, a plain function or native code; whoever holds the frame sees the
// same thing: a status, a name, a result to wait for.
//
// `active <-> suspended -> done`. A frame waits for at most one operation at a time. It goes on from the scheduler's queue, or
// by `xresume` when it is suspended in `xsuspend`.

import { parked } from "./code.ts";
import { Cancelled, MisuseError } from "./error.ts";
import { type Values, valuesOutside } from "./local.ts";
import { give, Operation, type Suspended } from "./operation.ts";
import { operationBudget, poke, ready, state } from "./scheduler.ts";
import { addTrace } from "./trace.ts";
import { type Wait, WaitList } from "./wait.ts";

/** Where a coroutine stands: running (or resuming another), waiting, finished. */
export type Status = "active" | "suspended" | "done";

/** What a generator body returns: `yield*` in it takes operations and other such generators. */
export type Coroutine<T> = Generator<Suspended, T, unknown>;

/** What few frames need. */
class Extras {
  storage: unknown = undefined;
  /** Carries a failure that nobody has awaited yet. */
  rejection: Promise<never> | undefined = undefined;
  controller: AbortController | undefined = undefined;
  /** What a cancel throws in it. */
  cancel: Cancelled | undefined = undefined;
  /** Where it was spawned, when that is recorded. */
  site: string | undefined = undefined;
  /** Runs when it has ended. */
  cleanup: (() => void) | undefined = undefined;
  /** Who is suspended in its `xsuspend`, when it is not the frame itself. */
  suspendedWait: Wait | undefined = undefined;
  /** What its children inherit, made for the first one. */
  lineage: Lineage | undefined = undefined;
}

/** What a coroutine has from the one that spawned it. */
interface Lineage {
  readonly name: string | undefined;
  /** Its task-local values; see local.ts. */
  readonly values: Values | undefined;
}

// Bits of `flags`.
/** Somebody has seen its failure, or sees to it for good. */
const observed = 1;
const failed = 2;
const cancelAsked = 4;
export const suspended = 8;
export const done = 16;
/** From here on `flags` counts who awaits its result. */
const awaiter = 32;

/**
 * A coroutine. As an operation it is the wait for the coroutine's end: `yield* frame`, `await frame`.
 *
 * `T` is what it returns, `S` what its `storage` holds: the type of `xasync`'s option of that name.
 */
export abstract class Frame<T, S = unknown> extends Operation<T> {
  /** Shown in errors and reports. */
  readonly name: string;
  protected flags = 0;
  /** What its operation keeps; in the end the result or the error. */
  payload: unknown = undefined;
  private lineage: Lineage | undefined;
  private waiters: WaitList | undefined = undefined;
  private extras: Extras | undefined = undefined;

  constructor(name: string) {
    super();
    this.name = name || "anonymous";
    this.lineage = currentFrame()?.inherited ?? lineageOutside();
  }

  get status(): Status {
    return this.flags & done ? "done" : this.flags & suspended ? "suspended" : "active";
  }

  protected set where(where: "active" | "suspended") {
    if (where === "suspended") this.flags |= suspended;
    else this.flags &= ~suspended;
  }

  /** The name of the coroutine that spawned it. */
  get spawnedBy(): string | undefined {
    return this.lineage?.name;
  }

  /** Its task-local values; see local.ts. */
  get values(): Values | undefined {
    return this.lineage?.values;
  }

  set values(values: Values) {
    this.lineage = { name: this.spawnedBy, values };
    if (this.extras !== undefined) this.extras.lineage = undefined;
  }

  /** For those that it spawns. */
  private get inherited(): Lineage {
    const more = this.more;
    more.lineage ??= { name: this.name, values: this.values };
    return more.lineage;
  }

  /** Who is suspended in its `xsuspend`. */
  get suspendedWait(): Wait | undefined {
    return this.extras?.suspendedWait;
  }

  set suspendedWait(wait: Wait | undefined) {
    if (wait !== undefined || this.extras !== undefined) this.more.suspendedWait = wait;
  }

  private get more(): Extras {
    this.extras ??= new Extras();
    return this.extras;
  }

  /** For the program's own use, as zigcoro's coroutine storage: `xasync(body, args, { storage })` sets it before the body runs. */
  get storage(): S {
    return this.extras?.storage as S;
  }

  set storage(value: S) {
    this.more.storage = value;
  }

  /** Where it was spawned ("file:line:column"), when ZIGCORO_TRACE=1 asks for that. */
  get site(): string | undefined {
    return this.extras?.site;
  }

  set site(site: string) {
    this.more.site = site;
  }

  /** Aborted when the coroutine is cancelled, with the `Cancelled` error as its reason: for `fetch` and everything else that takes one. */
  get signal(): AbortSignal {
    const more = this.more;
    if (more.controller === undefined) {
      more.controller = new AbortController();
      if (more.cancel !== undefined) more.controller.abort(more.cancel);
    }
    return more.controller.signal;
  }

  /**
   * Asks the coroutine to end: `Cancelled`, with `reason` as its cause, is thrown at the operation it waits for, once that has
   * really ended, or at the next one it starts. That happens once: its `finally` blocks may wait in peace, and cancelling it
   * again, or when it has finished, does nothing.
   *
   * It is asked at once. What this returns is the wait for its end, however it ends: `yield* frame.cancel()`, `await frame.cancel()`.
   */
  cancel(reason?: unknown): Operation<void> {
    if ((this.flags & done) === 0 && !(this.flags & cancelAsked)) {
      this.flags |= cancelAsked;
      const error = new Cancelled(reason);
      const more = this.more;
      more.cancel = error;
      this.deliverCancel(error);
      more.controller?.abort(error);
      poke();
    }
    return new Ended(this);
  }

  /** `await using frame = spawn(...)`: it is cancelled at the end of the block, and its end awaited. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.cancel();
  }

  /** Whether it was asked to end. */
  get cancelled(): boolean {
    return (this.flags & cancelAsked) !== 0;
  }

  protected abstract deliverCancel(error: Cancelled): void;

  /** Cancels it when `signal` is aborted, with the signal's reason. */
  cancelBy(signal: AbortSignal): void {
    if ((this.flags & done) !== 0) return;
    if (signal.aborted) {
      this.cancel(signal.reason);
      return;
    }
    const abort = () => this.cancel(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.whenDone(() => signal.removeEventListener("abort", abort));
  }

  /** Runs `cleanup` when it has ended, at once if it has. Nothing waits for that, and it must not throw. */
  whenDone(cleanup: () => void): void {
    if ((this.flags & done) !== 0) {
      cleanup();
      return;
    }
    const before = this.more.cleanup;
    this.more.cleanup =
      before === undefined
        ? cleanup
        : () => {
            before();
            cleanup();
          };
  }

  /** `supervisor` sees to a failure, which is then nobody else's unless they await it. */
  superviseBy(supervisor: (frame: Frame<unknown>) => void): void {
    this.flags |= observed;
    this.more.rejection?.catch(() => {});
    this.whenDone(() => supervisor(this));
  }

  /** Whether it is suspended in `xsuspend`. */
  get isResumable(): boolean {
    return this.suspendedWait !== undefined;
  }

  /** For `xresume`: throws an Error when the coroutine is not suspended in `xsuspend`. */
  resume(value: unknown): void {
    const wait = this.suspendedWait;
    if (wait === undefined) throw this.cannotResume();
    if (!state.driving) state.budget = operationBudget;
    this.suspendedWait = undefined;
    wait.payload = value;
    if (wait.group !== undefined) wait.group.claim(wait);
    wait.complete(0, 0);
  }

  /** Its failure is somebody's from now on. */
  observe(): void {
    this.flags |= observed;
    this.extras?.rejection?.catch(() => {});
  }

  override poll(wait: Wait): number {
    if ((wait as unknown) === this || currentFrame() === this) throw new MisuseError(`coroutine "${this.name}" cannot await itself`);
    if ((this.flags & done) === 0) return parked;
    this.observe();
    return 0;
  }

  override begin(wait: Wait): number {
    if (this.poll(wait) === 0) return 0;
    this.flags += awaiter;
    return this.addWaiter(wait);
  }

  /** Of one that is done already. */
  protected override next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    const isSimple = frame !== undefined && frame.cancelRequest === undefined && frame.waiting === undefined && state.budget > 0;
    if (!isSimple || (this.flags & (done | failed)) !== done) return super.next();
    state.budget--;
    return give(this.payload);
  }

  addWaiter(wait: Wait): number {
    if ((this.flags & done) !== 0) return 0;
    this.waiters ??= new WaitList();
    this.waiters.push(wait);
    return parked;
  }

  removeWaiter(wait: Wait): boolean {
    return this.waiters?.remove(wait) ?? false;
  }

  override finish(_status: number, _value: number, _wait: Wait): T {
    return this.outcome();
  }

  /** The result of a finished coroutine, or throws its error. */
  outcome(): T {
    if (this.flags & failed) throw this.payload;
    return this.payload as T;
  }

  /** What it ended with, without a throw. */
  get failure(): { readonly error: unknown } | undefined {
    return this.flags & failed ? { error: this.payload } : undefined;
  }

  override takeBack(wait: Wait): boolean {
    if (!this.removeWaiter(wait)) return false;
    // A failure that comes now is nobody's again.
    this.flags -= awaiter;
    return true;
  }

  override wasCancelled(): boolean {
    return false;
  }

  override waitsFor(): Iterable<object> {
    return [this];
  }

  override get what(): string {
    return `await coroutine "${this.name}"`;
  }

  /** Whether a cancel is what it ended with. */
  get endedByCancel(): boolean {
    return (this.flags & failed) !== 0 && isCancelled(this.payload);
  }

  /** Why `resume` refuses. */
  protected cannotResume(): Error {
    const why = { active: "it is running", suspended: `it waits to ${this.waitsTo}`, done: "it has finished" }[this.status];
    return new MisuseError(`cannot resume coroutine "${this.name}": ${why}`);
  }

  /** What a suspended coroutine waits to do. */
  get waitsTo(): string {
    return "go on";
  }

  /** Frames that it waits for, for reports. */
  get waitsForFrames(): Iterable<object> {
    return [];
  }

  protected succeed(result: T): void {
    this.payload = result;
    this.end();
  }

  protected fail(error: unknown): void {
    this.payload = error;
    this.flags |= failed;
    const cancelled = isCancelled(error);
    if (!cancelled) addTrace(error, this);
    this.end();
    // A failure that nobody awaits must not vanish: like a promise's, it becomes an unhandled rejection, by the rules of those.
    if (this.flags < awaiter && !(this.flags & observed) && !cancelled) this.more.rejection = Promise.reject(error);
  }

  private end(): void {
    this.flags = (this.flags & ~suspended) | done;
    const waiters = this.waiters;
    if (waiters !== undefined) {
      this.waiters = undefined;
      for (let wait = waiters.shift(); wait !== undefined; wait = waiters.shift()) ready(wait, 0, 0);
    }
    const cleanup = this.extras?.cleanup;
    if (cleanup !== undefined) {
      this.more.cleanup = undefined;
      cleanup();
    }
  }
}

function isCancelled(error: unknown): boolean {
  try {
    return error instanceof Cancelled;
  } catch {
    // A proxy may throw even here.
    return false;
  }
}

/** What is spawned outside of any coroutine inherits what was set there. */
let outsideLineage: Lineage | undefined;

function lineageOutside(): Lineage | undefined {
  const values = valuesOutside();
  if (values === undefined) return undefined;
  if (outsideLineage?.values !== values) outsideLineage = { name: undefined, values };
  return outsideLineage;
}

/** The wait for a coroutine's end, however it ends. A failure stays the coroutine's own. */
class Ended extends Operation<void> {
  readonly #frame: Frame<unknown>;

  constructor(frame: Frame<unknown>) {
    super();
    this.#frame = frame;
  }

  override poll(wait: Wait): number {
    const frame = this.#frame;
    if ((wait as unknown) === frame || currentFrame() === frame) throw new MisuseError(`coroutine "${frame.name}" cannot await itself`);
    return frame.status === "done" ? 0 : parked;
  }

  override begin(wait: Wait): number {
    return this.poll(wait) === 0 ? 0 : this.#frame.addWaiter(wait);
  }

  override finish(): void {}

  override takeBack(wait: Wait): boolean {
    return this.#frame.removeWaiter(wait);
  }

  override waitsFor(): Iterable<object> {
    return [this.#frame];
  }

  override get what(): string {
    return `see the end of coroutine "${this.#frame.name}"`;
  }
}

/** Finds the async coroutine that runs right now; set by async-frame.ts. */
export const asyncCurrent: { find: () => Frame<unknown> | undefined } = { find: () => undefined };

/** The coroutine that runs right now; undefined outside of any. */
export function currentFrame(): Frame<unknown> | undefined {
  return (state.current as unknown as Frame<unknown> | undefined) ?? asyncCurrent.find();
}
