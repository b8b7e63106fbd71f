// Commands on lists. Those that push hand elements on to connections that wait in BLPOP; BLPOP is the one command that suspends.

import type { Coroutine } from "zigcoro";
import { type Args, type Command, ReplyError, wrongArity } from "./command.ts";
import { List } from "./list.ts";
import { integer, timeoutMs } from "./numbers.ts";
import type { Session } from "./session.ts";
import type { Store } from "./store.ts";

export const lists: Command[] = [
  {
    name: "lpush",
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run: (session, args) => push(session, args, (list, value) => list.pushLeft(value)),
  },
  {
    name: "rpush",
    arity: -3,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run: (session, args) => push(session, args, (list, value) => list.pushRight(value)),
  },
  {
    name: "lpop",
    arity: -2,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run: (session, args) => pop(session, args, "lpop", (list) => list.popLeft()),
  },
  {
    name: "rpop",
    arity: -2,
    flags: ["write", "fast"],
    keys: [1, 1, 1],
    run: (session, args) => pop(session, args, "rpop", (list) => list.popRight()),
  },
  {
    name: "llen",
    arity: 2,
    flags: ["readonly", "fast"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      replies.integer(store.list(args[1])?.length ?? 0);
    },
  },
  {
    name: "lrange",
    arity: 4,
    flags: ["readonly"],
    keys: [1, 1, 1],
    run({ replies, store }, args) {
      const from = integer(args[2]);
      const to = integer(args[3]);
      const list = store.list(args[1]);
      const length = list?.length ?? 0;
      const first = Math.max(from < 0 ? from + length : from, 0);
      const last = Math.min(to < 0 ? to + length : to, length - 1);
      replies.bulks(list && first <= last ? list.range(first, last) : []);
    },
  },
  { name: "blpop", arity: -3, flags: ["write", "blocking"], keys: [1, -2, 1], run: blockingPop },
];

/** Takes the first element of the list at `key`; undefined when there is none. A list that becomes empty goes. */
export function popFirst(store: Store, key: string): string | undefined {
  const list = store.list(key);
  const value = list?.popLeft();
  if (list?.length === 0) store.delete(key);
  return value;
}

function push({ replies, store, server }: Session, args: Args, add: (list: List, value: string) => void): undefined {
  const key = args[1];
  let list = store.list(key);
  if (list === undefined) {
    list = new List();
    store.set(key, list);
  }
  for (let i = 2; i < args.length; i++) add(list, args[i] as string);
  replies.integer(list.length);
  server.waiters.serve(key, store);
}

/** LPOP and RPOP key [count] */
function pop({ replies, store }: Session, args: Args, name: string, take: (list: List) => string | undefined): undefined {
  if (args.length > 3) throw wrongArity(name);
  const counted = args.length === 3;
  const count = counted ? integer(args[2], "ERR value is out of range, must be positive") : 1;
  if (count < 0) throw new ReplyError("ERR value is out of range, must be positive");
  const list = store.list(args[1]);
  if (list === undefined) {
    if (counted) replies.nilArray();
    else replies.bulk(undefined);
    return;
  }
  if (counted) replies.array(Math.min(count, list.length));
  for (let i = Math.min(count, list.length); i > 0; i--) replies.bulk(take(list));
  if (list.length === 0) store.delete(args[1]);
}

/** BLPOP key [key ...] timeout */
function blockingPop(session: Session, args: Args): Coroutine<void> | undefined {
  const { replies, store } = session;
  const keys = args.slice(1, -1);
  const timeout = timeoutMs(args.at(-1) as string);
  for (const key of keys) {
    const value = popFirst(store, key);
    if (value !== undefined) {
      replies.bulks([key, value]);
      return;
    }
  }
  return waitAndReply(session, keys, timeout);
}

function* waitAndReply(session: Session, keys: string[], timeout: number): Coroutine<void> {
  const popped = yield* session.waitForElement(keys, timeout);
  if (popped) session.replies.bulks(popped);
  else if (!session.closing) session.replies.nilArray();
}
