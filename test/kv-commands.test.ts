// Every command of examples/kv and its errors, against the answers that Redis 7.0 gives. No sockets: requests go straight to the table.

import { describe, expect, test } from "bun:test";
import { type Reply, ReplyFailure, ReplyParser } from "../examples/kv/client.ts";
import { execute } from "../examples/kv/commands.ts";
import { splitWords } from "../examples/kv/request.ts";
import type { Server } from "../examples/kv/server.ts";
import { type Connection, Session } from "../examples/kv/session.ts";
import { Store } from "../examples/kv/store.ts";
import { Topics } from "../examples/kv/topics.ts";
import { Waiters } from "../examples/kv/waiters.ts";

/** A connection on which nothing can be read or written: commands that answer at once need none. */
const nowhere = { close: () => {} } as unknown as Connection;

class Fake {
  clock = 1_000_000;
  readonly server = {
    store: new Store(() => this.clock),
    topics: new Topics(),
    waiters: new Waiters(),
    sessions: new Set(),
    startedAt: 0,
    connections: 1,
    commands: 0,
    port: 6379,
  } as unknown as Server;
  readonly session = new Session(this.server, nowhere, 7, "127.0.0.1:1");

  /** Runs a request spelled as in redis-cli; its reply, error replies as "-ERR ...". */
  call(line: string | string[]): unknown {
    const waiting = execute(this.session, typeof line === "string" ? splitWords(line) : line);
    if (waiting) return "waits";
    const parser = new ReplyParser();
    for (const part of this.session.replies.take()) parser.push(Uint8Array.from(part));
    const reply = parser.next();
    if (reply === undefined || parser.next() !== undefined) throw new Error(`${line} did not give exactly one reply`);
    return plain(reply);
  }

  /** Runs each line before `=>` and expects what stands behind it, written as JSON. */
  script(text: string): void {
    for (const line of text.trim().split("\n")) {
      const [request = "", wanted = ""] = line.split(" => ");
      expect({ request, reply: this.call(request.trim()) }).toEqual({ request, reply: JSON.parse(wanted) });
    }
  }
}

function plain(reply: Reply): unknown {
  if (reply instanceof ReplyFailure) return `-${reply.message}`;
  return Array.isArray(reply) ? reply.map(plain) : reply;
}

const NOT_INTEGER = `"-ERR value is not an integer or out of range"`;
const WRONG_TYPE = `"-WRONGTYPE Operation against a key holding the wrong kind of value"`;
const MUST_BE_POSITIVE = `"-ERR value is out of range, must be positive"`;
const SYNTAX = `"-ERR syntax error"`;

test("strings", () => {
  new Fake().script(String.raw`
    GET a => null
    SET a b => "OK"
    get a => "b"
    GeT a => "b"
    SET a "\x00\xff\r\n" => "OK"
    GET a => "\u0000\u00ff\r\n"
    SET a 1 NX => null
    SET fresh 1 NX => "OK"
    SET none 1 XX => null
    EXISTS none => 0
    SET a 2 XX => "OK"
    SET a 3 GET => "2"
    SET a 4 NX GET => "3"
    GET a => "3"
    SET new 1 GET => null
    MSET a 1 b 2 => "OK"
    MGET a b c => ["1", "2", null]
    APPEND a 23 => 3
    APPEND n "" => 0
    STRLEN a => 3
    STRLEN none => 0
    GET a => "123"
  `);
});

test("counters", () => {
  new Fake().script(`
    INCR a => 1
    INCRBY a 10 => 11
    DECR a => 10
    DECRBY a 20 => -10
    SET a 9223372036854775806 => "OK"
    INCRBY a -9007199254740993 => 9214364837600034813
    SET a 9223372036854775807 => "OK"
    INCR a => "-ERR increment or decrement would overflow"
    GET a => "9223372036854775807"
    SET a -9223372036854775808 => "OK"
    DECR a => "-ERR increment or decrement would overflow"
    DECRBY a -9223372036854775808 => "-ERR decrement would overflow"
    SET a x => "OK"
    INCR a => ${NOT_INTEGER}
    SET a "1 " => "OK"
    INCR a => ${NOT_INTEGER}
    INCRBY n 1.5 => ${NOT_INTEGER}
    EXISTS n => 0
  `);
});

