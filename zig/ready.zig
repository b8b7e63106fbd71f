//! xawaitAsReady: awaits several frames in the order in which they return.
//!
//!     var ready = xawaitAsReady(&frames);      // frames: an array of FrameT of one type
//!     defer ready.deinit();
//!     while (try ready.next()) |done| print("{d}: {d}\n", .{ done.index, done.value });
//!
//! Each frame has a waiter here, which its end moves from the frame's list into the queue of ended ones. The frames stay the
//! caller's and live at least as long.

const std = @import("std");
const assert = std.debug.assert;
const Anchor = @import("anchor.zig").Anchor;
const coro = @import("coro.zig");
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;

/// Gives what `frames`, a pointer to an array of frames of one type, return, as they return it. The result stays where it is first
/// stored once `next` was called.
pub fn xawaitAsReady(frames: anytype) AsReady(@TypeOf(frames.*)) {
    return .{ .frames = frames };
}

pub fn AsReady(comptime Frames: type) type {
    const count = @typeInfo(Frames).array.len;
    const F = @typeInfo(Frames).array.child;

    return struct {
        frames: *const Frames,
        entries: [count]Entry = undefined,
        is_started: bool = false,
        /// Ended and not yet given, in order; linked through the waiters.
        ended: ?*Entry = null,
        last: ?*Entry = null,
        left: usize = count,
        /// Who is in `next`.
        receiver: ?*Waiter = null,
        anchor: Anchor = .{ .releaseFn = release },

        const Self = @This();

        pub const Done = struct {
            /// In `frames`.
            index: usize,
            value: F.ReturnT,
        };

        const Entry = struct {
            waiter: Waiter,
            owner: *Self,
            next: ?*Entry = null,
        };

        /// The next frame to return, waiting for one if need be; null when all were given.
        pub fn next(self: *Self) error{Cancelled}!?Done {
            if (!self.is_started) self.start();
            if (self.left == 0) return null;
            try perform(Ended{ .owner = self });
            const entry = self.ended.?;
            self.ended = entry.next;
            if (entry.next == null) self.last = null;
            self.left -= 1;
            const index = entry - &self.entries[0];
            return .{ .index = index, .value = self.frames[index].xreturned() };
        }

        /// The frames may go on; nothing here is woken any more.
        pub fn deinit(self: *Self) void {
            assert(self.receiver == null);
            self.anchor.weigh();
            _ = release(&self.anchor);
            self.* = undefined;
        }

        fn release(anchor: *Anchor) bool {
            const self: *Self = @alignCast(@fieldParentPtr("anchor", anchor));
            if (!self.is_started) return true;
            for (&self.entries, self.frames) |*entry, f| {
                if (entry.waiter.state != .armed) continue;
                f.frame().joiners.remove(&entry.waiter);
                entry.waiter.disarm();
            }
            return true;
        }

        fn start(self: *Self) void {
            self.is_started = true;
            self.anchor.drop(coro.xframe());
            for (&self.entries, self.frames) |*entry, f| {
                entry.* = .{ .waiter = .{ .wakeFn = returned }, .owner = self };
                entry.waiter.arm();
                if (f.status() == .done) entry.waiter.wake() else f.frame().joiners.push(&entry.waiter);
            }
        }

        fn returned(w: *Waiter) void {
            const entry: *Entry = @alignCast(@fieldParentPtr("waiter", w));
            const self = entry.owner;
            if (self.last) |last| last.next = entry else self.ended = entry;
            self.last = entry;
            if (self.receiver) |receiver| {
                self.receiver = null;
                receiver.wake();
            }
        }

        const Ended = struct {
            owner: *Self,
            waiter: Waiter = .{ .wakeFn = undefined },

            pub const Result = void;
            pub const text = "for one of several coroutines to end";

            pub fn subject(_: *const Ended) []const u8 {
                return "";
            }

            pub fn waiterOf(op: *Ended) *Waiter {
                return &op.waiter;
            }

            pub fn of(w: *Waiter) *Ended {
                return @alignCast(@fieldParentPtr("waiter", w));
            }

            pub fn poll(op: *Ended) ?void {
                return if (op.owner.ended != null) {} else null;
            }

            pub fn park(op: *Ended) void {
                assert(op.owner.receiver == null);
                op.waiter.arm();
                op.owner.receiver = &op.waiter;
            }

            pub fn takeBack(op: *Ended) bool {
                op.owner.receiver = null;
                op.waiter.disarm();
                return true;
            }

            pub fn result(op: *Ended) ?void {
                return op.poll();
            }
        };
    };
}
