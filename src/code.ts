// The codes that operations answer with beside results and errnos.

import { codes } from "./native/abi.ts";

/** `begin` and `advance` answer this while the operation waits. */
export const parked = codes.parked;
