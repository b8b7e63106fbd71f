// The scheduler of this thread: who runs now, what is ready, and how the native loop is driven, inside Bun's loop (guest)
// or instead of it (owner). It knows waits, not coroutines.
//
// A guest is driven by turns in Bun's loop: as long as there is traffic each turn queues the next one; then the guest parks, and the
// kernel wakes it through an eventfd that Bun's loop reads. With nothing in flight it lets go of that, too, and Bun may end the
// process. Work that appears while nobody drives, from any callback, calls `poke`.

import type { Wait } from "./native/env.ts";
import * as native from "./native/env.ts";

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
} = { current: undefined, budget: 0, driving: false, submitted: false };

/** A generator coroutine, as the operations that it runs see it. */
export interface Running extends Wait {
  /** The operation it waits for. */
  waiting: object | undefined;
  /** How that operation ended, and what came with it. */
  endStatus: number;
  endValue: number;
  /** What the operation is to throw instead of going on: it was taken back by a cancel. */
  thrown: Error | undefined;
  /** A cancel that waits for the next operation. */
  cancelRequest: Error | undefined;
  /** What `xresume` brought. */
  injected: unknown;
}

/** Operations that may end at once before a coroutine yields to the others. */
export const operationBudget = 512;

/** Coroutines resumed in one turn before Bun's own loop runs again. */
const turnLimit = 4096;

/** Turns without any event before the loop parks. A turn costs less than a wake. */
const idleTurns = 2;

// The ready queue: waits that ended on the TypeScript side (joins, promises, spent budgets), with status and value.
let readyWaits: Wait[] = [];
let readyResults: number[] = [];

/** Queues the end of `wait`, to be told from the queue and never from inside the caller. */
export function ready(wait: Wait, status: number, value: number): void {
  readyWaits.push(wait);
  readyResults.push(status, value);
  poke();
}

function hasWork(): boolean {
  return readyWaits.length > 0 || native.hasReady();
}

/** Tells everybody whose operation has ended, and whoever that makes ready, up to `limit`. */
function drain(limit: number): number {
  let told = 0;
  while (told < limit) {
    const before = told;
    told += native.drainRing(limit - told);
    if (readyWaits.length > 0) {
      const waits = readyWaits;
      const results = readyResults;
      readyWaits = [];
      readyResults = [];
      for (let i = 0; i < waits.length; i++) {
        (waits[i] as Wait).complete(results[2 * i] as number, results[2 * i + 1] as number);
      }
      told += waits.length;
    }
    if (told === before) break;
  }
  return told;
}

// ---- guest

/** Parked: native code signals the eventfd. Never while anything drives. */
let parked = false;
let turnQueued = false;
let microtaskQueued = false;
/** Turns in a row without any event. */
let quietTurns = 0;

/** Work may have appeared outside of any drain: see to it soon. */
export function poke(): void {
  if (state.driving || microtaskQueued) return;
  microtaskQueued = true;
  queueMicrotask(drainSoon);
}

/** What coroutines do among themselves needs no turn of Bun's loop. */
function drainSoon(): void {
  microtaskQueued = false;
  if (state.driving) return;
  state.driving = true;
  drain(turnLimit);
  state.driving = false;
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
  setImmediate(turn);
}

function unpark(): void {
  if (!parked) return;
  parked = false;
  native.unpark();
}

function turn(): void {
  turnQueued = false;
  if (state.driving) return;
  unpark();
  state.driving = true;
  state.submitted = false;
  native.tick(false);
  const told = drain(turnLimit);
  state.driving = false;
  quietTurns = told > 0 || state.submitted ? 0 : quietTurns + 1;
  if (quietTurns < idleTurns || hasWork()) queueTurn();
  else settle();
}

/** Nothing to do right now: park if something is in flight, otherwise let go of Bun's loop. */
function settle(): void {
  if (native.pending() === 0) {
    releaseWake();
    return;
  }
  holdWake();
  parked = native.park();
  if (!parked) queueTurn();
}

let wakeReader: ReadableStreamDefaultReader<Uint8Array> | undefined;
let wakeReading = false;

/** A pending read of the eventfd keeps the process alive and wakes us; it costs nothing while it waits. */
function holdWake(): void {
  wakeReader ??= Bun.file(native.wakeDescriptor()).stream().getReader() as ReadableStreamDefaultReader<Uint8Array>;
  if (wakeReading) return;
  wakeReading = true;
  const reader = wakeReader;
  reader.read().then(
    () => onWake(reader),
    () => onWake(reader),
  );
}

function onWake(reader: ReadableStreamDefaultReader<Uint8Array>): void {
  if (reader !== wakeReader) return;
  wakeReading = false;
  if (!parked || state.driving) return;
  quietTurns = 0;
  turn();
}

function releaseWake(): void {
  if (!wakeReader) return;
  const reader = wakeReader;
  wakeReader = undefined;
  wakeReading = false;
  reader.cancel().catch(() => {});
}

/** One round by hand: collects, then tells everybody who is ready. Whether there was anyone. */
export function step(): boolean {
  if (state.driving) throw new Error("tick was called by something that the executor runs");
  unpark();
  state.driving = true;
  try {
    state.submitted = false;
    native.tick(false);
    return drain(turnLimit) > 0;
  } finally {
    state.driving = false;
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
    while (true) {
      microtasks();
      const told = drain(turnLimit);
      if (done()) return true;
      if (told > 0) {
        // Kernel events must not starve behind coroutines that keep each other busy.
        if (told >= turnLimit) native.tick(false);
        continue;
      }
      native.tick(true);
      if (!hasWork() && native.pending() === 0) return false;
    }
  } finally {
    state.driving = false;
    // For what is left, and to let go of Bun's loop when nothing is.
    schedule();
  }
}
