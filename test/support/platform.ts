// What tests must know of the system they run on.

import { getSystemErrorMap } from "node:util";

export const isWindows = process.platform === "win32";
/** What Windows' own kernel does and wine does not is left out there. */
export const isWine = isWindows && process.env.WINEPREFIX !== undefined;

/** Those that this system has, the best first. */
export const backends: readonly string[] = isWindows ? ["iocp"] : ["io_uring", "epoll"];

/** The negative number of an error, as Node has it on this system. */
export function errnoOf(code: string): number {
  for (const [errno, [name]] of getSystemErrorMap()) if (name === code) return errno;
  throw new Error(`this system has no ${code}`);
}
