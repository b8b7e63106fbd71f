// Native bodies: coroutines whose body is C (or anything with the C ABI) and runs on a stack of its own; see include/zigcoro.h.

import type { Pointer } from "bun:ffi";
import { checkInteger, checkString, show } from "./check.ts";
import { codes } from "./code.ts";
import type { FrameOptions } from "./coroutine.ts";
import { Endpoint } from "./endpoint.ts";
import { getEnv } from "./environment.ts";
import { ioError, MisuseError } from "./error.ts";
import { File } from "./file.ts";
import { Frame } from "./frame.ts";
import { layouts } from "./native/abi.ts";
import { acquire, env, lastErrno, lastValue, library, release } from "./native/env.ts";
import { AsyncNotification } from "./notification.ts";
import { poke, state } from "./scheduler.ts";
import { UDP } from "./udp.ts";
import type { Wait, WaitList } from "./wait.ts";

/** A C function of type `zc_body`, from `native.cc`, `native.open` or `native.at`. */
export class NativeBody {
  readonly name: string;
  readonly #address: Pointer;

  /** For zigcoro/native, which knows that there is such a function at `address`. */
  constructor(name: string, address: Pointer) {
    this.name = name;
    this.#address = address;
  }

  get address(): Pointer {
    return this.#address;
  }
}

/**
 * What a native body takes: numbers, connections and other streams for `zc_tcp_read` and `zc_tcp_write`, files for `zc_file_pread` and
 * `zc_file_pwrite`, UDP sockets for `zc_udp_read` and `zc_udp_write`, notifications for `zc_notification_wait` and `zc_notify`. It does not
 * see datagrams that TypeScript has received ahead.
 */
export type NativeArgument = number | Endpoint | File | UDP | AsyncNotification;

const encoder = new TextEncoder();

export class NativeFrame extends Frame<number> implements Wait {
  token = -1;
  endStatus = 0;
  endValue = 0;
  list: WaitList | undefined = undefined;
  before: Wait | undefined = undefined;
  after: Wait | undefined = undefined;
  readonly group: undefined;
  #handle = 0;
  /** Kept until it has ended: a connection that nobody else holds would be collected, and closed. */
  protected kept: readonly unknown[] = [];

  start(address: Pointer, args: Float64Array, stack: StackOption, kept: readonly unknown[]): void {
    this.kept = kept;
    const name = encoder.encode(this.name);
    const token = acquire(this);
    const [size, own] = typeof stack === "number" ? [stack, 0] : [0, stack.handle];
    this.#handle = library.zc_frame_start(env, address, args, args.length, size, own, name, name.byteLength, token);
    state.submitted = true;
    poke();
    if (this.#handle !== 0) {
      this.where = "suspended";
      return;
    }
    const errno = lastErrno();
    if (errno === 0) this.#end(lastValue());
    else {
      release(this);
      if (errno === codes.busy) throw new MisuseError("xasync: a coroutine runs on this stack already");
      throw ioError(errno, "xasync");
    }
  }

  get remainingStackSize(): number {
    return library.zc_frame_stack_remaining(env, this.#handle);
  }

  /** It ended inside a tick. */
  complete(_status: number, value: number): void {
    this.#end(value);
  }

  #end(value: number): void {
    release(this);
    this.kept = [];
    this.succeed(value);
  }

  override get isResumable(): boolean {
    return this.status === "suspended" && library.zc_frame_is_resumable(env, this.#handle) === 1;
  }

  override resume(value: unknown): void {
    if (this.status !== "suspended") throw this.cannotResume();
    if (value !== undefined && typeof value !== "number") {
      throw new TypeError(`xresume: a native body takes a number, got ${show(value)}`);
    }
    this.where = "active";
    const status = library.zc_frame_resume(env, this.#handle, value ?? 0);
    this.where = "suspended";
    if (status === codes.notResumable || status === codes.badHandle) throw this.cannotResume();
    state.submitted = true;
    poke();
    if (status !== codes.suspended) this.#end(lastValue());
  }

  protected override deliverCancel(): void {
    library.zc_frame_cancel(env, this.#handle);
    state.submitted = true;
  }

  override get waitsTo(): string {
    return this.isResumable ? "be resumed" : "go on in native code";
  }
}

/** Starts a native body and runs it to its first suspend. */
export function startNative(body: NativeBody, args: readonly unknown[], options: FrameOptions): Frame<number> {
  if (args.length > layouts.maxArgs) {
    throw new RangeError(`xasync: a native body takes at most ${layouts.maxArgs} arguments, got ${args.length}`);
  }
  const stack = checkStack(options.stack ?? getEnv().stack);
  const frame = new NativeFrame(options.name === undefined ? body.name : checkString(options.name, "xasync: options.name"));
  // Never empty: an empty array may have no address.
  const numbers = new Float64Array(layouts.maxArgs);
  args.forEach((argument, i) => {
    numbers[i] = checkArgument(argument, i);
  });
  frame.start(body.address, numbers, stack, typeof stack === "number" ? args : [...args, stack]);
  return frame;
}

/** A size in bytes, or a stack of `stackAlloc`. */
export type StackOption = number | { readonly handle: number; readonly size: number };

function checkStack(stack: unknown): StackOption {
  // Not `instanceof`: stack.ts needs this file.
  if (typeof stack !== "object" || stack === null || !("handle" in stack && "size" in stack)) {
    return checkInteger(stack, "xasync: options.stack", 4096, 8 * 1024 * 1024);
  }
  const { handle, size } = stack as { handle: number; size: number };
  if (handle === 0) throw new MisuseError("xasync: this stack was freed");
  if (!Number.isInteger(handle) || !Number.isInteger(size)) throw new TypeError("xasync: options.stack must be a Stack or a number");
  return stack as StackOption;
}

function checkArgument(argument: unknown, index: number): number {
  if (argument instanceof Endpoint) return argument.opened();
  if (argument instanceof File || argument instanceof UDP) return argument.handle;
  if (argument instanceof AsyncNotification) return argument.id;
  if (typeof argument === "number") return argument;
  throw new TypeError(
    `xasync: argument ${index} of a native body must be a number, a stream, a File, a UDP or an AsyncNotification, got ${show(argument)}`,
  );
}
