// The examples in the docstrings run, and print what they say. Each runs inside a coroutine, or an async function where it awaits; what it
// takes for granted is set up by a prelude here. An example without an entry fails, and so does an entry without its example.

import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import * as zigcoro from "zigcoro";

const source = join(import.meta.dir, "../src");

interface Example {
  readonly name: string;
  readonly code: string;
}

/** `@example` blocks, named after what the docstring stands before. */
function examplesOf(file: string): Example[] {
  const text = readFileSync(join(source, file), "utf8");
  const examples: Example[] = [];
  for (const [doc, declaration] of [...text.matchAll(/\/\*\*[\s\S]*?\*\/\n(.*)/g)].map((match) => [match[0], match[1] as string])) {
    const name =
      declaration
        ?.match(/(?:function\*?|class|const|interface) (\w+)|(\w+)\s*[(<:]/)
        ?.slice(1)
        .find(Boolean) ?? "?";
    const blocks = [...(doc as string).matchAll(/```ts\n([\s\S]*?) *\* ```/g)].map((match) =>
      (match[1] as string).replace(/^ *\* ?/gm, ""),
    );
    for (const [i, code] of blocks.entries()) examples.push({ name: `${file} ${name}${i > 0 ? ` ${i + 1}` : ""}`, code });
  }
  return examples;
}

interface Entry {
  /** It runs in an async function, not in a generator. */
  readonly isAsync?: boolean;
  readonly prelude?: string;
  readonly after?: string;
  readonly prints?: string[];
}

/** A connection and its peer. */
const connected = `
  const server = yield* asyncio.TCP.listen({ port: 0 });
  const connecting = xasync(function* () { return yield* asyncio.TCP.connect({ port: server.local.port }); });
  const peer = yield* server.accept();
  const connection = yield* connecting;
  server.close();`;

const entries: Record<string, Entry> = {
  "as-ready.ts xawaitAsReady": {
    prelude: "const [slow, fast] = [100, 1].map((ms) => xasync(function* () { yield* sleep(ms); return ms; }));",
    prints: ["1", "100"],
  },
  "block.ts block": { prelude: "" },
  "broadcast.ts Broadcast": { prints: ["hello hello"] },
  "call.ts call": { isAsync: true, prints: ["50005000"] },
  "channel.ts Channel": { isAsync: true, prints: ["1", "2", "3"] },
  "channel.ts sliding": { prints: ["3"] },
  "channel.ts dropping": { prints: ["1 2 undefined"] },
  "channel.ts forEach": { prelude: "const numbers = new Channel(2); numbers.trySend(1); numbers.close();" },
  "corot.ts CoroT": { prints: ["2 3 2 values"] },
  "coroutine.ts xasync": { isAsync: true, prints: ["42"] },
  "coroutine.ts xframe": { prints: ["1"] },
  "coroutine.ts xsuspendSafe": { isAsync: true, prints: ["false"] },
  "coroutine.ts xsuspendBlock": {
    prelude: 'const readFile = (_name, told) => void setTimeout(() => told(null, "text"), 0);',
    after: "console.log(data);",
    prints: ["text"],
  },
  "event.ts Event": { prints: ["go"] },
  "event.ts Barrier": {
    after: "yield* all([player(), player()]);",
    prints: ["round 0 begins", "round 1 begins", "round 2 begins"],
  },
  "file.ts File": { isAsync: true, after: 'await Bun.file("/tmp/zigcoro-example").delete();', prints: ["world"] },
  "file.ts lines": { isAsync: true, after: 'await Bun.file("/tmp/zigcoro-lines").delete();', prints: ["one", "two", "three"] },
  "interval.ts interval": { prints: Array.from({ length: 10 }, () => "a tenth of a second") },
  "local.ts Local": { isAsync: true, prints: ["ann", "nobody"] },
  "loop.ts runOwner": { after: "console.log(answer);", prints: ["42"] },
  "notification.ts AsyncNotification": {
    prelude: "const worker = { postMessage: (handle) => console.log(asyncio.AsyncNotification.notify(handle)) };",
    prints: ["true"],
  },
  "process.ts Process": { prints: ["9\n10\n", "0"] },
  "process.ts run": { prints: ["0 HELLO"] },
  "signal.ts signals": {
    prelude: 'const server = yield* asyncio.TCP.listen({ port: 0 }); setTimeout(() => process.kill(process.pid, "SIGTERM"), 1);',
    prints: ["SIGTERM: no new connections"],
  },
  "retry.ts retry": {
    prelude: 'let tries = 0; const url = ""; const fetch = async () => { if (++tries < 3) throw new Error("no"); return "page"; };',
    after: "console.log(response);",
    prints: ["page"],
  },
  "run.ts run": { isAsync: true, after: "console.log(answer);", prints: ["42"] },
  "scope.ts scope": { prelude: "function* square(n) { yield* sleep(0); return n * n; }", after: "console.log(sum);", prints: ["14"] },
  "scope.ts scope 2": {
    isAsync: true,
    prelude: "async function square(n) { await sleep(0); console.log(n * n); }",
    after: "await main();",
    prints: ["1", "4"],
  },
  "channel.ts recvMany": { prelude: "const rows = new Channel(5); for (const n of [1, 2, 3]) rows.trySend(n);", prints: ["3"] },
  "event.ts Latch": { prints: ["0"] },
  "gather.ts allSettled": {
    prelude: "const fetchPage = (name) => call(function* () { yield* sleep(0); if (name === 'a') throw new Error('no'); return name; });",
    prints: ["1"],
  },
  "gather.ts any": {
    prelude:
      "const fetchPage = (name) => call(function* () { yield* sleep(0); if (name === 'down') throw new Error('no'); return name; });",
    after: "console.log(page);",
    prints: ["up"],
  },
  "shared-channel.ts SharedChannel": {
    prelude: "let there; const worker = { postMessage: (handle) => { there = SharedChannel.from(handle); } };",
    after: "console.log(yield* there.recv());",
    prints: ["42"],
  },
  "shield.ts shield": {
    prelude: "function* commit() { yield* sleep(0); console.log('committed'); }",
    prints: ["committed"],
  },
  "stream.ts writableTo": { prints: ["some text"] },
  "duplex.ts readable": {
    prelude: `${connected} yield* peer.write("the page"); peer.close();`,
    after: "console.log(page); connection.close();",
    prints: ["the page"],
  },
  "duplex.ts writable": {
    prelude: connected,
    after: "console.log(Buffer.from(yield* peer.read()).toString(), yield* peer.read()); peer.close(); connection.close();",
    prints: ["a file, or a fetched body null"],
  },
  "duplex.ts toDuplex": {
    isAsync: true,
    prelude: `const server = await asyncio.TCP.listen({ port: 0 }); const url = "http://127.0.0.1:" + server.local.port + "/page";
      fetch(url).then((answer) => answer.text()).then(console.log).then(() => server.close());`,
    prints: ["hello from /page"],
  },
  "connection.ts createConnection": {
    isAsync: true,
    prelude: `const server = http.createServer((request, response) => response.end("page")).listen(0, "127.0.0.1");
      await once(server, "listening"); const { port } = server.address();`,
    after: "response.resume(); await once(response, 'end'); server.close();",
    prints: ["200"],
  },
  "timeout.ts withTimeout": {
    prelude: "const inbox = new Channel(0, 'inbox');",
    prints: ['timed out after 1 ms waiting to receive from channel "inbox"'],
  },
  "select.ts select": {
    prelude: 'const inbox = new Channel(1); inbox.trySend("hello"); const child = xasync(function* () { yield* sleep(60_000); });',
    prints: [],
  },
  "select.ts race": {
    prelude: "function* fetchFrom(host) { yield* sleep(host === 'a' ? 60_000 : 0); return host; }",
    after: "console.log(page);",
    prints: ["b"],
  },
  "gather.ts all": {
    prelude:
      "const later = (value) => call(function* () { yield* sleep(0); return value; }); const [fetchUser, fetchPosts, fetchPage] = [later, later, later]; const urls = ['a', 'b'];",
    after: "console.log(user, posts, pages.join());",
    prints: ["7 7 a,b"],
  },
  "semaphore.ts Semaphore": {
    prelude: "const fetch = async (url) => url;",
    after: "console.log(yield* download('page'));",
    prints: ["page"],
  },
  "semaphore.ts Mutex": {
    prelude: "const mutex = new Mutex(); const table = {}; function* update() { yield* sleep(0); console.log('alone'); }",
    prints: ["alone"],
  },
  "stream.ts channelFrom": {
    after: "console.log(event.value);",
    prints: ["a line"],
  },
  "stream.ts readableFrom": {
    prelude: "const chunks = new Channel(1); chunks.trySend('chunk'); chunks.close(); const Bun = { serve: ({ fetch }) => fetch() };",
  },
  "timeout.ts withDeadline": {
    prelude: "const connection = { read: (n) => call(function* () { yield* sleep(0); return n ?? 'rest'; }) };",
    after: "console.log(head, rest);",
    prints: ["4 rest"],
  },
  "udp.ts write": { prints: ["hello true"] },
  "until.ts until": {
    prelude: "const url = ''; const fetch = async (_url, { signal }) => signal.aborted;",
    after: "console.log(response);",
    prints: ["false"],
  },
};

const examples = readdirSync(source)
  .filter((file) => file.endsWith(".ts"))
  .flatMap(examplesOf)
  // Needs a C file; the README's test runs the like.
  .filter(({ name }) => name !== "native.ts cc");

async function runExample({ code }: Example, { isAsync = false, prelude = "", after = "" }: Entry): Promise<string[]> {
  const printed: string[] = [];
  const console = {
    log: (...values: unknown[]) => void printed.push(values.map(String).join(" ")),
    async *[Symbol.asyncIterator]() {
      yield "a line";
    },
  };
  const keyword = isAsync ? "async function" : "function*";
  const text = `export default ${keyword} example() {\n${prelude}\n${code}\n${after}\n}`;
  const js = new Bun.Transpiler({ loader: "ts", target: "bun", deadCodeElimination: false }).transformSync(text);
  const names = { ...zigcoro, console, http, once, readFile };
  const make = new Function(...Object.keys(names), `return ${js.slice(js.indexOf(keyword)).replace(/;\s*$/, "")}`);
  const example = make(...Object.values(names)) as () => zigcoro.Coroutine<unknown>;
  if (isAsync) await (example as unknown as () => Promise<unknown>)();
  else if (/asyncio\.run|block\(/.test(code)) {
    for (const step of { [Symbol.iterator]: example }) void step;
  } else await zigcoro.run(example);
  return printed;
}

describe("docstrings", () => {
  for (const example of examples) {
    test(example.name, async () => {
      const entry = entries[example.name];
      expect(entry).toBeDefined();
      const printed = await runExample(example, entry ?? {});
      expect(printed).toEqual(entry?.prints ?? []);
    });
  }

  test("every entry has its example", () => {
    expect(Object.keys(entries).filter((name) => !examples.some((example) => example.name === name))).toEqual([]);
  });
});
