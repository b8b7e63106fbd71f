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

import type { Wait } from "./wait.ts";

/** What guests post: a triple of one of these, the id of a question, and what belongs to it. */
export const asks = { send: 0, trySend: 1, recv: 2, tryRecv: 3, drop: 4, commit: 5, taken: 6, putBack: 7, close: 8, join: 9 } as const;

export type Ask = readonly [ask: number, id: number, argument?: unknown];

/** What the home posts: the id of a question, its status, and the values that were handed over. */
export type Answer = readonly [id: number, status: number, values?: unknown[]];

/** In place of an id: the home tells something of its own. */
export const notice = -1;

/** Statuses of notices: no more sends; and nothing left to receive either. */
export const notices = { closed: 0, finished: 1 } as const;

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
