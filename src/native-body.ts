// Native bodies: coroutines whose body is C (or anything with the C ABI) and runs on a stack of its own; see include/zigcoro.h.

import type { Pointer } from "bun:ffi";
import { checkInteger, checkString, show } from "./check.ts";
import type { FrameOptions } from "./coroutine.ts";
import { ioError } from "./error.ts";
import { Frame } from "./frame.ts";
import { codes, layouts } from "./native/abi.ts";
import { acquire, env, lastErrno, lastValue, library, release, type Wait } from "./native/env.ts";
import { poke, state } from "./scheduler.ts";
import { TCP } from "./tcp.ts";

/** A C function of type `zc_body`: its address, or what has one, as a symbol of `cc()`. */
export type NativeBody = Pointer | { readonly ptr: Pointer | null; readonly name?: string };

/** What a native body takes: numbers, and connections for `zc_tcp_read` and `zc_tcp_write`. */
export type NativeArgument = number | TCP;

const defaultStackSize = 64 * 1024;
const encoder = new TextEncoder();

export function isNativeBody(body: unknown): body is NativeBody {
  return typeof body === "number" || (body !== null && ["object", "function"].includes(typeof body) && "ptr" in (body as object));
}

class NativeFrame extends Frame<number> implements Wait {
  token = -1;
  #handle = 0;

  start(address: Pointer, args: Float64Array, stack: number): void {
    const name = encoder.encode(this.name);
    const token = acquire(this);
    this.#handle = library.zc_frame_start(env, address, args, args.length, stack, name, name.byteLength, token);
    state.submitted = true;
    poke();
    if (this.#handle !== 0) {
      this.where = "suspended";
      return;
    }
    const errno = lastErrno();
    release(this);
    if (errno === 0) this.succeed(lastValue());
    else throw ioError(errno, "xasync");
  }

  /** It ended inside a tick. */
  complete(_status: number, value: number): void {
    release(this);
    this.succeed(value);
  }

  override resume(value: unknown): void {
    if (this.where !== "suspended") throw this.cannotResume();
    if (value !== undefined && typeof value !== "number") {
      throw new TypeError(`xresume: a native body takes a number, got ${show(value)}`);
    }
    this.where = "active";
    const status = library.zc_frame_resume(env, this.#handle, value ?? 0);
    this.where = "suspended";
    if (status === codes.notResumable || status === codes.badHandle) throw this.cannotResume();
    state.submitted = true;
    poke();
    if (status === codes.suspended) return;
    release(this);
    this.succeed(lastValue());
  }

  override cancel(): void {
    if (this.where === "done") return;
    library.zc_frame_cancel(env, this.#handle);
    state.submitted = true;
    poke();
  }

  override get waitsTo(): string {
    return library.zc_frame_is_resumable(env, this.#handle) === 1 ? "be resumed" : "go on in native code";
  }
}

/** Starts a native body and runs it to its first suspend. */
export function startNative(body: NativeBody, args: readonly unknown[], options: FrameOptions): Frame<number> {
  const address = typeof body === "number" ? body : body.ptr;
  if (!Number.isSafeInteger(address) || (address as number) <= 0) {
    throw new TypeError(`xasync: a native body must have an address, got ${show(address)}`);
  }
  if (args.length > layouts.maxArgs) {
    throw new RangeError(`xasync: a native body takes at most ${layouts.maxArgs} arguments, got ${args.length}`);
  }
  const stack = checkInteger(options.stack ?? defaultStackSize, "xasync: options.stack", 4096, 8 * 1024 * 1024);
  const own = typeof body === "number" ? "native" : (body.name ?? "native");
  const frame = new NativeFrame(options.name === undefined ? own : checkString(options.name, "xasync: options.name"));
  // Never empty: an empty array may have no address.
  const numbers = new Float64Array(layouts.maxArgs);
  args.forEach((argument, i) => {
    numbers[i] = checkArgument(argument, i);
  });
  frame.start(address as Pointer, numbers, stack);
  return frame;
}

function checkArgument(argument: unknown, index: number): number {
  if (argument instanceof TCP) return argument.handle;
  if (typeof argument === "number") return argument;
  throw new TypeError(`xasync: argument ${index} of a native body must be a number or a TCP connection, got ${show(argument)}`);
}
