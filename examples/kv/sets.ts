// Commands on sets.

import { type Args, type Command, ReplyError, SYNTAX } from "./command.ts";
import { Members } from "./members.ts";
import { integer } from "./numbers.ts";
import type { Session } from "./session.ts";

export const sets: Command[] = [
  {
    name: "sadd",
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      let members = store.members(args[1]);
      if (members === undefined) {
        members = new Members();
        store.set(args[1], members);
      }
      const before = members.size;
      for (let i = 2; i < args.length; i++) members.add(args[i] as string);
      replies.integer(members.size - before);
    },
  },
  {
    name: "srem",
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const members = store.members(args[1]);
      replies.integer(args.slice(2).filter((member) => members?.delete(member)).length);
      if (members?.size === 0) store.delete(args[1]);
    },
  },
  {
    name: "smembers",
    arity: 2,
    flags: ["readonly"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.bulks(store.members(args[1])?.values ?? []);
    },
  },
  {
    name: "sismember",
    arity: 3,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.members(args[1])?.has(args[2]) ? 1 : 0);
    },
  },
  {
    name: "scard",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.members(args[1])?.size ?? 0);
    },
  },
  { name: "spop", arity: -2, flags: ["write", "fast"], keys: [1, 1, 1], run: pop },
];

/** SPOP key [count] */
function pop({ replies, store }: Session, args: Args): undefined {
  if (args.length > 3) throw new ReplyError(SYNTAX);
  const counted = args.length === 3;
  const count = counted ? integer(args[2], "ERR value is out of range, must be positive") : 1;
  if (count < 0) throw new ReplyError("ERR value is out of range, must be positive");
  const members = store.members(args[1]);
  if (counted) replies.array(Math.min(count, members?.size ?? 0));
  else if (members === undefined) replies.bulk(undefined);
  if (members === undefined) return;
  for (let i = Math.min(count, members.size); i > 0; i--) replies.bulk(members.pop());
  if (members.size === 0) store.delete(args[1]);
}