test("SET's options", () => {
  new Fake().script(`
    SET a b EX 100 => "OK"
    TTL a => 100
    SET a b PX 1500 => "OK"
    PTTL a => 1500
    SET a b KEEPTTL => "OK"
    PTTL a => 1500
    SET a b => "OK"
    PTTL a => -1
    SET a b PXAT 1000001 => "OK"
    PTTL a => 1
    SET a b EXAT 1 => "OK"
    EXISTS a => 0
    SET a b NX XX => ${SYNTAX}
    SET a b EX => ${SYNTAX}
    SET a b EX 1 PX 1 => ${SYNTAX}
    SET a b EX 1 KEEPTTL => ${SYNTAX}
    SET a b KEEPTTL EX 1 => ${SYNTAX}
    SET a b FOO => ${SYNTAX}
    SET a b EX abc => ${NOT_INTEGER}
    SET a b EX 0 => "-ERR invalid expire time in 'set' command"
    SET a b PX -1 => "-ERR invalid expire time in 'set' command"
    SET a b EX 9223372036854775807 => "-ERR invalid expire time in 'set' command"
    SET a b PX 9223372036854775807 => "-ERR invalid expire time in 'set' command"
    EXISTS a => 0
  `);
});

test("keys", () => {
  new Fake().script(`
    MSET a 1 b 2 c 3 => "OK"
    EXISTS a a b zz => 3
    DEL a zz a => 1
    DBSIZE => 2
    KEYS * => ["b", "c"]
    KEYS [^b] => ["c"]
    TYPE b => "string"
    TYPE zz => "none"
    SCAN 0 => ["0", ["b", "c"]]
    SCAN 0 COUNT 1 => ["3", ["b"]]
    SCAN 3 COUNT 1 => ["4", ["c"]]
    SCAN 4 COUNT 1 => ["0", []]
    SCAN 0 MATCH c* TYPE string => ["0", ["c"]]
    SCAN 0 TYPE list => ["0", []]
    SCAN abc => "-ERR invalid cursor"
    SCAN 0 COUNT 0 => ${SYNTAX}
    SCAN 0 COUNT abc => ${NOT_INTEGER}
    SCAN 0 MATCH => ${SYNTAX}
    SCAN 0 FOO x => ${SYNTAX}
    FLUSHALL foo => ${SYNTAX}
    FLUSHALL ASYNC => "OK"
    DBSIZE => 0
    SET a 1 => "OK"
    FLUSHDB => "OK"
    DBSIZE => 0
  `);
});

test("deadlines", () => {
  const fake = new Fake();
  fake.script(`
    TTL a => -2
    PTTL a => -2
    EXPIRE a 10 => 0
    SET a 1 => "OK"
    TTL a => -1
    EXPIRE a 10 => 1
    TTL a => 10
    PEXPIRE a 1499 => 1
    TTL a => 1
    APPEND a 2 => 2
    PTTL a => 1499
    PERSIST a => 1
    PERSIST a => 0
    EXPIRE a 10 XX => 0
    EXPIRE a 10 GT => 0
    EXPIRE a 10 LT => 1
    EXPIRE a 10 NX => 0
    EXPIRE a 5 GT => 0
    EXPIRE a 20 GT => 1
    EXPIRE a 30 LT => 0
    TTL a => 20
    EXPIRE a 1 FOO => "-ERR Unsupported option FOO"
    EXPIRE a 1 NX XX => "-ERR NX and XX, GT or LT options at the same time are not compatible"
    EXPIRE a 1 GT LT => "-ERR GT and LT options at the same time are not compatible"
    EXPIRE a abc => ${NOT_INTEGER}
    EXPIRE a 9223372036854775807 => "-ERR invalid expire time in 'expire' command"
    PEXPIRE a 9223372036854775807 => "-ERR invalid expire time in 'pexpire' command"
    TTL a => 20
  `);
  fake.clock += 20_000;
  fake.script(`
    GET a => null
    SET a 1 => "OK"
    EXPIRE a -1 => 1
    EXISTS a => 0
  `);
});

