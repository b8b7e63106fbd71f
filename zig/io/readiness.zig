//! The half of the loop layer for kernels that tell when a descriptor is ready and leave the call to us: epoll, kqueue.
//!
//! libxev waits for readiness before every call. Here each descriptor is registered once, edge-triggered for both directions, by its
//! `Poller` (epoll.zig, kqueue.zig); every operation is tried first, and tried again at each edge. An operation then costs its own system
//! call and nothing else. A registration is made at once and not by the next tick, so that a refused one is known before any
//! operation waits for it.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const sys = @import("../sys.zig");
const Job = @import("pool.zig").Job;
const Op = @import("op.zig").Op;

/// The registration of one descriptor and the ops that wait on it. It must stay in place while watched.
pub const Watch = struct {
    /// epoll's own.
    completion: if (builtin.os.tag == .linux) @import("epoll.zig").Epoll.Completion else void = if (builtin.os.tag == .linux) .{} else {},
    /// The one that reads and the one that writes; twice the same where only reading is waited for.
    ops: [2]*Op,
    /// By the kernel: for reading, for writing.
    registered: [2]bool = @splat(false),
    /// The kernel refused a direction: no op can wait for that.
    refused: bool = false,
    /// The list that it is in once it had an edge.
    edges: *?*Watch = undefined,
    next: ?*Watch = null,
    queued: bool = false,

    /// Whether `op` would wait for ever.
    pub fn refuses(w: *const Watch, op: *const Op) bool {
        return w.refused and !w.registered[@intFromBool(op == w.ops[1] and op != w.ops[0])];
    }

    /// By the poller.
    pub fn hadEdge(w: *Watch) void {
        if (w.queued) return;
        w.queued = true;
        w.next = w.edges.*;
        w.edges.* = w;
    }
};

pub fn Readiness(comptime Poller: type) type {
    return struct {
        const Self = @This();
        poller: Poller,
        /// Watches whose descriptor had an edge in this tick.
        edges: ?*Watch = null,
        /// When the next waiting tick ends at the latest.
        deadline: ?u64 = null,

        /// Ops are tried before they wait, so descriptors must be non-blocking.
        pub const tries_first = true;
        /// Somebody must wait for a parked Env.
        pub const wakes_itself = false;

        pub fn init() error{SystemResources}!Self {
            return .{ .poller = try .init() };
        }

        pub fn deinit(self: *Self) void {
            self.poller.deinit();
        }

        /// Readable when a tick would find something.
        pub fn descriptor(self: *const Self) sys.fd_t {
            return self.poller.descriptor();
        }

        /// `fd` must be non-blocking. The next tick reports what is ready already.
        pub fn watch(self: *Self, w: *Watch, fd: sys.fd_t) void {
            w.edges = &self.edges;
            self.poller.add(w, fd);
            w.refused = !w.registered[0] or (w.ops[0] != w.ops[1] and !w.registered[1]);
        }

        /// Before the descriptor is closed. Never called inside a tick, so no event of `w` is under way.
        pub fn unwatch(self: *Self, w: *Watch, fd: sys.fd_t) void {
            assert(!w.queued);
            self.poller.remove(w, fd);
        }

        /// An op that has been tried waits for the next edge.
        pub fn submit(_: *Self, _: *Op, _: *Op.Queue) void {}

        pub fn cancel(_: *Self, op: *Op, finished: *Op.Queue) void {
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
        pub fn armTimer(self: *Self, deadline: u64, _: *Op.Queue) void {
            self.deadline = deadline;
        }

        /// Queues what has finished. With `wait`, sleeps until there is something, the armed time has come, or a signal.
        pub fn tick(self: *Self, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
            const deadline = self.deadline;
            self.deadline = null;
            try self.poller.collect(wait and finished.head == null, deadline);
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
    };
}

test "an op whose direction is not registered fails at once, the other one waits" {
    const Poller = struct {
        pub fn init() error{SystemResources}!@This() {
            return .{};
        }
        pub fn add(_: *@This(), w: *Watch, _: sys.fd_t) void {
            w.registered[0] = true;
        }
    };
    const nobody: *const fn (*Op) void = undefined;
    var ops: [2]Op = .{ .{ .kind = .readable, .doneFn = nobody }, .{ .kind = .writable, .doneFn = nobody } };
    var readiness: Readiness(Poller) = try .init();
    var both: Watch = .{ .ops = .{ &ops[0], &ops[1] } };
    readiness.watch(&both, 0);
    try std.testing.expect(both.refused and !both.refuses(&ops[0]) and both.refuses(&ops[1]));
    var reads: Watch = .{ .ops = .{ &ops[0], &ops[0] } };
    readiness.watch(&reads, 0);
    try std.testing.expect(!reads.refused and !reads.refuses(&ops[0]));
}
