//! The readiness of descriptors by kqueue: two events for each, for reading and for writing, which the kernel tells once for each time
//! that more can be done (EV_CLEAR).
//!
//! The calls are made here and not by libxev, whose kqueue loop knows no readiness alone: it makes an operation's call inside its tick, tells
//! most error numbers as `Unexpected`, forgets a removal that a tick without waiting has put off, and hands over what it has waited for
//! in two steps.
//!
//! On Linux this file is tested over kqueue_on_epoll.zig.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("../sys.zig");
const Watch = @import("readiness.zig").Watch;

pub const Event = extern struct {
    ident: usize,
    filter: Filter,
    flags: Flags,
    details: u32 = 0,
    data: isize = 0,
    user: usize = 0,

    pub const Filter = enum(i16) { read = -1, write = -2, process = -5, user = -10, _ };

    pub const Flags = packed struct(u16) {
        add: bool = false,
        delete: bool = false,
        _2: u2 = 0,
        one_shot: bool = false,
        /// Told once for each time that it happens.
        clear: bool = false,
        /// A change is answered, by an event with `failed` and the errno, which may be 0.
        receipt: bool = false,
        _7: u7 = 0,
        failed: bool = false,
        _15: u1 = 0,
    };
};

/// The system's calls, with a result >= 0 or a negative errno.
const calls = if (sys.imitates_macos) @import("kqueue_on_epoll.zig") else struct {
    fn kqueue() i32 {
        return sys.result(sys.c.kqueue());
    }

    fn kevent(fd: i32, changes: []const Event, events: []Event, timeout: ?*const sys.c.timespec) i32 {
        const changed: [*]const sys.c.Kevent = @ptrCast(changes.ptr);
        return sys.result(sys.c.kevent(fd, changed, @intCast(changes.len), @ptrCast(events.ptr), @intCast(events.len), timeout));
    }

    comptime {
        // Its layout is the system's.
        assert(@sizeOf(Event) == @sizeOf(sys.c.Kevent));
        for (@typeInfo(Event).@"struct".fields, @typeInfo(sys.c.Kevent).@"struct".fields) |ours, theirs| {
            assert(@offsetOf(Event, ours.name) == @offsetOf(sys.c.Kevent, theirs.name));
        }
        assert(@intFromEnum(Event.Filter.read) == sys.c.EVFILT.READ and @intFromEnum(Event.Filter.write) == sys.c.EVFILT.WRITE);
        assert(@intFromEnum(Event.Filter.process) == sys.c.EVFILT.PROC and @intFromEnum(Event.Filter.user) == sys.c.EVFILT.USER);
        const flags = .{
            .{ "add", sys.c.EV.ADD },     .{ "delete", sys.c.EV.DELETE },   .{ "one_shot", sys.c.EV.ONESHOT },
            .{ "clear", sys.c.EV.CLEAR }, .{ "receipt", sys.c.EV.RECEIPT }, .{ "failed", sys.c.EV.ERROR },
        };
        for (flags) |flag| {
            var one: Event.Flags = .{};
            @field(one, flag[0]) = true;
            assert(@as(u16, @bitCast(one)) == flag[1]);
        }
    }
};

pub const Kqueue = struct {
    fd: sys.fd_t,

    /// More in one tick are left for the next.
    const max_events = 256;

    pub fn init() error{SystemResources}!Kqueue {
        const fd = open();
        return if (fd < 0) error.SystemResources else .{ .fd = fd };
    }

    pub fn deinit(self: *Kqueue) void {
        sys.close(self.fd);
    }

    pub fn descriptor(self: *const Kqueue) sys.fd_t {
        return self.fd;
    }

    /// Registers `fd` for the directions that its ops have. One that it cannot have, the writing of what is only read, say, may be refused.
    pub fn add(self: *Kqueue, w: *Watch, fd: sys.fd_t) void {
        const flags: Event.Flags = .{ .add = true, .clear = true };
        w.registered[0] = change(self.fd, event(fd, .read, flags, w)) == 0;
        if (w.ops[0] != w.ops[1]) w.registered[1] = change(self.fd, event(fd, .write, flags, w)) == 0;
    }

    pub fn remove(self: *Kqueue, w: *Watch, fd: sys.fd_t) void {
        for (&w.registered, [_]Event.Filter{ .read, .write }) |*registered, filter| {
            if (registered.*) _ = change(self.fd, event(fd, filter, .{ .delete = true }, w));
            registered.* = false;
        }
    }

    /// Tells watches of their edges. With `wait`, sleeps until there is one, `deadline` has come, or a signal.
    pub fn collect(self: *Kqueue, wait: bool, deadline: ?u64) error{SystemResources}!void {
        var events: [max_events]Event = undefined;
        const timeout: ?u64 = if (!wait) 0 else if (deadline) |at| at -| sys.now() else null;
        const count = take(self.fd, &events, timeout);
        // Interrupted, it has none.
        if (count < 0) return if (count == sys.negative(.INTR)) {} else error.SystemResources;
        for (events[0..@intCast(count)]) |*one| @as(*Watch, @ptrFromInt(one.user)).hadEdge();
    }

    fn event(fd: sys.fd_t, filter: Event.Filter, flags: Event.Flags, w: *Watch) Event {
        return .{ .ident = @intCast(fd), .filter = filter, .flags = flags, .user = @intFromPtr(w) };
    }
};

