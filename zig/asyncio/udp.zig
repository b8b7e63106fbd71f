//! UDP: a libxev UDP socket whose operations suspend the coroutine that calls them, or run the loop on the thread's own stack.
//!
//! A value is a handle: copy it freely. Bind through `udp`, libxev's own. libxev's reads are routed round: on epoll they tell an
//! error as a length, and everywhere they look at the sender's address when there is none.

const std = @import("std");
const builtin = @import("builtin");
const addresses = @import("address.zig");
const backend = @import("backend.zig");
const errno = @import("errno.zig");
const sanitizer = @import("../sanitizer.zig");
const stream = @import("stream.zig");
const linux = std.os.linux;
const posix = std.posix;
const Fd = backend.Fd;
const IpAddress = std.Io.net.IpAddress;
const Operation = @import("operation.zig").Operation;
const Outcome = @import("../wait.zig").Outcome;

/// Linux takes messages, the others addresses.
const has_messages = builtin.os.tag == .linux;

pub fn UDP(comptime Aio: type) type {
    const xev = Aio.xev;

    return struct {
        exec: ?*Aio.Executor,
        udp: xev.UDP,

        const Self = @This();

        /// `exec` null: that of the coroutine that calls, or the Env's.
        pub fn init(exec: ?*Aio.Executor, udp: xev.UDP) Self {
            return .{ .exec = exec, .udp = udp };
        }

        pub const Received = struct {
            len: usize,
            from: IpAddress,
        };

        /// Waits for a datagram and gives its length, which may be 0; what does not fit is lost (on Windows
        /// `error.Unexpected`).
        pub fn read(self: Self, buffer: xev.ReadBuffer) Aio.Error(Receive(xev, Received))!usize {
            return (try self.readFrom(buffer)).len;
        }

        /// The same, and who sent it.
        pub fn readFrom(self: Self, buffer: xev.ReadBuffer) Aio.Error(Receive(xev, Received))!Received {
            return self.perform(Receive(xev, Received){ .fd = self.fd(), .buffer = buffer });
        }

        /// Sends a datagram and gives its length.
        pub fn write(self: Self, to: IpAddress, buffer: xev.WriteBuffer) Aio.Error(Send(xev))!usize {
            return self.perform(Send(xev){ .fd = self.fd(), .buffer = buffer, .to = to });
        }

        /// Closes it, whatever cancels come meanwhile. Who still reads is not woken: cancel it first.
        pub fn close(self: Self) xev.CloseError!void {
            return Aio.performShielded(self.exec, stream.Close(xev){ .fd = self.fd() });
        }

        /// The operation of waiting until there is a datagram; for `select`.
        pub fn readable(self: Self) Operation(Aio, stream.Ready(xev, .readable)) {
            return .{ .exec = self.exec, .request = .{ .fd = self.fd() } };
        }

        /// The operation of waiting until a datagram can be sent; for `select`.
        pub fn writable(self: Self) Operation(Aio, stream.Ready(xev, .writable)) {
            return .{ .exec = self.exec, .request = .{ .fd = self.fd() } };
        }

        /// Where it is bound: the port that the system chose, when it was asked for port 0. `error.Unexpected`: it is not bound.
        pub fn localAddress(self: Self) error{Unexpected}!IpAddress {
            return addresses.localOf(self.fd());
        }

        fn fd(self: Self) Fd {
            return backend.fdOf(xev, self.udp);
        }

        fn perform(self: Self, request: anytype) Outcome(@TypeOf(request)) {
            return Aio.perform(self.exec, request);
        }
    };
}

