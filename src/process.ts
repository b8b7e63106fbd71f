// Process: child processes. They are native (zig/spawn.zig starts them, zig/io/child.zig waits for them); their pipes are our streams.

import { constants } from "node:os";
import { checkBytes, type Writable } from "./bytes.ts";
import { call, sequence } from "./call.ts";
import { checkInteger, checkMilliseconds, checkOptions, checkString, show } from "./check.ts";
import { codes, parked } from "./code.ts";
import { type Duplex, Reader, Writer } from "./duplex.ts";
import { errnos, type IoError, ioError } from "./error.ts";
import type { Coroutine } from "./frame.ts";
import { all } from "./gather.ts";
import { env, lastErrno, library } from "./native/env.ts";
import { Operation, tokenOf } from "./operation.ts";
import { type SpawnSettings, type Stdio, startProcess } from "./process-plan.ts";
import { poke, state } from "./scheduler.ts";
import { select } from "./select.ts";
import { shield } from "./shield.ts";
import { sleep } from "./sleep.ts";
import type { Wait } from "./wait.ts";

export type Signal = NodeJS.Signals;
export type StdioInput = Stdio | Reader;
export type StdioOutput = Stdio | Writer | Duplex;

export interface SpawnOptions<I extends StdioInput = StdioInput, O extends StdioOutput = StdioOutput, E extends StdioOutput = StdioOutput>
  extends SpawnSettings {
  /** What the child reads. Default "ignore": nothing. */
  readonly stdin?: I;
  /** Where its output goes. Default "pipe". One that nobody reads is full after some 64 KiB, and the child waits then. */
  readonly stdout?: O;
  /** Where its complaints go. Default "inherit". */
  readonly stderr?: E;
}

/** How a process ended: with a code, or by a signal. Neither: it has ended, and nobody could tell how. */
export interface ExitStatus {
  /** 0 to 255. */
  readonly code: number | null;
  readonly signal: Signal | null;
}

export interface EndOptions {
  /** What asks it to end. Default "SIGTERM". */
  readonly signal?: Signal | number;
  /** Milliseconds until SIGKILL. Default 5,000. */
  readonly grace?: number;
}

export interface RunOptions extends SpawnSettings, EndOptions {
  /** What the child reads, a string as UTF-8. Default: nothing. */
  readonly input?: Writable;
  /** Bytes of output, or of complaints, at most. Default 64 MiB. */
  readonly maxBuffer?: number;
}

export interface RunResult extends ExitStatus {
  readonly stdout: Uint8Array<ArrayBuffer>;
  readonly stderr: Uint8Array<ArrayBuffer>;
}

type PipeOf<S, Stream> = S extends "pipe" ? Stream : null;

/** What the native side answers for an end that nobody could tell more of. */
const unknownEnd = 1000;
const signalBase = 256;
const maxPid = 2 ** 31 - 1;
const signalNames = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name as Signal]));

/**
 * A child process. It starts with its three standard streams and no other descriptor of ours, no signal blocked and all signals' default actions.
 *
 * A child that runs keeps this process alive, whether or not it is waited for; it is reaped when it ends, so that no zombie stays. It is never
 * ended just because nobody holds this object any more: `await using`, `end`, or `run` do that.
 *
 * @example
 * ```ts
 * const child = asyncio.Process.spawn("sort", ["-n"], { stdin: "pipe" });
 * yield* child.stdin.write("10\n9\n");
 * child.stdin.close();
 * console.log(Buffer.from((yield* child.stdout.read()) ?? []).toString()); // 9, 10
 * console.log((yield* child.wait()).code); // 0
 * ```
 */
export class Process<
  I extends Writer | null = Writer | null,
  O extends Reader | null = Reader | null,
  E extends Reader | null = Reader | null,
