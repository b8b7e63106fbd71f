//! Host: what the shared library needs of the process it is loaded into: a thread-exit hook that ends an Env whose thread
//! ended without doing so (a terminated Worker), and the wake of a parked guest.
//!
//! A parked io_uring Env signals its eventfd by itself. A parked epoll Env has one thread that sleeps on the epoll descriptor
//! and writes the eventfd; it holds descriptors and this file's atomics, never anything of the VM.
//!
//! The library is free of libc so that one file serves glibc and musl; threads are therefore made by the host's own
//! pthread functions, found when the library is loaded. (Zig's own thread start would run without the host's thread-local area.)

const std = @import("std");
const assert = std.debug.assert;
const Env = @import("env.zig").Env;
const loop = @import("loop.zig");
const sys = @import("sys.zig");

const allocator = std.heap.smp_allocator;

const pthread_t = usize;
extern fn pthread_create(thread: *pthread_t, attr: ?*const anyopaque, start: *const fn (?*anyopaque) callconv(.c) ?*anyopaque, arg: ?*anyopaque) callconv(.c) c_int;
extern fn pthread_join(thread: pthread_t, result: ?*?*anyopaque) callconv(.c) c_int;
extern fn pthread_key_create(key: *c_uint, destructor: *const fn (?*anyopaque) callconv(.c) void) callconv(.c) c_int;
extern fn pthread_setspecific(key: c_uint, value: ?*const anyopaque) callconv(.c) c_int;

/// An Env and what ties it to its thread.
pub const Thread = struct {
    env: *Env,
    wake_fd: sys.fd_t = -1,
    waker: ?*Waker = null,
    next: ?*Thread = null,

    /// The newest Thread of each system thread, followed by older ones.
    threadlocal var newest: ?*Thread = null;

    pub fn create(backend: ?loop.Backend) !*Thread {
        const key = try exitKey();
        const thread = try allocator.create(Thread);
        errdefer allocator.destroy(thread);
        thread.* = .{ .env = try Env.create(allocator, backend), .next = newest };
        newest = thread;
        _ = pthread_setspecific(key, thread);
        return thread;
    }

    pub fn of(env: *Env) *Thread {
        var at = newest;
        while (at) |thread| : (at = thread.next) if (thread.env == env) return thread;
        unreachable; // an Env is used on its own thread only
    }

    pub fn destroy(thread: *Thread) void {
        var link = &newest;
        while (link.*) |at| : (link = &at.next) {
            if (at != thread) continue;
            link.* = thread.next;
            break;
        }
        _ = pthread_setspecific(exit_key.?, newest);
        thread.free();
    }

    fn free(thread: *Thread) void {
        if (thread.waker) |waker| waker.destroy();
        thread.env.destroy();
        if (thread.wake_fd >= 0) sys.close(thread.wake_fd);
        allocator.destroy(thread);
    }

    /// Runs as the thread ends, after the VM is gone.
    fn onExit(value: ?*anyopaque) callconv(.c) void {
        var at: ?*Thread = @ptrCast(@alignCast(value));
        newest = null;
        while (at) |thread| {
            at = thread.next;
            thread.free();
        }
    }

    pub fn wakeFd(thread: *Thread) i32 {
        if (thread.wake_fd >= 0) return thread.wake_fd;
        const fd = sys.eventfd();
        if (fd < 0) return fd;
        const rc = thread.connectWake(fd);
        if (rc < 0) {
            sys.close(fd);
            return rc;
        }
        thread.wake_fd = fd;
        return fd;
    }

    fn connectWake(thread: *Thread, fd: sys.fd_t) i32 {
        switch (thread.env.loop.impl) {
            .io_uring => |*ring| ring.registerWake(fd) catch return sys.negative(.NOMEM),
            .epoll => |*epoll| thread.waker = Waker.create(epoll.loop.fd, fd) catch return sys.negative(.AGAIN),
        }
        return 0;
    }

    pub fn park(thread: *Thread) i32 {
        assert(thread.wake_fd >= 0);
        const env = thread.env;
        switch (env.loop.impl) {
            .io_uring => |*ring| {
                ring.setWake(true);
                env.tick(false) catch return sys.negative(.NOMEM);
                // A body that ran at the end of the tick may have set an earlier one; then there is something to submit.
                if (env.timers.earliest()) |deadline| env.loop.armTimer(deadline);
                if (!env.hasWork() and !ring.hasWork()) return 0;
                ring.setWake(false);
            },
            .epoll => {
                env.tick(false) catch return sys.negative(.NOMEM);
                if (!env.hasWork()) {
                    thread.waker.?.park(env.timers.earliest());
                    return 0;
                }
            },
        }
        return 1;
    }

    /// Whoever reads the eventfd clears it; a signal that nobody has read by now is a wake in vain.
    pub fn unpark(thread: *Thread) void {
        switch (thread.env.loop.impl) {
            .io_uring => |*ring| ring.setWake(false),
            .epoll => thread.waker.?.unpark(),
        }
    }
};

