//! Thread: threads of the process that the library is loaded into, and a call as one of them ends.

const os = if (@import("builtin").os.tag == .windows) @import("thread_windows.zig") else @import("thread_posix.zig");

pub const Handle = os.Handle;
pub const start = os.start;
pub const join = os.join;
/// It will not be joined.
pub const detach = os.detach;
/// A value of each thread, null at first, that `onExit` is called with as the thread ends, unless it is null then.
pub const Ending = os.Ending;
