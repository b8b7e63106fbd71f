// SharedPort: what the threads of a shared channel say to each other, and what both kinds of sides have in common.
//
// One thread, the one that made the channel, is its home and keeps all that is waiting in it. Every other thread is a guest with a port
// of its own to the home, and asks. There is no lock and no shared memory, so a thread may end at any moment: its port closes, behind
// all that it has posted, and the home takes back what that guest had been promised.
//
// Both ways of a message have two steps, so that a guest which is cancelled or ends between them has done nothing:
//   send      guest: send id       home: id, 0 (room is kept for it)          guest: commit id, value    or   drop id
//   receive   guest: recv id, max  home: id, 0, values (and keeps them, too)  guest: taken id            or   drop id
// The operation has ended with the second post of the guest, before its coroutine goes on. `drop` is right at any time after the
// question, also when an answer is on its way.
//
// Who sends one message after another is lent room, and has not to wait for an answer each time:
//   home: lent n (room for n is kept)      guest: commit 0, value    up to n times       guest: refund what it does not need
// That room is nobody else's meanwhile, so it goes back soon: when the guest has not sent for a moment, when the channel is closed, and
// when the home recalls it because somebody else waits for room.

import type { Wait } from "./wait.ts";

/** What guests post: a triple of one of these, the id of a question (from 1; 0 when there is none), and what belongs to it. */
export const asks = {
  send: 0,
  trySend: 1,
  recv: 2,
  tryRecv: 3,
  drop: 4,
  commit: 5,
  taken: 6,
  putBack: 7,
  close: 8,
  join: 9,
  refund: 10,
} as const;

export type Ask = readonly [ask: number, id: number, argument?: unknown];

/** Whether `data` looks like what a guest posts; what belongs to it is still to be checked. */
export function isAsk(data: unknown): data is Ask {
  if (!Array.isArray(data)) return false;
  const [ask, id] = data;
  return Number.isInteger(ask) && ask >= 0 && ask <= asks.refund && Number.isInteger(id) && id >= 0;
}

/** A number of messages. */
export function isCount(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) > 0;
}

/** What the home posts: the id of a question, its status, and the values that were handed over. */
export type Answer = readonly [id: number, status: number, values?: unknown[]];

export function isAnswer(data: unknown): data is Answer {
  if (!Array.isArray(data)) return false;
  const [id, status, values] = data;
  return Number.isInteger(id) && Number.isInteger(status) && (values === undefined || Array.isArray(values));
}

/** In place of an id: the home tells something of its own. */
export const notice = -1;

/** Statuses of notices: no more sends; nothing left to receive either; room (its value) is lent; and is wanted back. */
export const notices = { closed: 0, finished: 1, lent: 2, recalled: 3 } as const;

/** How an operation ends that does not wait, and would have to. */
export const refused = 1;

/** The side of a shared channel that one thread sees. `ask...` answer as `Operation.begin` does. */
export interface Side<T> {
  readonly name: string;
  readonly capacity: number;
  readonly closed: boolean;
  /** The thread that made the channel has ended, and the channel with it. */
  readonly dead: boolean;
  /** Ends with 0 when there is room, and it is kept for `wait` until `commit` or `drop`. */
  askSend(wait: Wait, waits: boolean): number;
  /** Sends into the room that was kept. Throws what structured clone throws: then nothing was sent, and the room is free. */
  commit(wait: Wait, value: T, transfer: ArrayBuffer[]): void;
  /** Ends with 0 when there are values, and they are kept for `wait` until `take` or `drop`. */
  askRecv(wait: Wait, max: number, waits: boolean): number;
  /** The values that were kept. */
  take(wait: Wait): T[];
  /** What ended with 0 is not wanted. */
  drop(wait: Wait): void;
  /** As `Operation.takeBack`. */
  takeBack(wait: Wait): boolean;
  /** Values that were taken are the first again. */
  putBack(values: T[]): void;
  close(): void;
  /** A port for one more thread. */
  connect(): MessagePort;
}
