// Runs the clients of examples/io against real servers, redis-server and PostgreSQL, which must be installed, and measures the HTTP service
// with wrk. Plain Node. Each check is one line; the last line is `N passed, N failed`. Every child process is ended here, whatever happens.

import { chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "./build.mjs";
import { check, perform, same, start } from "./checks.mjs";
import { find, isProgram, run } from "./exec.mjs";
import { SetupError, setUp } from "./setup.mjs";

const limitSeconds = 120;
/** Of each HTTP server, in turns; the median counts. */
const rounds = 5;
const secondsARound = 2;
const connections = 64;
/** Clock ticks of /proc, a constant of Linux's ABI. */
const ticksPerSecond = 100;

await perform(async () => {
  for (const [tool, name] of [
    ["redis-server", "redis-server"],
    ["wrk", "wrk"],
  ]) {
    if (!find(tool)) throw new SetupError(`${tool} is not on PATH; Debian and Ubuntu have it in the package ${name}`);
  }
  const postgres = postgresFolder();
  const tools = await setUp();
  await build(tools);
  await checkRedis(tools);
  await checkPostgres(tools, postgres);
  await measureHttp(tools);
});

async function checkRedis(tools) {
  const port = await freePort();
  const server = start("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tmpdir()]);
  await server.prints(/Ready to accept connections/i);
  same("ioredis and redis-server", await example(tools, "redis.ts", port), "hello 1000 997 998 999");
  server.child.kill("SIGTERM");
  same("redis-server's exit code", String(await server.ended), "0");
}

/** With a password, and with TLS on top. */
async function checkPostgres(tools, folder) {
  const home = mkdtempSync(join(tmpdir(), "zigcoro-postgres-"));
  try {
    const user = await unprivileged();
    const own = (name, text) => {
      const file = join(home, name);
      writeFileSync(file, text, { mode: 0o600 });
      if (user.uid !== undefined) chownSync(file, user.uid, user.gid);
      return file;
    };
    const fixture = (name) => readFileSync(join(tools.root, "test", "fixtures", "tls", name));
    const password = own("password", "a secret\n");
    const [key, certificate] = [own("key.pem", fixture("key.pem")), own("cert.pem", fixture("cert.pem"))];
    if (user.uid !== undefined) chownSync(home, user.uid, user.gid);
    const options = { cwd: home, ...user };
    const data = join(home, "data");
    const init = start(join(folder, "initdb"), ["-D", data, "-U", "tester", "-A", "scram-sha-256", `--pwfile=${password}`, "-N"], options);
    same("initdb's exit code", String(await init.ended), "0");
    const port = await freePort();
    const settings = ["listen_addresses=127.0.0.1", "fsync=off", "ssl=on", `ssl_cert_file=${certificate}`, `ssl_key_file=${key}`];
    const server = start(join(folder, "postgres"), ["-D", data, "-p", port, "-k", home, ...settings.flatMap((s) => ["-c", s])], options);
    await server.prints(/ready to accept connections/);
    const url = `postgres://tester:a%20secret@127.0.0.1:${port}/postgres`;
    same("pg and PostgreSQL", await example(tools, "postgres.ts", url), "1 4 9 16 25\n10000 1000");
    same("pg and PostgreSQL with TLS", await example(tools, "postgres.ts", `${url}?sslmode=no-verify`), "1 4 9 16 25\n10000 1000");
    server.child.kill("SIGINT");
    same("postgres's exit code", String(await server.ended), "0");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** What one example prints, and its exit code when that is not 0. */
async function example(tools, name, ...args) {
  const options = { cwd: tools.root, env: { ...tools.env, NO_COLOR: "1" }, limit: limitSeconds };
  const { code, output } = await run(tools.bun, [join("examples", "io", name), ...args], options);
  return output.trimEnd() + (code === 0 ? "" : `\nexit code ${code}`);
}

/** The same service on our listener, on Bun's own, and handed node:net's sockets, in turns. */
async function measureHttp(tools) {
  const servers = [];
  for (const mode of ["zigcoro", "bun", "net"]) {
    const server = start(tools.bun, [join("bench", "programs", "http-server.ts"), mode], { cwd: tools.root, env: tools.env });
    const [, port] = await server.prints(/^port (\d+)/m);
    servers.push({ mode, port, pid: server.child.pid, rates: [], costs: [] });
  }
  for (const server of servers) await load(server, 1);
  for (let i = 0; i < rounds; i++) {
    for (const server of servers) {
      const cpu = cpuSeconds(server.pid);
      const { requests, rate, output, isClean } = await load(server, secondsARound);
      if (!isClean) check(`wrk without errors, ${server.mode}`, false, output);
      server.rates.push(rate);
      server.costs.push(((cpuSeconds(server.pid) - cpu) / requests) * 1e6);
    }
  }
  const [ours, bun, net] = servers.map(({ rates, costs }) => ({ rate: median(rates), cost: median(costs) }));
  const line = (name, { rate, cost }) =>
    `${name}: ${Math.round(rate).toLocaleString("en-US")} requests/s, ${cost.toFixed(1)} us CPU a request (zigcoro's is ${(ours.cost / cost).toFixed(2)}x)`;
  const title = `wrk, node:http, ${connections} connections`;
  check(line(`${title}, on zigcoro's listener`, ours), ours.rate > 0);
  check(line(`${title}, on node:net's`, net), net.rate > 0);
  check(line(`${title}, on Bun's own, which parses HTTP itself`, bun), bun.rate > 0);
}

async function load({ port }, seconds) {
  const args = ["-t1", `-c${connections}`, `-d${seconds}`, `http://127.0.0.1:${port}/`];
  const { code, output } = await run("wrk", args, { limit: limitSeconds });
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0);
  const rate = Number(/Requests\/sec: +([\d.]+)/.exec(output)?.[1] ?? 0);
  return { requests, rate, output, isClean: code === 0 && requests > 0 && !/Socket errors|Non-2xx/.test(output) };
}

/** What a process has used, in its own code and in the kernel. */
function cpuSeconds(pid) {
  // Fields 14 and 15; the name before them, in brackets, may hold blanks.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** The folder with `initdb` and `postgres`, which Debian keeps off PATH. */
function postgresFolder() {
  const debian = "/usr/lib/postgresql";
  const versions = safely(() => readdirSync(debian), []).sort((a, b) => Number(b) - Number(a));
  const folders = [...versions.map((version) => join(debian, version, "bin")), ...(process.env.PATH ?? "").split(":")];
  const folder = folders.find((one) => one && isProgram(join(one, "initdb")) && isProgram(join(one, "postgres")));
  if (!folder)
    throw new SetupError("PostgreSQL's initdb and postgres are not found; Debian and Ubuntu have them in the package postgresql");
  return folder;
}

/** PostgreSQL refuses to run as root: whom it runs as then. */
async function unprivileged() {
  if (process.getuid() !== 0) return {};
  for (const name of ["postgres", "nobody"]) {
    const [uid, gid] = await Promise.all(["-u", "-g"].map((what) => run("id", [what, name])));
    if (uid.code === 0 && gid.code === 0) return { uid: Number(uid.output), gid: Number(gid.output) };
  }
  throw new SetupError("there is neither a user postgres nor nobody for PostgreSQL, which refuses to run as root");
}

/** A port that was free a moment ago: these servers cannot take one by themselves and tell. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(String(port)));
    });
  });
}

function safely(what, otherwise) {
  try {
    return what();
  } catch {
    return otherwise;
  }
}
