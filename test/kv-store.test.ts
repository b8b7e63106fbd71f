// The data types of examples/kv: the store with a clock of the test's own, lists, sets, patterns, numbers. Memory only.

import { describe, expect, test } from "bun:test";
import { ReplyError } from "../examples/kv/command.ts";
import { matches } from "../examples/kv/glob.ts";
import { Histogram } from "../examples/kv/histogram.ts";
import { List } from "../examples/kv/list.ts";
import { Members } from "../examples/kv/members.ts";
import { deadline, integer, negated, sum, timeoutMs } from "../examples/kv/numbers.ts";
import { Store } from "../examples/kv/store.ts";

/** A store and the clock it reads. */
function timed() {
  const clock = { ms: 1000 };
  return { clock, store: new Store(() => clock.ms) };
}

describe("expiry", () => {
  test("a key ends exactly at its deadline", () => {
    const { clock, store } = timed();
    store.set("k", "v");
    store.expireAt("k", 1500);
    clock.ms = 1499;
    expect(store.string("k")).toBe("v");
    expect(store.remaining("k")).toBe(1);
    clock.ms = 1500;
    expect(store.string("k")).toBeUndefined();
    expect(store.size).toBe(0);
    expect(store.expired).toBe(1);
  });

  test("a deadline in the past removes the key at once", () => {
    const { store } = timed();
    store.set("k", "v");
    store.expireAt("k", 1000);
    expect(store.size).toBe(0);
  });

  test("writing drops the deadline, unless it is to be kept", () => {
    const { store } = timed();
    store.set("k", "v");
    store.expireAt("k", 2000);
    store.set("k", "w", true);
    expect(store.remaining("k")).toBe(1000);
    store.set("k", "x");
    expect(store.remaining("k")).toBe(Number.POSITIVE_INFINITY);
    expect(store.mortal).toBe(0);
    expect(store.persist("k")).toBe(false);
  });

  test("an expired key does not lend its deadline to the next of its name", () => {
    const { clock, store } = timed();
    store.set("k", "v");
    store.expireAt("k", 1001);
    clock.ms = 3000;
    store.set("k", "w", true);
    expect(store.remaining("k")).toBe(Number.POSITIVE_INFINITY);
  });

  test("keys that nobody meets are removed step by step", () => {
    const { clock, store } = timed();
    for (let i = 0; i < 1000; i++) {
      store.set(`k${i}`, "v");
      if (i % 2 === 0) store.expireAt(`k${i}`, 2000);
    }
    expect(store.expireSome()).toBe(false);
    clock.ms = 2000;
    let steps = 0;
    while (store.mortal > 0) {
      store.expireSome();
      if (++steps > 10) throw new Error("the steps get nowhere");
    }
    expect(store.size).toBe(500);
  });

  test("no reader sees an expired key", () => {
    const { clock, store } = timed();
    store.set("k", "v");
    store.expireAt("k", 1001);
    clock.ms = 1001;
    expect(store.keys("*")).toEqual([]);
    store.set("k", "v");
    store.expireAt("k", 1002);
    clock.ms = 1002;
    expect(store.scan(0, 10)).toEqual({ cursor: 0, keys: [] });
    expect([store.type("k"), store.has("k"), store.delete("k"), store.remaining("k")]).toEqual(["none", false, false, undefined]);
  });
});