/// A new kqueue, which is readable while it has events: its descriptor, or a negative errno.
pub fn open() i32 {
    const fd = calls.kqueue();
    if (fd >= 0) sys.closeOnExec(fd);
    return fd;
}

/// Makes one change: 0 or a negative errno.
pub fn change(fd: sys.fd_t, wanted: Event) i32 {
    var asked = wanted;
    asked.flags.receipt = true;
    var answer: [1]Event = undefined;
    while (true) {
        const count = calls.kevent(fd, &.{asked}, &answer, &at_once);
        if (count == sys.negative(.INTR)) continue;
        if (count < 0) return count;
        return if (count == 1 and answer[0].flags.failed) -@as(i32, @intCast(answer[0].data)) else 0;
    }
}

/// The next events, once there is one, or when `timeout_ns` (null: for ever) is over. How many, or a negative errno.
pub fn take(fd: sys.fd_t, events: []Event, timeout_ns: ?u64) i32 {
    const ns = @min(timeout_ns orelse 0, longest_wait);
    const timeout: sys.c.timespec = .{ .sec = @intCast(ns / std.time.ns_per_s), .nsec = @intCast(ns % std.time.ns_per_s) };
    return calls.kevent(fd, &.{}, events, if (timeout_ns == null) null else &timeout);
}

const at_once: sys.c.timespec = .{ .sec = 0, .nsec = 0 };
/// Systems refuse centuries. Whoever waits looks at the clock afterwards.
const longest_wait = 10 * std.time.ns_per_day;

test "an edge is told once, what is refused says why, and a wait ends in time" {
    if (!sys.imitates_macos and @import("builtin").os.tag != .macos) return error.SkipZigTest;
    const testing = std.testing;
    const fd = open();
    defer sys.close(fd);
    var ends: [2]sys.fd_t = undefined;
    try testing.expectEqual(0, sys.pipe(&ends, true));
    defer for (ends) |end| sys.close(end);
    const flags: Event.Flags = .{ .add = true, .clear = true };
    try testing.expectEqual(sys.negative(.BADF), change(fd, .{ .ident = 4000, .filter = .read, .flags = flags }));
    const readable: Event = .{ .ident = @intCast(ends[0]), .filter = .read, .flags = flags, .user = 7 };
    try testing.expectEqual(0, change(fd, readable));
    var events: [4]Event = undefined;
    try testing.expectEqual(0, take(fd, &events, 0));
    const start = sys.now();
    try testing.expectEqual(0, take(fd, &events, 3 * std.time.ns_per_ms));
    try testing.expect(sys.now() - start >= 3 * std.time.ns_per_ms);
    for (0..2) |_| {
        // Nothing was read in between.
        sys.pipeSignal(ends[1]);
        try testing.expect(sys.isReadable(fd));
        try testing.expectEqual(1, take(fd, &events, null));
        try testing.expectEqual(7, events[0].user);
        try testing.expect(events[0].filter == .read);
        try testing.expectEqual(0, take(fd, &events, 0));
    }
    try testing.expectEqual(0, change(fd, .{ .ident = @intCast(ends[0]), .filter = .read, .flags = .{ .delete = true } }));
    sys.pipeSignal(ends[1]);
    try testing.expectEqual(0, take(fd, &events, 0));
}
