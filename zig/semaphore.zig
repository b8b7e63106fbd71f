//! Semaphore: a number of permits; who finds none waits for one, first come, first served.
//!
//! Invariants: somebody waits only while there are no permits; a permit that is released while somebody waits goes to the first of
//! them and is never free in between, so nobody overtakes. It belongs to one thread and allocates nothing.

const std = @import("std");
const assert = std.debug.assert;
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;

pub const Semaphore = struct {
    permits: usize,
    waiters: Waiter.List = .{},
    /// In reports.
    name: []const u8 = "",

    pub fn init(permits: usize) Semaphore {
        return .{ .permits = permits };
    }

    /// Nobody may wait any more.
    pub fn deinit(self: *Semaphore) void {
        assert(self.waiters.isEmpty());
        self.* = undefined;
    }

    /// Takes a permit, waiting for one if need be.
    pub fn acquire(self: *Semaphore) error{Cancelled}!void {
        return perform(self.acquiring());
    }

    /// Whether there was a permit to take; never waits.
    pub fn tryAcquire(self: *Semaphore) bool {
        if (self.permits == 0) return false;
        self.permits -= 1;
        return true;
    }

    /// Gives a permit back, or one more.
    pub fn release(self: *Semaphore) void {
        if (self.waiters.pop()) |w| {
            assert(self.permits == 0);
            return w.wake();
        }
        self.permits += 1;
    }

    /// The operation of `acquire`, for `select`.
    pub fn acquiring(self: *Semaphore) Acquire {
        return .{ .semaphore = self };
    }

    pub const Acquire = struct {
        semaphore: *Semaphore,
        waiter: Waiter = .{ .wakeFn = undefined },

        pub const Result = void;
        pub const text = "for a permit of semaphore";

        pub fn subject(op: *const Acquire) []const u8 {
            return op.semaphore.name;
        }

        pub fn waiterOf(op: *Acquire) *Waiter {
            return &op.waiter;
        }

        pub fn of(w: *Waiter) *Acquire {
            return @alignCast(@fieldParentPtr("waiter", w));
        }

        pub fn poll(op: *Acquire) ?void {
            return if (op.semaphore.tryAcquire()) {} else null;
        }

        pub fn park(op: *Acquire) void {
            op.waiter.arm();
            op.semaphore.waiters.push(&op.waiter);
        }

        pub fn takeBack(op: *Acquire) bool {
            op.semaphore.waiters.remove(&op.waiter);
            op.waiter.disarm();
            return true;
        }

        pub fn result(_: *Acquire) ?void {
            return {};
        }
    };
};
