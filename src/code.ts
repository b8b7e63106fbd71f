// The codes that operations answer with beside results and errnos.

import { codes } from "./native/abi.ts";

export { codes };

/** `begin` and `advance` answer this while the operation waits. */
export const parked = codes.parked;

/** What operations on a closed channel end with. Not native code's: that knows no channels of TypeScript's. */
export const closed = -20_001;
