//! TCP: a libxev TCP socket whose operations suspend the coroutine that calls them, or run the loop on the thread's own stack.
//!
//! A value is a handle: copy it freely. Bind and listen through `tcp`, libxev's own. `xev.TCP.init` makes sockets as the backend
//! wants them: blocking for io_uring, non-blocking elsewhere.

const std = @import("std");
const builtin = @import("builtin");
const addresses = @import("address.zig");
const backend = @import("backend.zig");
const errno = @import("errno.zig");
const stream = @import("stream.zig");
const linux = std.os.linux;
const Fd = backend.Fd;
const IpAddress = std.Io.net.IpAddress;
const Operation = @import("operation.zig").Operation;
const Outcome = @import("../wait.zig").Outcome;

pub fn TCP(comptime Aio: type) type {
    const xev = Aio.xev;

    return struct {
        exec: ?*Aio.Executor,
        tcp: xev.TCP,

        const Self = @This();

        /// `exec` null: that of the coroutine that calls, or the Env's.
        pub fn init(exec: ?*Aio.Executor, tcp: xev.TCP) Self {
            return .{ .exec = exec, .tcp = tcp };
        }

        /// Waits for a connection on a listening socket.
        pub fn accept(self: Self) Aio.Error(Accept(xev))!Self {
            return .{ .exec = self.exec, .tcp = try self.perform(Accept(xev){ .fd = self.fd() }) };
        }

        /// Connects. After an error or a cancel only `close` is left to do with the socket.
        pub fn connect(self: Self, address: IpAddress) Aio.Error(Connect(xev))!void {
            return self.perform(Connect(xev){ .fd = self.fd(), .address = address });
        }

        /// Reads at least one byte and at most what fits, and gives how many. `error.EOF` at the end of the stream. Into a `.slice`: what
        /// was read into an `.array` cannot be seen.
        pub fn read(self: Self, buffer: xev.ReadBuffer) Aio.Error(stream.Receive(xev))!usize {
            return self.perform(stream.Receive(xev){ .fd = self.fd(), .buffer = buffer });
        }

        /// Writes, and gives how many bytes the kernel took, which may be fewer than there are.
        pub fn write(self: Self, buffer: xev.WriteBuffer) Aio.Error(stream.Send(xev))!usize {
            return self.perform(stream.Send(xev){ .fd = self.fd(), .buffer = buffer });
        }

        /// Writes all. After an error or a cancel some may have been written.
        pub fn writeAll(self: Self, bytes: []const u8) Aio.Error(stream.Send(xev))!void {
            var at: usize = 0;
            while (at < bytes.len) at += try self.write(.{ .slice = bytes[at..] });
        }

        /// Tells the peer that nothing more will be written.
        pub fn shutdown(self: Self) Aio.Error(stream.Shutdown(xev))!void {
            return self.perform(stream.Shutdown(xev){ .fd = self.fd() });
        }

        /// Closes it, whatever cancels come meanwhile. Who still reads or writes is not woken: cancel it first, or shut down.
        pub fn close(self: Self) xev.CloseError!void {
            return Aio.performShielded(self.exec, stream.Close(xev){ .fd = self.fd() });
        }

        /// The operation of waiting until there is something to read, a connection to accept, or the end of the stream; for `select`.
        pub fn readable(self: Self) Operation(Aio, stream.Ready(xev, .readable)) {
            return .{ .exec = self.exec, .request = .{ .fd = self.fd() } };
        }

        /// The operation of waiting until a write takes something or a connect is over; for `select`.
        pub fn writable(self: Self) Operation(Aio, stream.Ready(xev, .writable)) {
            return .{ .exec = self.exec, .request = .{ .fd = self.fd() } };
        }

        /// Where it is bound: the port that the system chose, when it was asked for port 0. `error.Unexpected`: it is not bound.
        pub fn localAddress(self: Self) error{Unexpected}!IpAddress {
            return addresses.localOf(self.fd());
        }

        fn fd(self: Self) Fd {
            return backend.fdOf(xev, self.tcp);
        }

        fn perform(self: Self, request: anytype) Outcome(@TypeOf(request)) {
            return Aio.perform(self.exec, request);
        }
    };
}

/// On epoll libxev tells no error of an accept, and leaves the socket blocking, so that a large write would stop the thread.
fn Accept(comptime xev: type) type {
    return struct {
        fd: Fd,

        const Self = @This();
        const Error = error{ ConnectionAborted, ProcessFdQuotaExceeded, SystemFdQuotaExceeded, SystemResources, PermissionDenied, InvalidArgument };
        pub const Result = (xev.AcceptError || Error)!xev.TCP;
        pub const text = "to accept a connection";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return if (api.backend == .epoll) backend.pollOperation(api, r.fd, .readable) else .{ .accept = .{ .socket = r.fd } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            if (api.backend != .epoll) {
                return xev.TCP.initFd(result.accept catch |err| return if (stream.wouldBlock(api, err)) null else err);
            }
            result.poll catch |err| return err;
            const rc = linux.accept4(r.fd, null, null, linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK);
            return switch (linux.errno(rc)) {
                .SUCCESS => xev.TCP.initFd(@intCast(rc)),
                .AGAIN, .INTR => null,
                else => |e| errno.toError(xev.AcceptError || Error, e),
            };
        }
    };
}

fn Connect(comptime xev: type) type {
    return struct {
        fd: Fd,
        address: IpAddress,

        const Self = @This();
        pub const Result = xev.ConnectError!void;
        pub const text = "to connect";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .connect = .{ .socket = r.fd, .addr = .fromIpAddress(r.address) } };
        }

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return result.connect;
        }
    };
}
