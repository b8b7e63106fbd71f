// The scheduler of this thread: who runs now, what is ready, and how the native loop is driven, inside Bun's loop (guest)
// or instead of it (owner). It knows waits, not coroutines.
//
// A guest is driven by turns in Bun's loop: as long as there is traffic each turn queues the next one; then the guest parks, and native
// code wakes it through a descriptor (an eventfd, a pipe) that Bun's loop reads. With nothing in flight it lets go of that, too, and Bun
// may end the process. Work that appears while nobody drives, from any callback, calls `poke`.

import { AsyncLocalStorage } from "node:async_hooks";
import { MisuseError } from "./error.ts";
import * as native from "./native/env.ts";
import type { Wait } from "./wait.ts";
import { createWake } from "./wake.ts";

/** What the hot path reads; one object, so that every module sees the same. */
export const state: {
  /** The coroutine that runs right now. */
  current: Running | undefined;
  /** Operations that may still end at once before the running coroutine must let others run. */
  budget: number;
  /** Somebody drains the queues and will see new work. */
  driving: boolean;
  /** Operations were handed to the native side that only a tick submits. */
  submitted: boolean;
  /** To run once the generator that runs right now has suspended. */
  after: (() => void) | undefined;
} = { current: undefined, budget: 0, driving: false, submitted: false, after: undefined };

/** A generator coroutine, as the operations that it runs see it. */
export interface Running extends Wait {
  /** The operation it waits for. */
  waiting: object | undefined;
  /** A cancel that is to be thrown: at once when the operation was taken back, else when it has ended or the next one begins. */
  cancelRequest: Error | undefined;
  /** Goes on with `body`; what is now its innermost generator goes on when that has ended. */
  enter(body: Generator<unknown, unknown, unknown>): void;
  /** What it goes on with: one of `turns`. */
  turn: number;
}

/** Why a generator goes on: its operation has ended, or was taken back by a cancel; the generator that it entered has returned, or thrown. */
export const turns = { ended: 0, takenBack: 1, returned: 2, threw: 3 } as const;

/** Operations that may end at once before a coroutine yields to the others. */
export const operationBudget = 256;

/** Waits told before the clock is looked at. */
const batch = 128;

/** Nanoseconds of draining before Bun's loop, or the kernel, gets its turn. */
const slice = 2_000_000;

/** Waits told from microtasks before the rest goes through Bun's loop. */
const microtaskLimit = 1024;

/** Turns without any event before the loop parks. A turn costs less than a wake. At least 1: it counts what is pending. */
const idleTurns = 2;

// The ready queue: waits that ended on the TypeScript side (messages, joins, promises, spent budgets), in a ring that grows.
const firstQueueLength = 1024;
let queue: (Wait | undefined)[] = new Array(firstQueueLength).fill(undefined);
let queueMask = firstQueueLength - 1;
let queueHead = 0;
let queueLength = 0;

/** Queues the end of `wait`, to be told from the queue and never from inside the caller. */
export function ready(wait: Wait, status: number, value: number): void {
  if (wait.group !== undefined) wait.group.claim(wait);
  readyToGoOn(wait, status, value);
}

/** Queues the end of a part, after which `wait`'s operation may wait again: nothing is decided yet. */
export function readyToGoOn(wait: Wait, status: number, value: number): void {
  wait.endStatus = status;
  wait.endValue = value;
  if (queueLength > queueMask) growQueue();
  queue[(queueHead + queueLength) & queueMask] = wait;
  queueLength++;
  if (!state.driving) poke();
}

/** The same for who waits for a wait that is just being told: its turn is now. */
export function tellNow(wait: Wait, status: number): void {
  if (wait.group !== undefined) wait.group.claim(wait);
  wait.complete(status, 0);
}

function growQueue(): void {
  const grown: (Wait | undefined)[] = new Array(queue.length * 2).fill(undefined);
  for (let i = 0; i < queueLength; i++) grown[i] = queue[(queueHead + i) & queueMask];
  queue = grown;
  queueMask = grown.length - 1;
  queueHead = 0;
}

function hasWork(): boolean {
  return queueLength > 0 || native.hasReady();
}

/** Tells everybody whose operation has ended, and whoever that makes ready, for the length of a slice; how many. */
function drain(): number {
  let told = 0;
  let end = 0;
  while (true) {
    const now = native.drainRing(batch) + drainQueue();
    if (now === 0) return told;
    told += now;
    const time = Bun.nanoseconds();
    if (end === 0) end = time + slice;
    else if (time >= end) return told;
  }
}

