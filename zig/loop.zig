//! Loop: the one place where the core meets the kernel's events, over libxev. It chooses the system's best backend, which on Linux is
//! io_uring, or epoll where io_uring is refused, and gives all the same face: start an op, cancel it, arm one timer, tick.
//!
//! Rules every backend keeps:
//!  * `tick` only collects; an op's owner is told by `deliver`, after the tick, so owners may close, cancel and start
//!    anything.
//!  * An op that was started ends exactly once, also when it is cancelled; until then it stays in place.
//!  * A cancelled op may still end with a result.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const sys = @import("sys.zig");
const Op = @import("io/op.zig").Op;
const Job = @import("io/pool.zig").Job;
const Port = @import("io/pool.zig").Port;
const Readiness = @import("io/readiness.zig").Readiness;
pub const Watch = @import("io/readiness.zig").Watch;

/// By the numbers of the C ABI, less 1.
pub const Backend = enum(u8) { io_uring, epoll, kqueue, iocp };

/// The backends that this system has, the best first.
pub const backends: []const Backend = switch (builtin.os.tag) {
    .linux => if (sys.imitates_macos) &.{.kqueue} else &.{ .io_uring, .epoll },
    .macos => &.{.kqueue},
    .windows => &.{.iocp},
    else => @compileError("no event loop for " ++ @tagName(builtin.os.tag)),
};

const Impl = switch (backends[0]) {
    .kqueue => union(enum) { kqueue: Readiness(@import("io/kqueue.zig").Kqueue) },
    .iocp => union(enum) { iocp: @import("io/iocp.zig").Iocp },
    else => union(enum) { io_uring: @import("io/io_uring.zig").IoUring, epoll: Readiness(@import("io/epoll.zig").Epoll) },
};

