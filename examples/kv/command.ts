// What a command is, and the error it answers with. The families (strings.ts, lists.ts ...) fill tables of these; commands.ts joins them.

import type { Coroutine } from "zigcoro";
import type { Session } from "./session.ts";

/** The arguments, the command's name first. Positions up to `arity` have been checked to be there, which is what the fixed ones say. */
export type Args = readonly [name: string, a: string, b: string, c: string, ...rest: string[]];

export interface Command {
  readonly name: string;
  /** Number of arguments with the name: exactly n, or with -n at least n. */
  readonly arity: number;
  /** As COMMAND lists them. "subscriber" commands are allowed while the connection is subscribed. */
  readonly flags: readonly ("write" | "readonly" | "fast" | "blocking" | "pubsub" | "admin" | "subscriber")[];
  /** First key, last key (negative: from the end) and step; nothing for a command without keys. */
  readonly keys?: readonly [first: number, last: number, step: number];
  /**
   * Writes one reply to `session.replies`. Throws ReplyError before anything is written. A command that has to wait returns what waits, and
   * the pipeline behind it waits with it.
   */
  run(session: Session, args: Args): Coroutine<void> | undefined;
}

/** An answer that begins with `-`. */
export class ReplyError extends Error {
  override name = "ReplyError";
}

export const SYNTAX = "ERR syntax error";

export function wrongArity(name: string): ReplyError {
  return new ReplyError(`ERR wrong number of arguments for '${name}' command`);
}
