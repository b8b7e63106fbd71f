//! For tests: runs a function in a child process and tells how that ended. Linux only; elsewhere the test is skipped.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const sanitizer = @import("sanitizer.zig");

pub const Ended = struct {
    /// Null when it exited.
    signal: ?std.posix.SIG,
    code: u8,
    /// The beginning of what it wrote to stderr, in the caller's buffer.
    err: []const u8,

    pub fn format(ended: Ended, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        if (ended.signal) |signal| try writer.print("{t}", .{signal}) else try writer.print("exit code {d}", .{ended.code});
        try writer.print(" and: {s}", .{ended.err});
    }
};

/// The child exits with 0 when `func` returns and with 1 when that returns an error.
pub fn run(comptime func: fn () anyerror!void, buffer: []u8) !Ended {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var pipe: [2]i32 = undefined;
    try std.testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&pipe, .{})));
    // A libc keeps the thread's id, and a fork behind its back would make the child's abort hit the parent.
    const pid: isize = if (builtin.link_libc) std.c.fork() else @bitCast(linux.fork());
    try std.testing.expect(pid >= 0);
    if (pid == 0) {
        _ = linux.dup3(pipe[1], 2, 0);
        sanitizer.muteValgrind();
        func() catch linux.exit_group(1);
        linux.exit_group(0);
    }
    _ = linux.close(pipe[1]);
    defer _ = linux.close(pipe[0]);
    // What does not fit, a trace, is read and dropped, so that the child can end.
    var len: usize = 0;
    var rest: [4096]u8 = undefined;
    while (true) {
        const room: []u8 = if (len < buffer.len) buffer[len..] else &rest;
        const n = linux.read(pipe[0], room.ptr, room.len);
        if (linux.errno(n) != .SUCCESS or n == 0) break;
        if (len < buffer.len) len += n;
    }
    var status: u32 = 0;
    _ = linux.wait4(@intCast(pid), &status, 0, null);
    return .{
        .signal = if (linux.W.IFSIGNALED(status)) linux.W.TERMSIG(status) else null,
        .code = if (linux.W.IFEXITED(status)) linux.W.EXITSTATUS(status) else 0,
        .err = buffer[0..len],
    };
}
