//! AsyncNotification: a libxev Async: wakes a coroutine from any thread.
//!
//! Notifications that nobody has waited for are kept, as one. On Linux a value is a handle, copy it freely; on Windows the
//! one that was made is the one that is notified, so pass pointers to it, and one coroutine at a time may wait.

const std = @import("std");
const builtin = @import("builtin");
const backend = @import("backend.zig");
const linux = std.os.linux;
const Fd = backend.Fd;
const Operation = @import("operation.zig").Operation;

pub fn AsyncNotification(comptime Aio: type) type {
    const xev = Aio.xev;

    return struct {
        exec: ?*Aio.Executor,
        notif: xev.Async,

        const Self = @This();
        const Request = if (is_descriptor) Notified(xev) else Message(xev);

        /// `exec` null: that of the coroutine that calls, or the Env's. Whoever made `notif` destroys it.
        pub fn init(exec: ?*Aio.Executor, notif: xev.Async) Self {
            return .{ .exec = exec, .notif = notif };
        }

        /// From any thread, and never waits.
        pub fn notify(self: *Self) !void {
            return self.notif.notify();
        }

        /// Waits until it is notified, or returns at once when it was since the last wait. Of several that wait one returns.
        pub fn wait(self: *const Self) Aio.Error(Request)!void {
            return Aio.perform(self.exec, Request.of(&self.notif));
        }

        /// The operation of `wait`, for `select`.
        pub fn waiting(self: *const Self) Operation(Aio, Request) {
            return .{ .exec = self.exec, .request = .of(&self.notif) };
        }
    };
}

/// Whether an Async is a descriptor that becomes readable.
pub const is_descriptor = builtin.os.tag == .linux;

/// libxev's own wait would take the notification also for a `select` that chose another.
fn Notified(comptime xev: type) type {
    return struct {
        fd: Fd,

        const Self = @This();
        pub const Result = xev.Async.WaitError!void;
        pub const text = "to be notified";
        pub const event: backend.Event = .readable;

        pub fn of(notif: *const xev.Async) Self {
            return .{ .fd = backend.fdOf(xev, notif.*) };
        }

        pub fn descriptor(r: *Self) Fd {
            return r.fd;
        }

        pub fn attempt(r: *Self) ?Result {
            var count: u64 = undefined;
            return switch (linux.errno(linux.read(r.fd, std.mem.asBytes(&count), @sizeOf(u64)))) {
                .SUCCESS => {},
                .AGAIN, .INTR => null,
                else => error.Unexpected,
            };
        }
    };
}

/// A message to the loop, which its arrival consumes. libxev's Windows half never forgets who has waited and what has been told,
/// and its notify then writes to a completion that is gone: both are kept in order here.
fn Message(comptime xev: type) type {
    return struct {
        notif: *xev.Async,

        const Self = @This();
        pub const Result = xev.Async.WaitError!void;
        pub const text = "to be notified";

        pub fn of(notif: *const xev.Async) Self {
            return .{ .notif = @constCast(notif) };
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return backend.messageOperation(api, r.notif);
        }

        pub fn started(r: *Self, comptime api: type, loop: *api.Loop, c: *api.Completion) void {
            if (api.backend != .iocp) return;
            r.notif.guard.lockUncancelable(io);
            defer r.notif.guard.unlock(io);
            r.notif.waiter = .{ .loop = loop, .c = c };
            if (r.notif.wakeup) loop.async_notify(c);
        }

        /// Before it is taken out of the loop: what has been told since is kept.
        pub fn withdraw(r: *Self, comptime api: type, c: *api.Completion) void {
            if (api.backend != .iocp) return;
            r.notif.guard.lockUncancelable(io);
            defer r.notif.guard.unlock(io);
            r.notif.waiter = null;
            r.notif.wakeup = c.op.async_wait.wakeup.load(.seq_cst);
        }

        pub fn finish(r: *Self, comptime api: type, c: *api.Completion, result: api.Result) ?Result {
            r.withdraw(api, c);
            return backend.messageResult(api, result);
        }

        /// As libxev's.
        const io = std.Io.Threaded.global_single_threaded.io();
    };
}
