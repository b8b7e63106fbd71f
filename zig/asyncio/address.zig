//! Address: where a socket is bound, which libxev does not tell: the port that the system chose when port 0 was asked for.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const posix = std.posix;
const Fd = @import("backend.zig").Fd;
const IpAddress = std.Io.net.IpAddress;

const Storage = extern union {
    any: posix.sockaddr,
    in: posix.sockaddr.in,
    in6: posix.sockaddr.in6,
};

/// `error.Unexpected`: it is no bound IP socket.
pub fn localOf(fd: Fd) error{Unexpected}!IpAddress {
    var storage: Storage = undefined;
    var len: posix.socklen_t = @sizeOf(Storage);
    const ok = switch (builtin.os.tag) {
        .linux => linux.errno(linux.getsockname(fd, &storage.any, &len)) == .SUCCESS,
        .windows => getsockname(fd, &storage, &len) == 0,
        else => std.c.getsockname(fd, &storage.any, &len) == 0,
    };
    if (!ok) return error.Unexpected;
    return switch (storage.any.family) {
        posix.AF.INET => .{ .ip4 = .{
            .bytes = @bitCast(storage.in.addr),
            .port = std.mem.bigToNative(u16, storage.in.port),
        } },
        posix.AF.INET6 => .{ .ip6 = .{
            .bytes = storage.in6.addr,
            .port = std.mem.bigToNative(u16, storage.in6.port),
            .flow = storage.in6.flowinfo,
            .interface = .{ .index = storage.in6.scope_id },
        } },
        else => error.Unexpected,
    };
}

extern "ws2_32" fn getsockname(socket: *anyopaque, address: *anyopaque, len: *posix.socklen_t) callconv(.winapi) c_int;
