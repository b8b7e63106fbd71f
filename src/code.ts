// The codes that operations answer with beside results and errnos.

import { codes } from "./native/abi.ts";

export { codes };

/** `begin` and `advance` answer this while the operation waits. */
export const parked = codes.parked;

// What operations of TypeScript's end with; native code knows none of these.

/** The array of the operation was detached or resized. */
export const changed = -20_000;
/** The channel is closed. */
export const closed = -20_001;
/** No end of what was to be read among as many bytes as are allowed. */
export const tooLong = -20_002;
/** The stream ended before what was asked for. */
export const cutShort = -20_003;
