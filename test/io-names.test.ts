// Names of hosts, by Bun's resolver and by the C library's, which owner mode uses. Runs on each backend (ZIGCORO_BACKEND). The names are such
// that nobody asks a server: "127.1" is the old way to write an address, and no name is longer than 253 bytes.

import { describe, expect, test } from "bun:test";
import { asyncio, block, Cancelled, type Coroutine, type Operation, spawn, until } from "zigcoro";
import { thrown } from "./support/failure.ts";
import { inBothModes } from "./support/modes.ts";

const { TCP, UDP } = asyncio;
const host = "127.1";
const nobody = `${"n".repeat(300)}.invalid`;

/** What an operation throws. */
function* caught(operation: Operation<unknown>): Coroutine<Error & { code?: string }> {
  try {
    yield* operation;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not throw");
}

inBothModes("a name is listened on, connected to and written to", function* () {
  using server = yield* TCP.listen({ port: 0, host });
  expect(server.local.address).toBe("127.0.0.1");
  using connection = yield* TCP.connect({ port: server.local.port, host });
  expect(connection.remote?.address).toBe("127.0.0.1");
  using here = yield* UDP.bind({ port: 0, host });
  using there = yield* UDP.bind({ port: 0 });
  yield* there.write("hello", { host, port: here.local.port });
  expect((yield* here.read()).address.port).toBe(there.local.port);
});

inBothModes("a name that stands for nothing is ENOTFOUND", function* () {
  for (const operation of [TCP.connect({ port: 1, host: nobody }), TCP.listen({ port: 1, host: nobody })]) {
    expect(yield* caught(operation)).toMatchObject({ code: "ENOTFOUND", hostname: nobody, port: 1 });
  }
  const zero = yield* caught(TCP.connect({ port: 1, host: "a\0b" }));
  expect(zero.code).toBe("ENOTFOUND");
});

inBothModes("a cancel ends a lookup, and is no failure to find the name", function* () {
  for (let i = 0; i < 20; i++) {
    const frame = spawn(() => TCP.connect({ port: 1, host }));
    yield* frame.cancel("enough");
    expect(yield* caught(until(frame))).toBeInstanceOf(Cancelled);
  }
});

describe("block", () => {
  test("looks names up", () => {
    using server = block(TCP.listen({ port: 0, host }));
    using connection = block(TCP.connect({ port: server.local.port, host }));
    expect(connection.remote?.port).toBe(server.local.port);
    expect(thrown(() => block(TCP.connect({ port: 1, host: nobody })))).toBe(`Error: connect ENOTFOUND ${nobody}`);
  });
});
