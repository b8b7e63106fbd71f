//! The half of the loop layer for kernels that tell when a descriptor is ready and leave the call to us: epoll, kqueue.
//!
//! libxev waits for readiness before every call. Here each descriptor is registered once, edge-triggered for both directions, as one
//! libxev completion that stays armed; every operation is tried first, and tried again at each edge. An operation then costs its own system
//! call and nothing else. The registration is made here and not by libxev's next tick, so that a refused one is known before any
//! operation waits for it.
//!
//! libxev faults that this routes round:
//!  * a cancelled operation is never called back (epoll): ops are ours, so a cancel ends them here;
//!  * removing a descriptor that is closed already is undefined behaviour there (epoll), and a removal that a tick without waiting has put off is
//!    forgotten (kqueue): `unwatch` removes it from the kernel's set itself, before the close, and completions never ask to be disarmed;
//!  * its wait cuts a timeout to whole milliseconds and spins for the rest, overflows beyond 2^31 - 1 ms, and goes back to sleep
//!    after a signal, so that a terminated Worker never ended: the waiting is done here, with poll, and libxev collects;
//!  * it forgets most error numbers: the calls are ours.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const sys = @import("../sys.zig");
const Job = @import("pool.zig").Job;
const Op = @import("op.zig").Op;

const poller = @import("epoll.zig");
const xev = poller.xev;

/// The registration of one descriptor and the ops that wait on it. It must stay in place while watched.
pub const Watch = struct {
    completion: xev.Completion = .{},
    ops: [2]*Op,
    readiness: *Readiness = undefined,
    next: ?*Watch = null,
    queued: bool = false,
    /// The kernel refused the registration: no op can wait on it.
    refused: bool = false,
};

pub const Readiness = struct {
    loop: xev.Loop,
    /// Watches whose descriptor had an edge in this tick.
    edges: ?*Watch = null,
    /// When the next waiting tick ends at the latest.
    deadline: ?u64 = null,

    /// Ops are tried before they wait, so descriptors must be non-blocking.
    pub const tries_first = true;
    pub const gathers = false;

    pub fn init() error{SystemResources}!Readiness {
        return .{ .loop = xev.Loop.init(.{}) catch return error.SystemResources };
    }

    pub fn deinit(self: *Readiness) void {
        self.loop.deinit();
    }

    /// Readable when a tick would find something.
    pub fn descriptor(self: *const Readiness) sys.fd_t {
        return poller.descriptorOf(&self.loop);
    }

    /// `fd` must be non-blocking. The next tick reports what is ready already.
    pub fn watch(self: *Readiness, w: *Watch, fd: sys.fd_t) void {
        w.readiness = self;
        w.completion = .{ .op = poller.operation(fd), .userdata = w, .callback = onEdge };
        w.refused = !poller.register(&self.loop, fd, &w.completion);
        if (w.refused) return;
        w.completion.flags.state = .active;
        self.loop.active += 1;
    }

    /// Before the descriptor is closed. Never called inside a tick, so no event of `w` is under way.
    pub fn unwatch(self: *Readiness, w: *Watch, fd: sys.fd_t) void {
        assert(!w.queued);
        if (w.completion.flags.state != .active) return;
        poller.unregister(&self.loop, fd);
        w.completion.flags.state = .dead;
        self.loop.active -= 1;
    }

    /// An op that has been tried waits for the next edge.
    pub fn submit(_: *Readiness, _: *Op, _: *Op.Queue) void {}

    pub fn flush(_: *Readiness) void {}

    pub fn cancel(_: *Readiness, op: *Op, finished: *Op.Queue) void {
        op.result = sys.negative(.CANCELED);
        op.state = .finished;
        finished.push(op);
    }

    /// Jobs are for the pool.
    pub fn kindOf(_: *Job) Op.Kind {
        return .job;
    }

    /// Whether an op that has ended still needs its call to be made: no, `tick` has made it.
    pub fn leavesCall(_: *const Op) bool {
        return false;
    }

    /// For the next tick only.
    pub fn armTimer(self: *Readiness, deadline: u64, _: *Op.Queue) void {
        self.deadline = deadline;
    }

    /// Queues what has finished. With `wait`, sleeps until there is something, the armed time has come, or a signal.
    pub fn tick(self: *Readiness, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
        if (wait and finished.head == null) sys.pollReadable(&.{self.descriptor()}, sys.millisecondsUntil(self.deadline));
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
            w.next = w.readiness.edges;
            w.readiness.edges = w;
        }
        return .rearm;
    }
};
