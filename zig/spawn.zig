//! Spawn: starts a program in a child process, and tells why it could not before anything else of the caller runs. How that is done is the
//! system's affair: spawn_linux.zig and its like.
//!
//! The program starts with descriptors 0 to 2 and no others, whoever forgot to mark his as close-on-exec; with no signal blocked, and every
//! signal's default action.
//!
//! This file also keeps, for the process, the children whose Env ended before them: they are reaped when there is an occasion.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const sys = @import("sys.zig");

const os = switch (builtin.os.tag) {
    .linux => @import("spawn_linux.zig"),
    .macos => @import("spawn_darwin.zig"),
    else => @compileError("no processes on " ++ @tagName(builtin.os.tag)),
};

pub const Strings = [*:null]const ?[*:0]const u8;

pub const Request = struct {
    /// Tried in this order: those that are not there, or may not be executed, are skipped.
    paths: []const [*:0]const u8,
    arguments: Strings,
    environment: Strings,
    /// The child's folder; null: the caller's. Relative `paths` start there.
    folder: ?[*:0]const u8 = null,
    /// What becomes its descriptors 0, 1 and 2: a descriptor of the caller's, or `ignored`.
    descriptors: [3]sys.fd_t,
    /// It leads a session and a process group of its own.
    leads_session: bool = false,
    /// Where the child runs until its exec; at least `stack_size` bytes.
    stack: []align(16) u8,
};

/// In place of a descriptor: /dev/null.
pub const ignored: sys.fd_t = -1;
pub const stack_size = os.stack_size;

/// What could not be done.
pub const Stage = enum(u32) { fork = 0, folder = 1, descriptors = 2, exec = 3 };

/// A process, whose number is its own for as long as it is not reaped, and a descriptor that becomes readable when it ends.
pub const Process = struct {
    pid: i32,
    fd: sys.fd_t,

    /// One that others have started: 0, or a negative errno.
    pub const watch = os.watch;
    /// Sends a signal, 0 for none: 0 or a negative errno. A process that has ended is never mistaken for another with its number.
    pub const kill = os.kill;
    /// The status of a child, and the end of it as a zombie; null while it runs.
    pub const reap = os.reap;
    /// The status of a process that is reaped by somebody else; null while it runs.
    pub const look = os.look;
};

pub const Outcome = union(enum) {
    /// Whoever gets it must reap it, and close the descriptor.
    child: Process,
    failed: struct { stage: Stage, errno: i32 },
};

/// Why it could not be started is the outcome's, too.
pub fn spawn(request: *const Request) Outcome {
    assert(request.stack.len >= stack_size);
    reapOrphans();
    return os.spawn(request);
}

/// How a process ended: 0 to 255 its exit code, 256 + n the signal n that ended it.
pub const Status = u32;
pub const signal_base: Status = 256;
/// It has ended, and the system does not tell how.
pub const unknown: Status = 1000;

// Children whose Env has ended; nobody waits for them any more.
var orphans: std.ArrayList(Process) = .empty;
var orphans_lock: std.atomic.Value(bool) = .init(false);
/// How many there are, as a first look without the lock.
var orphans_count: std.atomic.Value(usize) = .init(0);
const orphans_allocator = std.heap.page_allocator;

/// Takes over a child and its descriptor.
pub fn adoptOrphan(child: Process) void {
    while (orphans_lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    defer orphans_lock.store(false, .release);
    // Without memory it stays a zombie once it ends; there is nobody to tell.
    orphans.append(orphans_allocator, child) catch return sys.close(child.fd);
    orphans_count.store(orphans.items.len, .monotonic);
}

pub fn reapOrphans() void {
    if (orphans_count.load(.monotonic) == 0) return;
    while (orphans_lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    defer orphans_lock.store(false, .release);
    var i = orphans.items.len;
    while (i > 0) {
        i -= 1;
        if (orphans.items[i].reap() == null) continue;
        sys.close(orphans.swapRemove(i).fd);
    }
    orphans_count.store(orphans.items.len, .monotonic);
}

test {
    _ = @import("spawn_test.zig");
}
