// SUBSCRIBE, UNSUBSCRIBE and PUBLISH.

import type { Command } from "./command.ts";
import type { Session } from "./session.ts";

export const pubsub: Command[] = [
  {
    name: "subscribe",
    arity: -2,
    flags: ["pubsub", "subscriber"],
    run(session, args) {
      session.startSender();
      for (const topic of args.slice(1)) {
        session.server.topics.subscribe(topic, session);
        session.subscriptions.add(topic);
        confirm(session, "subscribe", topic);
      }
    },
  },
  {
    name: "unsubscribe",
    arity: -1,
    flags: ["pubsub", "subscriber"],
    run(session, args) {
      const topics = args.length > 1 ? args.slice(1) : [...session.subscriptions];
      for (const topic of topics) {
        session.server.topics.unsubscribe(topic, session);
        session.subscriptions.delete(topic);
        confirm(session, "unsubscribe", topic);
      }
      if (topics.length === 0) confirm(session, "unsubscribe", undefined);
    },
  },
  {
    name: "publish",
    arity: 3,
    flags: ["pubsub", "fast"],
    run({ replies, server }, args) {
      replies.integer(server.topics.publish(args[1], args[2]));
    },
  },
];

function confirm({ replies, subscriptions }: Session, what: string, topic: string | undefined): void {
  replies.array(3);
  replies.bulk(what);
  replies.bulk(topic);
  replies.integer(subscriptions.size);
}