test("lists", () => {
  new Fake().script(`
    LPUSH l a b c => 3
    RPUSH l x y => 5
    LRANGE l 0 -1 => ["c", "b", "a", "x", "y"]
    LRANGE l -2 100 => ["x", "y"]
    LRANGE l -100 0 => ["c"]
    LRANGE l 3 2 => []
    LRANGE l 5 9 => []
    LRANGE none 0 -1 => []
    LRANGE l 0 9223372036854775807 => ["c", "b", "a", "x", "y"]
    LRANGE l a 1 => ${NOT_INTEGER}
    LLEN l => 5
    LLEN none => 0
    LPOP l => "c"
    RPOP l => "y"
    LPOP l 0 => []
    LPOP l 2 => ["b", "a"]
    LPOP l -1 => ${MUST_BE_POSITIVE}
    LPOP l abc => ${MUST_BE_POSITIVE}
    LPOP l 1 2 => "-ERR wrong number of arguments for 'lpop' command"
    RPOP l 100 => ["x"]
    EXISTS l => 0
    LPOP l => null
    LPOP l 5 => null
    RPUSH l 1 2 => 2
    BLPOP none l 0 => ["l", "1"]
    BLPOP l 5 => ["l", "2"]
    EXISTS l => 0
    BLPOP l 0 => "waits"
    BLPOP l abc => "-ERR timeout is not a float or out of range"
    BLPOP l -1 => "-ERR timeout is negative"
  `);
});

test("hashes", () => {
  new Fake().script(`
    HSET h a 1 b 2 => 2
    HSET h a 3 c 4 => 1
    HSET h a => "-ERR wrong number of arguments for 'hset' command"
    HSET h a 1 b => "-ERR wrong number of arguments for 'hset' command"
    HGET h a => "3"
    HGET h zz => null
    HGET none a => null
    HGETALL h => ["a", "3", "b", "2", "c", "4"]
    HGETALL none => []
    HLEN h => 3
    HDEL h a b zz => 2
    HDEL h c => 1
    EXISTS h => 0
  `);
});

test("sets", () => {
  const fake = new Fake();
  fake.script(`
    SADD s a b a => 2
    SADD s b c => 1
    SMEMBERS s => ["a", "b", "c"]
    SMEMBERS none => []
    SISMEMBER s a => 1
    SISMEMBER s zz => 0
    SCARD s => 3
    SREM s a zz => 1
    SPOP s 0 => []
    SPOP s -1 => ${MUST_BE_POSITIVE}
    SPOP s 1 2 => ${SYNTAX}
    SPOP none => null
    SPOP none 3 => []
  `);
  expect((fake.call("SPOP s 5") as string[]).sort()).toEqual(["b", "c"]);
  expect(fake.call("EXISTS s")).toBe(0);
  fake.call("SADD s only");
  expect(fake.call("SPOP s")).toBe("only");
});

test("a command on the wrong type says so and changes nothing", () => {
  const fake = new Fake();
  fake.script(`
    SET str x => "OK"
    RPUSH list a => 1
  `);
  for (const line of [
    "LPUSH str a",
    "LPOP str",
    "LPOP str 2",
    "RPOP str",
    "LRANGE str 0 1",
    "LLEN str",
    "BLPOP str 1",
    "HSET str a b",
    "HGET str a",
  ]) {
    fake.script(`${line} => ${WRONG_TYPE}`);
  }
  for (const line of [
    "HGETALL str",
    "HLEN str",
    "HDEL str a",
    "SADD str a",
    "SREM str a",
    "SMEMBERS str",
    "SPOP str",
    "SPOP str 2",
    "SCARD str",
  ]) {
    fake.script(`${line} => ${WRONG_TYPE}`);
  }
  for (const line of ["GET list", "INCR list", "APPEND list x", "STRLEN list", "SET list x GET"]) fake.script(`${line} => ${WRONG_TYPE}`);
  fake.script(`
    GET str => "x"
    LRANGE list 0 -1 => ["a"]
    MGET str list => ["x", null]
    SET list over => "OK"
  `);
});

