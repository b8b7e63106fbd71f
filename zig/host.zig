//! Host: what the shared library needs of the process it is loaded into: a thread-exit hook that ends an Env whose thread
//! ended without doing so (a terminated Worker), and the wake of a parked guest.
//!
//! A parked io_uring Env signals its eventfd by itself. For an Env of another kind one thread sleeps on the loop's descriptor
//! and signals the event; it holds descriptors and this file's atomics, never anything of the VM. On Windows Bun reads no event, and the
//! thread writes to a socket of Bun's.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const Env = @import("env.zig").Env;
const loop = @import("loop.zig");
const sys = @import("sys.zig");
const threads = @import("thread.zig");

const allocator = std.heap.smp_allocator;
const is_windows = builtin.os.tag == .windows;
const Waker = if (is_windows) @import("waker_windows.zig").Waker else PollWaker;

/// An Env and what ties it to its thread.
pub const Thread = struct {
    env: *Env,
    /// Signalled when a parked Env has work.
    wake: ?sys.Event = null,
    waker: ?*Waker = null,
    next: ?*Thread = null,

    /// The newest Thread of each system thread, followed by older ones.
    threadlocal var newest: ?*Thread = null;

    pub fn create(backend: ?loop.Backend) !*Thread {
        try Ending.prepare();
        const thread = try allocator.create(Thread);
        errdefer allocator.destroy(thread);
        thread.* = .{ .env = try Env.create(allocator, backend), .next = newest };
        newest = thread;
        Ending.set(thread);
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
        Ending.set(newest);
        thread.free();
    }

    fn free(thread: *Thread) void {
        if (thread.waker) |waker| waker.destroy();
        thread.env.destroy();
        if (thread.wake) |event| event.close();
        allocator.destroy(thread);
    }

    const Ending = threads.Ending(onExit);

    /// Runs as the thread ends, after the VM is gone.
    fn onExit(value: *anyopaque) void {
        var at: ?*Thread = @ptrCast(@alignCast(value));
        newest = null;
        while (at) |thread| {
            at = thread.next;
            thread.free();
        }
    }

    /// The descriptor to read, or a negative errno.
    pub fn wakeFd(thread: *Thread) i32 {
        if (is_windows) return sys.negative(.NOSYS);
        if (thread.wake) |event| return event.fd;
        var event: sys.Event = undefined;
        const opened = event.open();
        if (opened < 0) return opened;
        const rc = thread.connectWake(event);
        if (rc < 0) {
            event.close();
            return rc;
        }
        thread.wake = event;
        return event.fd;
    }

    /// On Windows: connects to `port` of this machine, where Bun listens, and writes a byte there in place of signalling an event. The port
    /// that it connects from, or a negative errno.
    pub fn connectWakeTo(thread: *Thread, port: u16) i32 {
        if (!is_windows) return sys.negative(.NOSYS);
        // Bun has lost the other end of one that there is.
        if (thread.waker) |waker| waker.destroy();
        thread.waker = null;
        const fd = sys.connectedTo(port);
        if (fd < 0) return fd;
        var address: sys.Address = undefined;
        const named = sys.localAddress(fd, &address);
        if (named >= 0) thread.waker = Waker.create(thread.env.loop.impl.iocp.loop.iocp_handle, fd) catch null;
        if (thread.waker != null) return address.port();
        sys.close(fd);
        return if (named < 0) named else sys.negative(.AGAIN);
    }

    fn connectWake(thread: *Thread, event: sys.Event) i32 {
        switch (thread.env.loop.impl) {
            inline else => |*impl| if (@TypeOf(impl.*).wakes_itself) {
                impl.registerWake(event.fd) catch return sys.negative(.NOMEM);
            } else {
                thread.waker = Waker.create(impl.descriptor(), event) catch return sys.negative(.AGAIN);
            },
        }
        return 0;
    }

    pub fn park(thread: *Thread) i32 {
        assert(thread.wake != null or thread.waker != null);
        const env = thread.env;
        switch (env.loop.impl) {
            inline else => |*ring| if (@TypeOf(ring.*).wakes_itself) {
                ring.setWake(true);
                env.tick(false) catch return sys.negative(.NOMEM);
                // A body that ran at the end of the tick may have set an earlier one; then there is something to submit.
                if (env.timers.earliest()) |deadline| env.loop.armTimer(deadline);
                if (!env.hasWork() and !ring.hasWork()) return 0;
                ring.setWake(false);
            } else {
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
            inline else => |*ring| if (@TypeOf(ring.*).wakes_itself) ring.setWake(false) else thread.waker.?.unpark(),
        }
    }
};

const testing = std.testing;

test "a parked Env wakes for a timer that a body has set in the very tick that parks" {
    const NativeFrame = @import("native.zig").NativeFrame;
    const Bodies = struct {
        fn nap(frame: *NativeFrame) callconv(.c) f64 {
            return @floatFromInt(frame.sleepBody(1e9) + frame.sleepBody(1));
        }
    };
    for (loop.backends) |backend| {
        const thread = Thread.create(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer thread.destroy();
        const env = thread.env;
        const fd = if (sys.is_posix) thread.wakeFd() else socketOfWake(thread);
        try testing.expect(fd >= 0);
        defer if (!sys.is_posix) sys.close(fd);
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
            if (thread.wake) |event| event.clear();
            thread.unpark();
            if (!sys.is_posix) sys.pipeClear(fd);
        }
        try testing.expectEqual(@as(f64, @floatFromInt(sys.negative(.CANCELED))), env.ring.entries[0].value);
    }
}

/// As Bun makes it on Windows, or a negative errno.
fn socketOfWake(thread: *Thread) i32 {
    const listener = sys.socket(sys.c.AF.INET, true);
    if (listener < 0) return listener;
    defer sys.close(listener);
    var address = sys.Address.parse("127.0.0.1", 0) catch unreachable;
    for ([_]i32{ sys.bind(listener, &address), sys.listen(listener, 1), sys.localAddress(listener, &address) }) |rc| if (rc < 0) return rc;
    const from = thread.connectWakeTo(address.port());
    if (from < 0) return from;
    sys.pollReadable(&.{listener}, 2000);
    return sys.accept(listener, true);
}

/// The thread of a parked Env whose backend wakes nobody.
///
/// `idle -> parked -> idle`, `stopping` from either. Only the owner parks; whoever of owner and waker takes `parked` back
/// to `idle` ends the park, so the event is signalled at most once per park.
const PollWaker = struct {
    loop_fd: sys.fd_t,
    wake: sys.Event,
    control: sys.Event,
    state: std.atomic.Value(State) = .init(.idle),
    deadline: std.atomic.Value(u64) = .init(no_deadline),
    handle: threads.Handle = undefined,

    const State = enum(u8) { idle, parked, stopping };
    const no_deadline = std.math.maxInt(u64);

    fn create(loop_fd: sys.fd_t, wake: sys.Event) !*PollWaker {
        const waker = try allocator.create(PollWaker);
        errdefer allocator.destroy(waker);
        waker.* = .{ .loop_fd = loop_fd, .wake = wake, .control = undefined };
        if (waker.control.open() < 0) return error.SystemResources;
        errdefer waker.control.close();
        waker.handle = try threads.start(main, waker);
        return waker;
    }

    fn destroy(waker: *PollWaker) void {
        waker.state.store(.stopping, .seq_cst);
        waker.control.signal();
        threads.join(waker.handle);
        waker.control.close();
        allocator.destroy(waker);
    }

    fn park(waker: *PollWaker, deadline: ?u64) void {
        assert(waker.state.load(.seq_cst) == .idle);
        waker.deadline.store(deadline orelse no_deadline, .seq_cst);
        waker.state.store(.parked, .seq_cst);
        waker.control.signal();
    }

    fn unpark(waker: *PollWaker) void {
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) waker.control.signal();
    }

    fn main(arg: ?*anyopaque) callconv(.c) ?*anyopaque {
        const waker: *PollWaker = @ptrCast(@alignCast(arg.?));
        while (true) switch (waker.state.load(.seq_cst)) {
            .stopping => return null,
            .idle => {
                sys.pollReadable(&.{waker.control.fd}, -1);
                waker.control.clear();
            },
            .parked => {
                waker.control.clear();
                sys.pollReadable(&.{ waker.loop_fd, waker.control.fd }, waker.timeout());
                waker.signalIfDue();
            },
        };
    }

    fn timeout(waker: *PollWaker) i32 {
        const deadline = waker.deadline.load(.seq_cst);
        return sys.millisecondsUntil(if (deadline == no_deadline) null else deadline);
    }

    fn signalIfDue(waker: *PollWaker) void {
        const due = waker.timeout() == 0 or sys.isReadable(waker.loop_fd);
        if (!due) return;
        if (waker.state.cmpxchgStrong(.parked, .idle, .seq_cst, .seq_cst) == null) waker.wake.signal();
    }
};
