// Finds and opens the shared library, and refuses one that does not match this package. The only file that names paths;
// with env.ts the only one that touches bun:ffi.

import { dlopen } from "bun:ffi";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { abiVersion, symbols } from "./abi.ts";

export type Library = ReturnType<typeof dlopen<typeof symbols>>["symbols"];

/** Opens the library for this platform. Throws an Error that says what is missing and what to do. */
export function openLibrary(): Library {
  requireBun();
  const path = findLibrary();
  let library: Library;
  try {
    library = dlopen(path, symbols).symbols;
  } catch (cause) {
    throw new Error(`zigcoro cannot load its native library ${path}: ${(cause as Error).message}`, { cause });
  }
  const found = library.zc_abi_version();
  if (found !== abiVersion) {
    throw new Error(
      `zigcoro's native library ${path} does not match this package (interface ${found}, expected ${abiVersion}); ` +
        "build it again with `bun run build`, or remove ZIGCORO_LIBRARY",
    );
  }
  return library;
}

function requireBun(): void {
  const [major = 0, minor = 0] = (process.versions.bun ?? "0.0").split(".").map(Number);
  if (major > 1 || (major === 1 && minor >= 4)) return;
  throw new Error(`zigcoro needs Bun 1.4 or newer (this is Bun ${process.versions.bun})`);
}

/** Where the build puts the library, by the platforms that have one. */
const fileNames: Readonly<Record<string, string>> = {
  linux: "lib/libzigcoro.so",
  darwin: "lib/libzigcoro.dylib",
  win32: "bin/zigcoro.dll",
};

/** Where the native library is. Throws an Error that says what is missing and what to do. */
export function findLibrary(): string {
  const chosen = process.env.ZIGCORO_LIBRARY;
  if (chosen) {
    if (!existsSync(chosen)) throw new Error(`ZIGCORO_LIBRARY names ${chosen}, but there is no such file`);
    return chosen;
  }
  const name = fileNames[process.platform];
  if (name === undefined)
    throw new Error(`zigcoro does not run on ${process.platform} yet: ${Object.keys(fileNames).join(", ")} only so far`);
  const built = fileURLToPath(new URL(`../../zig-out/${name}`, import.meta.url));
  if (existsSync(built)) return built;
  throw new Error(`zigcoro's native library is not built: there is no ${built}; run \`bun run build\``);
}
