//! Env: everything that belongs to one thread: loop, timers, operation table, ready ring, handles. The main thread and each
//! Worker make their own; no Env touches another, and nothing is process-global.
//!
//! One tick, in this order: submit and collect kernel events, tell the owners of finished operations, fire timers, run
//! native coroutines. Whatever became ready for TypeScript is in the ring afterwards.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const buffer = @import("buffer.zig");
const handle = @import("handle.zig");
const Executor = @import("executor.zig").Executor;
const loop = @import("loop.zig");
const NativeFrame = @import("native.zig").NativeFrame;
const ring = @import("ring.zig");
const slot = @import("slot.zig");
const stack = @import("stack.zig");
const sys = @import("sys.zig");
const tcp = @import("io/tcp.zig");
const timer = @import("timer.zig");

pub const Env = struct {
    allocator: Allocator,
    loop: loop.Loop,
    timers: timer.Heap = .{},
    buffers: buffer.Pool = .{},
    ring: ring.Ring,
    slots: slot.Slots = .{},
    channels: handle.Table(slot.ValueChannel) = .{},
    sockets: handle.Table(tcp.Socket) = .{},
    frames: handle.Table(NativeFrame) = .{},
    /// Native bodies that have returned in a tick and are freed after it.
    ended_frames: ?*NativeFrame = null,
    executor: Executor = .{},
    stacks: stack.Pool = .{},
    tcp_context: tcp.Context,

    const first_slots = 1024;

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
        };
        errdefer env.slots.deinit(allocator);
        try env.slots.reserve(allocator, env, first_slots);
        return env;
    }

    /// Closes all sockets, waits for the kernel to let go of them, and frees everything.
    pub fn destroy(env: *Env) void {
        const allocator = env.allocator;
        for (env.sockets.slots.items) |entry| if (entry.object) |socket| socket.close();
        while (env.loop.in_flight > 0) {
            env.loop.tick(true) catch break;
            env.loop.deliver();
        }
        for (env.frames.slots.items) |entry| if (entry.object) |frame| frame.abandon();
        for (env.channels.slots.items) |entry| {
            const channel = entry.object orelse continue;
            channel.close();
            channel.deinit();
            allocator.destroy(channel);
        }
        env.frames.deinit(allocator);
        env.stacks.deinit();
        env.sockets.deinit(allocator);
        env.channels.deinit(allocator);
        env.timers.deinit(allocator);
        env.slots.deinit(allocator);
        env.ring.deinit(allocator);
        env.loop.deinit();
        env.buffers.deinit();
        allocator.destroy(env);
    }

    /// Afterwards at least `count` operations can be in flight. The ring may have moved.
    pub fn reserve(env: *Env, count: u32) Allocator.Error!void {
        if (count > slot.Slot.max_slots) return error.OutOfMemory;
        const capacity = std.math.ceilPowerOfTwoAssert(u32, @max(count, 1));
        if (capacity > env.ring.entries.len) try env.ring.grow(env.allocator, capacity);
        try env.slots.reserve(env.allocator, env, count);
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
        const opened = tcp.Socket.adopt(&env.tcp_context, fd) catch return env.failed(sys.negative(.NOMEM));
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
    for ([_]loop.Backend{ .io_uring, .epoll }) |backend| {
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
