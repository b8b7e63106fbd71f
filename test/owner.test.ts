// asyncio.run: owner mode. Results, errors, async bodies, deadlock, and guest work before, within and after.

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, run, until, xasync } from "zigcoro";
import { runFixture } from "./support/child.ts";
import { rejected, thrown } from "./support/failure.ts";
import { backends } from "./support/platform.ts";

const loop = new asyncio.Loop();

describe("main", () => {
  test("gives its result, of every kind of body", () => {
    function* product(a: number, b: number): Coroutine<number> {
      yield* asyncio.sleep(1);
      return a * b;
    }
    expect(asyncio.run(loop, product, [6, 7])).toBe(42);
    expect(asyncio.run(loop, async (a: string) => `${a}!`, ["x"])).toBe("x!");
    expect(asyncio.run(loop, (a: number) => a, [3])).toBe(3);
    expect(asyncio.run(loop, function* () {})).toBeUndefined();
  });

  test("throws what it throws, at once and later, and the loop is good for more", () => {
    const error = new RangeError("thrown");
    const bodies: (() => unknown)[] = [
      // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
      function* (): Coroutine<void> {
        throw error;
      },
      function* (): Coroutine<void> {
        yield* asyncio.sleep(0);
        throw error;
      },
      async () => Promise.reject(error),
      async () => {
        await asyncio.sleep(0);
        throw error;
      },
      () => {
        throw error;
      },
    ];
    for (const body of bodies) {
      try {
        asyncio.run(loop, body);
        throw new Error("nothing was thrown");
      } catch (caught) {
        expect(caught).toBe(error);
      }
    }
    expect(asyncio.run(loop, () => 1)).toBe(1);
  });

  test("may be async: microtasks go on between ticks", () => {
    const log: string[] = [];
    const result = asyncio.run(loop, async () => {
      queueMicrotask(() => log.push("microtask"));
      await null;
      await Promise.all([asyncio.sleep(1), asyncio.sleep(2)]);
      const values: number[] = [];
      const ch = new Channel<number>();
      xasync(async () => {
        for (let i = 0; i < 3; i++) await ch.send(i);
        ch.close();
      });
      for await (const value of ch) values.push(value);
      log.push(values.join());
      return await until(Promise.resolve("end"));
    });
    expect(result).toBe("end");
    expect(log).toEqual(["microtask", "0,1,2"]);
  });

  test("blocks: Bun's timers wait until it has returned", async () => {
    let fired = false;
    const timer = new Promise<void>((resolve) =>
      setTimeout(() => {
        fired = true;
        resolve();
      }, 0),
    );
    asyncio.run(loop, () => asyncio.sleep(5));
    expect(fired).toBe(false);
    await timer;
  });

  test("is run ten thousand times in a row", () => {
    let sum = 0;
    for (let i = 0; i < 10_000; i++) {
      sum += asyncio.run(
        loop,
        // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
        function* (n: number) {
          return n;
        },
        [i],
      );
    }
    expect(sum).toBe((9999 * 10_000) / 2);
  });
});

describe("refused", () => {
  test("inside of a coroutine, in either mode, by name", async () => {
    const text = "Error: asyncio.run cannot be called inside a coroutine: the loop runs already; write yield*";
    function* nested(): Coroutine<string> {
      const told = thrown(() => asyncio.run(loop, () => 1));
      yield* asyncio.sleep(0);
      expect(thrown(() => asyncio.run(loop, () => 1))).toBe(told);
      return told;
    }
    expect(asyncio.run(loop, nested)).toBe(text);
    expect(await run(nested)).toBe(text);
    expect(asyncio.run(loop, async () => thrown(() => asyncio.run(loop, () => 1)))).toBe(text);
  });

  test("wrong arguments", () => {
    expect(thrown(() => asyncio.run({} as never, () => 1))).toBe(
      "TypeError: asyncio.run: loop must be an asyncio.Loop, got an object of class Object",
    );
    expect(thrown(() => asyncio.run(undefined as never, () => 1))).toBe(
      "TypeError: asyncio.run: loop must be an asyncio.Loop, got undefined",
    );
    expect(thrown(() => asyncio.run(loop, "main" as never))).toBe('TypeError: asyncio.run: main must be a function, got "main"');
    expect(thrown(() => asyncio.run(loop, () => 1, "args" as never))).toEndWith('must be an array, got "args"');
    expect(asyncio.run(loop, () => 2)).toBe(2);
  });
});

