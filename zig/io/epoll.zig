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
//!  * its wait cuts a timeout to whole milliseconds and spins for the rest, overflows beyond 2^31 - 1 ms, and goes back to sleep
//!    after a signal, so that a terminated Worker never ended: the waiting is done here, with poll, and libxev collects.

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
    /// The kernel refused the registration (out of memory or of watches; a file is always ready): no op can wait on it.
    refused: bool = false,
};

pub const Epoll = struct {
    loop: xev.Loop,
    /// Watches whose descriptor had an edge in this tick.
    edges: ?*Watch = null,
    /// When the next waiting tick ends at the latest.
    deadline: ?u64 = null,

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

    /// For the next tick only.
    pub fn armTimer(self: *Epoll, deadline: u64) void {
        self.deadline = deadline;
    }

    /// Queues what has finished. With `wait`, sleeps until there is something, the armed time has come, or a signal.
    pub fn tick(self: *Epoll, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
        if (wait and finished.head == null) sys.pollReadable(&.{self.loop.fd}, sys.millisecondsUntil(self.deadline));
        self.deadline = null;
        self.loop.run(.no_wait) catch return error.SystemResources;
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
};
