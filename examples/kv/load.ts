// The load: client coroutines that use the server as programs would, over real sockets, on the words of a text, and check every answer.

import { asyncio, type Frame, xasync, xawait } from "zigcoro";
import { Client, type Reply } from "./client.ts";
import type { Suspending } from "./command.ts";
import { Histogram } from "./histogram.ts";

/** What the load has done so far. */
export interface LoadReport {
  /** Durations of the calls by command. */
  readonly calls: ReadonlyMap<string, Histogram>;
  /** Calls altogether. */
  readonly total: number;
}

/** Clients of which each does something of its own: one listens to a topic, one takes jobs from a queue, the others do everything else. */
export class Load implements LoadReport {
  readonly calls = new Map<string, Histogram>();
  readonly frames: Frame<void>[] = [];
  total = 0;
  #counted = 0;
  #published = 0;
  #heard = 0;
  #queued = 0;
  #taken = 0;
  /** Set when the clients shall finish. */
  #over = false;

  constructor(
    readonly port: number,
    readonly host: string,
    readonly words: readonly string[],
  ) {}

  /** Clients that have not finished. */
  get coroutines(): number {
    return this.frames.filter((frame) => frame.status !== "done").length;
  }

  /** Works with `clients` (at least 3) client coroutines for `ms` milliseconds. Throws when an answer was wrong. */
  *run(clients: number, ms: number): Suspending {
    const listener = xasync(this.#listen.bind(this), [], { name: "listener" });
    const taker = xasync(this.#take.bind(this), [], { name: "taker" });
    const others = Array.from({ length: clients - 2 }, (_, i) => xasync(this.#work.bind(this), [i], { name: `client ${i}` }));
    this.frames.push(listener, taker, ...others);
    yield* asyncio.sleep(ms);
    this.#over = true;
    for (const frame of others) yield* xawait(frame);
    yield* this.#finish();
    yield* xawait(listener);
    yield* xawait(taker);
    yield* this.#verify();
  }

  /** One client: picks a word, does something with it, and checks the answer. */
  *#work(number: number): Suspending {
    const client = yield* Client.connect(this.port, this.host);
    try {
      let at = Math.floor((this.words.length / 50) * number);
      for (; !this.#over; at++) yield* this.#useWord(client, at % this.words.length, number);
    } finally {
      client.close();
    }
  }

  *#useWord(client: Client, at: number, number: number): Suspending {
    const word = this.#word(at);
    const letter = word.charAt(0).toLowerCase();
    // What follows a word is kept under it. It is the same for everybody who meets this place of the text, so every answer can be checked.
    const text = `${word} ${this.#word(at + 1)} ${this.#word(at + 2)}`;
    switch (at % 8) {
      case 0:
        expect(yield* this.#call(client, "SET", `text:${at}`, text, "EX", "60"), "OK");
        break;
      case 1:
        yield* this.#call(client, "HSET", `places:${letter}`, word, String(at));
        expectOneOf(yield* this.#call(client, "HGET", `places:${letter}`, word), (reply) => this.#word(Number(reply)) === word);
        break;
      case 2:
        yield* this.#call(client, "SADD", `words:${letter}`, word);
        break;
      case 3:
        this.#queued++;
        yield* this.#call(client, "RPUSH", "jobs", word);
        break;
      case 4:
        yield* this.#call(client, "LPUSH", `recent:${number}`, word);
        expect(yield* this.#call(client, "LPOP", `recent:${number}`), word);
        break;
      case 5: {
        const hearers = yield* this.#call(client, "PUBLISH", "news", text);
        this.#published += hearers as number; // not in one line: `+=` would read the sum before it suspends
        break;
      }
      default:
        this.#counted++;
        yield* this.#call(client, "INCR", `count:${word}`);
    }
    const before = at - (at % 8);
    const remembered = `${this.#word(before)} ${this.#word(before + 1)} ${this.#word(before + 2)}`;
    expectOneOf(yield* this.#call(client, "GET", `text:${before}`), (reply) => reply === null || reply === remembered);
  }

  /** One client: hears what is published. */
  *#listen(): Suspending {
    const client = yield* Client.connect(this.port, this.host);
    try {
      yield* client.call("SUBSCRIBE", "news");
      while (((yield* client.receive()) as Reply[])[2] !== END) this.#heard++;
    } finally {
      client.close();
    }
  }

  /** One client: takes jobs as they come, blocked while there are none. */
  *#take(): Suspending {
    const client = yield* Client.connect(this.port, this.host);
    try {
      while (((yield* this.#call(client, "BLPOP", "jobs", "0")) as Reply[])[1] !== END) this.#taken++;
    } finally {
      client.close();
    }
  }

  /** Tells the listener and the taker that nothing more comes. */
  *#finish(): Suspending {
    const client = yield* Client.connect(this.port, this.host);
    yield* client.call("PUBLISH", "news", END);
    yield* client.call("RPUSH", "jobs", END);
    client.close();
  }

  /** Every INCR was counted once, every message heard once, every job taken once. */
  *#verify(): Suspending {
    const client = yield* Client.connect(this.port, this.host);
    const keys = (yield* client.call("KEYS", "count:*")) as string[];
    const counts = keys.length > 0 ? ((yield* client.call("MGET", ...keys)) as string[]) : [];
    client.close();
    expect(
      counts.reduce((sum, count) => sum + Number(count), 0),
      this.#counted,
    );
    expect(this.#heard, this.#published);
    expect(this.#taken, this.#queued);
  }

  *#call(client: Client, ...args: [string, ...string[]]): Suspending<Reply> {
    const start = performance.now();
    const reply = yield* client.call(...args);
    this.#histogram(args[0]).add((performance.now() - start) * 1000);
    this.total++;
    return reply;
  }

  #histogram(command: string): Histogram {
    let histogram = this.calls.get(command);
    if (histogram === undefined) {
      histogram = new Histogram();
      this.calls.set(command, histogram);
    }
    return histogram;
  }

  #word(at: number): string {
    return this.words[at % this.words.length] as string;
  }
}

/** No word, since words hold no blanks. */
const END = "the end";

function expect(actual: Reply, wanted: Reply): void {
  expectOneOf(actual, (reply) => reply === wanted, String(wanted));
}

function expectOneOf(actual: Reply, right: (reply: Reply) => boolean, wanted = "something else"): void {
  if (!right(actual)) throw new Error(`wrong answer: expected ${wanted}, got ${String(actual)}`);
}
