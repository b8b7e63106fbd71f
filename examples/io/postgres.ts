// A PostgreSQL client, pg, over zigcoro's TCP: a pool of clients, each on a connection of ours.
//
//   bun examples/io/postgres.ts [postgres://user:password@host:port/database]

import { Pool } from "pg";
import { asyncio } from "zigcoro";

export function pool(connectionString: string): Pool {
  // A duplex without a port connects where pg tells it to.
  return new Pool({ connectionString, stream: () => asyncio.createConnection(), max: 4 });
}

if (import.meta.main) {
  const clients = pool(process.argv[2] ?? "postgres://postgres@127.0.0.1/postgres");
  const squares = await Promise.all(
    [1, 2, 3, 4, 5].map(async (n) => (await clients.query<{ square: number }>("select $1::int * $1::int as square", [n])).rows[0]?.square),
  );
  console.log(squares.join(" "));
  const { rows } = await clients.query<{ line: string }>("select repeat('x', 1000) as line from generate_series(1, 10000)");
  console.log(rows.length, rows.at(-1)?.line.length);
  await clients.end();
}
