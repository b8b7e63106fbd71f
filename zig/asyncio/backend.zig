//! Backend: what must be known of libxev's backends one by one, and every fault of theirs that is routed round. The rest of this
//! folder sees a completion that is added, cancelled and called back alike everywhere.
//!
//! `xev` stands for any face of libxev: a backend's own (`xev.IO_Uring`, `xev.Epoll`, ...), the default one, or `xev.Dynamic`, which
//! chooses among backends at run time. `api` stands for a backend's own. What is told of each:
//!
//!  * io_uring: a poll that was cancelled counts as unexpected there, and so does a send that was interrupted for that; a Debug build
//!    prints a trace for them (`add`, `cancel`). What does not fit into the ring is not handed to the kernel before a tick that
//!    waits, which may wait for ever for it (`run`).
//!  * epoll: a cancelled operation is never called back, its duplicate of the descriptor never closed, and one that was refused is
//!    taken from a set that it is not in, which is undefined behaviour (`add`, `cancel`). An operation that ends as it is
//!    started does not end a tick that waits (`add`). Timers beyond 24 days overflow (`max_timer_ms`) and one between two
//!    milliseconds burns the last of them (`armTimer`). The thread pool's worker reads a completion after it was handed back
//!    (job.zig).
//!  * kqueue: a cancelled operation that had not been handed to the kernel is never called back (`cancel`). A tick that does not wait
//!    forgets to take finished operations out of the kernel (`run`).
//!  * IOCP: a cancelled operation that was not started yet is never called back, and some panic (`cancel`). A tick that does not wait
//!    asks for no event (`run`).

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const linux = std.os.linux;
const posix = std.posix;
const errno = @import("errno.zig");

/// Calls `func` with the backend's own interface that is in use, and `args`.
pub inline fn with(comptime xev: type, comptime R: type, comptime func: anytype, args: anytype) R {
    if (!xev.dynamic) return @call(.auto, func, .{xev} ++ args);
    switch (xev.backend) {
        inline else => |tag| return @call(.auto, func, .{comptime xev.superset(tag).Api()} ++ args),
    }
}

/// `loop`, a `*xev.Loop`, as its backend knows it.
pub inline fn loopOf(comptime api: type, loop: anytype) *api.Loop {
    return if (@TypeOf(loop) == *api.Loop) loop else &@field(loop.backend, @tagName(api.backend));
}

/// The same for a completion. One that is in no loop may change its backend.
pub inline fn completionOf(comptime api: type, c: anytype) *api.Completion {
    if (@TypeOf(c) == *api.Completion) return c;
    if (c.value != @field(@TypeOf(c.value), @tagName(api.backend))) c.value = @unionInit(@TypeOf(c.value), @tagName(api.backend), .{});
    return &@field(c.value, @tagName(api.backend));
}

/// The watcher `w`, an `xev.TCP` and the like, as its backend knows it.
pub inline fn watcherOf(comptime api: type, comptime name: []const u8, w: anytype) @field(api, name) {
    return if (@TypeOf(w) == @field(api, name)) w else @field(w.backend, @tagName(api.backend));
}

/// A descriptor, or on Windows a handle.
pub const Fd = if (builtin.os.tag == .windows) std.os.windows.HANDLE else posix.fd_t;

/// What the watcher `w` watches.
pub inline fn fdOf(comptime xev: type, w: anytype) Fd {
    if (!xev.dynamic) return w.fd;
    switch (xev.backend) {
        inline else => |tag| return @field(w.backend, @tagName(tag)).fd,
    }
}

pub const Event = enum { readable, writable };

/// Whether descriptors can be waited for until they are ready.
pub fn canPoll(comptime xev: type) bool {
    if (!xev.dynamic) return switch (xev.backend) {
        .io_uring, .epoll, .kqueue => true,
        else => false,
    };
    for (xev.candidates) |candidate| if (!canPoll(candidate.Api())) return false;
    return true;
}

/// Waits until `fd` is ready; consumes nothing.
pub fn pollOperation(comptime api: type, fd: Fd, event: Event) api.Sys.Operation {
    return switch (api.backend) {
        .io_uring, .epoll => .{ .poll = .{ .fd = fd, .events = if (event == .readable) linux.POLL.IN else linux.POLL.OUT } },
        // A read of nothing waits for something to read, and so with writing.
        .kqueue => switch (event) {
            .readable => .{ .read = .{ .fd = fd, .buffer = .{ .slice = &.{} } } },
            .writable => .{ .write = .{ .fd = fd, .buffer = .{ .slice = &.{} } } },
        },
        else => @compileError("this backend of libxev cannot wait until a descriptor is ready"),
    };
}

