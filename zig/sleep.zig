//! Sleep: who waits for a point in time, on one heap per executor. The event loop that drives the executor owns the `Sleepers`,
//! fires them and arms the kernel for the earliest; here nothing knows how.

const std = @import("std");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const timer = @import("timer.zig");
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;

/// One entry, embedded in whoever waits; it stays in place while set.
pub const Sleeper = struct {
    timer: timer.Timer,
    sleepers: *Sleepers,
};

pub const Sleepers = struct {
    heap: timer.Heap = .{},
    /// The heap's own memory; sleepers live elsewhere.
    allocator: std.mem.Allocator = std.heap.page_allocator,
    /// The monotonic clock, in nanoseconds.
    nowFn: *const fn () u64,

    pub fn deinit(sleepers: *Sleepers) void {
        sleepers.heap.deinit(sleepers.allocator);
    }

    /// The point in time that is `ms` milliseconds from now.
    pub fn in(sleepers: *const Sleepers, ms: u64) u64 {
        return sleepers.nowFn() +| (ms *| std.time.ns_per_ms);
    }

    /// Fires once `deadline` has come, never early.
    pub fn add(sleepers: *Sleepers, sleeper: *Sleeper, deadline: u64) error{OutOfMemory}!void {
        sleeper.sleepers = sleepers;
        try sleepers.heap.insert(sleepers.allocator, &sleeper.timer, deadline);
    }

    pub fn remove(sleepers: *Sleepers, sleeper: *Sleeper) void {
        sleepers.heap.remove(&sleeper.timer);
    }

    /// Fires all that are due.
    pub fn fire(sleepers: *Sleepers) void {
        if (sleepers.heap.count() == 0) return;
        const now = sleepers.nowFn();
        while (sleepers.heap.popExpired(now)) |t| t.fireFn(t);
    }
};

/// Where `co` sleeps. Panics when its executor does not know the time.
pub fn of(co: *Coro) *Sleepers {
    const exec = co.executor orelse co.thread.env.executor orelse coro.fail(.no_clock, co);
    return exec.sleepers orelse coro.fail(.no_clock, co);
}

/// The operation of waiting until `ms` milliseconds from now are over, for `select`.
pub fn after(ms: u64) Sleep {
    const sleepers = of(coro.xframe());
    return .{ .deadline = sleepers.in(ms), .sleeper = .{ .timer = .{ .fireFn = Sleep.fire }, .sleepers = sleepers } };
}

/// Sleeps for `ms` milliseconds, never less.
pub fn sleep(ms: u64) error{ Cancelled, OutOfMemory }!void {
    return perform(after(ms));
}

pub const Sleep = struct {
    deadline: u64,
    sleeper: Sleeper,
    waiter: Waiter = .{ .wakeFn = undefined },
    failed: bool = false,

    pub const Result = error{OutOfMemory}!void;
    pub const text = "for the time to pass";

    pub fn subject(_: *const Sleep) []const u8 {
        return "";
    }

    pub fn waiterOf(op: *Sleep) *Waiter {
        return &op.waiter;
    }

    pub fn of(w: *Waiter) *Sleep {
        return @alignCast(@fieldParentPtr("waiter", w));
    }

    pub fn poll(_: *Sleep) ?Result {
        return null;
    }

    pub fn park(op: *Sleep) void {
        op.waiter.arm();
        op.sleeper.sleepers.add(&op.sleeper, op.deadline) catch {
            op.failed = true;
            op.waiter.wake();
        };
    }

    pub fn takeBack(op: *Sleep) bool {
        op.sleeper.sleepers.remove(&op.sleeper);
        op.waiter.disarm();
        return true;
    }

    pub fn result(op: *Sleep) ?Result {
        return if (op.failed) error.OutOfMemory else {};
    }

    fn fire(t: *timer.Timer) void {
        const sleeper: *Sleeper = @fieldParentPtr("timer", t);
        const op: *Sleep = @alignCast(@fieldParentPtr("sleeper", sleeper));
        op.waiter.wake();
    }
};
