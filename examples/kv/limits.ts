// Every limit of the server in one place.

/** Most connections at once; one more is told so and closed. */
export const MAX_CONNECTIONS = 10_000;
/** Most arguments of one request. */
export const MAX_ARGUMENTS = 1024 * 1024;
/** Most bytes of one argument or value: Redis's proto-max-bulk-len. */
export const MAX_BULK_BYTES = 512 * 1024 * 1024;
/** Most bytes of all arguments of one request: Redis's client-query-buffer-limit. */
export const MAX_REQUEST_BYTES = 1024 * 1024 * 1024;
/** Most bytes of an inline command, or of the line that announces a length. */
export const MAX_LINE_BYTES = 64 * 1024;
/** Replies of one pipeline are written when they come to this many bytes, even if more requests wait. */
export const GATHER_BYTES = 1024 * 1024;
/** A subscriber with this many bytes unread is disconnected: Redis's client-output-buffer-limit for pubsub. */
export const MAX_UNREAD_BYTES = 32 * 1024 * 1024;
/** Bytes read ahead from a client that is blocked in BLPOP and goes on sending. */
export const MAX_AHEAD_BYTES = 1024 * 1024;
/** How often keys are looked through for those that have expired, in milliseconds. */
export const EXPIRE_INTERVAL_MS = 100;
/** How long a connection may take to end at shutdown before it is cut, in milliseconds. */
export const GRACE_MS = 5_000;
