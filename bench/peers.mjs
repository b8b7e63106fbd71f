// The peers: the same work in Effect, Effection and @thi.ng/csp. They are installed by `npm ci --prefix bench`; what is missing is left
// out. Each gives nanoseconds an operation. (Plain JavaScript, so that the package's type check needs none of them.)

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
  };
}

function ofEffect({ Effect, Fiber, Queue }) {
  return {
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
    channel: (count, capacity) =>
      timed(count, async () => {
        const ch = channel(Math.max(1, capacity));
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