pub const Loop = struct {
    impl: Impl,
    finished: Op.Queue = .{},
    /// Ops started and not yet delivered.
    in_flight: u32 = 0,
    /// How many ops the last `deliver` ended, and when.
    told: u32 = 0,
    told_at: u64 = 0,
    /// What came of the last time that it told many was short work for each.
    is_brisk: bool = false,
    /// Where threads of the pool leave the jobs that they have done; made for the first.
    port: ?*Port = null,

    pub const Error = error{ Unavailable, SystemResources };

    /// `wanted` null: the first that can be had. The loop must not be moved once it has ticked.
    pub fn init(wanted: ?Backend) Error!Loop {
        inline for (backends, 1..) |one, count| {
            if (wanted == null or wanted == one) {
                const name = @tagName(one);
                if (@FieldType(Impl, name).init()) |impl| {
                    return .{ .impl = @unionInit(Impl, name, impl) };
                } else |err| {
                    // Also when only memory is refused: the next one may need none of that kind.
                    if (wanted != null or count == backends.len) return err;
                }
            }
        }
        return error.Unavailable;
    }

    pub fn deinit(self: *Loop) void {
        if (self.port) |port| port.close();
        switch (self.impl) {
            inline else => |*impl| impl.deinit(),
        }
        self.* = undefined;
    }

    pub fn backend(self: *const Loop) Backend {
        return switch (self.impl) {
            inline else => |_, tag| @field(Backend, @tagName(tag)),
        };
    }

    /// Whether descriptors must be non-blocking: all but rings call them themselves.
    pub inline fn wantsNonblocking(self: *const Loop) bool {
        return switch (self.impl) {
            inline else => |*impl| @TypeOf(impl.*).tries_first,
        };
    }

    pub fn watch(self: *Loop, w: *Watch, fd: sys.fd_t) void {
        switch (self.impl) {
            inline else => |*impl| impl.watch(w, fd),
        }
    }

    pub fn unwatch(self: *Loop, w: *Watch, fd: sys.fd_t) void {
        switch (self.impl) {
            inline else => |*impl| impl.unwatch(w, fd),
        }
    }

    /// Starts an idle op whose kind, fd and buffer are set, on a descriptor that `w` watches. Returns its result if it could be had
    /// at once, otherwise null: then `doneFn` is called after a later tick.
    pub fn start(self: *Loop, op: *Op, w: *const Watch) ?i32 {
        assert(op.state == .idle);
        op.cancelled = false;
        if (self.wantsNonblocking()) {
            const result = op.attempt();
            if (result != sys.negative(.AGAIN)) return result;
        }
        return self.startWaiting(op, w);
    }

    /// As `start`, for an op that is known to have to wait.
    pub fn startWaiting(self: *Loop, op: *Op, w: *const Watch) ?i32 {
        assert(op.state == .idle);
        // No edge would ever come.
        if (w.refused and w.refuses(op)) return sys.negative(.NOMEM);
        op.state = .in_flight;
        op.cancelled = false;
        self.in_flight += 1;
        self.submit(op);
        return null;
    }

    fn submit(self: *Loop, op: *Op) void {
        switch (self.impl) {
            inline else => |*impl| impl.submit(op, &self.finished),
        }
    }

    /// Starts an idle job whose call is set: by the ring where it can, else by a thread of the pool. Its `doneFn` is called after a
    /// later tick. `allocator` is for what the loop keeps for jobs.
    pub fn startJob(self: *Loop, job: *Job, allocator: std.mem.Allocator) void {
        const op = &job.op;
        assert(op.state == .idle);
        op.state = .in_flight;
        op.cancelled = false;
        self.in_flight += 1;
        op.kind = switch (self.impl) {
            inline else => |*impl| @TypeOf(impl.*).kindOf(job),
        };
        if (op.kind != .job) return self.submit(op);
        const refused = if (Port.of(self, allocator)) |port| port.submit(job) else |err| switch (err) {
            error.OutOfMemory => sys.negative(.NOMEM),
            error.ProcessFdQuotaExceeded => sys.negative(.MFILE),
        };
        if (refused >= 0) return;
        op.result = refused;
        op.state = .finished;
        self.finished.push(op);
    }

    /// Whether small writes had better go to the kernel together, with the next tick: a call for each costs more than all else that is
    /// done for it here. Only while many go on in each turn, and with little to do, for what is written waits until all have gone on.
    pub fn gathers(self: *const Loop) bool {
        const can = switch (self.impl) {
            inline else => |*impl| @TypeOf(impl.*).gathers,
        };
        return can and self.is_brisk and self.told >= many;
    }

    const many = 4;
    /// Nanoseconds.
    const short_work = 20_000;

    /// Hands what was started to the kernel now, where a tick would have.
    pub fn flush(self: *Loop) void {
        switch (self.impl) {
            inline else => |*impl| impl.flush(),
        }
    }

    /// An op that waits may be able to go on, for what this thread has done.
    pub fn lookAgain(self: *Loop, op: *Op) void {
        if (op.state != .in_flight) return;
        switch (self.impl) {
            inline else => |*impl| if (@hasDecl(@TypeOf(impl.*), "lookAgain")) impl.lookAgain(op),
        }
    }

    /// Ends an op early. It still ends through `doneFn`: with -ECANCELED, or with a result that was already under way.
    pub fn cancel(self: *Loop, op: *Op) void {
        if (op.state == .idle) return;
        op.cancelled = true;
        if (op.state != .in_flight) return;
        op.state = .cancelling;
        if (op.kind == .job) return Job.of(op).cancel();
        switch (self.impl) {
            inline else => |*impl| impl.cancel(op, &self.finished),
        }
    }

    /// The loop wakes at `deadline` (monotonic nanoseconds), or earlier.
    pub fn armTimer(self: *Loop, deadline: u64) void {
        switch (self.impl) {
            inline else => |*impl| impl.armTimer(deadline, &self.finished),
        }
    }

    /// Collects what has finished. With `wait`, sleeps until there is something.
    pub fn tick(self: *Loop, wait: bool) Error!void {
        if (self.told >= many) self.is_brisk = sys.now() - self.told_at <= self.told * short_work;
        switch (self.impl) {
            inline else => |*impl| try impl.tick(wait, &self.finished),
        }
        if (self.port) |port| port.collect();
    }

    /// Tells the owners of finished ops. What they start or cancel meanwhile ends in a later call.
    pub fn deliver(self: *Loop) void {
        var batch = self.finished;
        self.finished = .{};
        self.told = 0;
        while (batch.pop()) |op| {
            assert(op.state == .finished);
            if (self.goesOn(op)) continue;
            op.state = .idle;
            self.in_flight -= 1;
            self.told += 1;
            op.doneFn(op);
        }
        if (self.told >= many) self.told_at = sys.now();
    }

    /// Where the backend only waited for a descriptor to be ready, the call is made here. True: somebody else was faster, and it waits
    /// again.
    fn goesOn(self: *Loop, op: *Op) bool {
        const leaves_call = switch (self.impl) {
            inline else => |*impl| @TypeOf(impl.*).leavesCall(op),
        };
        if (!leaves_call or op.result < 0) return false;
        op.result = if (op.cancelled) sys.negative(.CANCELED) else op.attempt();
        if (op.result != sys.negative(.AGAIN)) return false;
        op.state = .in_flight;
        self.submit(op);
        return true;
    }
};

