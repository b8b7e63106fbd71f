// Channels, select, close and cancel under random schedules, against a plain model. The model knows for each channel what is buffered
// and who waits, in order; the real thing is driven by coroutines that do one operation at a time. Several things may happen before
// those who were decided are told. SEED=... runs one seed, OPERATIONS=... so many operations.

import { expect, spyOn, test } from "bun:test";
import {
  Cancelled,
  Channel,
  ChannelClosed,
  type Coroutine,
  Executor,
  type Frame,
  type Operation,
  select,
  xasync,
  xresume,
  xsuspend,
} from "zigcoro";
import { Random } from "./support/random.ts";

const operations = Number(process.env.OPERATIONS ?? 1_000_000);
const rounds = 20;
const only = process.env.SEED === undefined ? undefined : Number(process.env.SEED);

type Outcome = string;

interface Branch {
  readonly channel: number;
  /** What it sends; undefined: it receives. */
  readonly value: number | undefined;
}

/** One operation of an actor that has not ended, as the model sees it. */
interface Pending {
  readonly actor: Actor;
  readonly branches: readonly Branch[];
}

interface Entry {
  readonly pending: Pending;
  readonly branch: Branch;
}

class Model {
  readonly channels: { capacity: number; buffer: number[]; senders: Entry[]; receivers: Entry[]; closed: boolean }[] = [];
  /** Outcomes that are decided and must be told, in order. */
  expected: { actor: Actor; outcome: Outcome }[] = [];

  add(capacity: number): void {
    this.channels.push({ capacity, buffer: [], senders: [], receivers: [], closed: false });
  }

  decide({ pending, branch }: Entry, outcome: Outcome): void {
    this.leave(pending);
    pending.actor.pending = undefined;
    pending.actor.decided = true;
    this.expected.push({ actor: pending.actor, outcome: outcome === "closed" ? outcome : `${outcome} by ${branch.channel}` });
  }

  /** Takes all its branches back. */
  leave(pending: Pending): void {
    for (const { channel } of pending.branches) {
      const c = this.channels[channel] as (typeof this.channels)[0];
      c.senders = c.senders.filter((entry) => entry.pending !== pending);
      c.receivers = c.receivers.filter((entry) => entry.pending !== pending);
    }
  }

  /** Sends at once: whether it could. */
  send(channel: number, value: number, self?: Pending): boolean {
    const c = this.channels[channel] as (typeof this.channels)[0];
    const receiver = c.receivers.find((entry) => entry.pending !== self);
    if (receiver) this.decide(receiver, `got ${value}`);
    else if (c.buffer.length < c.capacity) c.buffer.push(value);
    else return false;
    return true;
  }

  /** Receives at once: the value, or undefined when there is none. */
  recv(channel: number, self?: Pending): number | undefined {
    const c = this.channels[channel] as (typeof this.channels)[0];
    if (c.buffer.length > 0) {
      const value = c.buffer.shift();
      const sender = c.senders[0];
      if (sender) {
        c.buffer.push(sender.branch.value as number);
        this.decide(sender, `sent ${sender.branch.value}`);
      }
      return value;
    }
    const sender = c.senders.find((entry) => entry.pending !== self);
    if (!sender) return undefined;
    this.decide(sender, `sent ${sender.branch.value}`);
    return sender.branch.value;
  }

  /** Whether `branch` would end at once. */
  isReady({ channel, value }: Branch): boolean {
    const c = this.channels[channel] as (typeof this.channels)[0];
    if (c.closed) return true;
    return value === undefined ? c.buffer.length > 0 || c.senders.length > 0 : c.receivers.length > 0 || c.buffer.length < c.capacity;
  }

  /** Does `branch`, which is ready: its outcome. */
  perform({ channel, value }: Branch): Outcome {
    const c = this.channels[channel] as (typeof this.channels)[0];
    if (value !== undefined) {
      if (c.closed) return "closed";
      if (!this.send(channel, value)) throw new Error("the model cannot send");
      return `sent ${value} by ${channel}`;
    }
    return `got ${this.recv(channel)} by ${channel}`;
  }

  park(pending: Pending): void {
    for (const branch of pending.branches) {
      const c = this.channels[branch.channel] as (typeof this.channels)[0];
      (branch.value === undefined ? c.receivers : c.senders).push({ pending, branch });
    }
    pending.actor.pending = pending;
  }

  close(channel: number): void {
    const c = this.channels[channel] as (typeof this.channels)[0];
    c.closed = true;
    while (c.senders[0]) this.decide(c.senders[0], "closed");
    while (c.receivers[0]) this.decide(c.receivers[0], "got undefined");
  }
}

/** A coroutine that does what it is resumed with, and says how that ended. */
class Actor {
  pending: Pending | undefined;
  /** Decided and not told yet. */
  decided = false;
  readonly frame: Frame<void>;