fn Receive(comptime xev: type, comptime Received: type) type {
    return struct {
        fd: Fd,
        buffer: xev.ReadBuffer,
        /// Filled in by the kernel.
        from: posix.sockaddr.storage = undefined,
        vector: if (has_messages) [1]posix.iovec else void = undefined,
        header: if (has_messages) linux.msghdr else void = undefined,

        const Self = @This();
        pub const Result = xev.ReadError!Received;
        pub const text = "to receive a datagram";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            if (!has_messages) {
                // Where the system gives no address there is to be one of a family that can be looked at.
                const none: posix.sockaddr = @bitCast(posix.sockaddr.in{ .addr = 0, .port = 0 });
                return .{ .recvfrom = .{ .fd = r.fd, .buffer = stream.bufferOf(api, r.buffer, "ReadBuffer"), .addr = none } };
            }
            const bytes: []u8 = switch (r.buffer) {
                .slice => |slice| slice,
                .array => |*array| array,
            };
            r.from = .{ .family = posix.AF.UNSPEC, .padding = undefined };
            r.vector = .{.{ .base = bytes.ptr, .len = bytes.len }};
            r.header = .{
                .name = @ptrCast(&r.from),
                .namelen = @sizeOf(@TypeOf(r.from)),
                .iov = &r.vector,
                .iovlen = 1,
                .control = null,
                .controllen = 0,
                .flags = 0,
            };
            if (api.backend == .epoll) return backend.pollOperation(api, r.fd, .readable);
            return .{ .recvmsg = .{ .fd = r.fd, .msghdr = &r.header } };
        }

        pub fn finish(r: *Self, comptime api: type, c: *api.Completion, result: api.Result) ?Result {
            const len = r.length(api, result) catch |err| switch (@as(anyerror, err)) {
                error.EOF => 0, // an empty datagram is one, too
                error.WouldBlock => return if (api.backend == .io_uring) err else null,
                else => return err,
            };
            stream.filled(r.buffer, len);
            if (has_messages) sanitizer.kernelWrote(std.mem.asBytes(&r.from));
            const from: *const posix.sockaddr = if (has_messages) @ptrCast(&r.from) else &c.op.recvfrom.addr;
            return .{ .len = len, .from = ipAddress(api, from) };
        }

        fn length(r: *Self, comptime api: type, result: api.Result) xev.ReadError!usize {
            switch (api.backend) {
                .epoll => {
                    try result.poll;
                    const rc = linux.recvmsg(r.fd, &r.header, linux.MSG.DONTWAIT);
                    return switch (linux.errno(rc)) {
                        .SUCCESS => rc,
                        .INTR => error.WouldBlock,
                        else => |e| errno.toError(xev.ReadError, e),
                    };
                },
                .io_uring => return result.recvmsg,
                else => return result.recvfrom,
            }
        }
    };
}

fn Send(comptime xev: type) type {
    return struct {
        fd: Fd,
        buffer: xev.WriteBuffer,
        to: IpAddress,
        address: posix.sockaddr.storage = undefined,
        vector: if (has_messages) [1]posix.iovec_const else void = undefined,
        header: if (has_messages) linux.msghdr_const else void = undefined,

        const Self = @This();
        pub const Result = xev.WriteError!usize;
        pub const text = "to send a datagram";

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            const address: SocketAddress(api) = .fromIpAddress(r.to);
            if (!has_messages) return .{ .sendto = .{ .fd = r.fd, .buffer = stream.bufferOf(api, r.buffer, "WriteBuffer"), .addr = address } };
            const bytes: []const u8 = switch (r.buffer) {
                .slice => |slice| slice,
                .array => |*array| array.array[0..array.len],
            };
            @memcpy(std.mem.asBytes(&r.address)[0..@sizeOf(@TypeOf(address))], std.mem.asBytes(&address));
            r.vector = .{.{ .base = bytes.ptr, .len = bytes.len }};
            r.header = .{
                .name = @ptrCast(&r.address),
                .namelen = address.getOsSockLen(),
                .iov = &r.vector,
                .iovlen = 1,
                .control = null,
                .controllen = 0,
                .flags = 0,
            };
            return .{ .sendmsg = .{ .fd = r.fd, .msghdr = &r.header } };
        }

        pub fn finish(_: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            return (if (has_messages) result.sendmsg else result.sendto) catch |err| if (stream.wouldBlock(api, err)) null else err;
        }
    };
}

fn SocketAddress(comptime api: type) type {
    return @FieldType(@FieldType(api.Sys.Operation, "connect"), "addr");
}

/// 0.0.0.0:0 when the system told none.
fn ipAddress(comptime api: type, address: *const posix.sockaddr) IpAddress {
    return switch (address.family) {
        posix.AF.INET, posix.AF.INET6 => SocketAddress(api).initPosix(@alignCast(address)).toIpAddress(),
        else => .{ .ip4 = .unspecified(0) },
    };
}
