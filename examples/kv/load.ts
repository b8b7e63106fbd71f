// The load: client coroutines that use the server as programs would, over real sockets, on the words of a text, and check every answer.

import { asyncio, type Coroutine, type Frame, xasync, xawait } from "zigcoro";
import { Client, type Reply } from "./client.ts";
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
  #failure: unknown;

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
  *run(clients: number, ms: number): Coroutine<void> {
    this.#start("listener", (client) => this.#listen(client));
    this.#start("taker", (client) => this.#take(client));
    for (let i = 2; i < clients; i++)
      this.#start(`client ${i}`, (client) => this.#work(client, i, Math.floor((this.words.length / clients) * i)));
    yield* asyncio.sleep(ms);
    this.#over = true;
    const [listener, taker, ...others] = this.frames;
    for (const frame of others) yield* xawait(frame);
    if (this.#failure) throw this.#failure;
    const last = yield* Client.connect(this.port, this.host);
    yield* last.call("PUBLISH", "news", END);
    yield* last.call("RPUSH", "jobs", END);
    for (const frame of [listener, taker]) if (frame) yield* xawait(frame);
    if (this.#failure) throw this.#failure;
    yield* this.#verify(last);
    last.close();
  }

  #start(name: string, body: (client: Client) => Coroutine<void>): void {
    this.frames.push(xasync(this.#connected.bind(this), [body], { name }));
  }

  /** One client. The first failure of any ends them all, and `run` throws it. */
  *#connected(body: (client: Client) => Coroutine<void>): Coroutine<void> {
    try {
      const client = yield* Client.connect(this.port, this.host);
      try {
        yield* body(client);
      } finally {
        client.close();
      }
    } catch (error) {
      this.#failure ??= error;
      this.#over = true;
    }
  }

  /** Goes through the text from its place `from` on: does something with each word and checks the answers. */
  *#work(client: Client, number: number, from: number): Coroutine<void> {
    for (let at = from; !this.#over; at++) yield* this.#useWord(client, at % this.words.length, number);
  }

  *#useWord(client: Client, at: number, number: number): Coroutine<void> {
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
        expect(this.#word(Number(yield* this.#call(client, "HGET", `places:${letter}`, word))), word);
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
    const reply = yield* this.#call(client, "GET", `text:${before}`);
    if (reply !== null) expect(reply, remembered);
  }

  /** Hears what is published. */
  *#listen(client: Client): Coroutine<void> {
    yield* client.call("SUBSCRIBE", "news");
    while (((yield* client.receive()) as Reply[])[2] !== END) this.#heard++;
  }

  /** Takes jobs as they come, blocked while there are none. */
  *#take(client: Client): Coroutine<void> {
    while (((yield* this.#call(client, "BLPOP", "jobs", "0")) as Reply[])[1] !== END) this.#taken++;
  }

  /** Every INCR was counted once, every message heard once, every job taken once. */
  *#verify(client: Client): Coroutine<void> {
    const keys = (yield* client.call("KEYS", "count:*")) as string[];
    const counts = keys.length > 0 ? ((yield* client.call("MGET", ...keys)) as string[]) : [];
    const counted = counts.reduce((sum, count) => sum + Number(count), 0);
    expect(counted, this.#counted, "sum of all counters");
    expect(this.#heard, this.#published, "messages heard");
    expect(this.#taken, this.#queued, "jobs taken");
  }

  *#call(client: Client, ...args: [string, ...string[]]): Coroutine<Reply> {
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

function expect(actual: Reply, wanted: Reply, what = "reply"): void {
  if (actual !== wanted) throw new Error(`wrong ${what}: expected ${String(wanted)}, got ${String(actual)}`);
}