/** Tells a batch of those in the queue, in order. */
function drainQueue(): number {
  let told = 0;
  for (; told < batch && queueLength > 0; told++) {
    const wait = queue[queueHead] as Wait;
    // Told waits are not to be kept alive by the queue.
    queue[queueHead] = undefined;
    queueHead = (queueHead + 1) & queueMask;
    queueLength--;
    try {
      wait.complete(wait.endStatus, wait.endValue);
    } catch (error) {
      native.throwLater(error);
    }
    // One that has spent its budget may have made as many system calls: time to look at the clock.
    if (state.budget < 0) {
      state.budget = 0;
      told++;
      break;
    }
  }
  if (queueLength === 0 && queue.length > 64 * firstQueueLength) {
    queue = new Array(firstQueueLength).fill(undefined);
    queueMask = firstQueueLength - 1;
    queueHead = 0;
  }
  return told;
}

// ---- guest

/** Parked: native code makes the wake descriptor readable. Never while anything drives. */
let parked = false;
let turnQueued = false;
let microtaskQueued = false;
/** Turns in a row without any event. */
let quietTurns = 0;
/** Waits told from microtasks since the last turn. */
let toldSinceTurn = 0;

// Whoever pokes must not lend its async context to the coroutines that run then.
const drainSoonOutside = AsyncLocalStorage.bind(drainSoon);
const turnOutside = AsyncLocalStorage.bind(turn);

/** Work may have appeared outside of any drain: see to it soon. */
export function poke(): void {
  if (state.driving || microtaskQueued) return;
  if (toldSinceTurn >= microtaskLimit) {
    schedule();
    return;
  }
  microtaskQueued = true;
  queueMicrotask(drainSoonOutside);
}

/** What coroutines do among themselves needs no turn of Bun's loop. */
function drainSoon(): void {
  microtaskQueued = false;
  if (state.driving) return;
  state.driving = true;
  try {
    toldSinceTurn += drain();
  } finally {
    state.driving = false;
  }
  if (state.submitted || hasWork()) schedule();
}

function schedule(): void {
  unpark();
  quietTurns = 0;
  queueTurn();
}

function queueTurn(): void {
  if (turnQueued) return;
  turnQueued = true;
  setImmediate(turnOutside);
}

function unpark(): void {
  if (!parked) return;
  parked = false;
  native.unpark();
}

/** Rounds as long as they find something: answers often come faster than Bun's loop comes round. */
function turn(): void {
  turnQueued = false;
  if (state.driving) return;
  unpark();
  toldSinceTurn = 0;
  const end = Bun.nanoseconds() + slice;
  let told = 0;
  for (let now = round(); now > 0; now = Bun.nanoseconds() < end ? round() : 0) told += now;
  quietTurns = told > 0 || state.submitted ? 0 : quietTurns + 1;
  if (quietTurns < idleTurns || hasWork()) queueTurn();
  else settle();
}

/** Collects events and tells everybody who is ready; how many. */
function round(): number {
  state.driving = true;
  state.submitted = false;
  try {
    native.tick(false);
    return drain();
  } finally {
    state.driving = false;
  }
}

/** Nothing to do right now: park if something is in flight, otherwise let go of Bun's loop. */
function settle(): void {
  if (native.pending() === 0) {
    wake.release();
    return;
  }
  try {
    wake.hold();
  } catch {
    // Out of descriptors: instead of ending, it looks again and again until there are some.
    setTimeout(turnOutside, starvedDelay);
    return;
  }
  parked = native.park();
  if (!parked) queueTurn();
}

/** Milliseconds between turns while there is no descriptor to wake us. */
const starvedDelay = 10;

const wake = createWake(onWake, () => void setTimeout(turnOutside, starvedDelay));

function onWake(): void {
  if (!parked || state.driving) return;
  quietTurns = 0;
  turnOutside();
}

/** One round by hand: collects, then tells everybody who is ready. Whether there was anyone. */
export function step(): boolean {
  if (state.driving) throw new MisuseError("tick was called by something that the executor runs");
  unpark();
  try {
    return round() > 0;
  } finally {
    schedule();
  }
}

// ---- owner

/**
 * Runs the loop on this thread until `done` says so. Between ticks `microtasks` lets promises go on. Returns false
 * when nothing is ready or in flight any more and it is still not done.
 */
export function drive(done: () => boolean, microtasks: () => void): boolean {
  unpark();
  state.driving = true;
  try {
    for (let toldSinceTick = 0; ; ) {
      microtasks();
      const told = drain();
      if (done()) return true;
      toldSinceTick += told;
      if (told > 0 && toldSinceTick < microtaskLimit) continue;
      // Kernel events must not starve behind coroutines that keep each other busy.
      native.tick(told === 0);
      toldSinceTick = 0;
      if (told === 0 && !hasWork() && native.pending() === 0) return false;
    }
  } finally {
    state.driving = false;
    // For what is left, and to let go of Bun's loop when nothing is.
    schedule();
  }
}
