//! The epoll half of the loop layer, for machines that refuse io_uring.
//!
//! libxev's epoll waits for readiness before every call and dups the descriptor to do so. Here each socket is registered
//! once, edge-triggered for both directions, as one libxev `poll` completion that stays armed; every operation is tried
//! first, and tried again at each edge. An operation then costs its own system call and nothing else. The registration is made
//! here and not by libxev's next tick, so that a refused one is known before any operation waits for it.
//!
//! libxev faults that this routes round:
//!  * a cancelled operation is never called back: ops are ours, so a cancel ends them here;
//!  * removing a descriptor that is closed already is undefined behaviour there: `unwatch` removes it from the kernel
//!    set itself, before the close;
//!  * a timeout is cut to whole milliseconds, so a deadline between two of them made it spin: deadlines are rounded up;
//!  * a timeout of more than 2^31 - 1 ms overflows: the timer fires early then, and is armed anew.

const std = @import("std");
const assert = std.debug.assert;
const linux = std.os.linux;
const xev = @import("xev").Epoll;
const sys = @import("../sys.zig");
const Op = @import("op.zig").Op;

/// The registration of one descriptor and the ops that wait on it. It must stay in place while watched.
pub const Watch = struct {
    completion: xev.Completion = .{},
    ops: [2]*Op,
    epoll: *Epoll = undefined,
    next: ?*Watch = null,
    queued: bool = false,
    /// The kernel refused the registration (out of memory or of watches): no op can wait on it.
    refused: bool = false,
};

pub const Epoll = struct {
    loop: xev.Loop,
    /// Watches whose descriptor had an edge in this tick.
    edges: ?*Watch = null,
    timer: xev.Completion = .{},
    timer_deadline: ?u64 = null,

    /// Far below 2^31 ms, and late enough (12 days) that firing early costs nothing.
    const max_timeout = (1 << 30) * std.time.ns_per_ms;

    pub fn init() error{SystemResources}!Epoll {
        return .{ .loop = xev.Loop.init(.{}) catch return error.SystemResources };
    }

    pub fn deinit(self: *Epoll) void {
        self.loop.deinit();
    }

    /// `fd` must be non-blocking. The next tick reports what is ready already.
    pub fn watch(self: *Epoll, w: *Watch, fd: sys.fd_t) void {
        const events: u32 = linux.EPOLL.IN | linux.EPOLL.OUT | linux.EPOLL.RDHUP | linux.EPOLL.ET;
        w.epoll = self;
        w.completion = .{
            .op = .{ .poll = .{ .fd = fd, .events = events } },
            .userdata = w,
            .callback = onEdge,
        };
        var event: linux.epoll_event = .{ .events = events, .data = .{ .ptr = @intFromPtr(&w.completion) } };
        w.refused = linux.errno(linux.epoll_ctl(self.loop.fd, linux.EPOLL.CTL_ADD, fd, &event)) != .SUCCESS;
        if (w.refused) return;
        w.completion.flags.state = .active;
        self.loop.active += 1;
    }

    /// Before the descriptor is closed. Never called inside a tick, so no event of `w` is under way.
    pub fn unwatch(self: *Epoll, w: *Watch, fd: sys.fd_t) void {
        assert(!w.queued);
        if (w.completion.flags.state != .active) return;
        _ = linux.epoll_ctl(self.loop.fd, linux.EPOLL.CTL_DEL, fd, null);
        w.completion.flags.state = .dead;
        self.loop.active -= 1;
    }

    pub fn armTimer(self: *Epoll, deadline: u64) void {
        if (self.timer_deadline) |armed| if (armed <= roundUp(deadline)) return;
        const rounded = roundUp(@min(deadline, sys.now() + max_timeout));
        if (self.timer_deadline != null) {
            // The timer sits in a heap of libxev: take it out and set it anew.
            if (self.timer.flags.state == .active) {
                self.loop.timers.remove(&self.timer.op.timer);
                self.loop.active -= 1;
            } else {
                assert(self.timer.flags.state == .adding);
                removeFromQueue(&self.loop.submissions, &self.timer);
            }
        }
        self.timer_deadline = rounded;
        self.timer = .{
            .op = .{ .timer = .{ .next = .{
                .sec = @intCast(rounded / std.time.ns_per_s),
                .nsec = @intCast(rounded % std.time.ns_per_s),
            } } },
            .userdata = self,
            .callback = onTimer,
        };
        self.loop.add(&self.timer);
    }

    /// To whole milliseconds; the highest ones down.
    fn roundUp(ns: u64) u64 {
        const ms = std.math.divCeil(u64, ns, std.time.ns_per_ms) catch unreachable;
        return std.math.mul(u64, ms, std.time.ns_per_ms) catch ns - ns % std.time.ns_per_ms;
    }

    /// Queues what has finished. With `wait`, sleeps until there is something.
    pub fn tick(self: *Epoll, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
        const must_wait = wait and finished.head == null;
        self.loop.run(if (must_wait) .once else .no_wait) catch return error.SystemResources;
        while (self.edges) |w| {
            self.edges = w.next;
            w.queued = false;
            for (w.ops) |op| {
                if (!op.isActive()) continue;
                const result = op.attempt();
                if (result == sys.negative(.AGAIN)) continue;
                op.result = result;
                op.state = .finished;
                finished.push(op);
            }
        }
    }

    fn onEdge(userdata: ?*anyopaque, _: *xev.Loop, _: *xev.Completion, _: xev.Result) xev.CallbackAction {
        const w: *Watch = @ptrCast(@alignCast(userdata.?));
        if (!w.queued) {
            w.queued = true;
            w.next = w.epoll.edges;
            w.epoll.edges = w;
        }
        return .rearm;
    }

    fn onTimer(userdata: ?*anyopaque, _: *xev.Loop, _: *xev.Completion, _: xev.Result) xev.CallbackAction {
        const self: *Epoll = @ptrCast(@alignCast(userdata.?));
        self.timer_deadline = null;
        return .disarm;
    }

    /// libxev's queue has no removal from the middle; rebuild it without `gone`.
    fn removeFromQueue(queue: anytype, gone: *xev.Completion) void {
        var old = queue.*;
        queue.* = .{};
        while (old.pop()) |c| {
            if (c != gone) queue.push(c);
        }
    }
};
