// Commands on hashes.

import { type Command, wrongArity } from "./command.ts";
import type { Hash } from "./store.ts";

export const hashes: Command[] = [
  {
    name: "hset",
    arity: -4,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      if (args.length % 2 === 1) throw wrongArity("hset");
      let hash = store.hash(args[1]);
      if (hash === undefined) {
        hash = new Map() as Hash;
        store.set(args[1], hash);
      }
      const before = hash.size;
      for (let i = 2; i < args.length; i += 2) hash.set(args[i] as string, args[i + 1] as string);
      replies.integer(hash.size - before);
    },
  },
  {
    name: "hget",
    arity: 3,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.bulk(store.hash(args[1])?.get(args[2]));
    },
  },
  {
    name: "hgetall",
    arity: 2,
    flags: ["readonly"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const hash = store.hash(args[1]);
      replies.array((hash?.size ?? 0) * 2);
      for (const [field, value] of hash ?? []) {
        replies.bulk(field);
        replies.bulk(value);
      }
    },
  },
  {
    name: "hlen",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.hash(args[1])?.size ?? 0);
    },
  },
  {
    name: "hdel",
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const hash = store.hash(args[1]);
      replies.integer(args.slice(2).filter((field) => hash?.delete(field)).length);
      if (hash?.size === 0) store.delete(args[1]);
    },
  },
];
