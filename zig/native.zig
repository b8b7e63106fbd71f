//! Native bodies: a C function that runs as a coroutine on its own stack, started and resumed from TypeScript.
//!
//! What it waits for decides who may wake it: `resume_` TypeScript, `timer` the timer heap, `io` a socket. A cancel ends the
//! wait with -ECANCELED, or, when it runs or its operation cannot be taken back, the next one it begins. The result goes to
//! TypeScript at once when the body ends inside a call of TypeScript's, otherwise through the ring.
//!
//! A frame is owned by the Env, and freed when its body has returned.

const std = @import("std");
const assert = std.debug.assert;
const Coro = @import("coro.zig").Coro;
const Env = @import("env.zig").Env;
const File = @import("io/file.zig").File;
const Handle = @import("handle.zig").Handle;
const IoWait = @import("io/op.zig").IoWait;
const Listeners = @import("io/listeners.zig").Listeners;
const Notification = @import("io/notification.zig").Notification;
const Op = @import("io/op.zig").Op;
const Slot = @import("slot.zig").Slot;
const Timer = @import("timer.zig").Timer;
const Wait = @import("wait.zig").Wait;
const Waiter = @import("waiter.zig").Waiter;
const code = @import("code.zig");
const stacks = @import("stack.zig");
const sys = @import("sys.zig");
const remainingStackSize = @import("frame.zig").remainingStackSize;
const datagram = @import("io/datagram.zig");
const tcp = @import("io/tcp.zig");
const udp = @import("io/udp.zig");

pub const max_args = 8;
pub const canceled = sys.negative(.CANCELED);

/// A C coroutine body. Its frame is for the functions that it calls, and gone once it has returned.
pub const Body = *const fn (*NativeFrame) callconv(.c) f64;

/// A stack that TypeScript keeps, for one body after the other.
pub const OwnStack = struct {
    stack: stacks.Stack,
    handle: Handle,
    in_use: bool = false,

    pub fn create(env: *Env, size: usize) stacks.Error!Handle {
        const own = try env.allocator.create(OwnStack);
        errdefer env.allocator.destroy(own);
        own.* = .{ .stack = try env.stacks.acquire(size), .handle = undefined };
        errdefer own.stack.release();
        own.handle = try env.own_stacks.add(env.allocator, own);
        return own.handle;
    }

    pub fn destroy(own: *OwnStack, env: *Env) void {
        assert(!own.in_use);
        env.own_stacks.remove(own.handle);
        own.stack.release();
        env.allocator.destroy(own);
    }
};

