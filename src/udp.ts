// UDP: datagram sockets. The sockets are native (zig/io/udp.zig); these objects hold handles and check arguments. What reads and writes do
// is said in udp-operation.ts.

import { isIP } from "node:net";
import type { Address } from "./address.ts";
import { checkBytes, type Writable } from "./bytes.ts";
import { sequence } from "./call.ts";
import { checkInteger, checkOptions, checkString, show } from "./check.ts";
import { codes } from "./code.ts";
import {
  addressOf,
  blockFor,
  type Datagram,
  type Destination,
  fillRecord,
  maxBatch,
  maxDatagram,
  type Outgoing,
  parseLiteral,
  recordWords,
} from "./datagram.ts";
import { Deque } from "./deque.ts";
import { closedError, endpoint, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { checkHost, resolve } from "./host.ts";
import { env, lastErrno, library } from "./native/env.ts";
import type { Operation } from "./operation.ts";
import { poke, state } from "./scheduler.ts";
import { newTraffic, type Part, Read, ReadMany, type Target, type Traffic, Write, WriteMany } from "./udp-operation.ts";

const encoder = new TextEncoder();

/** As zig/io/udp.zig numbers them. */
const settings = { broadcast: 0, ttl: 1, multicastTTL: 2, multicastLoopback: 3, receiveBuffer: 4, sendBuffer: 5 } as const;

export interface BindOptions {
  /** 0 to 65535; 0, the default, takes a free one, see `socket.local`. */
  readonly port?: number;
  /** An address of this machine, or a name of it. Default "0.0.0.0": all IPv4 ones; "::" is all of both kinds. */
  readonly host?: string;
  /** Several sockets, of other processes too, share the port, and the kernel spreads senders over them. Default false. */
  readonly reusePort?: boolean;
  /** Several sockets may bind the same address: for multicast each of them gets every datagram. Default false. */
  readonly reuseAddress?: boolean;
  /** An IPv6 socket takes no IPv4. Default false: IPv4 senders show as "::ffff:10.0.0.1", and IPv4 addresses may be sent to. */
  readonly ipv6Only?: boolean;
  /** It may send to broadcast addresses. Default false. */
  readonly broadcast?: boolean;
}

/** A UDP socket. One read may be in flight at a time; writes wait for each other. */
export class UDP {
  /** The native handle, for native bodies; 0 once closed. */
  handle: number;
  /** The address it is bound to. */
  readonly local: Address;
  /** Where it is connected to. */
  #remote: Address | undefined;
  /** For its operations. */
  readonly traffic: Traffic = newTraffic();
  readonly #family: 0 | 4 | 6;
  readonly #read: Read;

  /** Opens and binds a socket. IO errors carry `address` and `port`. @throws TypeError, RangeError */
  static bind(options: BindOptions = {}): Operation<UDP> {
    checkOptions(options, "asyncio.UDP.bind");
    const port = checkInteger(options.port ?? 0, "asyncio.UDP.bind: port", 0, 65535);
    const host = checkHost(options.host ?? "0.0.0.0", "asyncio.UDP.bind: host");
    const flags = [options.reusePort, options.reuseAddress, options.ipv6Only, options.broadcast];
    const bits = flags.reduce<number>((sum, flag, i) => sum | (flag === true ? 1 << i : 0), 0);
    return sequence(`bind ${endpoint(host, port)}`, () => bind(host, port, bits, options.ipv6Only === true));
  }

  /** For `bind`. */
  constructor(handle: number, family: 0 | 4 | 6) {
    this.handle = handle;
    this.#family = family;
    this.local = this.#address(0) as Address;
    this.#read = new Read(this);
    collected.register(this, handle, this);
  }

  /** Where `connect` connected it to. */
  get remote(): Address | undefined {
    return this.#remote;
  }

  /** Whether `close` was called. */
  get closed(): boolean {
    return this.handle === 0;
  }

  /**
   * The next datagram. One that is empty is a datagram, too; the end of a "stream" there is none. Of one longer than `max` bytes the rest is
   * lost, and `truncated` says so.
   *
   * A read that is cancelled or loses in a select loses nothing: the datagram that it would have got is the next read's.
   *
   * @param max an integer from 0 to 65535
   * @throws IoError "ECONNREFUSED" on a connected socket when nobody listened there, "ECANCELED" when the socket is closed
   * @throws Error when another coroutine reads already
   */
  read(max: number = maxDatagram): Operation<Datagram> {
    return max === maxDatagram ? this.#read : new Read(this, checkInteger(max, "UDP.read: max", 0, maxDatagram));
  }

  /**
   * The datagrams that are there, 1 to `max` (at most 1024): waits for the first only. One system call brings up to 32, so this costs less
   * than reading one by one.
   */
  readMany(max: number = maxBatch): Operation<Datagram[]> {
    return new ReadMany(this, checkInteger(max, "UDP.readMany: max", 1, 1024));
  }

  /**
   * Sends one datagram, a string as UTF-8, to `to`: an `Address`, or `{ host, port }` or `{ address, port }`. Without it, to where the
   * socket is connected to. It waits while the socket's buffer is full, which is seldom. `data` must stay unchanged until it has ended.
   *
   * That it was sent says nothing about its arrival.
   *
   * @example
   * ```ts
   * using socket = yield* asyncio.UDP.bind({ host: "127.0.0.1" });
   * yield* socket.write("hello", socket.local);
   * const { data, address } = yield* socket.read();
   * console.log(Buffer.from(data).toString(), address.port === socket.local.port);
   * ```
   * @throws IoError "EMSGSIZE" when it is too large for a datagram, "EDESTADDRREQ" without any destination, "ECONNREFUSED" for an earlier
   *   one of a connected socket, "EACCES" for a broadcast address without `broadcast`; with `address` and `port`
   */
  write(data: Writable, to?: Destination): Operation<void> {
    const bytes = checkBytes(data, "UDP.write: data");
    if (to === undefined) return new Write(this, bytes, undefined, undefined);
    const { host, port } = checkDestination(to, "UDP.write: to");
    const target = this.#literal(host);
    if (target !== undefined) return new Write(this, bytes, target, { host, port });
    return sequence(`write to ${endpoint(host, port)}`, () => this.#writeTo(bytes, host, port));
  }

  /**
   * Sends datagrams in order, up to 32 in one system call. What `readMany` gave may be passed: it goes back to the senders.
   *
   * @throws IoError as `write` does, for the first that cannot be sent, with `sent`: how many were before it
   */
  writeMany(datagrams: readonly Outgoing[]): Operation<void> {
    if (!Array.isArray(datagrams)) throw new TypeError(`UDP.writeMany: datagrams must be an array, got ${show(datagrams)}`);
    const parts = Array.from(datagrams, (datagram: Outgoing, i): Part => {
      if (typeof datagram !== "object" || datagram === null) {
        throw new TypeError(`UDP.writeMany: datagram ${i} must be an object, got ${show(datagram)}`);
      }
      const { data, address } = datagram;
      const bytes = checkBytes(data, `UDP.writeMany: data of datagram ${i}`);
      const part = { bytes, length: bytes.byteLength };
      if (address === undefined) return { ...part, to: undefined, target: undefined };
      const to = checkDestination(address, `UDP.writeMany: address of datagram ${i}`);
      return { ...part, to, target: this.#literal(to.host) };
    });
    if (parts.every(({ to, target }) => to === undefined || target !== undefined)) return new WriteMany(this, parts);
    return sequence(`write ${parts.length} datagrams`, () => this.#writeParts(parts));
  }

  /**
   * Connects: datagrams go there when nothing else is said, others' are not received, and errors that come back are told. May be done
   * again, with another destination.
   */
  connect(to: Destination): Operation<void> {
    const { host, port } = checkDestination(to, "UDP.connect: to");
    return sequence(`connect to ${endpoint(host, port)}`, () => this.#connect(host, port));
  }

  /** Whether it may send to broadcast addresses. */
  setBroadcast(on = true): void {
    this.#set("broadcast", on ? 1 : 0, "setBroadcast");
  }

  /** How many routers a datagram may pass, 1 to 255. */
  setTTL(ttl: number): void {
    this.#set("ttl", checkInteger(ttl, "UDP.setTTL: ttl", 1, 255), "setTTL");
  }

  /** The same for multicast, 0 to 255; 1, the default, keeps it in this network, 0 on this machine. */
  setMulticastTTL(ttl: number): void {
    this.#set("multicastTTL", checkInteger(ttl, "UDP.setMulticastTTL: ttl", 0, 255), "setMulticastTTL");
  }

  /** Whether members on this machine get its multicast datagrams, too; they do by default. */
  setMulticastLoopback(on = true): void {
    this.#set("multicastLoopback", on ? 1 : 0, "setMulticastLoopback");
  }

  /** Multicast datagrams leave by this interface: a name ("eth0"), an IPv4 address of it, or "" for the kernel's choice. */
  setMulticastInterface(name: string): void {
    const bytes = encoder.encode(`${checkString(name, "UDP.setMulticastInterface: name")}\0`);
    this.#check(library.zc_udp_multicast_interface(env, this.handle, bytes, bytes.byteLength - 1), "setMulticastInterface");
  }

  /** Joins a multicast group, on the interface of that name or IPv4 address; without, the kernel chooses. */
  addMembership(group: string, networkInterface = ""): void {
    this.#setMembership(1, group, networkInterface, "addMembership");
  }

  /** Leaves a group, as it was joined. */
  dropMembership(group: string, networkInterface = ""): void {
    this.#setMembership(0, group, networkInterface, "dropMembership");
  }

  /** Bytes of datagrams that the kernel holds until they are read; what comes on top is dropped. Linux counts its own bookkeeping, too. */
  get receiveBufferSize(): number {
    return this.#check(library.zc_udp_buffer_size(env, this.handle, settings.receiveBuffer), "getReceiveBufferSize");
  }

  /** The kernel takes twice that, and no more than it allows (net.core.rmem_max). 1 to 2^30. */
  setReceiveBufferSize(bytes: number): void {
    this.#set("receiveBuffer", checkInteger(bytes, "UDP.setReceiveBufferSize: bytes", 1, 2 ** 30), "setReceiveBufferSize");
  }

  /** Bytes of datagrams under way to the network; a write waits while it is full. */
  get sendBufferSize(): number {
    return this.#check(library.zc_udp_buffer_size(env, this.handle, settings.sendBuffer), "getSendBufferSize");
  }

  /** As `setReceiveBufferSize`, for what is sent. */
  setSendBufferSize(bytes: number): void {
    this.#set("sendBuffer", checkInteger(bytes, "UDP.setSendBufferSize: bytes", 1, 2 ** 30), "setSendBufferSize");
  }

  /** Closes it. Operations in flight end with an error whose code is "ECANCELED". Closing twice does nothing. */
  close(): void {
    if (this.handle === 0) return;
    library.zc_udp_close(env, this.handle);
    collected.unregister(this);
    this.handle = 0;
    this.traffic.arrived = new Deque();
    state.submitted = true;
    poke();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Reads until the socket is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Datagram, void, undefined> {
    while (!this.closed) {
      try {
        yield await this.read();
      } catch (error) {
        if (this.closed) return;
        throw error;
      }
    }
  }

  *#connect(host: string, port: number): Coroutine<void> {
    const address = yield* this.#resolve(host, "connect", port);
    const record = new Int32Array(recordWords);
    fillRecord(record, 0, 0, address, port);
    const status = library.zc_udp_connect(env, this.handle, record);
    if (status < 0)
      throw status === codes.badHandle ? closedError("connect", "socket") : ioError(status, "connect", { address: host, port });
    this.#remote = this.#address(1);
  }

  *#writeTo(bytes: Uint8Array, host: string, port: number): Coroutine<void> {
    yield* new Write(this, bytes, yield* this.#resolve(host, "write", port), { host, port });
  }

  *#writeParts(parts: Part[]): Coroutine<void> {
    for (const part of parts) {
      if (part.to !== undefined) part.target ??= yield* this.#resolve(part.to.host, "write", part.to.port);
    }
    yield* new WriteMany(this, parts);
  }

  *#resolve(host: string, syscall: string, port: number): Coroutine<Int32Array> {
    return this.#literal(host) ?? (this.#literal((yield* resolve(host, syscall, port, this.#family))[0] as string) as Int32Array);
  }

  #literal(text: string): Int32Array | undefined {
    return parseLiteral(text, (zone) => {
      if (/^\d{1,9}$/.test(zone)) return Number(zone);
      const bytes = encoder.encode(`${zone}\0`);
      const index = library.zc_udp_interface_index(env, this.handle, bytes, bytes.byteLength - 1);
      if (index < 0) throw index === codes.badHandle ? closedError("write", "socket") : ioError(index, "write", { address: text });
      return index;
    });
  }

  #address(peer: 0 | 1): Address | undefined {
    const { words } = blockFor(1);
    return library.zc_udp_address(env, this.handle, peer, words) < 0 ? undefined : addressOf(words, 0);
  }

  #setMembership(joins: 0 | 1, group: string, networkInterface: string, name: string): void {
    const record = isIP(checkString(group, `UDP.${name}: group`)) ? this.#literal(group) : undefined;
    if (record === undefined) throw new TypeError(`UDP.${name}: group must be a multicast address, got ${show(group)}`);
    const bytes = encoder.encode(`${checkString(networkInterface, `UDP.${name}: networkInterface`)}\0`);
    this.#check(library.zc_udp_membership(env, this.handle, joins, record, bytes, bytes.byteLength - 1), name);
  }

  #set(setting: keyof typeof settings, value: number, name: string): void {
    this.#check(library.zc_udp_set(env, this.handle, settings[setting], value), name);
  }

  #check(status: number, name: string): number {
    if (status >= 0) return status;
    throw status === codes.badHandle ? closedError(name, "socket") : ioError(status, name);
  }
}

/** A socket that nobody can reach any more is closed. */
const collected = new FinalizationRegistry<number>((handle) => {
  library.zc_udp_close(env, handle);
  state.submitted = true;
  poke();
});

function* bind(host: string, port: number, bits: number, ipv6Only: boolean): Coroutine<UDP> {
  const [address = ""] = yield* resolve(host, "bind", port);
  const bytes = encoder.encode(address);
  const handle = library.zc_udp_bind(env, bytes, bytes.byteLength, port, bits);
  if (handle === 0) throw ioError(lastErrno(), "bind", { address, port });
  return new UDP(handle, isIP(address) === 4 ? 4 : ipv6Only ? 6 : 0);
}

function checkDestination(to: unknown, what: string): Target {
  if (typeof to !== "object" || to === null) throw new TypeError(`${what} must be an Address or { host, port }, got ${show(to)}`);
  const { host, address, port } = to as { host?: unknown; address?: unknown; port?: unknown };
  return {
    host: checkHost(address ?? host, `${what}.${address === undefined ? "host" : "address"}`, true),
    port: checkInteger(port, `${what}.port`, 1, 65535),
  };
}
