// Fairness: among coroutines, and beside Bun.

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, xasync, xresume, xsuspend } from "zigcoro";

function* counter(upTo: number): Coroutine<number> {
  for (let i = 1; i <= upTo; i++) yield* xsuspend();
  return upTo * 2;
}

describe("fairness", () => {
  test("a coroutine whose operations all end at once lets others run", async () => {
    const ch = new Channel<number>(1);
    let stop = false;
    let rounds = 0;
    const busy = xasync(function* () {
      for (; !stop; rounds++) {
        yield* ch.send(1);
        yield* ch.recv();
      }
    });
    await asyncio.sleep(0);
    stop = true;
    await busy;
    expect(rounds).toBeGreaterThan(0);
  });

  test("coroutines that wake each other for ever leave Bun's timers and IO running", async () => {
    const ping = new Channel<number>();
    const pong = new Channel<number>();
    let stop = false;
    const a = xasync(function* () {
      while (!stop) {
        yield* ping.send(1);
        yield* pong.recv();
      }
      ping.close();
    });
    const b = xasync(function* () {
      while ((yield* ping.recv()) !== undefined) yield* pong.send(1);
    });
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("beside") });
    expect(await (await fetch(server.url)).text()).toBe("beside");
    await new Promise((resolve) => setTimeout(resolve, 1));
    stop = true;
    await a;
    await b;
  });

  test("what is ready runs in the order in which it became ready", async () => {
    const order: number[] = [];
    const gate = xasync(counter, [1]);
    const frames = Array.from({ length: 100 }, (_, i) =>
      xasync(function* () {
        yield* gate;
        order.push(i);
      }),
    );
    xresume(gate);
    expect(order).toEqual([]);
    await Promise.all(frames);
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
});
