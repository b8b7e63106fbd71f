//! Stream: the requests that sockets of every kind have in common: receive, send, shut down, be readable or writable. Closing
//! is for files too.

const std = @import("std");
const backend = @import("backend.zig");
const errno = @import("errno.zig");
const sanitizer = @import("../sanitizer.zig");
const linux = std.os.linux;
const posix = std.posix;
const Fd = backend.Fd;

/// A read or write of more is cut; some backends know no longer ones.
const max_len = 0x7fff_f000;

pub fn cut(comptime Buffer: type, buffer: Buffer) Buffer {
    return switch (buffer) {
        .slice => |slice| .{ .slice = slice[0..@min(slice.len, max_len)] },
        .array => buffer,
    };
}

pub fn isEmpty(buffer: anytype) bool {
    return switch (buffer) {
        .slice => |slice| slice.len == 0,
        .array => false,
    };
}

/// The kernel has filled the first `len` bytes.
pub inline fn filled(buffer: anytype, len: usize) void {
    if (buffer == .slice) sanitizer.kernelWrote(buffer.slice[0..len]);
}

/// As the backend knows it.
pub inline fn bufferOf(comptime api: type, buffer: anytype, comptime name: []const u8) @field(api, name) {
    const B = @field(api, name);
    return if (@TypeOf(buffer) == B) buffer else buffer.toBackend(comptime @enumFromInt(@intFromEnum(api.backend)));
}

/// For results that mean that the descriptor was not ready after all: somebody else was faster.
pub fn wouldBlock(comptime api: type, err: anyerror) bool {
    return api.backend != .io_uring and err == error.WouldBlock;
}

pub fn Receive(comptime xev: type) type {
    return struct {
        fd: Fd,
        buffer: xev.ReadBuffer,

        const Self = @This();
        pub const Result = xev.ReadError!usize;
        pub const text = "to read from a socket";

        /// Backends do not agree on what a read of nothing is.
        pub fn attempt(r: *Self) ?Result {
            return if (isEmpty(r.buffer)) 0 else null;
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .recv = .{ .fd = r.fd, .buffer = bufferOf(api, cut(xev.ReadBuffer, r.buffer), "ReadBuffer") } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            const len = result.recv catch |err| return if (wouldBlock(api, err)) null else err;
            filled(r.buffer, len);
            // IOCP tells the end of a stream as 0 bytes.
            return if (len == 0) error.EOF else len;
        }
    };
}

pub fn Send(comptime xev: type) type {
    return struct {
        fd: Fd,
        buffer: xev.WriteBuffer,

        const Self = @This();
        pub const Result = xev.WriteError!usize;
        pub const text = "to write to a socket";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .send = .{ .fd = r.fd, .buffer = bufferOf(api, cut(xev.WriteBuffer, r.buffer), "WriteBuffer") } };
        }

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return backend.sendResult(api, result) catch |err| if (wouldBlock(api, err)) null else err;
        }
    };
}

pub fn Shutdown(comptime xev: type) type {
    return struct {
        fd: Fd,

        const Self = @This();
        pub const Result = xev.ShutdownError!void;
        pub const text = "to shut down a socket";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .shutdown = .{ .socket = r.fd, .how = .send } };
        }

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return result.shutdown;
        }
    };
}

/// Waits until a socket is ready; see `operation.zig`.
pub fn Ready(comptime xev: type, comptime event_: backend.Event) type {
    return struct {
        fd: Fd,

        const Self = @This();
        pub const Result = xev.PollError!void;
        pub const text = "until a socket is " ++ @tagName(event_);
        pub const event = event_;

        pub fn descriptor(r: *Self) Fd {
            return r.fd;
        }

        pub fn attempt(r: *Self) ?Result {
            const events: i16 = if (event_ == .readable) posix.POLL.IN else posix.POLL.OUT;
            var fds = [_]posix.pollfd{.{ .fd = r.fd, .events = events, .revents = 0 }};
            const count = posix.poll(&fds, 0) catch return null; // the kernel has no memory now; libxev will wait
            return if (count > 0) {} else null;
        }
    };
}

/// Closes a socket. On epoll and kqueue at once: libxev would need a thread for it.
pub fn Close(comptime xev: type) type {
    return struct {
        fd: Fd,

        const Self = @This();
        pub const Result = xev.CloseError!void;
        pub const text = "to close a socket";

        pub fn begin(r: *Self, comptime api: type, _: *api.Loop) ?Result {
            if (api.backend != .epoll and api.backend != .kqueue) return null;
            closeNow(r.fd);
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .close = .{ .fd = r.fd } };
        }

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return result.close;
        }
    };
}

pub fn closeNow(fd: Fd) void {
    // Not repeated when interrupted: the descriptor is closed by then.
    _ = posix.system.close(fd);
}
