// The codes that operations answer with beside results and errnos.

import { codes } from "./native/abi.ts";

export { codes };

/** `begin` and `advance` answer this while the operation waits. */
export const parked = codes.parked;
