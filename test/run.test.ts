// run: guest mode. Results, errors, nesting, and Bun's own timers, servers, streams and fetch beside it.

import { describe, expect, test } from "bun:test";
import { asyncio, Channel, type Coroutine, inCoro, run, until, xasync, xframe } from "zigcoro";
import { rejected, thrown } from "./support/failure.ts";
import { isWindows } from "./support/platform.ts";

describe("the promise", () => {
  test("resolves with the result of every kind of body", async () => {
    function* product(a: number, b: number): Coroutine<number> {
      yield* asyncio.sleep(0);
      return a * b;
    }
    expect(await run(product, [6, 7])).toBe(42);
    expect(await run(async (a: string) => `${a}!`, ["x"])).toBe("x!");
    expect(await run((a: number) => a, [3])).toBe(3);
    expect(await run(function* () {})).toBeUndefined();
    expect(await run(() => asyncio.sleep(0))).toBeUndefined();
  });

  test("is cancelled by a signal, with its reason", async () => {
    const controller = new AbortController();
    const running = rejected(run(() => asyncio.sleep(60_000), [], { signal: controller.signal }));
    const generator = rejected(
      run(
        function* () {
          yield* asyncio.sleep(60_000);
        },
        [],
        { signal: AbortSignal.abort("before") },
      ),
    );
    controller.abort("enough");
    expect(await generator).toMatch(/^Cancelled: /);
    expect(await running).toMatch(/^Cancelled: /);
  });

  test("rejects with what main throws, at once and later", async () => {
    expect(
      await rejected(
        // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
        run(function* () {
          throw new RangeError("at once");
        }),
      ),
    ).toBe("RangeError: at once");
    expect(
      await rejected(
        run(function* () {
          yield* asyncio.sleep(0);
          throw new RangeError("later");
        }),
      ),
    ).toBe("RangeError: later");
    expect(await rejected(run(async () => Promise.reject(new TypeError("async"))))).toBe("TypeError: async");
    expect(
      await rejected(
        run(() => {
          throw new Error("plain");
        }),
      ),
    ).toBe("Error: plain");
  });

  test("is a real Promise", () => {
    const promise = run(() => 1);
    expect(promise).toBeInstanceOf(Promise);
    expect(promise.finally).toBeFunction();
    return promise;
  });
});

test("main is named after its function, or as told", async () => {
  // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
  function* gatherer(): Coroutine<string> {
    return xframe().name;
  }
  expect(await run(gatherer)).toBe("gatherer");
  expect(await run(gatherer, [], { name: "other" })).toBe("other");
  expect(
    // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
    await run(function* () {
      return xframe().name;
    }),
  ).toBe("main");
});

test("many mains run side by side, and inside each other", async () => {
  const results = await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      run(function* () {
        yield* asyncio.sleep(i % 5);
        const inner = yield* until(
          run(function* () {
            yield* asyncio.sleep(1);
            return i;
          }),
        );
        return inner;
      }),
    ),
  );
  expect(results).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("wrong arguments are told", () => {
  expect(thrown(() => run("body" as never))).toBe('TypeError: run: main must be a function, got "body"');
  expect(thrown(() => run(undefined as never))).toBe("TypeError: run: main must be a function, got undefined");
  expect(thrown(() => run(() => 1, 5 as never))).toEndWith("must be an array, got 5");
});

describe("beside it", () => {
  test("Bun's timers fire while coroutines sleep and while they are busy", async () => {
    let fired = 0;
    const timer = setInterval(() => fired++, 1);
    await run(function* () {
      while (fired < 5) yield* asyncio.sleep(1);
    });
    const ch = new Channel<number>(1);
    const until = fired + 5;
    await run(function* () {
      while (fired < until) {
        yield* ch.send(1);
        yield* ch.recv();
      }
    });
    clearInterval(timer);
    expect(fired).toBeGreaterThanOrEqual(10);
  });

  test("Bun.serve answers requests from inside and outside of coroutines", async () => {
    const jobs = new Channel<[path: string, answer: (text: string) => void]>();
    const worker = xasync(function* () {
      for (;;) {
        const job = yield* jobs.recv();
        if (!job) return;
        yield* asyncio.sleep(1);
        job[1](`did ${job[0]}`);
      }
    });
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { promise, resolve } = Promise.withResolvers<string>();
        await jobs.send([new URL(request.url).pathname, resolve]);
        return new Response(await promise);
      },
    });
    const inside = run(function* () {
      const texts: string[] = [];
      for (let i = 0; i < 5; i++) {
        const response = yield* until(fetch(`${server.url}in${i}`));
        texts.push(yield* until(response.text()));
      }
      return texts;
    });
    const outside = Promise.all([0, 1, 2, 3, 4].map(async (i) => (await fetch(`${server.url}out${i}`)).text()));
    expect(await inside).toEqual([0, 1, 2, 3, 4].map((i) => `did /in${i}`));
    expect(await outside).toEqual([0, 1, 2, 3, 4].map((i) => `did /out${i}`));
    jobs.close();
    await worker;
  });

  test("a request handler may be an async coroutine with sockets of ours", async () => {
    using backend = await asyncio.TCP.listen({ port: 0 });
    xasync(async () => {
      for await (const conn of backend) {
        const asked = await conn.read();
        if (asked) await conn.write(`backend got ${Buffer.from(asked)}`);
        conn.close();
      }
    });
    using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        using conn = await asyncio.TCP.connect({ port: backend.local.port });
        await conn.write(new URL(request.url).pathname);
        let text = "";
        for (let chunk = await conn.read(); chunk; chunk = await conn.read()) text += Buffer.from(chunk);
        return new Response(text);
      },
    });
    const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => (await fetch(`${server.url}${i}`)).text()));
    expect(answers).toEqual(Array.from({ length: 20 }, (_, i) => `backend got /${i}`));
  });

  test("child processes and web streams go on", async () => {
    const text = await run(function* () {
      const child = Bun.spawn(isWindows ? [process.execPath, "-e", "process.stdin.pipe(process.stdout)"] : ["cat"], {
        stdin: "pipe",
        stdout: "pipe",
      });
      child.stdin.write("through cat");
      child.stdin.end();
      const [out] = yield* until(Promise.all([child.stdout.text(), child.exited]));
      return out;
    });
    expect(text).toBe("through cat");
  });

  test("code after a start runs on at once: run does not block", () => {
    let ended = false;
    const promise = run(function* () {
      yield* asyncio.sleep(0);
      ended = true;
    });
    expect([ended, inCoro()]).toEqual([false, false]);
    return promise;
  });

  test("idle and busy times alternate: it parks and wakes a hundred times", async () => {
    const [toUs, toThem] = [new Channel<number>(), new Channel<number>()];
    const echo = xasync(function* () {
      for (;;) {
        const n = yield* toThem.recv();
        if (n === undefined) return;
        yield* asyncio.sleep(0.2);
        yield* toUs.send(n);
      }
    });
    for (let i = 0; i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, i % 3));
      await toThem.send(i);
      expect(await toUs.recv()).toBe(i);
    }
    toThem.close();
    await echo;
  });
});
