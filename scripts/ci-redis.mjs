// Drives the server of examples/kv with real Redis tools, redis-cli and redis-benchmark, which must be on PATH. Plain Node. Each check is
// one line; the last line is `N passed, N failed`. Every child process is ended here, whatever happens.

import { connect } from "node:net";
import { build } from "./build.mjs";
import { check, perform, same, start } from "./checks.mjs";
import { find, run } from "./exec.mjs";
import { SetupError, setUp } from "./setup.mjs";

const limitSeconds = 120;

/** What `redis-cli --no-raw` prints for each command, in this order on an empty server. */
const dialogue = [
  ["PING", "PONG"],
  ["ECHO 'two words'", '"two words"'],
  ["SET k v", "OK"],
  ["GET k", '"v"'],
  ["GET nothing", "(nil)"],
  ["SET k w NX", "(nil)"],
  ["SET k 10 XX PX 100000", "OK"],
  ["TTL k", "(integer) 100"],
  ["PERSIST k", "(integer) 1"],
  ["TTL k", "(integer) -1"],
  ["INCR k", "(integer) 11"],
  ["INCRBY k -20", "(integer) -9"],
  ["DECR k", "(integer) -10"],
  ["APPEND k 5", "(integer) 4"],
  ["STRLEN k", "(integer) 4"],
  ["MSET a 1 b 2", "OK"],
  ["MGET a b nothing", '1) "1"\n2) "2"\n3) (nil)'],
  ["EXISTS a b nothing", "(integer) 2"],
  ["DEL a b nothing", "(integer) 2"],
  ["RPUSH l a b c", "(integer) 3"],
  ["LPUSH l z", "(integer) 4"],
  ["LRANGE l 0 -1", '1) "z"\n2) "a"\n3) "b"\n4) "c"'],
  ["LPOP l 2", '1) "z"\n2) "a"'],
  ["RPOP l", '"c"'],
  ["LLEN l", "(integer) 1"],
  ["BLPOP none l 1", '1) "l"\n2) "b"'],
  ["EXISTS l", "(integer) 0"],
  ["HSET h f 1 g 2", "(integer) 2"],
  ["HGET h f", '"1"'],
  ["HGETALL h", '1) "f"\n2) "1"\n3) "g"\n4) "2"'],
  ["SADD s one one", "(integer) 1"],
  ["SMEMBERS s", '1) "one"'],
  ["SPOP s", '"one"'],
  ["DBSIZE", "(integer) 2"],
  ["KEYS h*", '1) "h"'],
  ["SCAN 0 MATCH k", '1) "0"\n2) 1) "k"'],
  ["SELECT 0", "OK"],
  ["CLIENT SETNAME ci", "OK"],
  ["CONFIG GET appendonly", '1) "appendonly"\n2) "no"'],
  ["PUBLISH topic nobody", "(integer) 0"],
  ["GET", "(error) ERR wrong number of arguments for 'get' command"],
  ["LPUSH k x", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"],
  ["INCR h", "(error) WRONGTYPE Operation against a key holding the wrong kind of value"],
  ["NOSUCH 'a b' c", "(error) ERR unknown command 'NOSUCH', with args beginning with: 'a b' 'c' "],
  ["SET k v EX 0", "(error) ERR invalid expire time in 'set' command"],
  ["FLUSHALL", "OK"],
  ["DBSIZE", "(integer) 0"],
];

const benchmarks = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "LPOP", "MSET (10 keys)"];

await perform(async () => {
  for (const tool of ["redis-cli", "redis-benchmark"]) {
    if (!find(tool)) throw new SetupError(`${tool} is not on PATH; Debian and Ubuntu have it in the package redis-tools`);
  }
  const tools = await setUp();
  await build(tools);
  await checkAll(tools);
});

async function checkAll(tools) {
  const server = start(tools.bun, ["examples/kv/main.ts", "--serve", "--port", "0"], { cwd: tools.root, env: tools.env });
  const [, port] = await server.prints(/^kv: ready on 127\.0\.0\.1:(\d+)/m);
  for (const [command, wanted] of dialogue) same(`redis-cli ${command}`, await cli(port, words(command)), wanted);
  await checkBlocking(port);
  await checkMessages(port);
  await checkMassInsertion(port);
  same("inline PING", await ask(port, "PING\r\n"), "+PONG\r\n");
  same("garbage", await ask(port, "*1\r\n$-5\r\n"), "-ERR Protocol error: invalid bulk length\r\n");
  await checkBenchmarks(port);
  server.child.kill("SIGINT");
  same("exit code after SIGINT", String(await server.ended), "0");
  check(
    "closing line",
    /^kv: closed on SIGINT: \d+ commands on \d+ connections served, 0 were open, 0 cut$/m.test(server.output()),
    server.output(),
  );
}

