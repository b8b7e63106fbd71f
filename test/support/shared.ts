// Workers that use shared channels: starts one in a role of fixtures/shared-worker.ts.

import type { SharedChannel } from "zigcoro";
import type { Task } from "../fixtures/shared-worker.ts";
import { fixture } from "./child.ts";

export interface Helper {
  readonly worker: Worker;
  readonly counts: Int32Array;
  /** What it posts, one after another. */
  next(): Promise<unknown>;
  /** Its thread has ended. */
  readonly ended: Promise<void>;
}

export function start(role: string, channels: readonly SharedChannel<number>[], { id = 0, total = 0 } = {}): Helper {
  const worker = new Worker(fixture("shared-worker.ts"));
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const posted: unknown[] = [];
  const asked: { resolve(value: unknown): void; reject(error: unknown): void }[] = [];
  worker.onmessage = ({ data }) => {
    const first = asked.shift();
    if (first === undefined) posted.push(data);
    else first.resolve(data);
  };
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const fail = (why: string) => {
    for (const { reject } of asked.splice(0)) reject(new Error(`Worker in role "${role}": ${why}`));
  };
  worker.onerror = (event) => fail(event.message);
  worker.addEventListener("close", () => {
    resolve();
    fail("has ended");
  });
  const handles = channels.map((channel) => channel.handle());
  worker.postMessage(
    { role, id, total, handles, counts } satisfies Task,
    handles.map(({ port }) => port),
  );
  const next = () =>
    posted.length > 0
      ? Promise.resolve(posted.shift())
      : new Promise<unknown>((resolve, reject) => {
          asked.push({ resolve, reject });
        });
  return { worker, counts, next, ended };
}
