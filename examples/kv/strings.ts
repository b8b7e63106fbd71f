// Commands on strings.

import { type Args, type Command, ReplyError, SYNTAX, wrongArity } from "./command.ts";
import { MAX_BULK_BYTES } from "./limits.ts";
import { deadline, integer, negated, sum } from "./numbers.ts";
import type { Session } from "./session.ts";
import type { Store } from "./store.ts";

export const strings: Command[] = [
  { name: "set", arity: -3, flags: ["write"], keys: [1, 1, 1], run: set },
  {
    name: "get",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.bulk(store.string(args[1]));
    },
  },
  {
    name: "mset",
    arity: -3,
    flags: ["write"],
    keys: [1, -1, 2],
    run({ replies, store }, args) {
      if (args.length % 2 === 0) throw wrongArity("mset");
      for (let i = 1; i < args.length; i += 2) store.set(args[i] as string, args[i + 1] as string);
      replies.status("OK");
    },
  },
  {
    name: "mget",
    arity: -2,
    flags: ["readonly", "fast"],
    keys: [1, -1, 1],
    run({ replies, store }, args) {
      replies.array(args.length - 1);
      for (const key of args.slice(1)) replies.bulk(store.type(key) === "string" ? store.string(key) : undefined);
    },
  },
  {
    name: "append",
    arity: 3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const value = (store.string(args[1]) ?? "") + args[2];
      if (value.length > MAX_BULK_BYTES) throw new ReplyError("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
      store.set(args[1], value, true);
      replies.integer(value.length);
    },
  },
  {
    name: "strlen",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.string(args[1])?.length ?? 0);
    },
  },
  counter("incr", 2, () => "1"),
  counter("decr", 2, () => "-1"),
  counter("incrby", 3, (by) => by),
  counter("decrby", 3, negated),
];

/** INCR and its relatives: add `by(third argument)` to the integer at the key. */
function counter(name: string, arity: number, by: (amount: string) => string): Command {
  return {
    name,
    arity,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const amount = by(args[2]);
      const value = sum(store.string(args[1]) ?? "0", amount);
      store.set(args[1], value, true);
      replies.integer(value);
    },
  };
}

interface SetOptions {
  only?: "NX" | "XX";
  get?: boolean;
  keepDeadline?: boolean;
  deadline?: number;
}

/** SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] */
function set({ replies, store }: Session, args: Args): undefined {
  const key = args[1];
  const options = args.length > 3 ? setOptions(args, store) : {};
  const before = options.get ? store.string(key) : undefined;
  const allowed = options.only === undefined || store.has(key) === (options.only === "XX");
  if (allowed) {
    store.set(key, args[2], options.keepDeadline);
    if (options.deadline !== undefined) store.expireAt(key, options.deadline);
  }
  if (options.get || !allowed) replies.bulk(before);
  else replies.status("OK");
}

function setOptions(args: Args, store: Store): SetOptions {
  const options: SetOptions = {};
  let time: { amount: string; unit: number; from: number } | undefined;
  for (let i = 3; i < args.length; i++) {
    const word = (args[i] as string).toUpperCase();
    const lifetime = LIFETIMES[word];
    if ((word === "NX" || word === "XX") && options.only !== (word === "NX" ? "XX" : "NX")) options.only = word;
    else if (word === "GET") options.get = true;
    else if (word === "KEEPTTL" && !time) options.keepDeadline = true;
    else if (lifetime && !time && !options.keepDeadline && i + 1 < args.length) {
      time = { amount: args[++i] as string, unit: lifetime.unit, from: lifetime.absolute ? 0 : store.now() };
    } else throw new ReplyError(SYNTAX);
  }
  if (time) {
    const amount = integer(time.amount);
    if (amount <= 0) throw new ReplyError("ERR invalid expire time in 'set' command");
    options.deadline = deadline(amount, time.unit, time.from, "set");
  }
  return options;
}

const LIFETIMES: Record<string, { unit: number; absolute: boolean }> = {
  EX: { unit: 1000, absolute: false },
  PX: { unit: 1, absolute: false },
  EXAT: { unit: 1000, absolute: true },
  PXAT: { unit: 1, absolute: true },
};
