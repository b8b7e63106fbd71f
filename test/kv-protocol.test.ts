// The protocol of examples/kv: requests and replies in pieces of any size, garbage, and large values. Memory only, no sockets.

import { describe, expect, test } from "bun:test";
import { type Reply, ReplyFailure, ReplyParser } from "../examples/kv/client.ts";
import { Replies } from "../examples/kv/replies.ts";
import { ProtocolError, RequestParser, splitWords } from "../examples/kv/request.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

/** All requests in the pieces, and the complaint that ended them, if any. */
function parse(pieces: Iterable<Uint8Array>): { requests: string[][]; complaint?: string } {
  const parser = new RequestParser();
  const requests: string[][] = [];
  try {
    for (const piece of pieces) {
      parser.push(piece);
      for (let request = parser.next(); request; request = parser.next()) requests.push(request);
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { requests, complaint: error.message };
  }
  return { requests };
}

/** Numbers from 0 to below 1 that are the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const CORPUS = bytes(
  [
    "*1\r\n$4\r\nPING\r\n",
    "*3\r\n$3\r\nSET\r\n$5\r\nk\r\n\0\xff\r\n$0\r\n\r\n",
    "\r\n*0\r\n*-1\r\nPING\r\n  get   a\tb  \n",
    "SET \"a \\x41\\n\\\"\" 'b \\' \\n'\r\n",
    "*2\r\n$4\r\nECHO\r\n$12\r\n*1\r\n$4\r\nPING\r\n",
  ].join(""),
);
const CORPUS_REQUESTS = [
  ["PING"],
  ["SET", "k\r\n\0\xff", ""],
  ["PING"],
  ["get", "a", "b"],
  ["SET", 'a A\n"', "b ' \\n"],
  ["ECHO", "*1\r\n$4\r\nPING"],
];

describe("requests", () => {
  test("are the same when the bytes come in two pieces, split anywhere", () => {
    for (let at = 0; at <= CORPUS.length; at++) {
      expect(parse([CORPUS.subarray(0, at), CORPUS.subarray(at)])).toEqual({ requests: CORPUS_REQUESTS });
    }
  });

  test("are the same in three pieces and byte by byte", () => {
    for (let a = 0; a < CORPUS.length; a += 3) {
      for (let b = a; b < CORPUS.length; b += 3) {
        expect(parse([CORPUS.subarray(0, a), CORPUS.subarray(a, b), CORPUS.subarray(b)]).requests).toEqual(CORPUS_REQUESTS);
      }
    }
    expect(parse([...CORPUS].map((byte) => Uint8Array.of(byte)))).toEqual({ requests: CORPUS_REQUESTS });
  });

  test("are the same in random pieces of a long stream", () => {
    const next = random(1);
    const sent: string[][] = [];
    let stream = "";
    for (let i = 0; i < 500; i++) {
      const args = Array.from({ length: 1 + Math.floor(next() * 5) }, () => "\r\n$*\xff x".repeat(Math.floor(next() ** 4 * 300)));
      sent.push(args);
      stream += `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join("")}`;
    }
    for (let round = 0; round < 20; round++) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < stream.length; ) {
        const length = 1 + Math.floor(next() ** 3 * 5000);
        pieces.push(bytes(stream.slice(at, at + length)));
        at += length;
      }
      expect(parse(pieces).requests).toEqual(sent);
    }
  });

  test.each([
    ["*abc\r\n", "invalid multibulk length"],
    ["*01\r\n", "invalid multibulk length"],
    ["*+1\r\n", "invalid multibulk length"],
    ["*1 \r\n", "invalid multibulk length"],
    ["*\r\n", "invalid multibulk length"],
    ["*99999999999\r\n", "invalid multibulk length"],
    ["*1\r\n$-1\r\n", "invalid bulk length"],
    ["*1\r\n$abc\r\n", "invalid bulk length"],
    ["*1\r\n$536870913\r\n", "invalid bulk length"],
    ["*1\r\n$04\r\nPING\r\n", "invalid bulk length"],
    ["*1\r\nPING\r\n", "expected '$', got 'P'"],
    ["*1\r\n:4\r\n", "expected '$', got ':'"],
    ['SET a "b\r\n', "unbalanced quotes in request"],
    ["SET a 'b'c\r\n", "unbalanced quotes in request"],
    ['SET a "b\\"\r\n', "unbalanced quotes in request"],
    ["A".repeat(70_000), "too big inline request"],
    [`*${"1".repeat(70_000)}`, "too big mbulk count string"],
    [`*1\r\n$${"1".repeat(70_000)}`, "too big bulk count string"],
  ])("%j is refused", (text, complaint) => {
    expect(parse([bytes(text)])).toEqual({ requests: [], complaint });
    expect(parse([...bytes(text)].map((byte) => Uint8Array.of(byte))).complaint).toBe(complaint);
  });

  test("before garbage are still served", () => {
    expect(parse([bytes("*1\r\n$4\r\nPING\r\n*abc\r\n")])).toEqual({ requests: [["PING"]], complaint: "invalid multibulk length" });
  });

  test("random garbage ends in requests, a complaint or patience, never in another error", () => {
    const next = random(2);
    const alphabet = ["*", "$", "1", "2", "-", "\r\n", "\r", "\n", '"', "'", "\\", "a", "\0", "\xff", " "];
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: Math.floor(next() * 30) }, () => alphabet[Math.floor(next() * alphabet.length)]).join("");
      for (const request of parse([bytes(text)]).requests) expect(request.length).toBeGreaterThan(0);
    }
  });

  test("a value of 32 MiB in pieces of 512 bytes is copied a few times, not 65,536 times", () => {
    // Carrying what came into a new buffer at each piece would copy a tebibyte here and run into the test's time limit.
    const value = Buffer.alloc(32 * 1024 * 1024, "0123456789abcdef");
    function* pieces() {
      yield bytes(`*2\r\n$4\r\nECHO\r\n$${value.length}\r\n`);
      for (let at = 0; at < value.length; at += 512) yield value.subarray(at, at + 512);
      yield bytes("\r\n*1\r\n$4\r\nPING\r\n");
    }
    const { requests } = parse(pieces());
    expect(requests.map((request) => request[0])).toEqual(["ECHO", "PING"]);
    expect(bytes(requests[0]?.[1] ?? "").equals(value)).toBe(true);
  });
});

test.each([
  ["", []],
  ["  a  b ", ["a", "b"]],
  ['"" x', ["", "x"]],
  ['a"b c"', ["ab c"]],
  ['"\\x41\\x7a\\n\\r\\t\\b\\a\\q"', ["Az\n\r\t\b\x07q"]],
  ['"\\xzz"', ["xzz"]],
  ["'\\'\\n'", ["'\\n"]],
])("inline %j is %j", (line, words) => {
  expect(splitWords(line)).toEqual(words);
});

function written(write: (replies: Replies) => void): string {
  const replies = new Replies();
  write(replies);
  return Buffer.concat(replies.take()).toString("latin1");
}

describe("replies", () => {
  test("are spelled as RESP2 wants them", () => {
    const all = written((replies) => {
      replies.status("OK");
      replies.error("ERR a\r\nb");
      replies.integer(-5);
      replies.integer("9223372036854775807");
      replies.bulk("\r\n\0\xff");
      replies.bulk("");
      replies.bulk(undefined);
      replies.nilArray();
      replies.bulks(["a", "bc"]);
    });
    expect(all).toBe(
      "+OK\r\n-ERR a  b\r\n:-5\r\n:9223372036854775807\r\n$4\r\n\r\n\0\xff\r\n$0\r\n\r\n$-1\r\n*-1\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n",
    );
  });

  test("of a pipeline leave in one part, and of a long one in parts of bounded size", () => {
    const replies = new Replies();
    for (let i = 0; i < 1000; i++) replies.integer(i);
    expect(replies.take().length).toBe(1);
    expect(replies.size).toBe(0);
    for (let i = 0; i < 100_000; i++) replies.bulk(`value ${i}`);
    const { size } = replies;
    const parts = replies.take();
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(size);
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(64 * 1024);
    const parser = new ReplyParser();
    parser.push(Buffer.concat(parts));
    for (let i = 0; i < 100_000; i++) if (parser.next() !== `value ${i}`) throw new Error(`reply ${i} is wrong`);
  });

  test("keep what was taken intact until the next take", () => {
    const replies = new Replies();
    replies.bulk("first".repeat(10));
    const parts = replies.take();
    for (let i = 0; i < 10_000; i++) replies.bulk("second");
    expect(Buffer.concat(parts).toString()).toBe(`$50\r\n${"first".repeat(10)}\r\n`);
  });

  test("of every length around the limits come back as they were", () => {
    for (const length of [1, 15, 16, 17, 1018, 1024, 32_767, 32_768, 65_530, 65_536, 200_000]) {
      const value = "\xe4".repeat(length);
      expect(written((replies) => replies.bulks([value, "x", value]))).toBe(
        `*3\r\n$${length}\r\n${value}\r\n$1\r\nx\r\n$${length}\r\n${value}\r\n`,
      );
    }
  });

  test("are read back the same in pieces, split anywhere", () => {
    const text = "*5\r\n*0\r\n*2\r\n:1\r\n*1\r\n$-1\r\n$3\r\na\r\n\r\n-ERR no\r\n+OK\r\n:7\r\n*-1\r\n";
    const wanted: Reply[] = [[[], [1, [null]], "a\r\n", new ReplyFailure("ERR no"), "OK"], 7, null];
    for (let at = 0; at <= text.length; at++) {
      const parser = new ReplyParser();
      const got: Reply[] = [];
      for (const piece of [text.slice(0, at), text.slice(at)]) {
        parser.push(bytes(piece));
        for (let reply = parser.next(); reply !== undefined; reply = parser.next()) got.push(reply);
      }
      expect(got).toEqual(wanted);
    }
  });
});
