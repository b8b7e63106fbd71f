// A Redis-protocol server on coroutines. `npm start` lets it serve 50 clients for some seconds and shows what that took;
// `npm start -- --serve` lets it serve you.

import { parseArgs } from "node:util";
import { asyncio, Channel, type Coroutine, run, xasync, xawait } from "zigcoro";
import { Load, type LoadReport } from "./load.ts";
import { Server } from "./server.ts";
import { isConnectionError } from "./session.ts";
import { readWords } from "./words.ts";

const HELP = `A Redis-protocol server on coroutines.

  npm start [-- options]     serves 50 clients for some seconds and shows a table of what they did
      --seconds N            how long (default 5)
  npm start -- --serve       serves until Ctrl-C
      --port N               default 6379, 0 for a free one
      --host ADDRESS         default 127.0.0.1
  --help                     shows this`;

const CLIENTS = 50;
const DEFAULT_PORT = 6379;

/** Something the user can set right: shown without a stack. */
class UsageError extends Error {}

function* serve(port: number, host: string): Coroutine<void> {
  const signals = new Channel<string>(1, "signals");
  const onSignal = (name: string) => signals.trySend(name);
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal); // once: a second Ctrl-C ends the process at once
  try {
    const server = yield* Server.listen(port, host);
    console.log(`kv: ready on ${server.host}:${server.port}, Ctrl-C ends it`);
    const signal = yield* signals.recv();
    const open = server.sessions.size;
    const cut = yield* server.close();
    console.log(
      `kv: closed on ${signal}: ${server.commands} commands on ${server.connections} connections served, ${open} were open, ${cut} cut`,
    );
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
  }
}

function* demonstrate(seconds: number, words: readonly string[]): Coroutine<void> {
  const server = yield* Server.listen(0, "127.0.0.1");
  try {
    console.log(
      `kv: serving on ${server.host}:${server.port}; ${CLIENTS} clients use ${words.length} words of this repository for ${seconds} s`,
    );
    const load = new Load(server.port, server.host, words);
    const half = xasync(observe, [server, load, seconds * 500], { name: "observer" });
    const shown = xasync(showProgress, [load, seconds], { name: "progress" });
    yield* load.run(CLIENTS, seconds * 1000);
    yield* xawait(shown);
    console.log(`${table(load, seconds)}\n\nhalf way: ${yield* xawait(half)}`);
    yield* closeAll(server, load);
  } catch (error) {
    yield* server.close();
    throw error;
  }
}

/** What is alive and how much memory there is after `ms` milliseconds. */
function* observe(server: Server, load: Load, ms: number): Coroutine<string> {
  yield* asyncio.sleep(ms);
  const { rss, heapUsed } = process.memoryUsage();
  const alive = server.coroutines + load.coroutines + 3; // and main, the progress and this one
  return `${alive} coroutines alive, ${mebibytes(rss)} MiB resident, ${mebibytes(heapUsed)} MiB heap`;
}

/** Shows how far the load is: on a terminal in one line, elsewhere a line a second. */
function* showProgress(load: LoadReport, seconds: number): Coroutine<void> {
  const terminal = process.stdout.isTTY;
  const interval = terminal ? 100 : 1000;
  for (let ms = 0; ms < seconds * 1000; ms += interval) {
    yield* asyncio.sleep(Math.min(interval, seconds * 1000 - ms));
    const passed = Math.min(ms + interval, seconds * 1000) / 1000;
    const line = `  ${passed.toFixed(1)} of ${seconds} s, ${thousands(load.total)} calls, ${thousands(load.total / passed)} a second`;
    if (terminal) process.stdout.write(`\r\x1b[2K${line}`);
    else console.log(line);
  }
  if (terminal) process.stdout.write("\r\x1b[2K");
}

/** Closes the server and checks that nothing of it or of the load is left. */
function* closeAll(server: Server, load: Load): Coroutine<void> {
  const cut = yield* server.close();
  const left = server.coroutines + load.coroutines + server.sessions.size;
  const refused = yield* refuses(server.host, server.port);
  if (cut > 0 || left > 0 || !refused)
    throw new Error(`not all is closed: ${cut} cut, ${left} coroutines or sessions left, port closed: ${refused}`);
  console.log(`closed: ${server.connections} connections and all coroutines have ended, the port refuses new ones, all answers were right`);
}

function* refuses(host: string, port: number): Coroutine<boolean> {
  try {
    (yield* asyncio.TCP.connect({ host, port })).close();
    return false;
  } catch (error) {
    if (isConnectionError(error) && error.code === "ECONNREFUSED") return true;
    throw error;
  }
}

function table(load: LoadReport, seconds: number): string {
  const rows = [["command", "operations", "operations/s", "p50 us", "p99 us"]];
  for (const [command, calls] of [...load.calls].sort(([a], [b]) => a.localeCompare(b))) {
    rows.push([
      command,
      thousands(calls.count),
      thousands(calls.count / seconds),
      calls.quantile(0.5).toFixed(0),
      calls.quantile(0.99).toFixed(0),
    ]);
  }
  rows.push(["all", thousands(load.total), thousands(load.total / seconds), "", ""]);
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows.map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(width(i)) : cell.padStart(width(i) + 2))).join("")).join("\n");
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}

async function main(): Promise<void> {
  const { values } = readOptions();
  if (values.help) return console.log(HELP);
  const seconds = number("--seconds", values.seconds ?? "5", 0.1, 86_400);
  const port = number("--port", values.port ?? String(DEFAULT_PORT), 0, 65_535);
  if (!Number.isInteger(port)) throw new UsageError(`--port must be an integer, got ${port}`);
  if (values.serve) return await run(serve, [port, values.host ?? "127.0.0.1"], { name: "kv" });
  if (values.port !== undefined || values.host !== undefined) throw new UsageError("--port and --host go with --serve");
  await run(demonstrate, [seconds, await readWords()], { name: "kv" });
}

function readOptions() {
  try {
    const options = {
      help: { type: "boolean" },
      serve: { type: "boolean" },
      port: { type: "string" },
      host: { type: "string" },
      seconds: { type: "string" },
    } as const;
    return parseArgs({ options });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function number(name: string, text: string, least: number, most: number): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= least && value <= most)) throw new UsageError(`${name} must be a number from ${least} to ${most}, got '${text}'`);
  return value;
}

try {
  await main();
} catch (error) {
  process.exitCode = 1;
  if (error instanceof UsageError) console.error(`kv: ${error.message}; --help shows what can be said`);
  else if (isConnectionError(error))
    console.error(`kv: cannot serve: ${error.message}${error.code === "EADDRINUSE" ? ": choose another port with --port" : ""}`);
  else console.error("kv:", error);
}
