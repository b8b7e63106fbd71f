// "zigcoro/native": C code as coroutine bodies, compiled in the process or from a shared library.

import { cc as compile, dlopen, type Pointer } from "bun:ffi";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { checkString, show } from "./check.ts";
import { findLibrary } from "./native/library.ts";
import { NativeBody } from "./native-body.ts";

export type { NativeArgument, NativeBody } from "./native-body.ts";

/** The folder of zigcoro.h, for compilers. */
export const include: string = fileURLToPath(new URL("../include", import.meta.url));

/**
 * Compiles the C file at `path` in the process and gives the named functions as coroutine bodies. They stay loaded.
 *
 * @example
 * ```ts
 * const { sum } = native.cc("./sum.c", ["sum"]);
 * const frame = xasync(sum, [1]);
 * ```
 * @throws Error with the compiler's messages
 */
function cc<const N extends string>(path: string, names: readonly N[]): Record<N, NativeBody> {
  checkString(path, "native.cc: path");
  const library = { library: ["zigcoro"], flags: [`-L${dirname(findLibrary())}`] };
  return bodies(compile({ source: path, include: [include], ...library, symbols: signatures(names, "native.cc") }).symbols, names);
}

/**
 * Opens the shared library at `path`, built against zigcoro.h, and gives the named functions as coroutine bodies. It stays loaded.
 *
 * @throws Error when there is no such library or function
 */
function open<const N extends string>(path: string, names: readonly N[]): Record<N, NativeBody> {
  checkString(path, "native.open: path");
  return bodies(dlopen(path, signatures(names, "native.open")).symbols, names);
}

/**
 * The C function at `address` as a coroutine body, for code that is loaded in other ways. It is trusted: it must be a
 * `zc_body` that stays loaded; anything else crashes the process, as a wrong address does in any FFI.
 *
 * @throws TypeError when it is no address at all
 */
function at(address: Pointer, name = "native"): NativeBody {
  // Nothing is ever mapped in the first 64 KiB.
  if (!Number.isSafeInteger(address) || address < 65_536) throw new TypeError(`native.at: address must be a pointer, got ${show(address)}`);
  return new NativeBody(checkString(name, "native.at: name"), address);
}

export const native: { readonly cc: typeof cc; readonly open: typeof open; readonly at: typeof at } = { cc, open, at };

/** Only the address counts; bodies are never called from JavaScript. */
function signatures(names: readonly string[], what: string): Record<string, { args: []; returns: "void" }> {
  if (!Array.isArray(names) || !names.every((name) => typeof name === "string")) {
    throw new TypeError(`${what}: names must be an array of strings, got ${show(names)}`);
  }
  return Object.fromEntries(names.map((name) => [name, { args: [], returns: "void" }]));
}

/** Keeps the compiled code alive for as long as the process: coroutines may be suspended in it. */
const loaded: unknown[] = [];

function bodies<N extends string>(symbols: Record<string, unknown>, names: readonly N[]): Record<N, NativeBody> {
  loaded.push(symbols);
  const entries = names.map((name) => [name, new NativeBody(name, (symbols[name] as { ptr: Pointer }).ptr)]);
  return Object.fromEntries(entries) as Record<N, NativeBody>;
}