describe("what comes before a command", () => {
  const names = (new Fake().call("COMMAND") as [string, number][]).map(([name, arity]) => [name, arity] as const);

  test.each(names)("%s takes no wrong number of arguments", (name, arity) => {
    const fake = new Fake();
    const complaint = `-ERR wrong number of arguments for '${name}' command`;
    const tooFew = Math.abs(arity) - 1;
    if (tooFew > 0) expect(fake.call([name, ...Array(tooFew - 1).fill("x")])).toBe(complaint);
    if (arity > 0) expect(fake.call([name, ...Array(arity).fill("x")])).toBe(complaint);
  });

  test("unknown commands are named with the beginning of their arguments", () => {
    const fake = new Fake();
    expect(fake.call("foo")).toBe("-ERR unknown command 'foo', with args beginning with: ");
    expect(fake.call("foo a b")).toBe("-ERR unknown command 'foo', with args beginning with: 'a' 'b' ");
    expect(fake.call("HELLO 3")).toBe("-ERR unknown command 'HELLO', with args beginning with: '3' ");
    expect(fake.call(["foo", "a\r\nb"])).toBe("-ERR unknown command 'foo', with args beginning with: 'a  b' ");
    expect(fake.call(["foo", "x".repeat(60), "y".repeat(60), "z".repeat(60), "w"])).toBe(
      `-ERR unknown command 'foo', with args beginning with: '${"x".repeat(60)}' '${"y".repeat(60)}' 'zz' `,
    );
    expect(fake.session.closing).toBe(false);
  });

  test("a request of a web browser ends the connection", () => {
    for (const line of ["POST / HTTP/1.1", "Host: localhost"]) {
      const fake = new Fake();
      fake.call(line);
      expect(fake.session.closing).toBe(true);
    }
  });
});

test("the connection and the server", () => {
  const fake = new Fake();
  fake.script(`
    PING => "PONG"
    PING hello => "hello"
    PING a b => "-ERR wrong number of arguments for 'ping' command"
    ECHO x => "x"
    SELECT 0 => "OK"
    SELECT 1 => "-ERR DB index is out of range"
    SELECT abc => ${NOT_INTEGER}
    CLIENT ID => 7
    CLIENT GETNAME => null
    CLIENT SETNAME me => "OK"
    CLIENT GETNAME => "me"
    CLIENT SETNAME "a b" => "-ERR Client names cannot contain spaces, newlines or special characters."
    CLIENT SETINFO LIB-NAME x => "OK"
    CLIENT SETNAME => "-ERR wrong number of arguments for 'client|setname' command"
    CLIENT FOO => "-ERR unknown subcommand 'FOO'. Try CLIENT HELP."
    CONFIG GET appendonly => ["appendonly", "no"]
    CONFIG GET save append* => ["appendonly", "no", "save", ""]
    CONFIG GET nothing => []
    CONFIG GET => "-ERR wrong number of arguments for 'config|get' command"
    CONFIG SET a b => "-ERR unknown subcommand 'SET'. Try CONFIG HELP."
    COMMAND DOCS => []
    COMMAND INFO get nothing => [["get", 2, ["readonly", "fast"], 1, 1, 1], null]
    COMMAND FOO => "-ERR unknown subcommand 'FOO'. Try COMMAND HELP."
    PUBLISH topic message => 0
    UNSUBSCRIBE => ["unsubscribe", null, 0]
    RESET => "RESET"
    CLIENT GETNAME => null
    QUIT => "OK"
  `);
  expect(fake.session.closing).toBe(true);
  expect(fake.call("COMMAND COUNT")).toBe((fake.call("COMMAND") as unknown[]).length);
  fake.call("SET a b EX 5");
  expect(fake.call("INFO")).toContain("redis_version:7.0.0\r\n");
  expect(fake.call("INFO keyspace")).toBe("# Keyspace\r\ndb0:keys=1,expires=1\r\n");
  expect(fake.call("INFO nothing")).toBe("");
});
