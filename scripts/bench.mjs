// `npm run bench`: set-up, build, then all native benchmarks and every bench/*.bench.ts, one after the other
// (`npm run bench -- --smoke` runs each briefly).

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { build } from "./build.mjs";
import { hand } from "./exec.mjs";
import { script, setUp } from "./setup.mjs";

await script(async () => {
  const tools = await setUp();
  await build(tools);
  const args = process.argv.slice(2);
  const options = { cwd: tools.root, env: tools.env };
  const files = readdirSync(join(tools.root, "bench")).filter((name) => name.endsWith(".bench.ts"));
  const failed = [];
  const native = args.length > 0 ? args : ["--all"];
  if ((await hand(tools.zig, ["build", "benchmark", "--", ...native], options)) !== 0) failed.push("native");
  for (const name of files.sort()) {
    console.log(`\n${name}`);
    if ((await hand(tools.bun, [join("bench", name), ...args], options)) !== 0) failed.push(name);
  }
  if (failed.length > 0) console.error(`\nfailed: ${failed.join(", ")}`);
  return failed.length === 0 ? 0 : 1;
});