pub const NativeFrame = struct {
    env: *Env,
    co: *Coro,
    /// Null: the stack is the pool's, and goes back with the coroutine.
    own_stack: ?*OwnStack,
    handle: Handle,
    body: Body,
    /// Completed when the body returns outside of a call of TypeScript's.
    slot: *Slot,
    arguments: [max_args]f64 = @splat(0),
    result: f64 = 0,
    injected: f64 = 0,
    waits_for: union(enum) { nothing, resume_, timer, io: *Op, listener: *Listeners } = .nothing,
    wait: IoWait = .{ .waiter = .{ .wakeFn = woken } },
    /// The coroutine's side of `wait`, while it is parked.
    parking: Wait = undefined,
    timer: Timer = .{ .fireFn = timerFired },
    /// A cancel for the next wait.
    cancelled: bool = false,
    /// TypeScript is in `start` or `resume_` and gets the result from there.
    driven: bool = false,
    next_ended: ?*NativeFrame = null,

    /// What a body runs on: a stack of the pool, or one that is not in use.
    pub const Stack = union(enum) { size: usize, own: *OwnStack };

    pub const StartError = error{OutOfMemory} || @import("coro.zig").CreateError;

    /// A frame that has not run yet.
    pub fn create(env: *Env, body: Body, arguments: []const f64, stack: Stack, name: []const u8, slot: *Slot) StartError!*NativeFrame {
        const frame = try env.allocator.create(NativeFrame);
        errdefer env.allocator.destroy(frame);
        const co = switch (stack) {
            .size => |size| try Coro.init(&env.stacks, size, main, frame, name),
            .own => |own| try Coro.place(own.stack.lent(), main, frame, name, 0),
        };
        errdefer co.deinit();
        co.executor = &env.executor;
        const own_stack = if (stack == .own) stack.own else null;
        frame.* = .{ .env = env, .co = co, .own_stack = own_stack, .body = body, .slot = slot, .handle = undefined };
        @memcpy(frame.arguments[0..arguments.len], arguments);
        frame.handle = try env.frames.add(env.allocator, frame);
        slot.target = .frame;
        if (own_stack) |own| own.in_use = true;
        return frame;
    }

    /// Bytes below the place where it is suspended.
    pub fn stackRemaining(frame: *const NativeFrame) u32 {
        return @intCast(frame.co.context.sp -| @intFromPtr(frame.co.stack.memory.ptr));
    }

    /// Runs it to its next suspend: `suspended`, or 0 when it has ended; then its result is in the shared head.
    pub fn run(frame: *NativeFrame) i32 {
        frame.driven = true;
        frame.co.@"resume"();
        if (frame.co.status != .done) {
            frame.driven = false;
            return code.suspended;
        }
        frame.env.ring.shared.value = frame.result;
        frame.slot.target = .idle;
        frame.destroy();
        return 0;
    }

    pub fn resumeWith(frame: *NativeFrame, value: f64) i32 {
        if (frame.waits_for != .resume_ or frame.co.status != .suspended or frame.co.task.queue != null) return code.not_resumable;
        frame.injected = value;
        return frame.run();
    }

    pub fn cancel(frame: *NativeFrame) void {
        frame.cancelled = true;
        // What it waits for is over and it is about to run; the socket may be gone, or busy for another.
        if (frame.wait.waiter.state == .woken) return;
        switch (frame.waits_for) {
            .nothing => {},
            .resume_ => frame.env.executor.runSoon(frame.co),
            .timer => {
                frame.env.timers.remove(&frame.timer);
                timerFired(&frame.timer);
            },
            .io => |op| frame.env.loop.cancel(op),
            .listener => |listeners| {
                listeners.remove(&frame.wait);
                frame.wait.result = canceled;
                frame.wait.waiter.wake();
            },
        }
    }

    /// For a thread that ends: gives the stack back, whatever it waits for. Nothing of the body runs.
    pub fn abandon(frame: *NativeFrame) void {
        frame.wait.waiter.state = .idle;
        frame.destroy();
    }

    /// Gives the stack back; the body has returned.
    pub fn destroy(frame: *NativeFrame) void {
        frame.env.frames.remove(frame.handle);
        frame.co.deinit();
        if (frame.own_stack) |own| own.in_use = false;
        frame.env.allocator.destroy(frame);
    }

    fn main(co: *Coro) void {
        const frame = co.getStorage(NativeFrame);
        frame.result = frame.body(frame);
        if (frame.driven) return;
        frame.slot.complete(0, frame.result);
        frame.next_ended = frame.env.ended_frames;
        frame.env.ended_frames = frame;
    }

    const sleeping: Wait.Kind = .{ .text = "for the time to pass", .takeBackFn = takenBack };
    const reading: Wait.Kind = .{ .text = "to read from a socket", .takeBackFn = takenBack };
    const listening: Wait.Kind = .{ .text = "to be notified", .takeBackFn = takenBack };
    const writing: Wait.Kind = .{ .text = "to write to a socket", .takeBackFn = takenBack };

    const reading_file: Wait.Kind = .{ .text = "to read from a file", .takeBackFn = takenBack };
    const writing_file: Wait.Kind = .{ .text = "to write to a file", .takeBackFn = takenBack };

    /// Only for a frame that is abandoned: nothing wakes it any more. Its cancels do not come this way.
    fn takenBack(_: *Wait) bool {
        return true;
    }

    /// Bytes left of the stack that the body runs on.
    pub fn stackRemainingBody(_: *NativeFrame) u32 {
        return std.math.lossyCast(u32, remainingStackSize());
    }

    // What a body calls. Each gives 0 or more, or a negative errno; -ECANCELED after a cancel.

    /// Suspends until TypeScript resumes it, and gives what the resume brought.
    pub fn suspendBody(frame: *NativeFrame, value: ?*f64) i32 {
        if (!frame.isRunning()) return code.not_resumable;
        if (frame.takeCancel()) return canceled;
        frame.waits_for = .resume_;
        frame.co.@"suspend"();
        frame.waits_for = .nothing;
        if (frame.takeCancel()) return canceled;
        if (value) |out| out.* = frame.injected;
        return 0;
    }

    pub fn sleepBody(frame: *NativeFrame, ms: f64) i32 {
        if (!frame.isRunning()) return code.not_resumable;
        if (frame.takeCancel()) return canceled;
        if (!(ms >= 0)) return sys.negative(.INVAL);
        const deadline = sys.now() +| std.math.lossyCast(u64, @ceil(ms * std.time.ns_per_ms));
        frame.env.timers.insert(frame.env.allocator, &frame.timer, deadline) catch return sys.negative(.NOMEM);
        frame.waits_for = .timer;
        frame.wait.waiter.arm();
        frame.parkNow(&sleeping);
        return if (frame.takeCancel()) canceled else 0;
    }

    /// Reads 1 to `bytes.len` bytes, or 0 at the end of the stream.
    pub fn readBody(frame: *NativeFrame, handle: Handle, bytes: []u8) i32 {
        while (true) {
            const socket = frame.socketOf(handle) catch |err| return socketError(err);
            if (!socket.isIdle(&socket.in)) return sys.negative(.BUSY);
            const result = socket.startRead(&frame.wait, bytes.len) catch return sys.negative(.NOMEM);
            const n = frame.ended(result, &socket.in.op, &reading);
            if (n <= 0) return n;
            // Looked up again: it may have been closed while this waited. And who ran before this one may have taken what came.
            const still = frame.env.sockets.get(handle) orelse return canceled;
            const taken = still.take(bytes);
            if (taken > 0) return @intCast(taken);
        }
    }

    /// Writes all of `bytes`, at most 2^31 - 1.
    pub fn writeBody(frame: *NativeFrame, handle: Handle, bytes: []const u8) i32 {
        var done: usize = 0;
        while (done < bytes.len) {
            const socket = frame.socketOf(handle) catch |err| return socketError(err);
            if (!socket.isIdle(&socket.out)) return sys.negative(.BUSY);
            const result = socket.startWrite(&frame.wait, bytes[done..]) catch return sys.negative(.NOMEM);
            const n = frame.ended(result, &socket.out.op, &writing);
            if (n < 0) return n;
            done += @intCast(n);
        }
        return @intCast(done);
    }

    /// Reads `bytes.len` bytes at `position`, or fewer where the file ends; of a stream, what there is.
    pub fn preadBody(frame: *NativeFrame, handle: Handle, bytes: []u8, position: f64) i32 {
        var done: usize = 0;
        while (done < bytes.len) {
            const file = frame.fileOf(handle) catch |err| return socketError(err);
            const at = placeOf(position, done) orelse return sys.negative(.INVAL);
            const is_stream = file.is_stream;
            const result = file.read(&frame.wait, bytes[done..], at) catch return sys.negative(.NOMEM);
            const has_waited = result == tcp.parked;
            const n = if (has_waited) frame.ended(result, &file.first.?.job.op, &reading_file) else result;
            if (n < 0) return n;
            if (n == 0) break;
            done += if (has_waited) frame.env.files.kept(@intFromFloat(frame.wait.value)).?.take(bytes[done..]) else @intCast(n);
            if (is_stream) break;
        }
        return @intCast(done);
    }

    /// Writes all of `bytes`, at most 2^31 - 1, at `position`.
    pub fn pwriteBody(frame: *NativeFrame, handle: Handle, bytes: []const u8, position: f64) i32 {
        var done: usize = 0;
        while (done < bytes.len) {
            const file = frame.fileOf(handle) catch |err| return socketError(err);
            const at = placeOf(position, done) orelse return sys.negative(.INVAL);
            const result = file.write(&frame.wait, bytes[done..], at) catch return sys.negative(.NOMEM);
            const n = if (result == tcp.parked) frame.ended(result, &file.first.?.job.op, &writing_file) else result;
            if (n < 0) return n;
            done += @intCast(n);
        }
        return @intCast(done);
    }

    /// `position` + `done`; null when there is no such place in a file.
    fn placeOf(position: f64, done: usize) ?i64 {
        if (!(position >= 0 and position < 1 << 62)) return null;
        return @as(i64, @intFromFloat(position)) + @as(i64, @intCast(done));
    }

    fn fileOf(frame: *NativeFrame, handle: Handle) error{ NotRunning, Cancelled, BadHandle }!*File {
        if (!frame.isRunning()) return error.NotRunning;
        if (frame.takeCancel()) return error.Cancelled;
        return frame.env.files.files.get(handle) orelse error.BadHandle;
    }

    /// Waits for a datagram, puts what fits of it into `bytes` and gives that length, which may be 0. `from` (may be null) gets its sender
    /// and whole length.
    pub fn receiveBody(frame: *NativeFrame, handle: Handle, bytes: []u8, from: ?*datagram.Record) i32 {
        var ignored: datagram.Record = .{};
        while (true) {
            const socket = frame.datagramSocketOf(handle) catch |err| return socketError(err);
            if (!socket.in.isIdle()) return sys.negative(.BUSY);
            const length = datagram.receiveOne(socket.fd, from orelse &ignored, bytes);
            if (length != sys.negative(.AGAIN)) return length;
            const waited = frame.ended(socket.startWait(&socket.in, &frame.wait), &socket.in.op, &reading);
            if (waited < 0) return waited;
        }
    }

    /// Sends `bytes` as one datagram to `to`, or where the socket is connected to.
    pub fn sendBody(frame: *NativeFrame, handle: Handle, bytes: []const u8, to: ?*const datagram.Record) i32 {
        const connected: datagram.Record = .{};
        while (true) {
            const socket = frame.datagramSocketOf(handle) catch |err| return socketError(err);
            if (!socket.out.isIdle()) return sys.negative(.BUSY);
            const sent = datagram.sendOne(socket.fd, socket.family, to orelse &connected, bytes);
            if (sent != sys.negative(.AGAIN)) return sent;
            const waited = frame.ended(socket.startWait(&socket.out, &frame.wait), &socket.out.op, &writing);
            if (waited < 0) return waited;
        }
    }

    /// Waits until the notification of this thread that `id` names is notified.
    pub fn notificationWaitBody(frame: *NativeFrame, id: f64) i32 {
        if (!frame.isRunning()) return code.not_resumable;
        if (frame.takeCancel()) return canceled;
        const notification = Notification.of(&frame.env.tcp_context, id) orelse return sys.negative(.BADF);
        const result = notification.start(&frame.wait);
        if (result != tcp.parked) return result;
        frame.waits_for = .{ .listener = &notification.listeners };
        return frame.parkForResult(&listening);
    }

    fn isRunning(frame: *NativeFrame) bool {
        return frame.co.status == .active and frame.co.thread.current == frame.co;
    }

    fn socketOf(frame: *NativeFrame, handle: Handle) error{ NotRunning, Cancelled, BadHandle }!*tcp.Socket {
        if (!frame.isRunning()) return error.NotRunning;
        if (frame.takeCancel()) return error.Cancelled;
        return frame.env.sockets.get(handle) orelse error.BadHandle;
    }

    fn datagramSocketOf(frame: *NativeFrame, handle: Handle) error{ NotRunning, Cancelled, BadHandle }!*udp.Socket {
        if (!frame.isRunning()) return error.NotRunning;
        if (frame.takeCancel()) return error.Cancelled;
        return frame.env.datagram_sockets.get(handle) orelse error.BadHandle;
    }

    fn socketError(err: error{ NotRunning, Cancelled, BadHandle }) i32 {
        return switch (err) {
            error.NotRunning => code.not_resumable,
            error.Cancelled => canceled,
            error.BadHandle => sys.negative(.BADF),
        };
    }

    /// The result of an operation that was just started, waiting for it if it has to wait.
    fn ended(frame: *NativeFrame, result: i32, op: *Op, kind: *const Wait.Kind) i32 {
        if (result != tcp.parked) return result;
        frame.waits_for = .{ .io = op };
        return frame.parkForResult(kind);
    }

    fn parkForResult(frame: *NativeFrame, kind: *const Wait.Kind) i32 {
        frame.parkNow(kind);
        if (frame.wait.result == canceled) frame.cancelled = false;
        return frame.wait.result;
    }

    fn parkNow(frame: *NativeFrame, kind: *const Wait.Kind) void {
        frame.parking = .{ .co = frame.co, .waiter = &frame.wait.waiter, .kind = kind, .is_shielded = true };
        frame.parking.park() catch unreachable; // shielded
        frame.wait.waiter.state = .idle;
        frame.waits_for = .nothing;
    }

    fn takeCancel(frame: *NativeFrame) bool {
        defer frame.cancelled = false;
        return frame.cancelled;
    }

    fn woken(w: *Waiter) void {
        const wait: *IoWait = @fieldParentPtr("waiter", w);
        const frame: *NativeFrame = @fieldParentPtr("wait", wait);
        frame.parking.woken();
    }

    fn timerFired(t: *Timer) void {
        const frame: *NativeFrame = @fieldParentPtr("timer", t);
        frame.wait.waiter.wake();
    }
};

