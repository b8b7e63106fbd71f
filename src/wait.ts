// Wait: whoever waits for something, and WaitList: those who wait for the same thing, first come first served.
//
// A wait is told exactly once per operation. `payload` carries what the operation keeps with this use of it: a value to send, a
// value received. It is in at most one list, for it waits for one thing at a time; what waits for several has a wait for each, and a
// group that knows them.

/** Who waits: told once per operation, from the scheduler's queue. */
export interface Wait {
  /** The native slot and its generation, or -1 while it has none. */
  token: number;
  /** For the operation that it waits for, from `begin` to `finish`; undefined at all other times, so that nothing is kept alive. */
  payload: unknown;
  /** How its operation ended, from `ready` to `complete`. */
  endStatus: number;
  endValue: number;
  /** The list that it is in, and its neighbours there. */
  list: WaitList | undefined;
  before: Wait | undefined;
  after: Wait | undefined;
  /** What decides between this and others that wait with it: of a select only one may win. */
  readonly group: Group | undefined;
  /** For reports. */
  readonly what?: string;
  /** The operation ended with `status` (>= 0, or a negative code) and `value`. */
  complete(status: number, value: number): void;
}

/** Waits of which one decides for all. */
export interface Group {
  /** Who waits for the whole. */
  readonly outer: Wait;
  /** `branch` has its result: the others are taken back before anything else can happen. */
  claim(branch: Wait): void;
}

/** Who really waits: what a select is a part of. Two waits with the same root must not end each other. */
export function rootOf(wait: Wait): Wait {
  let at = wait;
  while (at.group !== undefined) at = at.group.outer;
  return at;
}

/** The fields of a wait, for those that are no frames. */
export abstract class PlainWait implements Wait {
  token = -1;
  payload: unknown = undefined;
  endStatus = 0;
  endValue = 0;
  list: WaitList | undefined = undefined;
  before: Wait | undefined = undefined;
  after: Wait | undefined = undefined;
  readonly group: Group | undefined;

  constructor(group?: Group) {
    this.group = group;
  }

  abstract complete(status: number, value: number): void;
}

/** First in, first out; removal from the middle in O(1). Intrusive: nothing is allocated. */
export class WaitList {
  head: Wait | undefined = undefined;
  tail: Wait | undefined = undefined;

  push(wait: Wait): void {
    wait.list = this;
    wait.before = this.tail;
    if (this.tail === undefined) this.head = wait;
    else this.tail.after = wait;
    this.tail = wait;
  }

  shift(): Wait | undefined {
    const wait = this.head;
    if (wait !== undefined) this.remove(wait);
    return wait;
  }

  /** False: it is not in this list (any more). */
  remove(wait: Wait): boolean {
    if (wait.list !== this) return false;
    const { before, after } = wait;
    if (before === undefined) this.head = after;
    else before.after = after;
    if (after === undefined) this.tail = before;
    else after.before = before;
    wait.list = undefined;
    wait.before = undefined;
    wait.after = undefined;
    return true;
  }

  /** The first that is no other branch of what `wait` is a branch of; it leaves the list. */
  shiftFor(wait: Wait | undefined): Wait | undefined {
    let at = this.head;
    if (wait?.group !== undefined) {
      const root = rootOf(wait);
      while (at !== undefined && at.group !== undefined && rootOf(at) === root) at = at.after;
    }
    if (at !== undefined) this.remove(at);
    return at;
  }

  *[Symbol.iterator](): Generator<Wait, void, undefined> {
    for (let at = this.head; at !== undefined; at = at.after) yield at;
  }
}
