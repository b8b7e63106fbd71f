//! Unix: stream sockets whose addresses are paths, or names that begin with a zero byte. Once open they are sockets as any.

const std = @import("std");
const linux = std.os.linux;
const sys = @import("../sys.zig");
const tcp = @import("tcp.zig");
const Opened = tcp.Socket.Opened;

/// A path needs a byte more for its end; a name does not.
pub const max_len = @sizeOf(@FieldType(linux.sockaddr.un, "path"));

const Address = struct {
    un: linux.sockaddr.un,
    len: linux.socklen_t,

    fn init(path: []const u8) ?Address {
        const is_name = path.len > 0 and path[0] == 0;
        if (path.len == 0 or path.len + @intFromBool(!is_name) > max_len) return null;
        var address: Address = .{ .un = .{ .path = @splat(0) }, .len = @intCast(@offsetOf(linux.sockaddr.un, "path") + path.len + @intFromBool(!is_name)) };
        @memcpy(address.un.path[0..path.len], path);
        return address;
    }
};

/// Binds and listens. The path is left in place by a close.
pub fn listen(context: *tcp.Context, path: []const u8, backlog: u32) error{OutOfMemory}!Opened {
    const address = Address.init(path) orelse return .{ .errno = sys.negative(.NAMETOOLONG) };
    const fd = open();
    if (fd < 0) return .{ .errno = fd };
    var rc = sys.result(linux.bind(fd, @ptrCast(&address.un), address.len));
    if (rc >= 0) rc = sys.listen(fd, backlog);
    if (rc < 0) {
        sys.close(fd);
        return .{ .errno = rc };
    }
    return tcp.Socket.adopt(context, fd);
}

/// Connects, which is done at once or not at all: -EAGAIN when the listener's backlog is full.
pub fn connect(context: *tcp.Context, path: []const u8) error{OutOfMemory}!Opened {
    const address = Address.init(path) orelse return .{ .errno = sys.negative(.NAMETOOLONG) };
    const fd = open();
    if (fd < 0) return .{ .errno = fd };
    const rc = sys.retry(linux.connect, .{ fd, @as(*const anyopaque, &address.un), address.len });
    if (rc < 0) {
        sys.close(fd);
        return .{ .errno = rc };
    }
    return tcp.Socket.adopt(context, fd);
}

/// Two sockets that are connected to each other.
pub fn pair(ends: *[2]sys.fd_t) i32 {
    return sys.result(linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK, 0, ends));
}

fn open() i32 {
    return sys.result(linux.socket(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.CLOEXEC | linux.SOCK.NONBLOCK, 0));
}
