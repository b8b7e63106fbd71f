// Suspension: `xsuspend` and its kin as operations. A frame knows who is suspended in it (`suspendedWait`), for `xresume`.

import { parked } from "./code.ts";
import { MisuseError } from "./error.ts";
import { currentFrame, Frame } from "./frame.ts";
import { give, Operation, suspend } from "./operation.ts";
import { state } from "./scheduler.ts";
import type { Wait } from "./wait.ts";

/** One `xsuspend`: of whatever coroutine runs when it begins. */
class Suspension extends Operation<unknown> {
  override begin(wait: Wait): number {
    const frame = currentFrame();
    if (frame === undefined) throw outside();
    if (frame.suspendedWait) throw new MisuseError(`coroutine "${frame.name}" is suspended already`);
    frame.suspendedWait = wait;
    wait.payload = frame;
    return parked;
  }

  override finish(_status: number, _value: number, wait: Wait): unknown {
    const value = wait.payload;
    wait.payload = undefined;
    return value;
  }

  override takeBack(wait: Wait): boolean {
    const frame = wait.payload;
    // Resumed already: the value is on its way.
    if (!(frame instanceof Frame) || frame.suspendedWait !== wait) return false;
    frame.suspendedWait = undefined;
    wait.payload = undefined;
    return true;
  }

  override get what(): string {
    return "be resumed";
  }
}

/** The usual one, in a generator: the frame is its own wait, and says so by its payload. */
class PlainSuspension extends Suspension {
  protected override next(): IteratorResult<undefined, unknown> {
    const frame = state.current;
    if (frame === undefined || frame.cancelRequest !== undefined) return super.next();
    if (frame.waiting === undefined) {
      frame.payload = frame;
      frame.waiting = this;
      return suspend;
    }
    if (frame.waiting !== this) return super.next();
    frame.waiting = undefined;
    const value = frame.payload;
    frame.payload = undefined;
    return give(value);
  }
}

const suspension = new PlainSuspension();

/** The suspend operation for the coroutine that runs right now. */
export function suspendOperation(): Operation<unknown> {
  if (currentFrame() === undefined) throw outside();
  return suspension;
}

function outside(): MisuseError {
  return new MisuseError("xsuspend was called outside of any coroutine: there is nothing to suspend");
}

/** How an `xsuspendSafe` went. */
export type Suspending = { readonly suspended: true; readonly value: unknown } | { readonly suspended: false; readonly error: MisuseError };

/** A suspend that tells when there is nothing to suspend. */
class SafeSuspension extends Suspension {
  override begin(wait: Wait): number {
    return currentFrame() === undefined ? 1 : super.begin(wait);
  }

  override finish(status: number, value: number, wait: Wait): Suspending {
    return status === 1 ? { suspended: false, error: outside() } : { suspended: true, value: super.finish(status, value, wait) };
  }
}

export const safeSuspension: Operation<Suspending> = new SafeSuspension() as Operation<unknown> as Operation<Suspending>;

/** A suspend that runs something once the coroutine is suspended. */
class BlockSuspension extends Suspension {
  readonly #block: (frame: Frame<unknown>) => void;

  constructor(block: (frame: Frame<unknown>) => void) {
    super();
    this.#block = block;
  }

  override begin(wait: Wait): number {
    const status = super.begin(wait);
    const frame = wait.payload as Frame<unknown>;
    const run = () => {
      try {
        this.#block(frame);
      } catch (error) {
        // It is thrown where it was suspended, unless the block has resumed it before.
        if (frame.suspendedWait === wait) frame.resume(new Thrown(error));
        else throw error;
      }
    };
    // An async body is suspended as soon as it awaits.
    if (state.current === undefined) run();
    else state.after = run;
    return status;
  }

  override finish(status: number, value: number, wait: Wait): unknown {
    const result = super.finish(status, value, wait);
    if (result instanceof Thrown) throw result.error;
    return result;
  }
}

class Thrown {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/** A suspend after which `block` runs. */
export function blockSuspendOperation(block: (frame: Frame<unknown>) => void): Operation<unknown> {
  if (currentFrame() === undefined) throw outside();
  return new BlockSuspension(block);
}
