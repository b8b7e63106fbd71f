// ProcessPlan: what a child process is to be, checked and put into bytes for native code (zig/abi/process.zig, Plan), and what became of it.

import { checkString, show } from "./check.ts";
import { Reader, Writer } from "./duplex.ts";
import { type IoError, ioError } from "./error.ts";
import { layouts } from "./native/abi.ts";
import { env, lastErrno, library } from "./native/env.ts";

/** Where a child's standard stream goes: to us, to where ours goes, nowhere, or to a descriptor. */
export type Stdio = "pipe" | "inherit" | "ignore" | number;

export interface SpawnSettings {
  /** The child's folder. Default: this process's. A relative command starts there. */
  readonly cwd?: string;
  /** The child's whole environment; entries that are undefined are left out. Default: `process.env` as it is now. PATH of it is searched. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The child leads a session and a process group of its own, and has no terminal. Default false. */
  readonly detached?: boolean;
}

type Target = Stdio | Reader | Writer;
export type StdioList = readonly [stdin: Target, stdout: Target, stderr: Target];

export interface Started {
  readonly handle: number;
  readonly pid: number;
  /** Handles of the pipes; 0 where there is none. */
  readonly streams: readonly [number, number, number];
}

const kinds = { ignore: 0, pipe: 1, descriptor: 2, stream: 3 } as const;
const stages = { folder: 1, descriptors: 2 } as const;
const names = ["stdin", "stdout", "stderr"] as const;
/** Where programs are when there is no PATH. */
const defaultPath = "/usr/local/bin:/bin:/usr/bin";
const encoder = new TextEncoder();

/** Starts it. `what` is who asks, for messages. @throws TypeError, RangeError; IoError with `path` */
export function startProcess(
  what: string,
  command: string,
  given: readonly string[],
  { cwd, env: wanted, detached = false }: SpawnSettings,
  stdio: StdioList,
): Started {
  if (checkText(command, `${what}: command`) === "") throw new TypeError(`${what}: command must not be empty`);
  if (!Array.isArray(given)) throw new TypeError(`${what}: args must be an array of strings, got ${show(given)}`);
  // Copies: what was checked is what is used.
  const args = Array.from(given, (arg, i) => checkText(arg, `${what}: args[${i}]`));
  if (cwd !== undefined) checkText(cwd, `${what}: options.cwd`);
  if (wanted !== undefined && (typeof wanted !== "object" || wanted === null)) {
    throw new TypeError(`${what}: options.env must be an object, got ${show(wanted)}`);
  }
  const variables = wanted === undefined ? process.env : { ...wanted };
  const settings = environmentOf(variables, what);
  const paths = candidates(command, variables.PATH ?? defaultPath);
  const folders = cwd === undefined ? [] : [cwd];
  const text = encoder.encode(`${[...paths, command, ...args, ...folders].join("\0")}\0`);
  const plan = new Int32Array(layouts.planSize / 4);
  plan.set([paths.length, args.length + 1, folders.length, settings.count, detached ? 1 : 0], layouts.planPaths / 4);
  stdio.forEach((one, i) => void plan.set(stdioOf(one, i, what), layouts.planStdio / 4 + 2 * i));
  const handle = library.zc_process_spawn(env, plan, text, text.byteLength, settings.bytes, settings.bytes.byteLength);
  if (handle === 0) throw spawnError(lastErrno(), plan[layouts.planStage / 4] as number, command, args, cwd);
  const [stdin = 0, stdout = 0, stderr = 0] = plan.subarray(layouts.planStreams / 4);
  return { handle, pid: plan[layouts.planPid / 4] as number, streams: [stdin, stdout, stderr] };
}

/** A string that C can hold. */
function checkText(value: unknown, what: string): string {
  const text = checkString(value, what);
  if (text.includes("\0")) throw new TypeError(`${what} must not contain a zero byte, got ${show(text)}`);
  return text;
}

/** The files that `command` may be, in order. An empty entry of PATH is the child's folder. */
function candidates(command: string, path: string): string[] {
  if (command.includes("/")) return [command];
  return path.split(":").map((folder) => (folder === "" ? `./${command}` : `${folder}/${command}`));
}

/** Variables as native code takes them. */
interface Environment {
  readonly names: readonly string[];
  readonly values: readonly (string | undefined)[];
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** The last one: most children have the same. */
let last: Environment | undefined;

function environmentOf(variables: Readonly<Record<string, string | undefined>>, what: string): Environment {
  const [names, values] = [Object.keys(variables), Object.values(variables)];
  if (last !== undefined && isSame(last.names, names) && isSame(last.values, values)) return last;
  const list = environment(variables, what);
  // Never empty: an empty array may have no address.
  last = { names, values, count: list.length, bytes: encoder.encode(`${list.join("\0")}\0`) };
  return last;
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function environment(variables: Readonly<Record<string, string | undefined>>, what: string): string[] {
  const list: string[] = [];
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) continue;
    if (name === "" || name.includes("=")) {
      throw new TypeError(`${what}: a name in options.env must not be empty nor contain "=", got ${show(name)}`);
    }
    const text = `${name}=${value}`;
    // Named only when it is wrong: there are many.
    if (typeof value !== "string" || text.includes("\0"))
      checkText(typeof value === "string" ? text : value, `${what}: options.env.${name}`);
    list.push(text);
  }
  return list;
}

function stdioOf(one: Target, index: number, what: string): [kind: number, value: number] {
  if (one === "pipe") return [kinds.pipe, 0];
  if (one === "inherit") return [kinds.descriptor, index];
  if (one === "ignore") return [kinds.ignore, 0];
  if (typeof one === "number" && Number.isInteger(one) && one >= 0 && one < 2 ** 31) return [kinds.descriptor, one];
  if (one instanceof Reader || one instanceof Writer) {
    if (one.closed) throw new TypeError(`${what}: options.${names[index]} is a stream that was closed`);
    return [kinds.stream, one.opened()];
  }
  throw new TypeError(`${what}: options.${names[index]} must be "pipe", "inherit", "ignore", a descriptor or a stream, got ${show(one)}`);
}

function spawnError(errno: number, stage: number, command: string, args: readonly string[], cwd: string | undefined): IoError {
  const isFolder = stage === stages.folder;
  const path = isFolder ? (cwd as string) : command;
  const error = ioError(errno, isFolder ? "chdir" : "spawn");
  const part = stage === stages.descriptors ? `, for stdin, stdout or stderr of ${path}` : ` ${path}`;
  return Object.assign(error, { message: `${error.message}${part}`, path, spawnargs: [...args] });
}