> implements AsyncDisposable
{
  readonly pid: number;
  readonly command: string;
  /** The pipe to it, with `stdin: "pipe"`. Closing it ends the child's input. */
  readonly stdin: I;
  /** The pipe from it, with `stdout: "pipe"`. */
  readonly stdout: O;
  readonly stderr: E;
  readonly #handle: number;
  readonly #wait: ProcessWait;

  private constructor(command: string, pid: number, handle: number, [stdin, stdout, stderr]: readonly [I, O, E]) {
    this.command = command;
    this.pid = pid;
    this.stdin = stdin;
    this.stdout = stdout;
    this.stderr = stderr;
    this.#handle = handle;
    this.#wait = new ProcessWait(handle, `see the end of process ${pid} (${command})`, this);
    collected.register(this, handle);
    state.submitted = true;
    poke();
  }

  /**
   * Starts `command`, which is searched for in PATH unless it has a slash, and returns when the program runs. No shell comes between.
   *
   * @throws TypeError, RangeError; IO errors with `path`, the command or the folder that is wrong: "ENOENT", "EACCES", "E2BIG", "EAGAIN",
   * "EMFILE" and so on. Nothing was started then.
   */
  static spawn<const I extends StdioInput = "ignore", const O extends StdioOutput = "pipe", const E extends StdioOutput = "inherit">(
    command: string,
    args: readonly string[] = [],
    options: SpawnOptions<I, O, E> = {},
  ): Process<PipeOf<I, Writer>, PipeOf<O, Reader>, PipeOf<E, Reader>> {
    checkOptions(options, "asyncio.Process.spawn");
    const { stdin = "ignore", stdout = "pipe", stderr = "inherit" } = options as SpawnOptions;
    const { handle, pid, streams } = startProcess("asyncio.Process.spawn", command, args, options, [stdin, stdout, stderr]);
    const [input, output, errors] = streams;
    const pipes = [
      input === 0 ? null : new Writer(input),
      output === 0 ? null : new Reader(output),
      errors === 0 ? null : new Reader(errors),
    ];
    return new Process(command, pid, handle, pipes as never);
  }

  /**
   * Runs a program to its end and collects what it writes. A failure of the program is told by the result's code, not thrown. Cancelled, it
   * ends the child as `end` does, and waits for that.
   *
   * @example
   * ```ts
   * const { code, stdout } = yield* asyncio.Process.run("tr", ["a-z", "A-Z"], { input: "hello" });
   * console.log(code, Buffer.from(stdout).toString()); // 0 HELLO
   * ```
   * @throws as `spawn`; RangeError (ERR_CHILD_PROCESS_STDIO_MAXBUFFER) when it writes more than `maxBuffer`, and the child is ended
   */
  static run(command: string, args: readonly string[] = [], options: RunOptions = {}): Operation<RunResult> {
    checkString(command, "asyncio.Process.run: command");
    checkEnd(options, "asyncio.Process.run");
    const limit = checkInteger(options.maxBuffer ?? 64 << 20, "asyncio.Process.run: options.maxBuffer", 1, Number.MAX_SAFE_INTEGER);
    const input = options.input === undefined ? undefined : checkBytes(options.input, "asyncio.Process.run: options.input");
    return sequence(`run ${command}`, () => runToEnd(command, args, { ...options, input }, limit));
  }

  /**
   * Waits for the end of any process of this machine, also one that others have started, with `Bun.spawn` for example, and leaves it for
   * its parent to reap.
   *
   * How it ended is known of children of this process that nobody has reaped before, and since Linux 6.15 also of those that were reaped, by
   * whomever, when their end was noticed here; on macOS of children alone, reaped or not. Of others both fields are null.
   *
   * @param pid 1 to 2^31 - 1
   * @throws TypeError, RangeError; IO errors: "ESRCH" when there is no such process (any more)
   */
  static wait(pid: number): Operation<ExitStatus> {
    checkInteger(pid, "asyncio.Process.wait: pid", 1, maxPid);
    if (pid === process.pid) throw new RangeError("asyncio.Process.wait: pid must be another process than this one");
    return sequence(`see the end of process ${pid}`, () => waitForOther(pid));
  }

  /** Waits for its end: any number of times, also when it has ended. The pipes may still have something to read then. */
  wait(): Operation<ExitStatus> {
    return this.#wait;
  }

  /**
   * Sends a signal, by name or number; 0 only asks whether it runs. False: it has ended. Never reaches another process, for it goes by a
   * descriptor and not by the pid.
   *
   * @throws TypeError, RangeError; IO errors: "EPERM"
   */
  kill(signal: Signal | number = "SIGTERM"): boolean {
    const number = signalNumber(signal, "Process.kill: signal");
    const status = library.zc_process_kill(env, this.#handle, number);
    if (status === errnos.ESRCH) return false;
    if (status < 0) throw Object.assign(ioError(status, "kill"), { pid: this.pid });
    return true;
  }

  /** Ends it: `signal`, then SIGKILL when it still runs after `grace`. Waits for the end, however it comes. Cancelling the wait leaves what was sent. */
  end(options: EndOptions = {}): Operation<ExitStatus> {
    const { signal, grace } = checkEnd(options, "Process.end");
    return sequence(`end process ${this.pid} (${this.command})`, () => endOf(this, signal, grace));
  }

  /** Ends it as `end` does, and closes its pipes. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    closePipes(this);
  }
}

/** Nobody asks any more: when it ends it is reaped. */
const collected = new FinalizationRegistry<number>((handle) => {
  library.zc_process_leave(env, handle);
  state.submitted = true;
  poke();
});

class ProcessWait extends Operation<ExitStatus> {
  readonly what: string;
  readonly #handle: number;
  /** Whoever waits for its end may be the only one who holds it. */
  readonly owner: object | undefined;

  constructor(handle: number, what: string, owner?: object) {
    super();
    this.#handle = handle;
    this.what = what;
    this.owner = owner;
  }

  override begin(wait: Wait): number {
    const status = library.zc_op_process_wait(env, this.#handle, tokenOf(wait));
    if (status === parked) state.submitted = true;
    return status;
  }

  override finish(status: number): ExitStatus {
    if (status < 0) throw ioError(status === codes.badHandle ? errnos.ECANCELED : status, "wait");
    if (status === unknownEnd) return { code: null, signal: null };
    if (status < signalBase) return { code: status, signal: null };
    return { code: null, signal: signalNames.get(status - signalBase) ?? (`SIG${status - signalBase}` as Signal) };
  }
}

function* waitForOther(pid: number): Coroutine<ExitStatus> {
  const handle = library.zc_process_watch(env, pid);
  if (handle === 0) throw Object.assign(ioError(lastErrno(), "wait"), { pid });
  try {
    return yield* new ProcessWait(handle, `see the end of process ${pid}`);
  } finally {
    library.zc_process_leave(env, handle);
    state.submitted = true;
    poke();
  }
}

function* endOf(child: Process, signal: Signal | number, grace: number): Coroutine<ExitStatus> {
  child.kill(signal);
  const first = yield* select({ ended: child.wait(), late: sleep(grace) });
  if (first.key === "ended") return first.value;
  child.kill("SIGKILL");
  return yield* child.wait();
}

interface Job extends SpawnSettings, EndOptions {
  readonly input: Uint8Array | undefined;
}

function* runToEnd(command: string, args: readonly string[], options: Job, limit: number): Coroutine<RunResult> {
  const { input } = options;
  const child = Process.spawn(command, args, {
    ...options,
    stdin: input === undefined ? "ignore" : "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  let hasEnded = false;
  try {
    const [stdout, stderr] = yield* all([
      call(() => collect(child.stdout, limit, command, "stdout")),
      call(() => collect(child.stderr, limit, command, "stderr")),
      call(() => feed(child.stdin, input)),
    ]);
    const status = yield* child.wait();
    hasEnded = true;
    return { ...status, stdout, stderr };
  } finally {
    if (!hasEnded) yield* shield(child.end(options));
    closePipes(child);
  }
}

/** Everything until the end of the stream. */
function* collect(from: Reader, limit: number, command: string, name: string): Coroutine<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let length = 0;
  for (;;) {
    const chunk = yield* from.read();
    if (chunk === null) break;
    chunks.push(chunk);
    length += chunk.byteLength;
    if (length <= limit) continue;
    const error = new RangeError(`asyncio.Process.run: ${command} wrote more than ${limit} bytes to its ${name}`);
    throw Object.assign(error, { code: "ERR_CHILD_PROCESS_STDIO_MAXBUFFER" });
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** A child that does not read all of its input may do so. */
function* feed(to: Writer | null, input: Uint8Array | undefined): Coroutine<void> {
  if (to === null || input === undefined) return;
  try {
    yield* to.write(input);
  } catch (error) {
    if ((error as IoError).code !== "EPIPE") throw error;
  }
  to.close();
}

function closePipes({ stdin, stdout, stderr }: Process): void {
  for (const pipe of [stdin, stdout, stderr]) pipe?.close();
}

function checkEnd(options: EndOptions, what: string): Required<EndOptions> {
  checkOptions(options, what);
  const { signal = "SIGTERM", grace = 5000 } = options;
  signalNumber(signal, `${what}: options.signal`);
  return { signal, grace: checkMilliseconds(grace, `${what}: options.grace`) };
}

function signalNumber(signal: unknown, what: string): number {
  if (typeof signal === "number") return checkInteger(signal, what, 0, 64);
  const isName = typeof signal === "string" && Object.hasOwn(constants.signals, signal);
  const number = isName ? constants.signals[signal as Signal] : undefined;
  if (number === undefined) throw new TypeError(`${what} must be a signal's name or number, got ${show(signal)}`);
  return number;
}
