// The keys and their values, with expiry. Every byte string in it is a JavaScript string with one character (0 to 255) a byte: such a string
// is a Map key as it is, JavaScriptCore keeps it in one byte a character, and APPEND is cheap. One thread and no suspending in here, so
// commands reach it directly and each is atomic. Pure but for the clock it is given.

import { ReplyError } from "./command.ts";
import { matches } from "./glob.ts";
import { List } from "./list.ts";
import { Members } from "./members.ts";

export type Hash = Map<string, string>;
export type Value = string | List | Hash | Members;

const NEVER = Number.POSITIVE_INFINITY;
/** How many interrupted scans remember their place. One that was forgotten finds it again by walking. */
const SCANS_REMEMBERED = 64;
/** Keys that one step of the expiring coroutine looks at. */
const EXPIRE_BATCH = 200;

class Entry {
  /** When it stops to exist, in milliseconds of the store's clock. */
  deadline = NEVER;
  constructor(
    public value: Value,
    /** Grows with every new key, so that entries lie in the Map in the order of their ids: SCAN's cursor. */
    readonly id: number,
  ) {}
}

type Entries = Iterator<[string, Entry]>;

export class Store {
  #entries = new Map<string, Entry>();
  /** The entries that have a deadline. */
  #mortal = new Map<string, Entry>();
  #mortalWalk: Entries | undefined;
  #nextId = 1;
  #scans = new Map<number, Entries>();
  /** Keys that ended because their time was over. */
  expired = 0;

  constructor(readonly now: () => number = Date.now) {}

  /** Keys, those included that have expired and that nobody has met since. */
  get size(): number {
    return this.#entries.size;
  }

  /** Keys that have a deadline. */
  get mortal(): number {
    return this.#mortal.size;
  }

  has(key: string): boolean {
    return this.#find(key) !== undefined;
  }

  type(key: string): "none" | "string" | "list" | "hash" | "set" {
    const value = this.#find(key)?.value;
    if (value === undefined) return "none";
    if (typeof value === "string") return "string";
    if (value instanceof List) return "list";
    return value instanceof Map ? "hash" : "set";
  }

  /** The string at `key`; undefined when there is none. Throws ReplyError WRONGTYPE, as do the other readers. */
  string(key: string): string | undefined {
    const value = this.#find(key)?.value;
    if (value === undefined || typeof value === "string") return value;
    throw wrongType();
  }

  list(key: string): List | undefined {
    const value = this.#find(key)?.value;
    if (value === undefined || value instanceof List) return value;
    throw wrongType();
  }

  hash(key: string): Hash | undefined {
    const value = this.#find(key)?.value;
    if (value === undefined || value instanceof Map) return value;
    throw wrongType();
  }

  members(key: string): Members | undefined {
    const value = this.#find(key)?.value;
    if (value === undefined || value instanceof Members) return value;
    throw wrongType();
  }

  /** Puts a value in the place of whatever there was. The key's deadline goes, unless `keepDeadline`. */
  set(key: string, value: Value, keepDeadline = false): void {
    const entry = this.#find(key);
    if (entry === undefined) {
      this.#entries.set(key, new Entry(value, this.#nextId++));
      return;
    }
    entry.value = value;
    if (!keepDeadline && entry.deadline !== NEVER) this.#forgetDeadline(key, entry);
  }

  /** Whether there was such a key. */
  delete(key: string): boolean {
    const entry = this.#find(key);
    if (entry === undefined) return false;
    this.#remove(key, entry);
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#mortal.clear();
    this.#mortalWalk = undefined;
    this.#scans.clear();
  }

  /** Milliseconds the key has left; Infinity for a key without deadline, undefined for no key. */
  remaining(key: string): number | undefined {
    const entry = this.#find(key);
    return entry && entry.deadline - (entry.deadline === NEVER ? 0 : this.now());
  }

  /** Lets the key, which must exist, end at `deadline`: at once when that has passed. */
  expireAt(key: string, deadline: number): void {
    const entry = this.#find(key);
    if (entry === undefined) return;
    if (deadline <= this.now()) {
      this.#remove(key, entry);
      return;
    }
    entry.deadline = deadline;
    this.#mortal.set(key, entry);
  }

  /** Takes the deadline away; whether there was one. */
  persist(key: string): boolean {
    const entry = this.#find(key);
    if (entry === undefined || entry.deadline === NEVER) return false;
    this.#forgetDeadline(key, entry);
    return true;
  }

  keys(pattern: string): string[] {
    const found: string[] = [];
    for (const key of this.#entries.keys()) {
      if ((pattern === "*" || matches(pattern, key)) && this.has(key)) found.push(key);
    }
    return found;
  }

  /**
   * The next `count` keys from `cursor` on (0 begins), and the cursor that follows (0 ends). A key that is there all the while is
   * given exactly once; one that comes or goes meanwhile may or may not be.
   */
  scan(cursor: number, count: number): { cursor: number; keys: string[] } {
    const walk = this.#scans.get(cursor) ?? this.#entries.entries();
    this.#scans.delete(cursor);
    const keys: string[] = [];
    for (let step = walk.next(); !step.done; step = walk.next()) {
      const [key, entry] = step.value;
      if (entry.id < cursor || this.#dropIfExpired(key, entry)) continue;
      keys.push(key);
      if (keys.length >= count) return { cursor: this.#rememberScan(entry.id + 1, walk), keys };
    }
    return { cursor: 0, keys };
  }

  /** Removes expired keys among the next few that have a deadline; whether so many had that it is worth going on at once. */
  expireSome(): boolean {
    let removed = 0;
    for (let looked = 0; looked < EXPIRE_BATCH; looked++) {
      this.#mortalWalk ??= this.#mortal.entries();
      const step = this.#mortalWalk.next();
      if (step.done) {
        this.#mortalWalk = undefined;
        break;
      }
      if (this.#dropIfExpired(step.value[0], step.value[1])) removed++;
    }
    return removed * 4 > EXPIRE_BATCH;
  }

  #rememberScan(cursor: number, walk: Entries): number {
    this.#scans.set(cursor, walk);
    if (this.#scans.size > SCANS_REMEMBERED) this.#scans.delete(this.#scans.keys().next().value as number);
    return cursor;
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry === undefined || this.#dropIfExpired(key, entry) ? undefined : entry;
  }

  #dropIfExpired(key: string, entry: Entry): boolean {
    if (entry.deadline === NEVER || entry.deadline > this.now()) return false;
    this.#remove(key, entry);
    this.expired++;
    return true;
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    if (entry.deadline !== NEVER) this.#mortal.delete(key);
  }

  #forgetDeadline(key: string, entry: Entry): void {
    entry.deadline = NEVER;
    this.#mortal.delete(key);
  }
}

function wrongType(): ReplyError {
  return new ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value");
}
