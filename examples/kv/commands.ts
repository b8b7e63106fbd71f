// All commands by name, the checks that come before each of them, and COMMAND, which describes them.

import type { Coroutine } from "zigcoro";
import { admin, unknownSubcommand } from "./admin.ts";
import { type Args, type Command, ReplyError, wrongArity } from "./command.ts";
import { hashes } from "./hashes.ts";
import { keys } from "./keys.ts";
import { lists } from "./lists.ts";
import { pubsub } from "./pubsub.ts";
import type { Session } from "./session.ts";
import { sets } from "./sets.ts";
import { strings } from "./strings.ts";

const description: Command = { name: "command", arity: -1, flags: [], run: describe };
const all: readonly Command[] = [...strings, ...keys, ...lists, ...hashes, ...sets, ...pubsub, ...admin, description];

/** In the two spellings that clients use, so that a name need not be folded to find it. */
const byName = new Map(all.flatMap((command) => [[command.name, command] as const, [command.name.toUpperCase(), command] as const]));

/**
 * Runs one request and writes its reply, which may be an error. A command that has to wait comes back as what waits; a ReplyError that it
 * throws later is the caller's to write.
 */
export function execute(session: Session, args: string[]): Coroutine<void> | undefined {
  try {
    return find(session, args).run(session, args as unknown as Args);
  } catch (error) {
    if (!(error instanceof ReplyError)) throw error;
    session.replies.error(error.message);
  }
}

function find(session: Session, args: string[]): Command {
  const name = args[0] as string;
  const command = byName.get(name) ?? byName.get(name.toLowerCase());
  if (command === undefined) {
    // A web page can make a browser send this. Nothing behind its head shall be taken for commands.
    if (/^(post|host:)$/i.test(name)) session.closing = true;
    throw unknownCommand(name, args);
  }
  if (command.arity < 0 ? args.length < -command.arity : args.length !== command.arity) throw wrongArity(command.name);
  if (session.subscriptions.size > 0 && !command.flags.includes("subscriber")) {
    const allowed = "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    throw new ReplyError(`ERR Can't execute '${command.name}': only ${allowed}`);
  }
  return command;
}

function unknownCommand(name: string, args: string[]): ReplyError {
  let shown = "";
  for (let i = 1; i < args.length && shown.length < 128; i++) shown += `'${(args[i] as string).slice(0, 128 - shown.length)}' `;
  return new ReplyError(`ERR unknown command '${name.slice(0, 128)}', with args beginning with: ${shown}`);
}

/** COMMAND [COUNT | DOCS [name ...] | INFO [name ...]] */
function describe({ replies }: Session, args: Args): undefined {
  const what = args.length > 1 ? args[1].toLowerCase() : "info";
  if (what === "count") replies.integer(all.length);
  else if (what === "docs") replies.array(0);
  else if (what === "info") {
    const names = args.length > 2 ? args.slice(2) : all.map((command) => command.name);
    replies.array(names.length);
    for (const name of names) describeOne(replies, byName.get(name.toLowerCase()));
  } else throw unknownSubcommand("COMMAND", args[1]);
}

function describeOne(replies: Session["replies"], command: Command | undefined): void {
  if (command === undefined) {
    replies.bulk(undefined);
    return;
  }
  const flags = command.flags.filter((flag) => flag !== "subscriber");
  replies.array(6);
  replies.bulk(command.name);
  replies.integer(command.arity);
  replies.array(flags.length);
  for (const flag of flags) replies.status(flag);
  for (const position of command.keys ?? [0, 0, 0]) replies.integer(position);
}
