// Very many timers at once, in a process of their own: none early, all in order, cancels in between, and memory that stays as it was. A million
// of them with ZIGCORO_LEAK=1, else a tenth of that.

import { expect, test } from "bun:test";
import { now, run, sleepUntil, xasync } from "zigcoro";
import { fixture } from "./support/child.ts";

const full = process.env.ZIGCORO_LEAK === "1";
const count = full ? 1_000_000 : 100_000;

test(`${count.toLocaleString("en")} timers at once`, async () => {
  const child = Bun.spawn([process.execPath, fixture("timers.ts"), String(count)], { stdout: "pipe", stderr: "inherit" });
  const { growth, ...wrong } = JSON.parse(await child.stdout.text());
  expect(wrong).toEqual({ early: 0, outOfOrder: 0, lost: 0, notCancelled: 0 });
  // Of the first rounds the process keeps what it has: some 150 bytes for each timer at once.
  expect(growth).toBeLessThan(full ? 100 : 32);
}, 240_000);

test("a deadline is met as `now` sees it, however its number is rounded", async () => {
  await run(function* () {
    for (let i = 0; i < 300; i++) {
      const deadline = now() + i / 1e5;
      yield* sleepUntil(deadline);
      expect(now()).toBeGreaterThanOrEqual(deadline);
    }
    for (const past of [0, now(), now() - 1e-6]) yield* sleepUntil(past);
  });
});

test("a deadline at the end of time is only far away", async () => {
  await run(function* () {
    for (const far of [1e13, 2 ** 52, Number.MAX_SAFE_INTEGER]) {
      const frame = xasync(function* () {
        yield* sleepUntil(far);
      });
      yield* sleepUntil(now() + 1);
      expect(frame.status).toBe("suspended");
      frame.cancel();
    }
  });
});
