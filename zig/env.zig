//! Env: everything that belongs to one thread: loop, timers, operation table, ready ring, handles. The main thread and each
//! Worker make their own; no Env touches another, and this file keeps no state outside of them.
//!
//! One tick, in this order: submit and collect kernel events, tell the owners of finished operations, fire timers, run
//! native coroutines. Whatever became ready for TypeScript is in the ring afterwards.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const buffer = @import("buffer.zig");
const child = @import("io/child.zig");
const handle = @import("handle.zig");
const Executor = @import("executor.zig").Executor;
const file = @import("io/file.zig");
const loop = @import("loop.zig");
const Notification = @import("io/notification.zig").Notification;
const NativeFrame = @import("native.zig").NativeFrame;
const OwnStack = @import("native.zig").OwnStack;
const ring = @import("ring.zig");
const signal = @import("signal.zig");
const slot = @import("slot.zig");
const stack = @import("stack.zig");
const sys = @import("sys.zig");
const tcp = @import("io/tcp.zig");
const timer = @import("timer.zig");
const udp = @import("io/udp.zig");

pub const Env = struct {
    allocator: Allocator,
    loop: loop.Loop,
    timers: timer.Heap = .{},
    buffers: buffer.Pool = .{},
    ring: ring.Ring,
    slots: slot.Slots = .{},
    sockets: handle.Table(tcp.Socket) = .{},
    datagram_sockets: handle.Table(udp.Socket) = .{},
    notifications: Notification.List = .{},
    children: if (sys.is_posix) child.Table else void = if (sys.is_posix) .{} else {},
    /// Its sources of signals, by their indexes.
    signal_sources: u64 = 0,
    frames: handle.Table(NativeFrame) = .{},
    own_stacks: handle.Table(OwnStack) = .{},
    /// Native bodies that have returned in a tick and are freed after it.
    ended_frames: ?*NativeFrame = null,
    executor: Executor = .{},
    stacks: stack.Pool = .{},
    tcp_context: tcp.Context,
    files: file.Context,

    const first_slots = 1024;
    const settle_timeout = 10 * std.time.ns_per_s;

    pub const InitError = loop.Loop.Error || Allocator.Error;

    /// The Env is made in place, for sockets and slots point into it.
    pub fn create(allocator: Allocator, backend: ?loop.Backend) InitError!*Env {
        const env = try allocator.create(Env);
        errdefer allocator.destroy(env);
        var its_loop = try loop.Loop.init(backend);
        errdefer its_loop.deinit();
        var its_ring = try ring.Ring.init(allocator, first_slots);
        errdefer its_ring.deinit(allocator);
        env.* = .{
            .allocator = allocator,
            .loop = its_loop,
            .ring = its_ring,
            .tcp_context = .{ .allocator = allocator, .loop = &env.loop, .buffers = &env.buffers },
            .files = .{ .allocator = allocator, .loop = &env.loop, .buffers = &env.buffers },
        };
        errdefer env.slots.deinit(allocator);
        try env.slots.reserve(allocator, env, first_slots);
        return env;
    }

    /// Closes all sockets, files and notifications, leaves children alone, waits for the kernel to let go of what it has, and frees
    /// everything.
    pub fn destroy(env: *Env) void {
        const allocator = env.allocator;
        for (env.sockets.slots.items) |entry| if (entry.object) |socket| socket.close();
        env.files.closeAll();
        for (env.datagram_sockets.slots.items) |entry| if (entry.object) |socket| socket.close();
        if (sys.is_posix) {
            while (env.signal_sources != 0) : (env.signal_sources &= env.signal_sources - 1) signal.close(@ctz(env.signal_sources));
        }
        var notification = env.notifications.head;
        while (notification) |one| {
            notification = one.next;
            if (!one.closing) one.close();
        }
        if (sys.is_posix) for (env.children.slots.items) |entry| if (entry.object) |process| process.abandon();
        // What the kernel still holds must not be freed: better lost than written to by it.
        if (!env.settle()) return;
        for (env.frames.slots.items) |entry| if (entry.object) |frame| frame.abandon();
        for (env.own_stacks.slots.items) |entry| if (entry.object) |own| own.destroy(env);
        env.own_stacks.deinit(allocator);
        env.frames.deinit(allocator);
        env.stacks.deinit();
        env.sockets.deinit(allocator);
        env.files.deinit();
        env.datagram_sockets.deinit(allocator);
        if (sys.is_posix) env.children.deinit(allocator);
        env.timers.deinit(allocator);
        env.slots.deinit(allocator);
        env.ring.deinit(allocator);
        env.loop.deinit();
        env.buffers.deinit();
        allocator.destroy(env);
    }

    /// Waits until all operations, every one of them cancelled, have ended. False: the kernel does not answer.
    ///
    /// Cancels reach the kernel after their targets and end them on the spot, so this takes as long as a few system calls. The bound
    /// is for what cannot be mended here, a kernel that loses a request: a thread that ends must not hang for ever.
    fn settle(env: *Env) bool {
        const bound = sys.now() +| settle_timeout;
        while (env.loop.in_flight > 0) {
            if (sys.now() >= bound) return false;
            env.loop.armTimer(bound);
            env.loop.tick(true) catch return false;
            env.loop.deliver();
        }
        return true;
    }

    /// Afterwards at least `count` operations can be in flight. The ring may have moved; on error it has not.
    pub fn reserve(env: *Env, count: u32) Allocator.Error!void {
        if (count > slot.Slot.max_slots) return error.OutOfMemory;
        const capacity = std.math.ceilPowerOfTwoAssert(u32, @max(count, 1));
        // The move comes last: nothing may fail once TypeScript's view is of freed memory. Without the ring there must not be more
        // slots than it has room for, either.
        const slots_before = env.slots.capacity();
        errdefer env.slots.truncate(env.allocator, slots_before);
        try env.slots.reserve(env.allocator, env, count);
        if (capacity > env.ring.entries.len) try env.ring.grow(env.allocator, capacity);
    }

    /// With `wait`, sleeps until something happens, unless the ring holds something already or nothing is pending.
    pub fn tick(env: *Env, wait: bool) loop.Loop.Error!void {
        assert(env.ring.shared.tail -% env.ring.shared.head <= env.ring.entries.len);
        if (env.timers.earliest()) |deadline| env.loop.armTimer(deadline);
        try env.loop.tick(wait and !env.hasWork() and env.countPending() > 0);
        env.loop.deliver();
        env.fireTimers();
        _ = env.executor.tick();
        env.freeEnded();
        env.ring.shared.pending = env.countPending();
    }

    /// Whether a tick has something to do, or TypeScript something to drain, without any event.
    pub fn hasWork(env: *const Env) bool {
        const shared = env.ring.shared;
        return shared.tail != shared.head or env.loop.finished.head != null or !env.executor.isEmpty();
    }

    fn countPending(env: *const Env) u32 {
        return env.loop.in_flight + @as(u32, @intCast(env.timers.count())) + @intFromBool(!env.executor.isEmpty());
    }

    fn freeEnded(env: *Env) void {
        while (env.ended_frames) |frame| {
            env.ended_frames = frame.next_ended;
            frame.destroy();
        }
    }

    fn fireTimers(env: *Env) void {
        if (env.timers.count() == 0) return;
        const now = sys.now();
        while (env.timers.popExpired(now)) |t| t.fireFn(t);
    }

    /// A socket for an accepted descriptor; 0 with `errno` set when there is no memory for it.
    pub fn adoptSocket(env: *Env, fd: sys.fd_t) handle.Handle {
        const opened = tcp.Socket.adoptAccepted(&env.tcp_context, fd) catch return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// Gives an opened socket its handle; 0 with `errno` set when it did not open.
    pub fn addSocket(env: *Env, opened: tcp.Socket.Opened) handle.Handle {
        switch (opened) {
            .errno => |errno| return env.failed(errno),
            .socket => |socket| return env.sockets.add(env.allocator, socket) catch {
                socket.close();
                return env.failed(sys.negative(.NOMEM));
            },
        }
    }

    pub fn failed(env: *Env, errno: i32) handle.Handle {
        env.ring.shared.errno = errno;
        return 0;
    }
};

test "an Env comes and goes on each backend, also when memory runs out on the way" {
    for (loop.backends) |backend| {
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = std.testing.FailingAllocator.init(std.testing.allocator, .{ .fail_index = fail_index });
            const env = Env.create(failing.allocator(), backend) catch |err| switch (err) {
                error.OutOfMemory => continue,
                error.Unavailable => break,
                else => return err,
            };
            env.destroy();
            break;
        }
        try std.testing.expect(fail_index > 0 or backend == .io_uring);
    }
}