/// What such a wait ended with.
pub fn pollResult(comptime api: type, result: api.Result) api.PollError!void {
    switch (api.backend) {
        // See `add`.
        .io_uring => {
            if (result == .poll) return result.poll;
            result.shutdown catch |err| return if (err == error.Canceled) error.Canceled else error.Unexpected;
        },
        .epoll => return result.poll,
        .kqueue => {
            const n = if (result == .read) result.read else result.write;
            // At the end of a stream there is something to read, too: the end.
            _ = n catch |err| if (err != error.EOF) return @errorCast(err);
        },
        else => comptime unreachable,
    }
}

/// Waits for `notif`, an `api.Async`, to be notified.
pub fn messageOperation(comptime api: type, notif: *api.Async) api.Sys.Operation {
    return switch (api.backend) {
        .io_uring, .epoll => pollOperation(api, notif.fd, .readable),
        .kqueue => if (builtin.os.tag.isDarwin())
            .{ .machport = .{ .port = notif.port, .buffer = .{ .array = undefined } } }
        else
            .{ .read = .{ .fd = notif.fd, .buffer = .{ .array = undefined } } },
        .iocp => .{ .async_wait = .{} },
        else => @compileError("this backend of libxev has no notifications"),
    };
}

/// What such a wait ended with.
pub fn messageResult(comptime api: type, result: api.Result) api.Async.WaitError!void {
    switch (api.backend) {
        .io_uring, .epoll => return pollResult(api, result),
        .kqueue => if (builtin.os.tag.isDarwin()) return result.machport else {
            _ = try result.read;
        },
        .iocp => return result.async_wait,
        else => comptime unreachable,
    }
}

/// Starts the operation of `c`, whose callback is set, on a loop that does not tick now. Not null: it ended at once with that, and is
/// not called back.
pub fn add(comptime api: type, loop: *api.Loop, c: *api.Completion) ?api.Result {
    assert(!loop.flags.in_run);
    if (api.backend == .epoll) return epollAdd(api, loop, c);
    loop.add(c);
    if (api.backend == .io_uring and c.op == .poll) {
        // The entry in the ring is filled, and only the meaning of its result still depends on `op`. A shutdown can be cancelled.
        const fd = c.op.poll.fd;
        const is_in_ring = loop.submissions.tail != c;
        if (is_in_ring) c.op = .{ .shutdown = .{ .socket = fd } };
    }
    return null;
}

pub const Cancelled = enum {
    /// It is over, and nothing happened.
    gone,
    /// It ends with the next tick, and is not called back.
    dropped,
    /// It is called back, and so is the completion that cancels.
    asked,
    /// Nothing can end it but itself.
    impossible,
};

/// Ends the operation of `c` early, on a loop that does not tick now. `canceller` is started only for `.asked`.
pub fn cancel(comptime api: type, loop: *api.Loop, c: *api.Completion, canceller: *api.Completion) Cancelled {
    assert(!loop.flags.in_run);
    switch (api.backend) {
        .epoll => {
            epollRemove(api, loop, c);
            return .gone;
        },
        .kqueue => if (c.flags.state == .adding) {
            // The loop skips it when it comes to it.
            c.flags.state = .dead;
            return .dropped;
        },
        .iocp => {
            if (c.flags.state == .adding) {
                removeFrom(&loop.submissions, c);
                c.flags.state = .dead;
                return .gone;
            }
            if (c.op == .async_wait) {
                removeFrom(&loop.asyncs, c);
                c.flags.state = .dead;
                loop.active -= 1;
                return .gone;
            }
            switch (c.op) {
                .accept, .read, .pread, .write, .pwrite, .recv, .send, .sendto, .recvfrom => {},
                else => return .impossible,
            }
        },
        .io_uring => if (c.op == .send and loop.submissions.empty()) {
            // In the ring it is a send. Interrupted, it is repeated as what it says here: a write of nothing, which ends at once.
            const fd = c.op.send.fd;
            c.op = .{ .write = .{ .fd = fd, .buffer = .{ .slice = "" } } };
        },
        else => {},
    }
    canceller.op = .{ .cancel = .{ .c = c } };
    loop.add(canceller);
    return .asked;
}

/// What a send ended with.
pub fn sendResult(comptime api: type, result: api.Result) api.WriteError!usize {
    if (api.backend != .io_uring or result == .send) return result.send;
    // See `cancel`.
    const len = try result.write;
    return if (len == 0) error.Canceled else len;
}

/// Whether what `canceller` was called back with means that the kernel did not know the operation, which then has not reached it yet.
pub fn wasUnknown(comptime api: type, result: api.Result) bool {
    if (api.backend != .io_uring) return false;
    return if (result.cancel) |_| false else |err| err == error.NotFound;
}

fn removeFrom(queue: anytype, c: anytype) void {
    var kept: @TypeOf(queue.*) = .{};
    while (queue.pop()) |at| if (at != c) kept.push(at);
    queue.* = kept;
}

