//! C ABI of the Env: make, tick, park, cancel, timers. Each function here is exported as `zc_` plus its name.
//!
//! `env` is owned by the caller of `env_create` until `env_destroy`, and used on one thread only.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const host = @import("../host.zig");
const loop = @import("../loop.zig");
const ring = @import("../ring.zig");
const sys = @import("../sys.zig");

pub const exports = struct {
    /// A new Env for this thread, or null. `backend`: 0 the best there is, 1 io_uring, 2 epoll, 3 kqueue, 4 iocp. It ends with the thread at the latest.
    pub fn env_create(backend: u32) callconv(.c) ?*Env {
        const wanted = if (backend == 0) null else std.enums.fromInt(loop.Backend, backend - 1) orelse return null;
        const thread = host.Thread.create(wanted) catch return null;
        return thread.env;
    }

    /// Closes and frees everything the Env owns.
    pub fn env_destroy(env: *Env) callconv(.c) void {
        host.Thread.of(env).destroy();
    }

    /// 1 io_uring, 2 epoll, 3 kqueue, 4 iocp.
    pub fn env_backend(env: *Env) callconv(.c) u32 {
        return @intFromEnum(env.loop.backend()) + 1;
    }

    /// Start of the shared head and ring; owned by the Env, moved only by `env_reserve`.
    pub fn env_shared(env: *Env) callconv(.c) *ring.Shared {
        return env.ring.shared;
    }

    /// Bytes from `env_shared` to the end of the ring.
    pub fn env_shared_size(env: *Env) callconv(.c) u32 {
        return @intCast(ring.Ring.byteSize(@intCast(env.ring.entries.len)));
    }

    /// Makes room for `count` operations in flight. The shared memory may have moved afterwards.
    pub fn env_reserve(env: *Env, count: u32) callconv(.c) i32 {
        env.reserve(count) catch return sys.negative(.NOMEM);
        return 0;
    }

    /// Submits, collects and completes. `wait` 1: sleeps until something happens. `head`: ring entries drained so far.
    pub fn env_tick(env: *Env, wait: u32, head: u32) callconv(.c) i32 {
        env.ring.shared.head = head;
        env.tick(wait != 0) catch return sys.negative(.NOMEM);
        return 0;
    }

    /// The descriptor that becomes readable when a parked Env has work, or a negative errno.
    pub fn env_wake_fd(env: *Env) callconv(.c) i32 {
        return host.Thread.of(env).wakeFd();
    }

    /// On Windows, in place of that descriptor: connects to `port` of this machine, where a byte comes when a parked Env has work. The port
    /// that it connects from, or a negative errno.
    pub fn env_connect_wake(env: *Env, port: u32) callconv(.c) i32 {
        return host.Thread.of(env).connectWakeTo(std.math.cast(u16, port) orelse return sys.negative(.INVAL));
    }

    /// Hands pending submissions to the kernel and turns that descriptor on. 1: there is work already, and it is not parked.
    pub fn env_park(env: *Env, head: u32) callconv(.c) i32 {
        env.ring.shared.head = head;
        return host.Thread.of(env).park();
    }

    /// Turns it off again. Whoever waits for it reads it, too, and may find a signal left from before.
    pub fn env_unpark(env: *Env) callconv(.c) void {
        host.Thread.of(env).unpark();
    }

    /// 1: taken back, no entry follows. 0: an entry follows or is in the ring.
    pub fn op_cancel(env: *Env, token: u32) callconv(.c) i32 {
        const slot = env.slots.busy(token) orelse return 0;
        return @intFromBool(slot.cancel());
    }

    /// Completes with status 0 after `ms` milliseconds (0 to 2^53), never early.
    pub fn op_sleep(env: *Env, token: u32, ms: f64) callconv(.c) i32 {
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const ns: u64 = std.math.lossyCast(u64, @ceil(ms * std.time.ns_per_ms));
        env.timers.insert(env.allocator, &slot.timer, sys.now() +| ns) catch return sys.negative(.NOMEM);
        slot.target = .sleep;
        return code.parked;
    }

    /// Completes with status 0 once `now` gives `time` (0 to 2^53) or more.
    pub fn op_sleep_until(env: *Env, token: u32, time: f64) callconv(.c) i32 {
        const slot = env.slots.claim(token) orelse return code.bad_token;
        var deadline: u64 = std.math.lossyCast(u64, @ceil(time * std.time.ns_per_ms));
        // The product may have been rounded down. What is centuries away need not be exact.
        while (deadline < std.math.maxInt(i64) and milliseconds(deadline) < time) deadline += 1;
        env.timers.insert(env.allocator, &slot.timer, deadline) catch return sys.negative(.NOMEM);
        slot.target = .sleep;
        return code.parked;
    }

    /// The monotonic clock, in milliseconds.
    pub fn now() callconv(.c) f64 {
        return milliseconds(sys.now());
    }
};

fn milliseconds(ns: u64) f64 {
    return @as(f64, @floatFromInt(ns)) / std.time.ns_per_ms;
}