var exit_key: ?c_uint = null;
var exit_key_lock: std.atomic.Value(bool) = .init(false);

fn exitKey() error{SystemResources}!c_uint {
    while (exit_key_lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    defer exit_key_lock.store(false, .release);
    if (exit_key) |key| return key;
    var key: c_uint = undefined;
    if (pthread_key_create(&key, Thread.onExit) != 0) return error.SystemResources;
    exit_key = key;
    return key;
}

const testing = std.testing;

test "a parked Env wakes for a timer that a body has set in the very tick that parks" {
    const NativeFrame = @import("native.zig").NativeFrame;
    const Bodies = struct {
        fn nap(frame: *NativeFrame) callconv(.c) f64 {
            return @floatFromInt(frame.sleepBody(1e9) + frame.sleepBody(1));
        }
    };
    for ([_]loop.Backend{ .io_uring, .epoll }) |backend| {
        const thread = Thread.create(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer thread.destroy();
        const env = thread.env;
        const fd = thread.wakeFd();
        try testing.expect(fd >= 0);
        const frame = try NativeFrame.create(env, Bodies.nap, &.{}, .{ .size = 128 * 1024 }, "nap", env.slots.claim(0).?);
        try testing.expectEqual(@import("code.zig").suspended, frame.run());
        try env.tick(false);
        // The body goes on in the next tick, which has looked at the timers by then.
        frame.cancel();
        var rounds: u32 = 0;
        while (env.frames.live > 0) : (rounds += 1) {
            try testing.expect(rounds < 10);
            if (thread.park() != 0) continue;
            sys.pollReadable(&.{fd}, 2000);
            try testing.expect(sys.isReadable(fd));
            sys.eventfdClear(fd);
            thread.unpark();
        }
        try testing.expectEqual(@as(f64, @floatFromInt(sys.negative(.CANCELED))), env.ring.entries[0].value);
    }
}

/// The thread of a parked epoll Env.
///
/// `idle -> parked -> idle`, `stopping` from either. Only the owner parks; whoever of owner and waker takes `parked` back
/// to `idle` ends the park, so the eventfd is signalled at most once per park.
const Waker = struct {
    epoll_fd: sys.fd_t,
    wake_fd: sys.fd_t,
    control_fd: sys.fd_t,
    state: std.atomic.Value(State) = .init(.idle),
    deadline: std.atomic.Value(u64) = .init(no_deadline),
    handle: pthread_t = 0,

    const State = enum(u8) { idle, parked, stopping };
    const no_deadline = std.math.maxInt(u64);

    fn create(epoll_fd: sys.fd_t, wake_fd: sys.fd_t) !*Waker {
        const waker = try allocator.create(Waker);
        errdefer allocator.destroy(waker);
        const control_fd = sys.eventfd();
        if (control_fd < 0) return error.SystemResources;
        errdefer sys.close(control_fd);
        waker.* = .{ .epoll_fd = epoll_fd, .wake_fd = wake_fd, .control_fd = control_fd };
        if (pthread_create(&waker.handle, null, main, waker) != 0) return error.SystemResources;
        return waker;
    }

    fn destroy(waker: *Waker) void {
        waker.state.store(.stopping, .seq_cst);
        sys.eventfdSignal(waker.control_fd);
        _ = pthread_join(waker.handle, null);
        sys.close(waker.control_fd);
        allocator.destroy(waker);
    }

    fn park(waker: *Waker, deadline: ?u64) void {
        assert(waker.state.load(.seq_cst) == .idle);
        waker.deadline.store(deadline orelse no_deadline, .seq_cst);
        waker.state.store(.parked, .seq_cst);
        sys.eventfdSignal(waker.control_fd);
    }

    fn unpark(waker: *Waker) void {
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) sys.eventfdSignal(waker.control_fd);
    }

    fn main(arg: ?*anyopaque) callconv(.c) ?*anyopaque {
        const waker: *Waker = @ptrCast(@alignCast(arg.?));
        while (true) switch (waker.state.load(.seq_cst)) {
            .stopping => return null,
            .idle => {
                sys.pollReadable(&.{waker.control_fd}, -1);
                sys.eventfdClear(waker.control_fd);
            },
            .parked => {
                sys.eventfdClear(waker.control_fd);
                sys.pollReadable(&.{ waker.epoll_fd, waker.control_fd }, waker.timeout());
                waker.signalIfDue();
            },
        };
    }

    fn timeout(waker: *Waker) i32 {
        const deadline = waker.deadline.load(.seq_cst);
        return sys.millisecondsUntil(if (deadline == no_deadline) null else deadline);
    }

    fn signalIfDue(waker: *Waker) void {
        const due = waker.timeout() == 0 or sys.isReadable(waker.epoll_fd);
        if (!due) return;
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) sys.eventfdSignal(waker.wake_fd);
    }
};
