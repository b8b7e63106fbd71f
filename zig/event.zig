//! Event: a flag to wait for. Setting it wakes all who wait, and nobody waits while it is set. It belongs to one thread and
//! allocates nothing.

const std = @import("std");
const assert = std.debug.assert;
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;

pub const Event = struct {
    is_set: bool = false,
    waiters: Waiter.List = .{},
    /// In reports.
    name: []const u8 = "",

    pub const init: Event = .{};

    /// Nobody may wait any more.
    pub fn deinit(self: *Event) void {
        assert(self.waiters.isEmpty());
        self.* = undefined;
    }

    pub fn set(self: *Event) void {
        self.is_set = true;
        while (self.waiters.pop()) |w| w.wake();
    }

    pub fn reset(self: *Event) void {
        self.is_set = false;
    }

    /// Returns once it was set, also when it is reset before the waiter runs.
    pub fn wait(self: *Event) error{Cancelled}!void {
        return perform(self.waiting());
    }

    /// The operation of `wait`, for `select`.
    pub fn waiting(self: *Event) Waiting {
        return .{ .event = self };
    }

    pub const Waiting = struct {
        event: *Event,
        waiter: Waiter = .{ .wakeFn = undefined },

        pub const Result = void;
        pub const text = "for event";

        pub fn subject(op: *const Waiting) []const u8 {
            return op.event.name;
        }

        pub fn waiterOf(op: *Waiting) *Waiter {
            return &op.waiter;
        }

        pub fn of(w: *Waiter) *Waiting {
            return @alignCast(@fieldParentPtr("waiter", w));
        }

        pub fn poll(op: *Waiting) ?void {
            return if (op.event.is_set) {} else null;
        }

        pub fn park(op: *Waiting) void {
            op.waiter.arm();
            op.event.waiters.push(&op.waiter);
        }

        pub fn takeBack(op: *Waiting) bool {
            op.event.waiters.remove(&op.waiter);
            op.waiter.disarm();
            return true;
        }

        pub fn result(_: *Waiting) ?void {
            return {};
        }
    };
};