describe("a deadlock", () => {
  // In processes of their own: what another test left pending would be reason enough to wait on.
  const asleep = "Deadlock: all coroutines are asleep\n    ";
  const code = " (ERR_DEADLOCK)\n";
  const programs: [string, string][] = [
    ["receive", `${asleep}"boss" waits to receive from channel "c"${code}`],
    ["send", `${asleep}"boss" waits to send to channel "c"${code}`],
    ["suspend", `${asleep}"boss" waits to be resumed${code}`],
    ["promise", `${asleep}"boss" waits to await a promise${code}`],
    ["async receive", `${asleep}"boss" waits to receive from channel "c"`],
    ["join", `${asleep}"boss" waits to await coroutine "worker 4"\n    "worker 4" waits to receive from channel "results"${code}`],
    [
      "after a refused read",
      `Error: cannot read from a connection: another coroutine does so already\n1\n${asleep}"boss" waits to receive from channel "c"${code}`,
    ],
    ["and then more", `${asleep}"boss" waits to receive from channel "c"${code}got late\nended with 1\nslept\n`],
  ];
  for (const [name, out] of programs) {
    test(`says who waits for what: ${name}`, async () => {
      const ended = await runFixture("deadlocks.ts", [name]);
      expect([ended.code, ended.err]).toEqual([0, ""]);
      expect(ended.out).toStartWith(out);
    });
  }

  test("is none while a timer, a socket or a listener is pending", () => {
    asyncio.run(loop, function* () {
      const server = yield* asyncio.TCP.listen({ port: 0 });
      const closer = xasync(function* () {
        yield* asyncio.sleep(5);
        server.close();
      });
      try {
        yield* server.accept();
      } catch (error) {
        expect((error as { code?: string }).code).toBe("ECANCELED");
      }
      yield* closer;
    });
  });
});

describe("guest work", () => {
  test("that was started before goes on inside, and ends there", () => {
    const log: string[] = [];
    const sleeper = xasync(function* () {
      yield* asyncio.sleep(1);
      log.push("sleeper");
    });
    asyncio.run(loop, function* () {
      yield* sleeper;
      log.push("main");
    });
    expect(log).toEqual(["sleeper", "main"]);
  });

  test("that outlives the run goes on afterwards", async () => {
    let sleeper = xasync(function* () {
      yield* asyncio.sleep(10);
      return "started before";
    });
    asyncio.run(loop, () => asyncio.sleep(1));
    expect(await sleeper).toBe("started before");
    // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
    asyncio.run(loop, function* () {
      sleeper = xasync(function* () {
        yield* asyncio.sleep(5);
        return "started within";
      });
    });
    expect(await sleeper).toBe("started within");
  });

  test("parked in the kernel, then owned, then guest again, many times", async () => {
    for (let i = 0; i < 30; i++) {
      const guest = run(function* () {
        yield* asyncio.sleep(i % 4);
        return i;
      });
      // Bun's timer, not ours: the loop is parked or not when it fires, by chance.
      await new Promise((resolve) => setTimeout(resolve, i % 3));
      expect(asyncio.run(loop, () => asyncio.sleep(i % 2))).toBeUndefined();
      expect(await guest).toBe(i);
    }
  });
});

test("a failure of another coroutine does not end main", () => {
  const result = asyncio.run(loop, function* () {
    const failing = xasync(function* () {
      yield* asyncio.sleep(0);
      throw new Error("not mine");
    });
    const told = yield* until(rejected(failing));
    yield* asyncio.sleep(1);
    return told;
  });
  expect(result).toBe("Error: not mine");
});

test("a TCP echo in one thread, both ends owned", () => {
  const text = asyncio.run(loop, function* () {
    using server = yield* asyncio.TCP.listen({ port: 0 });
    xasync(function* () {
      using conn = yield* server.accept();
      for (let chunk = yield* conn.read(); chunk; chunk = yield* conn.read()) yield* conn.write(chunk);
    });
    using client = yield* asyncio.TCP.connect({ port: server.local.port });
    yield* client.write("owned");
    return Buffer.from((yield* client.read()) ?? []).toString();
  });
  expect(text).toBe("owned");
});

test("the loop says its backend", () => {
  expect(backends).toContain(loop.backend);
  if (process.env.ZIGCORO_BACKEND) expect(loop.backend).toBe(process.env.ZIGCORO_BACKEND as "epoll");
});
