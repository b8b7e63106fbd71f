// Executor: zigcoro's queue of what is to run soon, over the scheduler of this thread.

import { show } from "./check.ts";
import { Frame } from "./frame.ts";
import { ready, step } from "./scheduler.ts";
import { PlainWait } from "./wait.ts";

/** Runs things from the queue of this thread. All executors of a thread share its one queue, so they need no registration. */
export class Executor {
  /**
   * Queues `work` to run once, in order: a function is called, a coroutine is resumed if it is suspended in `xsuspend` by then.
   * It runs in the next tick, whoever drives it, and never inside this call. What a function throws is an uncaught exception.
   *
   * @throws TypeError
   */
  runSoon(work: (() => void) | Frame<unknown>): void {
    if (!(work instanceof Frame) && typeof work !== "function") {
      throw new TypeError(`Executor.runSoon: work must be a function or a Frame, got ${show(work)}`);
    }
    ready(new Task(work instanceof Frame ? () => resumeIfSuspended(work) : work), 0, 0);
  }

  /**
   * Runs everything that is ready now, without waiting for anything: completed operations, timers that are due, queued
   * work. Returns whether anything ran. zigcoro's way to drive coroutines by hand: `while (executor.tick());`
   *
   * @throws Error when called by something that the executor runs
   */
  tick(): boolean {
    return step();
  }
}

/** Queued twice, or resumed by others meanwhile: once is enough. */
function resumeIfSuspended(frame: Frame<unknown>): void {
  if (frame.isResumable) frame.resume(undefined);
}

class Task extends PlainWait {
  readonly #work: () => void;

  constructor(work: () => void) {
    super();
    this.#work = work;
  }

  complete(): void {
    this.#work();
  }
}
