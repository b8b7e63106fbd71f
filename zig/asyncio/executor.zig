//! Executor: libcoro's executor on a libxev loop. It ticks the loop, tells who waits what has ended, and fires sleepers.
//!
//! One tick, in this order: the loop collects events, and its callbacks only record them; who waited for them is woken, which
//! queues; sleepers that are due are woken. Coroutines run after that, from the queue.
//!
//! Invariants:
//!  * Nothing is started, cancelled or resumed while the loop ticks.
//!  * `in_flight` counts the operations of which libxev holds a completion, `ended` lists those that wait to be told of their end.
//!  * The loop's timer is armed for the earliest sleeper, or earlier, whenever a tick waits.
//!  * Once used it stays in place: it points into itself.

const std = @import("std");
const assert = std.debug.assert;
const backend = @import("backend.zig");
const clock = @import("../clock.zig");
const core = @import("../executor.zig");
const coro = @import("../coro.zig");
const report = @import("../report.zig");
const Sleepers = @import("../sleep.zig").Sleepers;
const Waiter = @import("../waiter.zig").Waiter;

pub fn Executor(comptime xev: type) type {
    return struct {
        loop: *xev.Loop,
        /// The queue of what is ready; channels and the Env take its address.
        exec: core.Executor = .{},
        source: core.Executor.Source = .{ .pollFn = poll },
        sleepers: Sleepers = .{ .nowFn = clock.now },
        in_flight: usize = 0,
        ended: Waiter.List = .{},
        alarm: Alarm = .{},
        /// See `backend.run`.
        spare: xev.Completion = .{},

        const Self = @This();

        /// On `loop`, which the caller made and destroys after this. The result is put where it stays before it is used.
        pub fn init(loop: *xev.Loop) Self {
            return .{ .loop = loop };
        }

        /// Before the loop's own `deinit`. Its coroutines that have not returned are told on stderr.
        pub fn deinit(self: *Self) void {
            self.reportIncomplete();
            assert(self.ended.isEmpty());
            self.disarm();
            self.sleepers.deinit();
            const env = coro.getEnv();
            if (env.executor == &self.exec) env.executor = null;
            self.* = undefined;
        }

        fn reportIncomplete(self: *const Self) void {
            const list: report.List = .{ .thread = coro.Thread.get(), .executor = &self.exec };
            const count = list.count();
            if (count > 0) std.debug.print("zigcoro: incomplete coroutines, {d}\n{f}", .{ count, list });
        }

        /// The one that the current coroutine is to use: `given`, or the one it runs on. Panics when there is none.
        pub fn of(given: ?*Self) *Self {
            const co = coro.xframe();
            const its = if (co.isRoot()) null else co.executor;
            const self = given orelse from(its orelse coro.getEnv().executor) orelse coro.fail(.no_loop, co);
            self.attach();
            if (co.isRoot()) {
                if (coro.getEnv().executor != &self.exec) coro.fail(.no_loop, co);
            } else {
                if (co.executor == null) co.executor = &self.exec;
                if (co.executor != &self.exec) coro.fail(.other_executor, co);
            }
            return self;
        }

        fn from(exec: ?*core.Executor) ?*Self {
            const source = (exec orelse return null).source orelse return null;
            if (source.pollFn != &poll) return null;
            return @alignCast(@fieldParentPtr("exec", exec.?));
        }

        /// From now on it stays in place.
        pub fn attach(self: *Self) void {
            if (self.exec.source == &self.source) return;
            if (self.exec.source != null) coro.fail(.loop_moved, coro.xframe());
            self.exec.source = &self.source;
            self.exec.sleepers = &self.sleepers;
        }

        fn poll(source: *core.Executor.Source, wait: bool) bool {
            const self: *Self = @alignCast(@fieldParentPtr("source", source));
            source.failure = null;
            self.collect(wait) catch |err| {
                source.failure = err;
                return false;
            };
            while (self.ended.pop()) |w| w.wake();
            self.sleepers.fire();
            return self.awaitsAny() or self.hasOthers();
        }

        fn collect(self: *Self, wait: bool) anyerror!void {
            const may_sleep = wait and self.ended.isEmpty() and self.arm();
            if (!may_sleep or self.awaitsAny()) return self.run(may_sleep);
            // The timer alone is nothing to wait for. What others have begun is known once the loop has ticked.
            try self.run(false);
            if (self.exec.isEmpty() and self.hasOthers()) try self.run(true);
        }

        fn awaitsAny(self: *const Self) bool {
            return self.in_flight > 0 or self.sleepers.heap.count() > 0;
        }

        fn run(self: *Self, wait: bool) anyerror!void {
            const On = struct {
                fn run(comptime api: type, exec: *Self, may_sleep: bool) anyerror!void {
                    return backend.run(api, backend.loopOf(api, exec.loop), may_sleep, backend.completionOf(api, &exec.spare));
                }
            };
            return backend.with(xev, anyerror!void, On.run, .{ self, wait });
        }

        /// Whether the loop has work that is not ours. Only asked when no operation is in flight and the loop has just ticked.
        fn hasOthers(self: *Self) bool {
            const On = struct {
                fn count(comptime api: type, exec: *Self) usize {
                    return backend.countActive(api, backend.loopOf(api, exec.loop));
                }
            };
            return backend.with(xev, usize, On.count, .{self}) > self.alarm.countHeld();
        }

        /// The loop's one timer.
        const Alarm = struct {
            completion: xev.Completion = .{},
            mover: xev.Completion = .{},
            /// When it rings at the latest.
            deadline: ?u64 = null,

            fn countHeld(alarm: *Alarm) usize {
                return @as(usize, @intFromBool(alarm.completion.state() != .dead)) + @intFromBool(alarm.mover.state() != .dead);
            }

            fn rang(comptime api: type) api.Callback {
                return struct {
                    fn callback(userdata: ?*anyopaque, _: *api.Loop, _: *api.Completion, _: api.Result) api.CallbackAction {
                        const alarm: *Alarm = @ptrCast(@alignCast(userdata.?));
                        alarm.deadline = null;
                        return .disarm;
                    }
                }.callback;
            }
        };

        /// Sees to it that a tick that waits ends when the earliest sleeper is due. False: one is due now.
        fn arm(self: *Self) bool {
            const earliest = self.sleepers.heap.earliest() orelse return true;
            const now = clock.now();
            if (earliest <= now) return false;
            if (self.alarm.deadline) |deadline| if (deadline <= earliest) return true;
            self.ringIn(std.math.divCeil(u64, earliest - now, std.time.ns_per_ms) catch unreachable);
            self.alarm.deadline = earliest;
            return true;
        }

        fn ringIn(self: *Self, ms: u64) void {
            const On = struct {
                fn arm(comptime api: type, exec: *Self, in_ms: u64) void {
                    const alarm = &exec.alarm;
                    const c = backend.completionOf(api, &alarm.completion);
                    const mover = backend.completionOf(api, &alarm.mover);
                    backend.armTimer(api, backend.loopOf(api, exec.loop), c, mover, in_ms, alarm, Alarm.rang(api));
                }
            };
            backend.with(xev, void, On.arm, .{ self, ms });
        }

        /// Takes the timer out of the loop, by having it ring.
        fn disarm(self: *Self) void {
            if (self.alarm.countHeld() == 0) return;
            self.ringIn(0);
            // A loop that cannot go on rings nothing.
            while (self.alarm.countHeld() > 0) self.run(true) catch return;
        }
    };
}
