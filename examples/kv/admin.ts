// Commands about the connection and the server, among them what redis-cli and redis-benchmark ask before they begin.

import { type Args, type Command, ReplyError, wrongArity } from "./command.ts";
import { matches } from "./glob.ts";
import { MAX_BULK_BYTES, MAX_CONNECTIONS } from "./limits.ts";
import { integer } from "./numbers.ts";
import type { Session } from "./session.ts";

export const admin: Command[] = [
  {
    name: "ping",
    arity: -1,
    flags: ["fast", "subscriber"],
    run({ replies, subscriptions }, args) {
      if (args.length > 2) throw wrongArity("ping");
      if (subscriptions.size > 0) replies.bulks(["pong", args[1] ?? ""]);
      else if (args.length === 2) replies.bulk(args[1]);
      else replies.status("PONG");
    },
  },
  {
    name: "echo",
    arity: 2,
    flags: ["fast"],
    run({ replies }, args) {
      replies.bulk(args[1]);
    },
  },
  {
    name: "quit",
    arity: -1,
    flags: ["fast", "subscriber"],
    run(session) {
      session.replies.status("OK");
      session.closing = true;
    },
  },
  {
    name: "reset",
    arity: 1,
    flags: ["fast", "subscriber"],
    run(session) {
      session.unsubscribeAll();
      session.name = "";
      session.replies.status("RESET");
    },
  },
  {
    name: "select",
    arity: 2,
    flags: ["fast"],
    run({ replies }, args) {
      if (integer(args[1]) !== 0) throw new ReplyError("ERR DB index is out of range");
      replies.status("OK");
    },
  },
  { name: "client", arity: -2, flags: ["admin"], run: client },
  { name: "config", arity: -2, flags: ["admin"], run: config },
  { name: "info", arity: -1, flags: [], run: info },
];

function client(session: Session, args: Args): undefined {
  const { replies } = session;
  const what = args[1].toLowerCase();
  const arity = { id: 2, getname: 2, setname: 3, setinfo: 4, list: 2 }[what];
  if (arity === undefined) throw unknownSubcommand("CLIENT", args[1]);
  if (args.length !== arity) throw wrongArity(`client|${what}`);
  switch (what) {
    case "id":
      replies.integer(session.id);
      break;
    case "getname":
      replies.bulk(session.name === "" ? undefined : session.name);
      break;
    case "list":
      replies.bulk(
        [...session.server.sessions]
          .map((each) => `id=${each.id} addr=${each.address} name=${each.name} sub=${each.subscriptions.size}\n`)
          .join(""),
      );
      break;
    case "setname":
      if (/[^!-~]/.test(args[2])) throw new ReplyError("ERR Client names cannot contain spaces, newlines or special characters.");
      session.name = args[2];
      replies.status("OK");
      break;
    default:
      replies.status("OK"); // SETINFO: the library's name and version, which nobody here asks for
  }
}

const SETTINGS: Record<string, string> = {
  appendonly: "no",
  databases: "1",
  maxclients: String(MAX_CONNECTIONS),
  maxmemory: "0",
  "proto-max-bulk-len": String(MAX_BULK_BYTES),
  save: "",
  timeout: "0",
};

function config({ replies }: Session, args: Args): undefined {
  if (args[1].toLowerCase() !== "get") throw unknownSubcommand("CONFIG", args[1]);
  if (args.length < 3) throw wrongArity("config|get");
  const patterns = args.slice(2).map((pattern) => pattern.toLowerCase());
  replies.bulks(Object.entries(SETTINGS).flatMap((setting) => (patterns.some((pattern) => matches(pattern, setting[0])) ? setting : [])));
}

/** INFO [section ...] */
function info({ replies, server, store }: Session, args: Args): undefined {
  const memory = process.memoryUsage();
  const seconds = Math.floor((Date.now() - server.startedAt) / 1000);
  const sections: Record<string, Record<string, string | number>> = {
    Server: {
      redis_version: "7.0.0",
      server_name: "zigcoro-kv",
      bun_version: Bun.version,
      process_id: process.pid,
      tcp_port: server.port,
      uptime_in_seconds: seconds,
    },
    Clients: { connected_clients: server.sessions.size, maxclients: MAX_CONNECTIONS, blocked_clients: server.waiters.size },
    Memory: { used_memory: memory.heapUsed, used_memory_rss: memory.rss },
    Stats: { total_connections_received: server.connections, total_commands_processed: server.commands, expired_keys: store.expired },
    Replication: { role: "master", connected_slaves: 0 },
    Keyspace: store.size > 0 ? { db0: `keys=${store.size},expires=${store.mortal}` } : {},
  };
  const wanted = args.slice(1).map((section) => section.toLowerCase());
  const all = wanted.length === 0 || wanted.some((section) => ["all", "default", "everything"].includes(section));
  const shown = Object.entries(sections).filter(([section]) => all || wanted.includes(section.toLowerCase()));
  const text = shown.map(([section, values]) =>
    [`# ${section}`, ...Object.entries(values).map(([name, value]) => `${name}:${value}`), ""].join("\r\n"),
  );
  replies.bulk(text.join("\r\n"));
}

export function unknownSubcommand(command: string, name: string): ReplyError {
  return new ReplyError(`ERR unknown subcommand '${name.slice(0, 128)}'. Try ${command} HELP.`);
}