test "room that cannot be had changes nothing" {
    const env = try Env.create(std.testing.allocator, null);
    defer env.destroy();
    const shared = env.ring.shared;
    var fail_index: usize = 0;
    while (true) : (fail_index += 1) {
        var failing = std.testing.FailingAllocator.init(std.testing.allocator, .{ .fail_index = fail_index });
        env.allocator = failing.allocator();
        defer env.allocator = std.testing.allocator;
        env.reserve(5000) catch {
            try std.testing.expectEqual(shared, env.ring.shared);
            try std.testing.expectEqual(Env.first_slots, env.ring.entries.len);
            try std.testing.expectEqual(Env.first_slots, env.slots.capacity());
            continue;
        };
        break;
    }
    try std.testing.expect(fail_index > 5);
    try std.testing.expect(env.slots.capacity() >= 5000);
    try std.testing.expectEqual(8192, env.ring.entries.len);
}

test "an Env with more reads in flight than the ring holds ends at once" {
    for (loop.backends) |backend| {
        for ([_]bool{ false, true }) |ticked| {
            const openDescriptors = @import("io/tcp_test.zig").openDescriptors;
            const descriptors = openDescriptors();
            const env = Env.create(std.testing.allocator, backend) catch |err| switch (err) {
                error.Unavailable => continue,
                else => return err,
            };
            var peers: [700]sys.fd_t = undefined;
            for (&peers, 0..) |*peer, i| {
                var pair: [2]sys.fd_t = undefined;
                try std.testing.expectEqual(0, sys.socketPair(sys.c.SOCK.STREAM, &pair));
                peer.* = pair[1];
                const socket = env.sockets.get(env.adoptSocket(pair[0])).?;
                const s = env.slots.claim(@intCast(i)).?;
                try std.testing.expectEqual(tcp.parked, try socket.startRead(&s.io, 100));
                s.target = .{ .plain = &socket.in.op };
            }
            if (ticked) try env.tick(false);
            env.destroy();
            for (peers) |peer| {
                // The other end is closed, which shows as the end of the stream.
                var byte: [1]u8 = undefined;
                try std.testing.expectEqual(0, sys.recv(peer, &byte));
                sys.close(peer);
            }
            try std.testing.expectEqual(descriptors, openDescriptors());
        }
    }
}