  constructor(report: (actor: Actor, outcome: Outcome) => void) {
    const actor = this;
    this.frame = xasync(function* (): Coroutine<void> {
      for (;;) {
        const run = (yield* xsuspend()) as () => Operation<string>;
        try {
          const outcome = yield* run();
          report(actor, outcome);
        } catch (error) {
          if (error instanceof Cancelled) {
            report(actor, "cancelled");
            return;
          }
          report(actor, error instanceof ChannelClosed ? "closed" : String(error));
        }
      }
    });
    // Who is idle when it is cancelled ends with that.
    this.frame.then(undefined, () => {});
  }
}

/** An operation whose result is the outcome as text. */
function* described(channels: readonly Channel<number>[], branches: readonly Branch[]): Coroutine<Outcome> {
  const single = ({ channel, value }: Branch) => {
    const c = channels[channel] as Channel<number>;
    return value === undefined ? c.recv() : c.send(value);
  };
  const text = (branch: Branch, value: unknown) =>
    branch.value === undefined ? `got ${value} by ${branch.channel}` : `sent ${branch.value} by ${branch.channel}`;
  const [first] = branches as [Branch];
  if (branches.length === 1) return text(first, yield* single(first));
  const { key, value } = yield* select(Object.fromEntries(branches.map((branch, i) => [i, single(branch)])));
  return text(branches[Number(key)] as Branch, value);
}

function runSchedule(seed: number, steps: number): void {
  const random = new Random(seed);
  const model = new Model();
  const executor = new Executor();
  let channels: Channel<number>[] = [];
  let told: { actor: Actor; outcome: Outcome }[] = [];
  const report = (actor: Actor, outcome: Outcome) => void told.push({ actor, outcome });
  const actors = Array.from({ length: 6 }, () => new Actor(report));
  const fresh = () => {
    channels = [0, 1, 3].map((capacity) => new Channel<number>(capacity));
    model.channels.length = 0;
    for (const { capacity } of channels) model.add(capacity);
  };
  fresh();
  let next = 0;

  const begin = (actor: Actor) => {
    const count = random.below(3) === 0 ? 2 + random.below(3) : 1;
    // Of two sends to one channel in one select it would be left open which of them goes first.
    const branches: Branch[] = [];
    while (branches.length < count) {
      const branch = { channel: random.below(channels.length), value: random.below(2) ? ++next : undefined };
      const isLike = (other: Branch) => other.channel === branch.channel && (other.value === undefined) === (branch.value === undefined);
      if (!branches.some(isLike)) branches.push(branch);
    }
    const ready = branches.filter((branch) => model.isReady(branch));
    const before = told.length;
    xresume(actor.frame, () => described(channels, branches));
    if (ready.length === 0) {
      expect(told.length).toBe(before);
      model.park({ actor, branches });
      return;
    }
    // It ended at once; a select may have chosen any that was ready.
    const outcome = told.splice(before)[0]?.outcome as string;
    const chosen = ready.find(({ channel, value }) =>
      outcome === "closed"
        ? value !== undefined && model.channels[channel]?.closed
        : outcome.endsWith(` by ${channel}`) && outcome.startsWith(value === undefined ? "got " : `sent ${value} `),
    );
    expect(chosen).toBeDefined();
    expect(outcome).toBe(model.perform(chosen as Branch));
  };

  for (let step = 0; step < steps; step++) {
    const actor = actors[random.below(actors.length)] as Actor;
    const what = random.below(100);
    const channel = random.below(channels.length);
    if (what < 60) {
      if (actor.pending === undefined && !actor.decided && actor.frame.status === "suspended") begin(actor);
    } else if (what < 70) {
      const c = model.channels[channel] as (typeof model.channels)[0];
      if (!c.closed) expect((channels[channel] as Channel<number>).trySend(++next)).toBe(model.send(channel, next));
    } else if (what < 80) {
      expect((channels[channel] as Channel<number>).tryRecv()).toBe(model.recv(channel) as number);
    } else if (what < 90) {
      if (!actor.decided && actor.pending !== undefined) {
        model.leave(actor.pending);
        actor.pending = undefined;
        model.expected.push({ actor, outcome: "cancelled" });
      }
      actor.frame.cancel();
      const at = actors.indexOf(actor);
      actors[at] = new Actor(report);
    } else if (what === 90) {
      (channels[channel] as Channel<number>).close();
      model.close(channel);
      if (model.channels.every((c) => c.closed)) {
        while (executor.tick());
        fresh();
      }
    } else if (told.length > 0 || model.expected.length > 0) {
      while (executor.tick());
      expect(told.length).toBe(model.expected.length);
      for (const { actor, outcome } of model.expected) expect(told.find((one) => one.actor === actor)?.outcome).toBe(outcome);
      for (const { actor } of told) actor.decided = false;
      told = [];
      model.expected = [];
    }
  }
}

for (let seed = 0; seed < rounds; seed++) {
  if (only !== undefined && only !== seed) continue;
  test(`${operations / rounds} random operations (SEED=${seed})`, () => {
    // What select draws is part of the seed.
    const draws = new Random(seed);
    using _ = spyOn(Math, "random").mockImplementation(() => draws.below(2 ** 30) / 2 ** 30);
    runSchedule(seed, operations / rounds);
  }, 120_000);
}
