// Very many connections and UDP sockets one after the other, in a process of their own: descriptors and memory stay as they were. A million of
// each with ZIGCORO_LEAK=1, else a few thousand.

import { expect, test } from "bun:test";
import { fixture } from "./support/child.ts";

const full = process.env.ZIGCORO_LEAK === "1";

for (const [kind, name, count] of [
  ["tcp", "connections", full ? 1_000_000 : 5_000],
  ["udp", "UDP sockets", full ? 1_000_000 : 10_000],
] as const) {
  test(
    `${count.toLocaleString("en")} ${name} leave no descriptor and no memory`,
    async () => {
      const child = Bun.spawn([process.execPath, fixture("connections.ts"), kind, String(count)], { stdout: "pipe", stderr: "inherit" });
      const { descriptors, growth } = JSON.parse(await child.stdout.text());
      expect(descriptors).toBeLessThanOrEqual(0);
      expect(growth).toBeLessThan(full ? 64 : 32);
    },
    full ? 1_800_000 : 60_000,
  );
}
