//! Clock: the monotonic clock, read from the system each time; event loops keep a time of their own that is old by the time
//! somebody asks. It keeps no state and needs no libc on Linux and Windows.

const std = @import("std");
const builtin = @import("builtin");

/// Nanoseconds since some moment before the process began. Never goes back.
pub fn now() u64 {
    if (builtin.os.tag == .windows) return nowWindows();
    var ts: std.posix.timespec = undefined;
    const rc = std.posix.system.clock_gettime(.MONOTONIC, &ts);
    std.debug.assert(std.posix.errno(rc) == .SUCCESS);
    return @as(u64, @intCast(ts.sec)) * std.time.ns_per_s + @as(u64, @intCast(ts.nsec));
}

fn nowWindows() u64 {
    const ntdll = std.os.windows.ntdll;
    var ticks: std.os.windows.LARGE_INTEGER = undefined;
    var per_second: std.os.windows.LARGE_INTEGER = undefined;
    // Neither can fail on a Windows that runs this.
    _ = ntdll.RtlQueryPerformanceCounter(&ticks);
    _ = ntdll.RtlQueryPerformanceFrequency(&per_second);
    return @intCast(@divTrunc(@as(i128, ticks) * std.time.ns_per_s, per_second));
}

test "time goes on and never back" {
    const start = now();
    var last = start;
    while (last == start) {
        const next = now();
        try std.testing.expect(next >= last);
        last = next;
    }
}
