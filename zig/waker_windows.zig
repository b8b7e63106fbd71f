//! The thread of a parked Env on Windows, which sleeps at its completion port.
//!
//! `idle -> parked -> idle`, `stopping` from either. Only the owner parks; whoever of owner and waker takes `parked` back to `idle` ends
//! the park, so a byte is written at most once per park. A port cannot be looked at without taking: the waker puts each packet back, for the
//! owner's tick. A packet without an op ends its sleep.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("sys.zig");
const threads = @import("thread.zig");
const win32 = @import("win32.zig");

const allocator = std.heap.smp_allocator;

pub const Waker = struct {
    port: win32.HANDLE,
    /// Where the byte goes: Bun has the other end.
    fd: sys.fd_t,
    state: std.atomic.Value(State) = .init(.idle),
    deadline: std.atomic.Value(u64) = .init(no_deadline),
    handle: threads.Handle = undefined,

    const State = enum(u32) { idle, parked, stopping };
    const no_deadline = std.math.maxInt(u64);

    pub fn create(port: win32.HANDLE, fd: sys.fd_t) error{ OutOfMemory, SystemResources }!*Waker {
        const waker = try allocator.create(Waker);
        errdefer allocator.destroy(waker);
        waker.* = .{ .port = port, .fd = fd };
        waker.handle = try threads.start(main, waker);
        return waker;
    }

    pub fn destroy(waker: *Waker) void {
        waker.state.store(.stopping, .seq_cst);
        sys.wakeOne(@ptrCast(&waker.state.raw));
        waker.endSleep();
        threads.join(waker.handle);
        sys.close(waker.fd);
        allocator.destroy(waker);
    }

    pub fn park(waker: *Waker, deadline: ?u64) void {
        assert(waker.state.load(.seq_cst) == .idle);
        waker.deadline.store(deadline orelse no_deadline, .seq_cst);
        waker.state.store(.parked, .seq_cst);
        sys.wakeOne(@ptrCast(&waker.state.raw));
    }

    pub fn unpark(waker: *Waker) void {
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) waker.endSleep();
    }

    fn endSleep(waker: *Waker) void {
        _ = win32.PostQueuedCompletionStatus(waker.port, 0, 0, null);
    }

    fn main(arg: ?*anyopaque) callconv(.c) ?*anyopaque {
        const waker: *Waker = @ptrCast(@alignCast(arg.?));
        while (true) switch (waker.state.load(.seq_cst)) {
            .stopping => return null,
            .idle => _ = sys.waitWhile(@ptrCast(&waker.state.raw), @intFromEnum(State.idle), null),
            .parked => waker.sleep(),
        };
    }

    fn sleep(waker: *Waker) void {
        const deadline = waker.deadline.load(.seq_cst);
        const ms: u32 = @bitCast(sys.millisecondsUntil(if (deadline == no_deadline) null else deadline));
        var entry: [1]win32.Entry = undefined;
        var count: u32 = 0;
        const came = win32.GetQueuedCompletionStatusEx(waker.port, &entry, 1, &count, ms, 0) != 0 and entry[0].overlapped != null;
        // It must not be lost, whatever the system is out of.
        if (came) while (win32.PostQueuedCompletionStatus(waker.port, entry[0].bytes, entry[0].key, entry[0].overlapped) == 0) win32.Sleep(1);
        if (!came and sys.now() < deadline) return;
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) sys.pipeSignal(waker.fd);
    }
};