/** A redis-cli that waits in BLPOP gets what another pushes. */
async function checkBlocking(port) {
  const waiting = start("redis-cli", ["-p", port, "--no-raw", "BLPOP", "queue", "0"]);
  for (let tries = 0; !(await cli(port, ["INFO", "clients"])).includes("blocked_clients:1"); tries++) {
    if (tries > 1000) throw new Error("the server does not count a redis-cli that waits in BLPOP");
  }
  await cli(port, ["RPUSH", "queue", "job"]);
  same("redis-cli BLPOP, blocked", `${await waiting.ended} ${waiting.output()}`.replace(/\n\(.*s\)/, "").trim(), '0 1) "queue"\n2) "job"');
}

/** A redis-cli that has subscribed prints what another publishes. */
async function checkMessages(port) {
  const subscriber = start("redis-cli", ["-p", port, "--csv", "SUBSCRIBE", "topic"]);
  await subscriber.prints(/"subscribe","topic",1/);
  same("redis-cli PUBLISH", await cli(port, ["PUBLISH", "topic", "hello"]), "(integer) 1");
  await subscriber.prints(/"message","topic","hello"/);
  check("redis-cli SUBSCRIBE", true);
  subscriber.child.kill("SIGINT");
  await subscriber.ended;
}

/** `redis-cli --pipe`, `--scan` and `--bigkeys`, which send and ask in their own ways. */
async function checkMassInsertion(port) {
  const pipe = start("redis-cli", ["-p", port, "--pipe"]);
  for (let i = 0; i < 10_000; i++) pipe.child.stdin.write(`SET key:${i} ${"x".repeat(1 + (i % 100))}\r\n`);
  pipe.child.stdin.end("RPUSH list a b c\r\n");
  await pipe.ended;
  check("redis-cli --pipe", pipe.output().includes("errors: 0, replies: 10001"), pipe.output());
  const scan = await run("redis-cli", ["-p", port, "--scan", "--pattern", "key:*"], { limit: limitSeconds });
  same("redis-cli --scan", String(new Set(scan.output.trim().split("\n")).size), "10000");
  const big = await run("redis-cli", ["-p", port, "--bigkeys"], { limit: limitSeconds });
  check("redis-cli --bigkeys", big.code === 0 && /Biggest +list found .*list.* has 3 items/.test(big.output), big.output);
  same("redis-cli FLUSHALL", await cli(port, ["FLUSHALL"]), "OK");
}

async function checkBenchmarks(port) {
  const args = ["-p", port, "-t", "ping,set,get,incr,lpush,lpop,mset", "-P", "16", "-n", "100000", "-q"];
  const { code, output } = await run("redis-benchmark", args, { limit: limitSeconds });
  same("redis-benchmark exit code", String(code), "0");
  check("redis-benchmark without errors", !/error|warning/i.test(output), output);
  const rates = new Map(
    [...output.matchAll(/([A-Z_]+(?: \(10 keys\))?): ([\d.]+) requests per second/g)].map((match) => [match[1], Number(match[2])]),
  );
  for (const name of benchmarks) {
    const rate = rates.get(name) ?? 0;
    check(`redis-benchmark ${name}: ${Math.round(rate).toLocaleString("en-US")} requests/s`, rate > 0, output);
  }
  const counted = Number((await cli(port, ["GET", "counter:__rand_int__"])).replaceAll('"', ""));
  check("redis-benchmark's INCRs are all counted", counted >= 100_000, String(counted));
}

/** What one redis-cli prints. */
async function cli(port, args) {
  const { output } = await run("redis-cli", ["-p", port, "--no-raw", ...args], { limit: limitSeconds });
  return output.replace(/\n+$/, "");
}

/** Splits at blanks, except between single quotes. */
function words(command) {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2]);
}

/** Sends text over a plain socket and gives the first answer. */
function ask(port, text) {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    socket.setEncoding("utf8");
    socket.once("data", (answer) => {
      socket.destroy();
      resolve(answer);
    });
    socket.once("close", () => resolve("(closed without an answer)"));
    socket.once("error", reject);
  });
}
