// The native Env of this thread (main thread or Worker): its pointer, its ready ring and its slots. Knows who waits in
// which slot, not what they wait for.

import { type Pointer, toArrayBuffer } from "bun:ffi";
import type { Wait } from "../wait.ts";
import { layouts } from "./abi.ts";
import { openLibrary } from "./library.ts";

export const library = openLibrary();

/** The native Env. It never changes and is freed when its thread ends. */
export const env: Pointer = createEnv();

/** What event loops wait for events with. */
export type Backend = "io_uring" | "epoll" | "kqueue" | "iocp";

/** This thread's. */
export const backend = backends()[library.zc_env_backend(env) - 1] as Backend;

if (process.env.ZIGCORO_DEBUG === "1" && backend === "epoll" && !process.env.ZIGCORO_BACKEND) {
  console.error("zigcoro: io_uring is refused here, by the kernel or a sandbox; events come through epoll");
}

const slotMask = 2 ** layouts.slotBits - 1;
const maxSlots = 2 ** layouts.slotBits;
/** With 9 bits of generation a token is a small integer. */
const maxGeneration = 2 ** 9;

const owners: (Wait | undefined)[] = [];
const generations: number[] = [];
const freeSlots: number[] = [];
/** Slots that native code has room for. */
let capacity = 0;

/** Ring entries drained so far, modulo 2^32. */
let head = 0;
let words = new Int32Array(0);
let numbers = new Float64Array(0);
let mask = 0;

mapShared();

/** By the numbers of the C ABI, less 1. */
function backends(): readonly Backend[] {
  return ["io_uring", "epoll", "kqueue", "iocp"];
}

function createEnv(): Pointer {
  const wanted = process.env.ZIGCORO_BACKEND ?? "";
  const number = wanted === "" ? 0 : backends().indexOf(wanted as Backend) + 1;
  if (wanted !== "" && number === 0) {
    throw new Error(`ZIGCORO_BACKEND must be io_uring, epoll, kqueue or iocp, got ${JSON.stringify(wanted)}`);
  }
  const created = library.zc_env_create(number);
  if (created) return created as Pointer;
  throw new Error(
    `zigcoro cannot start its event loop${wanted ? ` on ${wanted}: this machine refuses it` : ": out of memory or file descriptors"}`,
  );
}

function mapShared(): void {
  const address = library.zc_env_shared(env);
  if (!address) throw new Error("zigcoro's shared memory is gone");
  const size = library.zc_env_shared_size(env);
  const memory = toArrayBuffer(address, 0, size);
  words = new Int32Array(memory);
  numbers = new Float64Array(memory);
  const entries = (size - layouts.sharedSize) / layouts.entrySize;
  mask = entries - 1;
  capacity = entries;
}

/** Gives `wait` a slot and returns its token. */
export function acquire(wait: Wait): number {
  let slot = freeSlots.pop();
  if (slot === undefined) {
    slot = owners.length;
    if (slot === capacity) grow();
    owners.push(undefined);
    generations.push(0);
  }
  const generation = ((generations[slot] as number) + 1) % maxGeneration;
  generations[slot] = generation;
  owners[slot] = wait;
  wait.token = generation * maxSlots + slot;
  return wait.token;
}

/** Takes the slot of `wait` back, if it has one. Nothing may be in flight with it. */
export function release(wait: Wait): void {
  if (wait.token < 0) return;
  const slot = wait.token & slotMask;
  owners[slot] = undefined;
  freeSlots.push(slot);
  wait.token = -1;
}

function grow(): void {
  const wanted = Math.min(capacity * 2, maxSlots);
  if (capacity === maxSlots || library.zc_env_reserve(env, wanted) < 0) {
    throw new RangeError(`zigcoro cannot wait for more than ${capacity} operations at once on this thread`);
  }
  mapShared();
}

/** Everyone who holds a slot. */
export function* waiting(): Generator<Wait> {
  for (const owner of owners) if (owner) yield owner;
}

export function hasReady(): boolean {
  return words[layouts.sharedTail / 4] !== head;
}

/** Kernel operations and timers that are pending, as of the last tick. */
export function pending(): number {
  return words[layouts.sharedPending / 4] as number;
}

/** Why the last call that returns a handle returned 0: a negative errno. */
export function lastErrno(): number {
  return words[layouts.sharedErrno / 4] as number;
}

/** The result of a native body that ended inside the last call. */
export function lastValue(): number {
  return numbers[layouts.sharedValue / 8] as number;
}

/** Completes at most `limit` ring entries; returns how many. */
export function drainRing(limit: number): number {
  let drained = 0;
  while (drained < limit && head !== words[layouts.sharedTail / 4]) {
    const at = layouts.sharedSize / 4 + (head & mask) * (layouts.entrySize / 4);
    const token = words[at + layouts.entryToken / 4] as number;
    const status = words[at + layouts.entryStatus / 4] as number;
    const value = numbers[(at + layouts.entryValue / 4) / 2] as number;
    head = (head + 1) | 0;
    drained++;
    const owner = owners[token & slotMask];
    if (owner === undefined || owner.token !== token) continue;
    try {
      owner.complete(status, value);
    } catch (error) {
      throwLater(error);
    }
  }
  return drained;
}

/** What a waiter throws is an uncaught exception, and the others are told all the same. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Submits, collects, fires timers. With `wait`, sleeps until something happens. */
export function tick(wait: boolean): void {
  if (library.zc_env_tick(env, wait ? 1 : 0, head >>> 0) < 0) throw new Error("zigcoro's event loop failed: out of memory");
}

/** The descriptor that becomes readable when a parked Env has work. */
export function wakeDescriptor(): number {
  const fd = library.zc_env_wake_fd(env);
  if (fd < 0) throw new Error("zigcoro cannot watch for events: out of file descriptors or threads");
  return fd;
}

/** Connects native code to `port` of this machine, to write a byte there when a parked Env has work; its own port. Only for Windows. */
export function connectWake(port: number): number {
  const own = library.zc_env_connect_wake(env, port);
  if (own < 0) throw new Error("zigcoro cannot watch for events: out of sockets or threads");
  return own;
}

/** False: there is work already. */
export function park(): boolean {
  return library.zc_env_park(env, head >>> 0) === 0;
}

export function unpark(): void {
  library.zc_env_unpark(env);
}