test "a body that is cancelled twice before it runs again goes on once" {
    const Bodies = struct {
        fn nap(frame: *NativeFrame) callconv(.c) f64 {
            return @floatFromInt(frame.sleepBody(1e9));
        }

        fn read(frame: *NativeFrame) callconv(.c) f64 {
            var byte: [1]u8 = undefined;
            return @floatFromInt(frame.readBody(@intFromFloat(frame.arguments[0]), &byte));
        }
    };
    for (@import("loop.zig").backends) |backend| {
        const env = Env.create(std.testing.allocator, backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer env.destroy();
        var pair: [2]sys.fd_t = undefined;
        try std.testing.expectEqual(0, sys.socketPair(sys.c.SOCK.STREAM, &pair));
        defer sys.close(pair[1]);
        const handle = env.adoptSocket(pair[0]);
        const argument: f64 = @floatFromInt(handle);
        for ([_]Body{ Bodies.nap, Bodies.read }, 0..) |body, i| {
            const frame = try NativeFrame.create(env, body, &.{argument}, .{ .size = 128 * 1024 }, "body", env.slots.claim(@intCast(i)).?);
            try std.testing.expectEqual(code.suspended, frame.run());
            if (i == 1) {
                // The socket is gone when the cancel comes.
                const socket = env.sockets.get(handle).?;
                env.sockets.remove(handle);
                socket.close();
                while (frame.wait.waiter.state == .armed) {
                    try env.loop.tick(true);
                    env.loop.deliver();
                }
            }
            frame.cancel();
            frame.cancel();
            while (env.frames.live > 0) try env.tick(true);
            try std.testing.expectEqual(@as(u32, @intCast(i)) + 1, env.ring.shared.tail);
            try std.testing.expectEqual(@as(f64, @floatFromInt(canceled)), env.ring.entries[i].value);
        }
    }
}

test "what came for a body and was taken by another before it ran is not the end of the stream" {
    const Bodies = struct {
        fn read(frame: *NativeFrame) callconv(.c) f64 {
            if (frame.arguments[1] != 0) _ = frame.suspendBody(null);
            var bytes: [4]u8 = undefined;
            const n = frame.readBody(@intFromFloat(frame.arguments[0]), &bytes);
            return if (n > 0) @floatFromInt(bytes[0]) else @floatFromInt(n);
        }
    };
    for (@import("loop.zig").backends) |backend| {
        const env = Env.create(std.testing.allocator, backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer env.destroy();
        var pair: [2]sys.fd_t = undefined;
        try std.testing.expectEqual(0, sys.socketPair(sys.c.SOCK.STREAM, &pair));
        defer sys.close(pair[1]);
        const handle: f64 = @floatFromInt(env.adoptSocket(pair[0]));
        var frames: [2]*NativeFrame = undefined;
        for (&frames, 0..) |*frame, i| {
            const slot = env.slots.claim(@intCast(i)).?;
            frame.* = try NativeFrame.create(env, Bodies.read, &.{ handle, @floatFromInt(i) }, .{ .size = 128 * 1024 }, "body", slot);
            try std.testing.expectEqual(code.suspended, frame.*.run());
        }
        try env.tick(false);
        try std.testing.expectEqual(1, sys.send(pair[1], "1"));
        // It is ready before the tick that finds what came for the other.
        frames[1].cancel();
        while (env.frames.live > 1) try env.tick(true);
        try std.testing.expectEqual('1', env.ring.entries[0].value);
        try std.testing.expectEqual(1, sys.send(pair[1], "2"));
        while (env.frames.live > 0) try env.tick(true);
        try std.testing.expectEqual('2', env.ring.entries[1].value);
    }
}

test "a stack of one's own serves one body after the other; memory that runs out leaves it free" {
    const Bodies = struct {
        fn wait(frame: *NativeFrame) callconv(.c) f64 {
            return @floatFromInt(frame.suspendBody(null));
        }
    };
    const env = try Env.create(std.testing.allocator, null);
    defer env.destroy();
    const own = env.own_stacks.get(try OwnStack.create(env, 16 * 1024)).?;
    for (0..3) |_| {
        var fail_index: usize = 0;
        const frame = while (true) : (fail_index += 1) {
            var failing = std.testing.FailingAllocator.init(std.testing.allocator, .{ .fail_index = fail_index });
            env.allocator = failing.allocator();
            defer env.allocator = std.testing.allocator;
            break NativeFrame.create(env, Bodies.wait, &.{}, .{ .own = own }, "body", env.slots.claim(0).?) catch {
                try std.testing.expect(!own.in_use);
                continue;
            };
        };
        try std.testing.expect(fail_index > 0 and own.in_use);
        try std.testing.expectEqual(code.suspended, frame.run());
        const left = frame.stackRemaining();
        try std.testing.expect(left > 4096 and left < own.stack.memory.len);
        try std.testing.expectEqual(0, frame.resumeWith(0));
        try std.testing.expect(!own.in_use);
    }
    try std.testing.expectError(error.StackTooLarge, OwnStack.create(env, 1 << 30));
    // One that is left is freed with the Env.
}
