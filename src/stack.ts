// Stacks of native bodies: zigcoro's stackAlloc and remainingStackSize. Bodies in TypeScript have none.

import { checkInteger, show } from "./check.ts";
import { codes } from "./code.ts";
import { getEnv } from "./environment.ts";
import { ioError, MisuseError } from "./error.ts";
import type { Frame } from "./frame.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { NativeFrame } from "./native-body.ts";

/** Memory for the stacks of native bodies, one after the other; made by `stackAlloc`. */
export class Stack implements Disposable {
  /** Bytes that a body may use: what was asked for, rounded up to a power of two. */
  readonly size: number;
  /** The native handle; 0 once freed. */
  handle: number;

  /** @internal */
  constructor(handle: number) {
    this.handle = handle;
    this.size = library.zc_stack_size(env, handle);
    collected.register(this, handle, this);
  }

  /** Gives the memory back. Twice does nothing. @throws Error while a body runs on it */
  free(): void {
    if (this.handle === 0) return;
    if (library.zc_stack_free(env, this.handle) === codes.busy) throw new MisuseError("cannot free a stack: a coroutine runs on it");
    collected.unregister(this);
    this.handle = 0;
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** A stack that nobody can reach any more is freed; frames keep the one that they run on. */
const collected = new FinalizationRegistry<number>((handle) => library.zc_stack_free(env, handle));

/**
 * A stack for native bodies that is yours until `free`: pass it as `stack` to `xasync`, to one body after the other. Without one, bodies take
 * theirs from a pool, which is as fast.
 *
 * @param size bytes, 4,096 to 8,388,608; default: that of the environment, see `initEnv`
 * @throws TypeError, RangeError; Error without memory
 */
export function stackAlloc(size: number = getEnv().stack): Stack {
  const handle = library.zc_stack_alloc(env, checkInteger(size, "stackAlloc: size", 4096, 8 * 1024 * 1024));
  if (handle === 0) throw ioError(lastErrno(), "stackAlloc");
  return new Stack(handle);
}

/**
 * Bytes left of the stack of a suspended native body, below the place where it stands; 0 when it has ended. Without a frame, bytes left of
 * this thread's own stack.
 *
 * @throws TypeError when the frame's body is not native: then it has no stack
 */
export function remainingStackSize(frame?: Frame<unknown>): number {
  if (frame === undefined) return library.zc_stack_remaining();
  if (frame instanceof NativeFrame) return frame.remainingStackSize;
  throw new TypeError(`remainingStackSize: frame must be of a native body, got ${show(frame)}`);
}
