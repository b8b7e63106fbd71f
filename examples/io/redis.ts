// A Redis client, ioredis, over zigcoro's TCP.
//
//   bun examples/io/redis.ts [port]

import { AbstractConnector, Redis } from "ioredis";
import { asyncio } from "zigcoro";

/** What ioredis asks for a connection each time it connects, reconnects included. */
class ZigcoroConnector extends AbstractConnector {
  readonly #options: { port?: number; host?: string };

  constructor(options: { port?: number; host?: string; disconnectTimeout: number }) {
    super(options.disconnectTimeout);
    this.#options = options;
  }

  override async connect(): Promise<never> {
    const { port = 6379, host = "127.0.0.1" } = this.#options;
    const connection = await asyncio.TCP.connect({ port, host });
    // It is typed as net.Socket, of which ioredis uses what our duplex has.
    this.stream = connection.toDuplex() as never;
    return this.stream as never;
  }
}

export function redis(port: number, host = "127.0.0.1"): Redis {
  return new Redis({ port, host, Connector: ZigcoroConnector as never });
}

if (import.meta.main) {
  const client = redis(Number(process.argv[2] ?? 6379));
  await client.del("numbers", "greeting");
  await client.set("greeting", "hello");
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.rpush("numbers", i);
  const added = await pipeline.exec();
  console.log(await client.get("greeting"), added?.length, (await client.lrange("numbers", 997, -1)).join(" "));
  await client.quit();
}
