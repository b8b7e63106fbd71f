// Commands on keys whatever their type, and their deadlines.

import { type Args, type Command, ReplyError, SYNTAX } from "./command.ts";
import { matches } from "./glob.ts";
import { deadline, integer } from "./numbers.ts";
import type { Session } from "./session.ts";

export const keys: Command[] = [
  {
    name: "del",
    arity: -2,
    flags: ["write"],
    keys: [1, -1, 1],
    run({ replies, store }, args) {
      let removed = 0;
      for (let i = 1; i < args.length; i++) if (store.delete(args[i] as string)) removed++;
      replies.integer(removed);
    },
  },
  {
    name: "exists",
    arity: -2,
    flags: ["readonly", "fast"],
    keys: [1, -1, 1],
    run({ replies, store }, args) {
      replies.integer(args.slice(1).filter((key) => store.has(key)).length);
    },
  },
  {
    name: "type",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.status(store.type(args[1]));
    },
  },
  { name: "expire", arity: -3, flags: ["write", "fast"], keys: [1, 1, 1], run: (session, args) => expire(session, args, "expire", 1000) },
  { name: "pexpire", arity: -3, flags: ["write", "fast"], keys: [1, 1, 1], run: (session, args) => expire(session, args, "pexpire", 1) },
  { name: "ttl", arity: 2, flags: ["readonly", "fast"], keys: [1, 1, 1], run: (session, args) => remaining(session, args, 1000) },
  { name: "pttl", arity: 2, flags: ["readonly", "fast"], keys: [1, 1, 1], run: (session, args) => remaining(session, args, 1) },
  {
    name: "persist",
    arity: 2,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.persist(args[1]) ? 1 : 0);
    },
  },
  {
    name: "keys",
    arity: 2,
    flags: ["readonly"],
    run({ replies, store }, args) {
      replies.bulks(store.keys(args[1]));
    },
  },
  { name: "scan", arity: -2, flags: ["readonly"], run: scan },
  {
    name: "dbsize",
    arity: 1,
    flags: ["readonly", "fast"],
    run({ replies, store }) {
      replies.integer(store.size);
    },
  },
  { name: "flushall", arity: -1, flags: ["write"], run: flush },
  { name: "flushdb", arity: -1, flags: ["write"], run: flush },
];

/** EXPIRE key time [NX | XX | GT | LT] */
function expire({ replies, store }: Session, args: Args, name: string, unit: number): undefined {
  const at = deadline(integer(args[2]), unit, store.now(), name);
  const wanted = expireConditions(args.slice(3));
  const left = store.remaining(args[1]);
  const current = left === undefined || left === Number.POSITIVE_INFINITY ? Number.POSITIVE_INFINITY : store.now() + left;
  const refused =
    left === undefined ||
    (wanted.has("NX") && current !== Number.POSITIVE_INFINITY) ||
    (wanted.has("XX") && current === Number.POSITIVE_INFINITY) ||
    (wanted.has("GT") && at <= current) ||
    (wanted.has("LT") && at >= current);
  if (!refused) store.expireAt(args[1], at);
  replies.integer(refused ? 0 : 1);
}

function expireConditions(words: string[]): Set<string> {
  const wanted = new Set(words.map((word) => word.toUpperCase()));
  for (const word of words) {
    if (!["NX", "XX", "GT", "LT"].includes(word.toUpperCase())) throw new ReplyError(`ERR Unsupported option ${word}`);
  }
  if (wanted.has("NX") && wanted.size > 1) throw new ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible");
  if (wanted.has("GT") && wanted.has("LT")) throw new ReplyError("ERR GT and LT options at the same time are not compatible");
  return wanted;
}

/** TTL and PTTL: -2 for no key, -1 for no deadline. */
function remaining({ replies, store }: Session, args: Args, unit: number): undefined {
  const left = store.remaining(args[1]);
  if (left === undefined) replies.integer(-2);
  else replies.integer(left === Number.POSITIVE_INFINITY ? -1 : Math.round(left / unit));
}

/** SCAN cursor [MATCH pattern] [COUNT n] [TYPE type] */
function scan({ replies, store }: Session, args: Args): undefined {
  const cursor = integer(args[1], "ERR invalid cursor");
  let pattern: string | undefined;
  let type: string | undefined;
  let count = 10;
  for (let i = 2; i < args.length; i += 2) {
    const word = (args[i] as string).toUpperCase();
    const value = args[i + 1];
    if (value === undefined) throw new ReplyError(SYNTAX);
    if (word === "COUNT") {
      count = integer(value);
      if (count < 1) throw new ReplyError(SYNTAX);
    } else if (word === "MATCH") pattern = value;
    else if (word === "TYPE") type = value.toLowerCase();
    else throw new ReplyError(SYNTAX);
  }
  const found = store.scan(cursor, count);
  replies.array(2);
  replies.bulk(String(found.cursor));
  replies.bulks(
    found.keys.filter((key) => (pattern === undefined || matches(pattern, key)) && (type === undefined || store.type(key) === type)),
  );
}

function flush({ replies, store }: Session, args: Args): undefined {
  if (args.length > 2 || (args.length === 2 && !["SYNC", "ASYNC"].includes(args[1].toUpperCase()))) throw new ReplyError(SYNTAX);
  store.clear();
  replies.status("OK");
}
