//! The io_uring half of the loop layer: libxev's loop and completions, with a tick of our own.
//!
//! What libxev's own tick would cost us, and what this file does instead:
//!  * it turns most errnos into `Unexpected`: here the raw result of each completion is kept;
//!  * it enters the kernel without GETEVENTS when it does not wait, so deferred task work never ran: here every enter asks
//!    for events, so that the ring can be set up with DEFER_TASKRUN (completions are made when we ask, in one batch);
//!  * it invokes callbacks in the middle of the tick: here finished ops are queued and their owners told afterwards;
//!  * it enters even when there is nothing to say or to hear: here an idle poll makes no system call.
//!
//! Everything submitted since the last tick goes to the kernel in the one enter of the next, in the order it was asked for: a
//! cancel that overtook its target would find nothing and be lost. libxev keeps what does not fit into the ring aside and lets
//! later entries overtake it, so the ring is emptied into the kernel before it is full and that queue stays unused.

const std = @import("std");
const assert = std.debug.assert;
const linux = std.os.linux;
const xev = @import("xev").IO_Uring;
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const Call = @import("call.zig").Call;
const Job = @import("pool.zig").Job;
const Op = @import("op.zig").Op;
const Watch = @import("readiness.zig").Watch;

pub const IoUring = struct {
    loop: xev.Loop,
    /// Bit 0 tells the kernel not to signal the registered eventfd.
    cq_flags: *u32,
    timer: xev.Completion = .{},
    timer_deadline: ?u64 = null,
    /// Read by the kernel at submission, so all updates of one batch carry the newest deadline.
    timer_update: linux.kernel_timespec = undefined,
    /// The last `armTimer` found no room: the next tick must not sleep.
    timer_unsent: bool = false,
    /// Ops whose cancel found no room, linked by `next`; each tick tries again.
    unsent_cancels: ?*Op = null,

    /// Linux 5.19; a setup flag of the same release tells.
    has_poll_first: bool,

    allows_workers: bool = false,

    const max_workers = 64;
    const recvsend_poll_first = 1 << 0;
    const sq_entries = 512;
    const cq_entries = 4096;
    const cqe_skip_success = 1 << 6;
    const sq_taskrun = 1 << 2;

    /// `error.Unavailable`: the kernel has no io_uring, or a sandbox refuses it.
    pub fn init() error{ Unavailable, SystemResources }!IoUring {
        // Newest first; older kernels refuse flags they do not know.
        const setups = [_]u32{
            linux.IORING_SETUP_SINGLE_ISSUER | linux.IORING_SETUP_DEFER_TASKRUN | linux.IORING_SETUP_TASKRUN_FLAG,
            linux.IORING_SETUP_COOP_TASKRUN | linux.IORING_SETUP_TASKRUN_FLAG,
            0,
        };
        for (setups) |flags| {
            var params = std.mem.zeroInit(linux.io_uring_params, .{
                .flags = flags | linux.IORING_SETUP_CQSIZE,
                .cq_entries = cq_entries,
            });
            const ring = linux.IoUring.init_params(sq_entries, &params) catch |err| switch (err) {
                error.ArgumentsInvalid => continue,
                error.ProcessFdQuotaExceeded, error.SystemFdQuotaExceeded, error.SystemResources => return error.SystemResources,
                else => return error.Unavailable,
            };
            var loop: xev.Loop = .{ .ring = ring };
            if (!isRecentEnough(&params)) {
                loop.deinit();
                return error.Unavailable;
            }
            loop.update_now();
            const has_poll_first = flags & linux.IORING_SETUP_COOP_TASKRUN != 0 or flags & linux.IORING_SETUP_DEFER_TASKRUN != 0;
            return .{ .loop = loop, .has_poll_first = has_poll_first, .cq_flags = @ptrCast(@alignCast(&ring.sq.mmap[params.cq_off.flags])) };
        }
        return error.Unavailable;
    }

    /// Linux 5.11, which knows timer updates; it tells by the feature that came with it. The flags of the completion queue, which
    /// `setWake` writes, are of 5.8: before that their offset is 0, the head of the submission queue.
    fn isRecentEnough(params: *const linux.io_uring_params) bool {
        return params.features & linux.IORING_FEAT_EXT_ARG != 0 and params.cq_off.flags != 0;
    }

    pub fn deinit(self: *IoUring) void {
        self.loop.deinit();
    }

    /// The kernel makes calls when they can be made.
    pub const tries_first = false;
    /// A parked Env's event is signalled by the kernel.
    pub const wakes_itself = true;

    /// Nothing is registered.
    pub fn watch(_: *IoUring, _: *Watch, _: sys.fd_t) void {}
    pub fn unwatch(_: *IoUring, _: *Watch, _: sys.fd_t) void {}

    /// Hands `op` to the kernel with the next tick.
    pub fn submit(self: *IoUring, op: *Op, finished: *Op.Queue) void {
        assert(op.state == .in_flight);
        if (!self.makeRoom(finished)) {
            op.result = sys.negative(.NOMEM);
            op.state = .finished;
            return finished.push(op);
        }
        if (op.kind == .entry) return self.submitEntry(op);
        op.completion = .{ .op = switch (op.kind) {
            .entry, .job => unreachable,
            .accept => .{ .accept = .{ .socket = op.fd } },
            .recv => .{ .recv = .{ .fd = op.fd, .buffer = .{ .slice = op.buffer } } },
            .send => .{ .send = .{ .fd = op.fd, .buffer = .{ .slice = op.buffer } } },
            .readable, .read => .{ .poll = .{ .fd = op.fd, .events = linux.POLL.IN } },
            .writable, .write => .{ .poll = .{ .fd = op.fd, .events = linux.POLL.OUT } },
            .connect => .{ .connect = .{ .socket = op.fd, .addr = @as(*const ConnectAddress, @ptrCast(&op.address)).* } },
        } };
        self.loop.add(&op.completion);
        if (op.kind == .recv) self.pollFirst(op);
    }

    /// What libxev's completions have no name for.
    fn submitEntry(self: *IoUring, op: *Op) void {
        const call = &Job.of(op).call;
        if (call.* == .open) self.allowWorkers();
        const sqe = self.loop.ring.get_sqe() catch unreachable; // there is room
        prepare(call, sqe);
        sqe.user_data = @intFromPtr(&op.completion);
        op.completion = .{};
        op.completion.flags.state = .active;
        self.loop.active += 1;
    }

    /// Of a job. A stream's descriptor, which does not block, is only waited for: a ring that writes would do so on the thread that
    /// ticks, where SIGPIPE may end the process.
    pub fn kindOf(job: *Job) Op.Kind {
        const op = &job.op;
        if (job.is_stream) switch (job.call) {
            .read => |c| {
                op.fd, op.buffer, op.way = .{ c.fd, c.bytes, .nonblocking };
                return .read;
            },
            .write => |c| {
                op.fd, op.buffer, op.way = .{ c.fd, @constCast(c.bytes), .nonblocking };
                return .write;
            },
            else => {},
        };
        // The ring's truncate came with Linux 6.9, so that is left to threads everywhere.
        return if (job.call == .truncate) .job else .entry;
    }

    /// Whether `op`, which has ended, only waited for its call to be possible.
    pub fn leavesCall(op: *const Op) bool {
        return op.kind == .read or op.kind == .write;
    }

    fn prepare(call: *const Call, sqe: *linux.io_uring_sqe) void {
        switch (call.*) {
            .open => |c| {
                sqe.prep_openat(linux.AT.FDCWD, c.path, Call.openFlags(c.flags), c.mode);
                // The ring's try without waiting would open a FIFO that has no other end.
                sqe.flags |= linux.IOSQE_ASYNC;
            },
            .read => |c| sqe.prep_read(c.fd, c.bytes, @bitCast(c.at)),
            .write => |c| sqe.prep_write(c.fd, c.bytes, @bitCast(c.at)),
            .stat => |c| sqe.prep_statx(c.fd, "", linux.AT.EMPTY_PATH, sys.Stat.fields, &c.out.raw),
            .sync => |fd| sqe.prep_fsync(fd, 0),
            .data_sync => |fd| sqe.prep_fsync(fd, linux.IORING_FSYNC_DATASYNC),
            .close => |fd| sqe.prep_close(fd),
            .truncate => unreachable, // kindOf
        }
    }

    /// The kernel makes calls that sleep in a few threads, 4 for each processor. An open of a FIFO holds one until its other end is opened,
    /// or it is cancelled; some of those must not stop all files. Before Linux 5.15 they do.
    fn allowWorkers(self: *IoUring) void {
        if (self.allows_workers) return;
        self.allows_workers = true;
        var counts = [2]u32{ max_workers, 0 };
        _ = linux.io_uring_register(self.loop.ring.fd, .REGISTER_IOWQ_MAX_WORKERS, &counts, counts.len);
    }

    /// A read is submitted after what is there was taken, so trying to receive at once would only fail: tell the kernel to wait
    /// first. libxev knows no flags, so this reaches for the entry that it has just filled.
    fn pollFirst(self: *IoUring, op: *Op) void {
        if (!self.has_poll_first) return;
        const sq = &self.loop.ring.sq;
        const sqe = &sq.sqes[(sq.sqe_tail -% 1) & sq.mask];
        assert(sqe.user_data == @intFromPtr(&op.completion));
        sqe.ioprio |= recvsend_poll_first;
    }

    const ConnectAddress = @FieldType(@FieldType(@FieldType(xev.Completion, "op"), "connect"), "addr");

    /// Asks the kernel to end `op`; it still ends by a completion of its own, with ECANCELED or with a result.
    pub fn cancel(self: *IoUring, op: *Op, finished: *Op.Queue) void {
        assert(op.state == .cancelling);
        const has_room = self.makeRoom(finished);
        // Making room may have brought its end.
        if (op.state == .finished) return;
        if (has_room) return self.sendCancel(op);
        op.next = self.unsent_cancels;
        self.unsent_cancels = op;
    }

    fn sendCancel(self: *IoUring, op: *Op) void {
        const sqe = self.loop.ring.get_sqe() catch unreachable; // there is room
        sqe.prep_cancel(@intFromPtr(&op.completion), 0);
        self.makeSilent(sqe);
    }

    fn sendUnsentCancels(self: *IoUring, finished: *Op.Queue) void {
        while (self.unsent_cancels != null and self.makeRoom(finished)) {
            // Read again: making room may have ended it.
            const op = self.unsent_cancels orelse return;
            self.unsent_cancels = op.next;
            self.sendCancel(op);
        }
    }

    /// An op that has ended needs no cancel any more, and its link for the queue of finished ones.
    fn forgetCancel(self: *IoUring, op: *Op) void {
        var link = &self.unsent_cancels;
        while (link.*) |at| : (link = &at.next) {
            if (at != op) continue;
            link.* = op.next;
            return;
        }
    }

    /// The timer fires at `deadline` or, if it is armed for an earlier one already, at that.
    pub fn armTimer(self: *IoUring, deadline: u64, finished: *Op.Queue) void {
        if (self.timer_deadline) |armed| if (armed <= deadline) return;
        self.timer_unsent = !self.makeRoom(finished);
        if (self.timer_unsent) return;
        // Asked again: making room may have brought the timer's end.
        if (self.timer_deadline != null) {
            self.timer_deadline = deadline;
            self.timer_update = timespec(deadline);
            const sqe = self.loop.ring.get_sqe() catch unreachable; // there is room
            sqe.prep_timeout_remove(@intFromPtr(&self.timer), linux.IORING_TIMEOUT_UPDATE | linux.IORING_TIMEOUT_ABS);
            sqe.off = @intFromPtr(&self.timer_update);
            self.makeSilent(sqe);
            return;
        }
        self.timer_deadline = deadline;
        self.timer = .{ .op = .{ .timer = .{ .next = timespec(deadline) } } };
        self.loop.add(&self.timer);
    }

    /// Submits what is pending and queues what has finished. With `wait`, sleeps until there is something.
    pub fn tick(self: *IoUring, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
        const ring = &self.loop.ring;
        assert(self.loop.submissions.empty());
        self.sendUnsentCancels(finished);
        const to_submit = ring.flush_sq();
        const must_wait = wait and finished.head == null and ring.cq_ready() == 0 and !self.timer_unsent and self.unsent_cancels == null;
        const kernel_flags = @atomicLoad(u32, ring.sq.flags, .monotonic);
        if (to_submit > 0 or must_wait or kernel_flags & (linux.IORING_SQ_CQ_OVERFLOW | sq_taskrun) != 0 or !self.tellsTaskWork()) {
            _ = ring.enter(to_submit, @intFromBool(must_wait), linux.IORING_ENTER_GETEVENTS) catch |err| switch (err) {
                // Interrupted, or the completion queue is full: drain, the rest goes with the next tick.
                error.SignalInterrupt, error.CompletionQueueOvercommitted, error.SystemResources => {},
                else => return error.SystemResources,
            };
        }
        // For this tick only: there may be no timer any more.
        self.timer_unsent = false;
        _ = self.drain(finished);
    }

    /// Without the flag, only entering the kernel shows whether task work is due.
    fn tellsTaskWork(self: *const IoUring) bool {
        return self.loop.ring.flags & linux.IORING_SETUP_TASKRUN_FLAG != 0;
    }

    /// False: there was nothing.
    fn drain(self: *IoUring, finished: *Op.Queue) bool {
        var cqes: [128]linux.io_uring_cqe = undefined;
        var is_first = true;
        while (true) : (is_first = false) {
            const n = self.loop.ring.copy_cqes(&cqes, 0) catch 0;
            for (cqes[0..n]) |cqe| {
                // Cancels and timer updates have no one to tell.
                const c: *xev.Completion = @ptrFromInt(if (cqe.user_data == 0) continue else @as(usize, @intCast(cqe.user_data)));
                self.loop.active -= 1;
                c.flags.state = .dead;
                if (c == &self.timer) {
                    self.timer_deadline = null;
                    continue;
                }
                const op: *Op = @fieldParentPtr("completion", c);
                assert(op.isActive());
                if (op.state == .cancelling) self.forgetCancel(op);
                op.result = if (op.kind == .readable or op.kind == .writable) @min(cqe.res, 0) else cqe.res;
                if (op.kind == .recv and cqe.res > 0) sanitizer.kernelWrote(op.buffer[0..@intCast(cqe.res)]);
                op.state = .finished;
                finished.push(op);
            }
            if (n < cqes.len) return n > 0 or !is_first;
        }
    }

    /// The kernel signals `fd` for each completion while notifications are on.
    pub fn registerWake(self: *IoUring, fd: sys.fd_t) error{SystemResources}!void {
        self.setWake(false);
        self.loop.ring.register_eventfd(fd) catch return error.SystemResources;
    }

    pub fn setWake(self: *IoUring, on: bool) void {
        @atomicStore(u32, self.cq_flags, if (on) 0 else linux.IORING_CQ_EVENTFD_DISABLED, .seq_cst);
    }

    /// Whether a tick that does not wait would find something, or has something to submit: an owner that was told may have started more.
    /// Asked after `setWake(true)`, so that nothing slips between.
    pub fn hasWork(self: *IoUring) bool {
        if (self.loop.ring.sq_ready() > 0 or self.unsent_cancels != null) return true;
        const kernel_flags = @atomicLoad(u32, self.loop.ring.sq.flags, .seq_cst);
        return self.loop.ring.cq_ready() > 0 or kernel_flags & (linux.IORING_SQ_CQ_OVERFLOW | sq_taskrun) != 0;
    }

    /// Whether the ring has room for one more entry. A full one is handed to the kernel first, which takes all it is given unless it
    /// has no memory.
    fn makeRoom(self: *IoUring, finished: *Op.Queue) bool {
        const ring = &self.loop.ring;
        while (ring.sq_ready() == ring.sq.sqes.len) {
            _ = ring.enter(ring.flush_sq(), 0, 0) catch |err| switch (err) {
                error.SignalInterrupt => continue,
                // More completions than the queue holds: the kernel takes nothing until they are fetched.
                error.CompletionQueueOvercommitted => if (!self.drain(finished)) return false,
                else => return false,
            };
        }
        return true;
    }

    /// No completion on success, and one that nobody looks at on failure: it only says that the target had finished.
    fn makeSilent(self: *IoUring, sqe: *linux.io_uring_sqe) void {
        sqe.user_data = 0;
        if (self.loop.ring.features & linux.IORING_FEAT_CQE_SKIP != 0) sqe.flags |= cqe_skip_success;
    }

    /// Any `ns`: the kernel takes seconds beyond its clock for its end.
    fn timespec(ns: u64) linux.kernel_timespec {
        return .{ .sec = @intCast(ns / std.time.ns_per_s), .nsec = @intCast(ns % std.time.ns_per_s) };
    }
};
