// The other thread of the shared channel's benchmark: sends or receives so many numbers, on a shared channel or a bare port.

import { type Coroutine, run, SharedChannel, type SharedChannelHandle } from "zigcoro";

export interface Task {
  readonly what: "send" | "receive" | "receive many" | "post";
  readonly count: number;
  readonly handle?: SharedChannelHandle;
  readonly port?: MessagePort;
}

function* work({ what, count, handle }: Task): Coroutine<void> {
  const channel = SharedChannel.from<number>(handle as SharedChannelHandle);
  if (what === "send") for (let i = 0; i < count; i++) yield* channel.send(i);
  else if (what === "receive") for (let i = 0; i < count; i++) yield* channel.recv();
  else for (let received = 0; received < count; ) received += (yield* channel.recvMany(1000)).length;
}

addEventListener("message", async (event) => {
  const task = (event as MessageEvent<Task>).data;
  if (task.port === undefined) await run(work, [task]);
  else for (let i = 0; i < task.count; i++) task.port.postMessage(i);
  postMessage("done");
});
