// `npm start`: set-up, build, then the Redis-protocol server of examples/kv with the arguments given here
// (`npm start -- --serve --port 6379`). Its exit code is ours.

import { build } from "./build.mjs";
import { hand } from "./exec.mjs";
import { script, setUp } from "./setup.mjs";

await script(async () => {
  const tools = await setUp();
  await build(tools);
  return await hand(tools.bun, ["examples/kv/main.ts", ...process.argv.slice(2)], { cwd: tools.root, env: tools.env });
});