test "a loop without anything to do ticks and ends" {
    for (backends) |backend| {
        var loop = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer loop.deinit();
        try loop.tick(false);
        loop.deliver();
        try std.testing.expectEqual(0, loop.in_flight);
    }
}

test "the timer wakes a waiting tick, not early, and moves forward" {
    for (backends) |backend| {
        var loop = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer loop.deinit();
        const deadline = sys.now() + 3 * std.time.ns_per_ms;
        loop.armTimer(deadline + 3600 * std.time.ns_per_s);
        try loop.tick(false);
        loop.armTimer(deadline);
        while (sys.now() < deadline) try loop.tick(true);
    }
}

test "a descriptor that can be read wakes who waits for that; cancelled, the wait ends all the same" {
    const Waiting = struct {
        op: Op,
        ended: u32 = 0,

        fn done(op: *Op) void {
            const w: *@This() = @fieldParentPtr("op", op);
            w.ended += 1;
        }
    };
    for (backends) |backend| {
        var loop = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer loop.deinit();
        var event: sys.Event = undefined;
        try std.testing.expectEqual(0, event.open());
        defer event.close();
        const fd = event.fd;
        var waiting: Waiting = .{ .op = .{ .kind = .readable, .fd = fd, .doneFn = Waiting.done } };
        var watch: Watch = .{ .ops = .{ &waiting.op, &waiting.op } };
        loop.watch(&watch, fd);
        defer loop.unwatch(&watch, fd);
        for ([_]i32{ 0, sys.negative(.CANCELED) }, 1..) |result, round| {
            try std.testing.expectEqual(null, loop.start(&waiting.op, &watch));
            try loop.tick(false);
            if (result == 0) event.signal() else loop.cancel(&waiting.op);
            while (waiting.ended < round) {
                try loop.tick(true);
                loop.deliver();
            }
            try std.testing.expectEqual(result, waiting.op.result);
            event.clear();
        }
    }
}

test "a deadline at the end of time is only far away" {
    for (backends) |backend| {
        var loop = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer loop.deinit();
        for ([_]u64{ std.math.maxInt(u64), std.math.maxInt(i64), 1 << 62, sys.now() + (1 << 32) * std.time.ns_per_ms }) |far| {
            loop.armTimer(far);
            try loop.tick(false);
            const deadline = sys.now() + std.time.ns_per_ms;
            while (sys.now() < deadline) {
                loop.armTimer(deadline);
                try loop.tick(true);
            }
        }
    }
}
