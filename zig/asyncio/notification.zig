//! AsyncNotification: a libxev Async: wakes a coroutine from any thread.
//!
//! Notifications that nobody has waited for are kept, as one. On Linux a value is a handle, copy it freely; on Windows the
//! one that was made is the one that is notified, so pass pointers to it.

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

/// A message to the loop, which its arrival consumes.
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

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return backend.messageResult(api, result);
        }
    };
}
