// Contest: operations that wait together, of which one wins: select, race, withTimeout.
//
// Invariants:
//  * At most one branch has won. It has from the moment its operation is decided, before anything else can run: a channel that hands a
//    value over claims the branch (`Group`), which takes all others back in that step. What native code ended is decided when it is told.
//  * What cannot be taken back at once (kernel operations, calls) is cancelled, and its end awaited before the contest is over. If it
//    ended with a result all the same, that goes back to where it came from (`lost`).
//  * A contest that is cancelled before anybody has won takes all branches back; one that ends with a result all the same then wins.
//  * Branches of one contest never end each other: they have one root.

import { Branch, type Runner } from "./branch.ts";
import { parked } from "./code.ts";
import { errnos } from "./error.ts";
import { Operation } from "./operation.ts";
import { tellNow } from "./scheduler.ts";
import type { Group, Wait } from "./wait.ts";

/** One of so many contests begins what cannot be polled before it polls the others, so that those which are always ready leave it a chance. */
const impatience = 8;

export class Contest implements Group, Runner {
  readonly outer: Wait;
  readonly branches: readonly Branch[];
  winner: Branch | undefined = undefined;
  /** What the begin of a branch threw: that branch has won. */
  #failure: { readonly error: unknown } | undefined = undefined;
  #running = 0;
  #beginning = true;
  #cancelled = false;
  #reason: unknown;

  constructor(operations: readonly Operation<unknown>[], outer: Wait) {
    this.outer = outer;
    const branches: Branch[] = [];
    for (let i = 0; i < operations.length; i++) branches.push(new Branch(operations[i] as Operation<unknown>, i, this, this));
    this.branches = branches;
  }

  /** Starts in a random order. `parked`, or 0 when it is over. */
  beginFair(): number {
    const count = this.branches.length;
    const first = Math.floor(Math.random() * count);
    const eager = (this.branches[first] as Branch).operation.canOnlyBegin && Math.random() * impatience < 1;
    if (eager) this.#begin(this.branches[first] as Branch);
    for (let i = eager ? 1 : 0; i < count && this.winner === undefined; i++) this.#poll(this.branches[(first + i) % count] as Branch);
    for (let i = eager ? 1 : 0; i < count && this.winner === undefined; i++) this.#begin(this.branches[(first + i) % count] as Branch);
    return this.#begun();
  }

  /** Starts in the given order; when one has ended at once, the rest is not begun. */
  beginInOrder(): number {
    for (const branch of this.branches) if (this.winner === undefined) this.#begin(branch);
    return this.#begun();
  }

  #begun(): number {
    this.#beginning = false;
    return this.#running > 0 ? parked : 0;
  }

  #poll(branch: Branch): void {
    let status: number;
    try {
      status = branch.operation.poll(branch);
    } catch (error) {
      this.#failed(branch, error);
      return;
    }
    if (status !== parked) this.#endedAtOnce(branch, status);
  }

  #begin(branch: Branch): void {
    let status: number;
    try {
      status = branch.operation.begin(branch);
    } catch (error) {
      this.#failed(branch, error);
      return;
    }
    if (status !== parked) {
      this.#endedAtOnce(branch, status);
      return;
    }
    branch.running = true;
    this.#running++;
    // A branch that was begun before may have won meanwhile, by what the start of this one ran.
    if (this.winner !== undefined) this.#takeBack(branch);
  }

  #failed(branch: Branch, error: unknown): void {
    branch.over(0, 0);
    // Of one that begins behind the winner nobody wanted anything.
    if (this.winner !== undefined) return;
    this.#failure = { error };
    this.#win(branch);
  }

  #endedAtOnce(branch: Branch, status: number): void {
    branch.over(status, 0);
    if (this.winner === undefined) this.#win(branch);
    else this.lost(branch);
  }

  claim(branch: Wait): void {
    // Of one that was cancelled `ended` decides: only those run on that could not be taken back.
    if (this.winner === undefined && !this.#cancelled) this.#win(branch as Branch);
  }

  #win(branch: Branch): void {
    this.winner = branch;
    for (const other of this.branches) if (other !== branch && other.running) this.#takeBack(other);
    if (!this.#beginning) this.outer.group?.claim(this.outer);
  }

  #takeBack(branch: Branch): void {
    if (branch.takeBack(this.#reason)) this.#running--;
  }

  ended(branch: Branch, told: number, value: number): void {
    const status = branch.operation.advance(told, value, branch);
    if (status === parked) {
      // A cancel that met the end of one part is for the next part, too.
      if (this.#cancelled || (this.winner !== undefined && this.winner !== branch)) {
        this.#takeBack(branch);
        this.#tellIfOver();
      }
      return;
    }
    branch.over(status, value);
    this.#running--;
    if (this.winner === undefined) {
      if (this.#cancelled && branch.wasCancelled()) branch.operation.forget(branch);
      else this.#win(branch);
    } else if (this.winner !== branch) {
      this.lost(branch);
    }
    this.#tellIfOver();
  }

  #tellIfOver(): void {
    if (this.#running === 0 && !this.#beginning) tellNow(this.outer, this.winner === undefined ? errnos.ECANCELED : 0);
  }

  /** `branch` has ended, but another has won. */
  protected lost(branch: Branch): void {
    branch.discard();
  }

  /** True: nothing has happened. */
  takeBack(reason?: unknown): boolean {
    if (this.winner !== undefined) return false;
    this.#cancelled = true;
    this.#reason = reason;
    for (const branch of this.branches) if (branch.running) this.#takeBack(branch);
    return this.#running === 0;
  }

  /** The winner's result, or throws its error. */
  finish(): unknown {
    if (this.#failure !== undefined) throw this.#failure.error;
    return (this.winner as Branch).finish();
  }

  giveBack(): void {
    if (this.#failure === undefined) this.winner?.discard();
  }
}

/** An operation that is a contest. A use keeps its contest as the wait's payload. */
export abstract class ContestOperation<T> extends Operation<T> {
  protected abstract result(contest: Contest): T;

  override finish(_status: number, _value: number, wait: Wait): T {
    const contest = contestOf(wait);
    wait.payload = undefined;
    return this.result(contest);
  }

  override takeBack(wait: Wait, reason?: unknown): boolean {
    if (!contestOf(wait).takeBack(reason)) return false;
    wait.payload = undefined;
    return true;
  }

  override wasCancelled(_status: number, wait: Wait): boolean {
    return contestOf(wait).winner === undefined;
  }

  override giveBack(_status: number, _value: number, wait: Wait): void {
    const contest = contestOf(wait);
    wait.payload = undefined;
    contest.giveBack();
  }

  override *waitsFor(wait: Wait): Iterable<object> {
    const contest = wait.payload;
    if (!(contest instanceof Contest)) return;
    for (const branch of contest.branches) if (branch.running) yield* branch.operation.waitsFor(branch);
  }
}

function contestOf(wait: Wait): Contest {
  return wait.payload as Contest;
}
