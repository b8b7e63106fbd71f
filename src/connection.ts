// createConnection: a Node stream that connects, for libraries that want a socket at once.

import { checkOptions } from "./check.ts";
import type { Operation } from "./operation.ts";
import { type DuplexOptions, SocketDuplex } from "./socket-duplex.ts";
import { type ConnectOptions, TCP } from "./tcp.ts";

/**
 * As net.createConnection: a duplex that connects to `options` as `TCP.connect` does, and emits "connect" when it has. What is written before
 * is kept; an error that has the code, address and port destroys it. Without a port it connects when its own `connect` is called.
 *
 * It fits where a library makes its own sockets: `createConnection` of http and https requests and agents, `stream` of pg.
 *
 * @example
 * ```ts
 * const request = http.get({ port, createConnection: asyncio.createConnection });
 * const [response] = await once(request, "response");
 * console.log(response.statusCode); // 200
 * ```
 * @throws TypeError, RangeError
 */
export function createConnection(options: Partial<ConnectOptions> & DuplexOptions = {}): SocketDuplex {
  checkOptions(options, "asyncio.createConnection");
  const duplex = new SocketDuplex(undefined, options, connector);
  return options.port === undefined ? duplex : duplex.connect(options);
}

/** Libraries hand ports on as they were written. */
function connector(options: object): Operation<TCP> {
  const { port, host } = options as { port: unknown; host?: string };
  const isNumber = typeof port === "string" && /^\d+$/.test(port);
  return TCP.connect({ port: (isNumber ? Number(port) : port) as number, ...(host && { host }) });
}
