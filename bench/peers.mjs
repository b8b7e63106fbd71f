// The peers: the same work in Effect, Effection and @thi.ng/csp, which are installed by `npm ci --prefix bench`, and in Go (peers/go), when
// that is on PATH; what is missing is left out. Each gives nanoseconds an operation. (Plain JavaScript, so that the package's type check
// needs none of them.)

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { cpuTime } from "./measure.ts";

const load = (name) => import(name).catch(() => undefined);

async function timed(count, work) {
  const start = cpuTime();
  await work();
  return (cpuTime() - start) / count;
}

/** Each peer by name: functions of how many operations to do. */
export async function peers() {
  const [effect, effection, csp] = await Promise.all([load("effect"), load("effection"), load("@thi.ng/csp")]);
  return {
    ...(effect && { Effect: ofEffect(effect) }),
    ...(effection && { Effection: ofEffection(effection) }),
    ...(csp && { "@thi.ng/csp": ofCsp(csp) }),
    ...ofGo(),
  };
}

/** A process that answers lines; one processor, as JavaScript has. */
function ofGo() {
  const folder = join(import.meta.dir, "peers/go");
  const executable = join(import.meta.dir, "../.zig-cache/peers/go");
  if (Bun.which("go") === null) return {};
  const { success } = Bun.spawnSync(["go", "build", "-buildvcs=false", "-o", executable, "."], { cwd: folder, stderr: "inherit" });
  if (!success) return {};
  const child = Bun.spawn([executable], { stdin: "pipe", stdout: "pipe" });
  // It ends when this process has.
  child.unref();
  const answers = child.stdout.getReader();
  const ask = async (question, count) => {
    const before = cpuTimeOf(child.pid);
    child.stdin.write(`${question} ${count}\n`);
    child.stdin.flush();
    const answer = Number(new TextDecoder().decode((await answers.read()).value));
    return before === undefined ? answer : (cpuTimeOf(child.pid) - before) / count;
  };
  return {
    Go: {
      capacities: [0, 1, 100],
      channel: (count, capacity) => ask(`channel-${capacity}`, count),
      spawn: (count) => ask("spawn", count),
    },
  };
}

/** Nanoseconds that all threads of a process have run, where the system tells. */
function cpuTimeOf(pid) {
  if (process.platform !== "linux") return undefined;
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + cpuTime(`/proc/${pid}/task/${thread}`), 0);
}

function ofEffect({ Effect, Fiber, Queue }) {
  return {
    capacities: [0, 1, 100],
    channel: (count, capacity) =>
      timed(count, () =>
        Effect.runPromise(
          Effect.gen(function* () {
            const queue = yield* Queue.bounded(capacity);
            const receiving = yield* Effect.forkChild(
              Effect.gen(function* () {
                let sum = 0;
                for (let i = 0; i < count; i++) sum += yield* Queue.take(queue);
                return sum;
              }),
            );
            for (let i = 0; i < count; i++) yield* Queue.offer(queue, i);
            yield* Fiber.join(receiving);
          }),
        ),
      ),
    spawn: (count) =>
      timed(count, () =>
        Effect.runPromise(
          Effect.gen(function* () {
            for (let i = 0; i < count; i++) yield* Fiber.join(yield* Effect.forkChild(Effect.succeed(i)));
          }),
        ),
      ),
    cancel: (count) =>
      timed(count, () =>
        Effect.runPromise(
          Effect.gen(function* () {
            const fibers = [];
            for (let i = 0; i < count; i++) fibers.push(yield* Effect.forkChild(Effect.never));
            yield* Effect.yieldNow;
            yield* Fiber.interruptAll(fibers);
          }),
        ),
      ),
  };
}

function ofEffection({ run, spawn, suspend, createQueue }) {
  return {
    capacities: [Infinity],
    channel: (count) =>
      timed(count, () =>
        run(function* () {
          const queue = createQueue();
          const receiving = yield* spawn(function* () {
            let sum = 0;
            for (let i = 0; i < count; i++) sum += (yield* queue.next()).value;
            return sum;
          });
          for (let i = 0; i < count; i++) queue.add(i);
          yield* receiving;
        }),
      ),
    spawn: (count) =>
      timed(count, () =>
        run(function* () {
          for (let i = 0; i < count; i++) {
            // biome-ignore lint/correctness/useYield: a body that never suspends is the case here
            yield* yield* spawn(function* () {
              return i;
            });
          }
        }),
      ),
    cancel: (count) =>
      timed(count, () =>
        run(function* () {
          const tasks = [];
          for (let i = 0; i < count; i++) tasks.push(yield* spawn(() => suspend()));
          for (const task of tasks) yield* task.halt();
        }),
      ),
  };
}

function ofCsp({ channel }) {
  return {
    // It has no rendezvous.
    capacities: [1, 100],
    channel: (count, capacity) =>
      timed(count, async () => {
        const ch = channel(capacity);
        const receiving = (async () => {
          let sum = 0;
          for (let i = 0; i < count; i++) sum += await ch.read();
          return sum;
        })();
        for (let i = 0; i < count; i++) await ch.write(i);
        await receiving;
      }),
  };
}
