// The server: a coroutine that accepts, one for each connection (session.ts), and one that removes expired keys. All of them run on one
// thread, so they reach the store directly; what must be waited for goes through channels.

import { asyncio, Channel, type Coroutine, type Frame, TimeoutError, withTimeout, xasync, xawait } from "zigcoro";
import { EXPIRE_INTERVAL_MS, GRACE_MS, MAX_CONNECTIONS } from "./limits.ts";
import { isConnectionError, Session } from "./session.ts";
import { Store } from "./store.ts";
import { Topics } from "./topics.ts";
import { Waiters } from "./waiters.ts";

/** Most batches of keys that one look for expired ones goes through, so that commands never wait long for it. */
const EXPIRE_ROUNDS = 50;

type Listener = Awaited<ReturnType<typeof asyncio.TCP.listen>>;

export class Server {
  readonly store = new Store();
  readonly topics = new Topics();
  readonly waiters = new Waiters();
  readonly sessions = new Set<Session>();
  readonly host: string;
  readonly port: number;
  readonly startedAt = Date.now();
  /** Connections accepted so far. */
  connections = 0;
  /** Commands run so far. */
  commands = 0;
  #frames = new Map<Session, Frame<void>>();
  #stop = new Channel<never>(0, "stop");
  #accepter: Frame<void>;
  #expirer: Frame<void>;

  private constructor(readonly listener: Listener) {
    this.host = listener.local.address;
    this.port = listener.local.port;
    this.#accepter = xasync(this.#accept.bind(this), [], { name: "accept" });
    this.#expirer = xasync(this.#expire.bind(this), [], { name: "expire" });
  }

  /** Listens; port 0 takes a free one. Throws what TCP.listen throws, such as EADDRINUSE. */
  static *listen(port: number, host: string): Coroutine<Server> {
    return new Server(yield* asyncio.TCP.listen({ port, host, backlog: 511 }));
  }

  /** Coroutines that serve: for accepting, for expiring, and for the connections. */
  get coroutines(): number {
    return [this.#accepter, this.#expirer].filter((frame) => frame.status !== "done").length + this.#frames.size;
  }

  /**
   * Accepts nobody any more, lets every connection finish the command it runs and closes it. Returns when all coroutines have ended; how
   * many connections had to be cut because they had not ended after `graceMs` milliseconds.
   */
  *close(graceMs = GRACE_MS): Coroutine<number> {
    this.listener.close();
    this.#stop.close();
    for (const session of this.sessions) session.stop();
    const ended = xasync(this.#join.bind(this), [], { name: "shutdown" });
    let cut = 0;
    try {
      yield* withTimeout(graceMs, xawait(ended));
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error;
      cut = this.sessions.size;
      for (const session of this.sessions) session.connection.close();
      yield* xawait(ended);
    }
    return cut;
  }

  *#join(): Coroutine<void> {
    yield* xawait(this.#accepter);
    yield* xawait(this.#expirer);
    for (const frame of this.#frames.values()) yield* xawait(frame);
  }

  *#accept(): Coroutine<void> {
    for (;;) {
      let connection: Awaited<ReturnType<Listener["accept"]>>;
      try {
        connection = yield* this.listener.accept();
      } catch (error) {
        if (!isConnectionError(error)) throw error;
        if (error.code === "ECANCELED") return; // closed
        console.error(`kv: ${error.message}`);
        yield* asyncio.sleep(EXPIRE_INTERVAL_MS); // out of descriptors, say: some may be free soon
        continue;
      }
      const peer = connection.remote; // unknown when it has left already
      const session = new Session(this, connection, ++this.connections, peer ? `${peer.address}:${peer.port}` : "");
      this.sessions.add(session);
      const frame = xasync(this.#serve.bind(this), [session], { name: `connection ${session.id}` });
      if (frame.status !== "done") this.#frames.set(session, frame);
    }
  }

  *#serve(session: Session): Coroutine<void> {
    try {
      if (this.sessions.size > MAX_CONNECTIONS) session.refuse("ERR max number of clients reached");
      yield* session.run();
    } finally {
      this.sessions.delete(session);
      this.#frames.delete(session);
    }
  }

  *#expire(): Coroutine<void> {
    for (;;) {
      try {
        yield* withTimeout(EXPIRE_INTERVAL_MS, this.#stop.recv());
        return;
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
      }
      for (let round = 0; round < EXPIRE_ROUNDS && this.store.expireSome(); round++);
    }
  }
}
