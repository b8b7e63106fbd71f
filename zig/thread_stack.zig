//! Where the calling thread's own stack ends. It asks the system, and touches nothing.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;

/// The lowest address that the calling thread's own stack may grow to; null when the system does not tell.
/// Costs a read of /proc/self/maps on Linux, so keep the answer.
pub fn bottom() ?usize {
    const here = @frameAddress();
    if (builtin.os.tag.isDarwin()) {
        const self = darwin.pthread_self();
        return @intFromPtr(darwin.pthread_get_stackaddr_np(self)) - darwin.pthread_get_stacksize_np(self);
    }
    if (builtin.os.tag == .linux) return findInMaps(here);
    if (builtin.os.tag == .windows) {
        var bounds: [2]usize = undefined;
        GetCurrentThreadStackLimits(&bounds[0], &bounds[1]);
        return bounds[0];
    }
    return null;
}

extern "kernel32" fn GetCurrentThreadStackLimits(low: *usize, high: *usize) callconv(.winapi) void;

const darwin = struct {
    extern "c" fn pthread_self() *anyopaque;
    extern "c" fn pthread_get_stackaddr_np(*anyopaque) *anyopaque;
    extern "c" fn pthread_get_stacksize_np(*anyopaque) usize;
};

/// Not inlined: a caller on a small coroutine's stack has no room for the buffer, and needs none.
noinline fn findInMaps(here: usize) ?usize {
    const rc = linux.open("/proc/self/maps", .{ .ACCMODE = .RDONLY, .CLOEXEC = true }, 0);
    if (linux.errno(rc) != .SUCCESS) return null;
    const fd: linux.fd_t = @intCast(rc);
    defer _ = linux.close(fd);

    var buffer: [4096]u8 = undefined;
    var filled: usize = 0;
    var below: usize = 0;
    while (true) {
        const n = linux.read(fd, buffer[filled..].ptr, buffer.len - filled);
        if (linux.errno(n) != .SUCCESS or n == 0) return null;
        filled += n;
        var rest: []const u8 = buffer[0..filled];
        while (std.mem.indexOfScalar(u8, rest, '\n')) |end| : (rest = rest[end + 1 ..]) {
            const line = rest[0..end];
            const range = parseRange(line) orelse return null;
            if (here >= range[0] and here < range[1]) return stackBottom(range, below, line);
            below = range[1];
        }
        if (rest.len == buffer.len) return null; // a line longer than any path
        std.mem.copyForwards(u8, &buffer, rest);
        filled = rest.len;
    }
}

fn parseRange(line: []const u8) ?[2]usize {
    const dash = std.mem.indexOfScalar(u8, line, '-') orelse return null;
    const space = std.mem.indexOfScalarPos(u8, line, dash, ' ') orelse return null;
    const low = std.fmt.parseInt(usize, line[0..dash], 16) catch return null;
    const high = std.fmt.parseInt(usize, line[dash + 1 .. space], 16) catch return null;
    return .{ low, high };
}

/// A thread's stack is mapped whole. The process's first stack grows on demand, down to its limit or to what lies below.
fn stackBottom(range: [2]usize, below: usize, line: []const u8) usize {
    if (!std.mem.endsWith(u8, line, "[stack]")) return range[0];
    const kernel_gap = 1024 * 1024;
    var limit: linux.rlimit = undefined;
    if (linux.errno(linux.getrlimit(.STACK, &limit)) != .SUCCESS) return range[0];
    const by_limit = range[1] -| @as(usize, @intCast(@min(limit.cur, std.math.maxInt(usize))));
    return @min(range[0], @max(by_limit, below + kernel_gap));
}
