//! For tests on Linux of what the library does on macOS: kqueue's two calls, made of epoll, as far as kqueue.zig and sys.zig use them. A
//! filter's `user` is the descriptor's, and a deletion is of both its filters.

const std = @import("std");
const linux = std.os.linux;
const sys = @import("../sys.zig");
const Event = @import("kqueue.zig").Event;

pub fn kqueue() i32 {
    return sys.result(linux.epoll_create1(linux.EPOLL.CLOEXEC));
}

pub fn kevent(fd: i32, changes: []const Event, events: []Event, timeout: ?*const linux.timespec) i32 {
    for (changes, events[0..changes.len]) |one, *answer| {
        answer.* = .{ .ident = one.ident, .filter = one.filter, .flags = .{ .failed = true }, .data = -change(fd, one) };
    }
    if (changes.len > 0) return @intCast(changes.len);
    var ready: [256]linux.epoll_event = undefined;
    const ms = if (timeout) |t| t.sec * std.time.ms_per_s + @divTrunc(t.nsec + std.time.ns_per_ms - 1, std.time.ns_per_ms) else -1;
    const count = sys.result(linux.epoll_wait(fd, &ready, @min(ready.len, events.len), @intCast(ms)));
    if (count < 0) return count;
    for (ready[0..@intCast(count)], events[0..@intCast(count)]) |one, *event| {
        event.* = .{ .ident = 0, .filter = if (one.events & linux.EPOLL.IN != 0) .read else .write, .flags = .{}, .user = one.data.ptr };
    }
    return count;
}

fn change(fd: i32, one: Event) i32 {
    const watched: i32 = @intCast(one.ident);
    if (one.flags.delete) {
        const rc = sys.result(linux.epoll_ctl(fd, linux.EPOLL.CTL_DEL, watched, null));
        return if (rc == sys.negative(.NOENT)) 0 else rc;
    }
    const edge: u32 = if (one.flags.clear) linux.EPOLL.ET else 0;
    const wanted: u32 = if (one.filter == .read) linux.EPOLL.IN | linux.EPOLL.RDHUP else linux.EPOLL.OUT;
    var event: linux.epoll_event = .{ .events = edge | wanted, .data = .{ .ptr = one.user } };
    const added = sys.result(linux.epoll_ctl(fd, linux.EPOLL.CTL_ADD, watched, &event));
    if (added != sys.negative(.EXIST)) return added;
    // It has the other filter.
    event.events |= linux.EPOLL.IN | linux.EPOLL.RDHUP | linux.EPOLL.OUT;
    return sys.result(linux.epoll_ctl(fd, linux.EPOLL.CTL_MOD, watched, &event));
}