/// Ticks the loop. With `wait` it sleeps until there is an event, if any is awaited. `spare` is a completion of the caller's that
/// is used and dead afterwards.
pub fn run(comptime api: type, loop: *api.Loop, wait: bool, spare: *api.Completion) !void {
    if (loop.stopped()) return error.LoopStopped;
    switch (api.backend) {
        .io_uring => {
            if (!loop.submissions.empty()) try loop.submit();
            try loop.run(if (wait) .once else .no_wait);
        },
        // What is in the queue is others'. It may end as it is started, so that nothing needs to be waited for.
        .epoll => try loop.run(if (wait and loop.submissions.empty()) .once else .no_wait),
        else => {
            if (!wait) {
                // A tick that waits for a timer which is due. IOCP looks for events only while the timer is not due yet.
                loop.update_now();
                loop.timer(spare, if (api.backend == .iocp) 1 else 0, null, api.noopCallback);
            }
            try loop.run(.once);
            while (!wait and spare.state() != .dead) try loop.run(.once);
        },
    }
}

/// How many completions the loop waits for.
pub fn countActive(comptime api: type, loop: *const api.Loop) usize {
    return loop.active + @intFromBool(!loop.submissions.empty());
}

/// Longer timers overflow somewhere. Whoever waits looks at the clock and arms again.
pub const max_timer_ms = std.time.ms_per_day;

/// Arms the timer `c` for `ms` from now, or moves it, with the help of `canceller`, when it is armed.
pub fn armTimer(comptime api: type, loop: *api.Loop, c: *api.Completion, canceller: *api.Completion, ms: u64, userdata: *anyopaque, comptime callback: api.Callback) void {
    loop.update_now();
    // On a whole millisecond, the unit in which this loop sleeps.
    if (api.backend == .epoll) loop.cached_now.nsec += std.time.ns_per_ms - 1 - @mod(loop.cached_now.nsec - 1, std.time.ns_per_ms);
    loop.timer_reset(c, canceller, @min(ms, max_timer_ms), userdata, callback);
}

/// Registers a duplicate of the descriptor, which libxev takes out and closes when the operation ends.
fn epollAdd(comptime api: type, loop: *api.Loop, c: *api.Completion) ?api.Result {
    switch (c.op) {
        .connect => |*v| switch (linux.errno(linux.connect(v.socket, &v.addr.any, v.addr.getOsSockLen()))) {
            .SUCCESS => return .{ .connect = {} },
            // An interrupted one goes on all the same.
            .AGAIN, .INPROGRESS, .INTR => {},
            else => |e| return .{ .connect = errno.toError(api.ConnectError, e) },
        },
        .shutdown => |v| return .{ .shutdown = switch (linux.errno(linux.shutdown(v.socket, shutdownHow(v.how)))) {
            .SUCCESS => {},
            else => |e| errno.toError(api.ShutdownError, e),
        } },
        else => {},
    }
    const events: u32 = switch (c.op) {
        .poll => |v| v.events,
        .recv, .recvmsg => linux.EPOLL.IN | linux.EPOLL.RDHUP,
        .connect, .send, .sendmsg => linux.EPOLL.OUT,
        else => unreachable,
    };
    const fd = switch (c.op) {
        inline .connect => |v| v.socket,
        inline .poll, .recv, .recvmsg, .send, .sendmsg => |v| v.fd,
        else => unreachable,
    };
    const copied = linux.fcntl(fd, linux.F.DUPFD_CLOEXEC, 0);
    if (linux.errno(copied) != .SUCCESS) return epollRefused(api, c, error.DupFailed);
    c.flags.dup = true;
    c.flags.dup_fd = @intCast(copied);
    var event: linux.epoll_event = .{ .events = events, .data = .{ .ptr = @intFromPtr(c) } };
    switch (linux.errno(linux.epoll_ctl(loop.fd, linux.EPOLL.CTL_ADD, c.flags.dup_fd, &event))) {
        .SUCCESS => {},
        else => |e| {
            _ = linux.close(c.flags.dup_fd);
            return epollRefused(api, c, errno.toError(api.Sys.EpollCtlError, e));
        },
    }
    c.flags.state = .active;
    loop.active += 1;
    return null;
}

fn epollRefused(comptime api: type, c: *api.Completion, err: (api.Sys.EpollCtlError || error{DupFailed})) api.Result {
    return switch (c.op) {
        inline .poll, .connect, .recv, .recvmsg, .send, .sendmsg => |_, tag| @unionInit(api.Result, @tagName(tag), err),
        else => unreachable,
    };
}

fn epollRemove(comptime api: type, loop: *api.Loop, c: *api.Completion) void {
    assert(c.flags.state == .active);
    _ = linux.epoll_ctl(loop.fd, linux.EPOLL.CTL_DEL, c.flags.dup_fd, null);
    _ = linux.close(c.flags.dup_fd);
    c.flags.state = .dead;
    loop.active -= 1;
}

fn shutdownHow(how: std.Io.net.ShutdownHow) i32 {
    return switch (how) {
        .recv => linux.SHUT.RD,
        .send => linux.SHUT.WR,
        .both => linux.SHUT.RDWR,
    };
}
