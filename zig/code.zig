//! Result codes of the C ABI. A call answers with a result >= 0, a negative errno (-1 to -4095, by the system's own numbers), or one of these.

/// The operation waits; a ring entry with its token will follow.
pub const parked: i32 = @import("io/tcp.zig").parked;
/// The handle names nothing that is open in this Env.
pub const bad_handle: i32 = -10_002;
/// The token's slot does not exist or is in use.
pub const bad_token: i32 = -10_003;
/// Another operation of the same direction is in flight on the socket.
pub const busy: i32 = -10_004;
/// The coroutine cannot be resumed: it runs, has finished, or waits for something else than a resume.
pub const not_resumable: i32 = -10_006;
/// A native coroutine was resumed and suspended again.
pub const suspended: i32 = -10_007;