test("a value of one type is refused to readers of another", () => {
  const { store } = timed();
  store.set("s", "v");
  store.set("l", new List());
  for (const read of [() => store.list("s"), () => store.hash("s"), () => store.members("s"), () => store.string("l")]) {
    expect(read).toThrow(new ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value"));
  }
});

describe("scan", () => {
  function scanAll(store: Store, count: number, between: () => void = () => {}): string[] {
    const keys: string[] = [];
    let cursor = 0;
    do {
      const step = store.scan(cursor, count);
      keys.push(...step.keys);
      cursor = step.cursor;
      between();
    } while (cursor !== 0);
    return keys;
  }

  test("gives each key once, whatever the step", () => {
    const { store } = timed();
    const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
    for (const key of keys) store.set(key, "v");
    for (const count of [1, 7, 100, 1000]) expect(scanAll(store, count)).toEqual(keys);
  });

  test("gives keys that stay exactly once while others come and go", () => {
    const { store } = timed();
    const staying = Array.from({ length: 200 }, (_, i) => `stay${i}`);
    for (const key of staying) {
      store.set(key, "v");
      store.set(`go ${key}`, "v");
    }
    let turn = 0;
    const seen = scanAll(store, 5, () => {
      store.delete(`go stay${(turn * 37) % 200}`);
      store.delete(`new ${turn - 3}`);
      if (turn < 50) store.set(`new ${turn}`, "v");
      store.set(`stay${(turn * 11) % 200}`, "rewritten");
      turn++;
    });
    expect(seen.filter((key) => key.startsWith("stay")).sort()).toEqual([...staying].sort());
  });

  test("more scans at once than are remembered still find their place, also when a cursor is used twice", () => {
    const { store } = timed();
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`);
    for (const key of keys) store.set(key, "v");
    const first = store.scan(0, 3);
    for (let i = 0; i < 200; i++) store.scan(0, i + 5);
    expect(store.scan(first.cursor, 2).keys).toEqual(["k3", "k4"]);
    expect(store.scan(first.cursor, 2).keys).toEqual(["k3", "k4"]);
  });
});

test("a list does what an array does", () => {
  let state = 7;
  const list = new List();
  const model: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const growing = Math.floor(i / 2000) % 2 === 0;
    const what = (state >>> 16) % 10;
    if (what < (growing ? 4 : 2)) [list.pushLeft(`${i}`), model.unshift(`${i}`)];
    else if (what < (growing ? 7 : 4)) [list.pushRight(`${i}`), model.push(`${i}`)];
    else if (what % 2 === 0) expect(list.popLeft()).toBe(model.shift() as string);
    else expect(list.popRight()).toBe(model.pop() as string);
    expect(list.length).toBe(model.length);
    if (i % 500 === 0) expect(list.range(0, list.length - 1)).toEqual(model);
  }
});

test("a set does what a Set does, and pops each member once", () => {
  const members = new Members();
  for (let i = 0; i < 100; i++) expect(members.add(`m${i % 50}`)).toBe(i < 50);
  for (let i = 0; i < 10; i++) expect(members.delete(`m${i * 5}`)).toBe(true);
  expect(members.delete("m0")).toBe(false);
  const popped = new Set<string>();
  for (let member = members.pop(); member !== undefined; member = members.pop()) popped.add(member);
  expect(popped.size).toBe(40);
  expect(popped.has("m5")).toBe(false);
  expect(members.size).toBe(0);
});

test.each([
  ["*", "", true],
  ["*", "anything", true],
  ["", "", true],
  ["", "a", false],
  ["h?llo", "hello", true],
  ["h?llo", "hllo", false],
  ["h*llo", "heeeello", true],
  ["h[ae]llo", "hallo", true],
  ["h[ae]llo", "hillo", false],
  ["h[^e]llo", "hallo", true],
  ["h[^e]llo", "hello", false],
  ["h[a-c]llo", "hbllo", true],
  ["h[c-a]llo", "hbllo", true],
  ["h[a-c]llo", "hdllo", false],
  ["\\*", "*", true],
  ["\\*", "a", false],
  ["a\\", "a\\", true],
  ["[\\]]", "]", true],
  ["[a", "a", true],
  ["[a-", "-", true],
  ["*a*b*c", "xaybzc", true],
  ["*a*b*c", "xaybz", false],
  ["a*?", "a", false],
  ["**?**", "x", true],
  [`${"*a".repeat(30)}b`, "a".repeat(1000), false],
])("pattern %j on %j: %p", (pattern, text, wanted) => {
  expect(matches(pattern, text)).toBe(wanted);
});

describe("numbers", () => {
  test.each(["", " 1", "1 ", "01", "-0", "+1", "1.5", "1e3", "0x10", "9223372036854775808", "-9223372036854775809", "Infinity", "NaN"])(
    "%j is no integer",
    (text) => {
      expect(() => integer(text)).toThrow(new ReplyError("ERR value is not an integer or out of range"));
      expect(() => sum(text, "1")).toThrow(new ReplyError("ERR value is not an integer or out of range"));
    },
  );

  test.each([
    ["1", "2", "3"],
    ["9007199254740993", "1", "9007199254740994"],
    ["9007199254740991", "2", "9007199254740993"],
    ["9223372036854775806", "1", "9223372036854775807"],
    ["-9223372036854775808", "9223372036854775807", "-1"],
    ["999999999999999", "1", "1000000000000000"],
  ])("%s + %s = %s", (a, b, total) => {
    expect(sum(a, b)).toBe(total);
    expect(sum(b, a)).toBe(total);
  });

  test("what 64 bits cannot hold is refused", () => {
    expect(() => sum("9223372036854775807", "1")).toThrow("ERR increment or decrement would overflow");
    expect(() => sum("-9223372036854775808", "-1")).toThrow("ERR increment or decrement would overflow");
    expect(() => negated("-9223372036854775808")).toThrow("ERR decrement would overflow");
    expect(() => deadline(2 ** 63, 1, 0, "set")).toThrow("ERR invalid expire time in 'set' command");
    expect(negated("5")).toBe("-5");
  });

  test("timeouts are seconds, with fractions", () => {
    expect(["0", "1", "0.5", ".25", "1e1", "0.0001"].map(timeoutMs)).toEqual([0, 1000, 500, 250, 10_000, 1]);
    expect(timeoutMs("1e15")).toBe(Number.MAX_SAFE_INTEGER);
    for (const text of ["", "abc", "nan", "1 ", "1x"]) expect(() => timeoutMs(text)).toThrow("ERR timeout is not a float or out of range");
    expect(() => timeoutMs("-1")).toThrow("ERR timeout is negative");
    expect(() => timeoutMs("1e18")).toThrow("ERR timeout is out of range");
  });
});

test("a histogram's quantiles are right to 3 %", () => {
  const histogram = new Histogram();
  expect(histogram.quantile(0.5)).toBe(0);
  for (let i = 1; i <= 10_000; i++) histogram.add(i);
  expect(Math.abs(histogram.quantile(0.5) / 5000 - 1)).toBeLessThan(0.03);
  expect(Math.abs(histogram.quantile(0.99) / 9900 - 1)).toBeLessThan(0.03);
});
