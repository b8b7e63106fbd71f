//! Unix: stream sockets whose addresses are paths, or names that begin with a zero byte. Once open they are sockets as any.

const std = @import("std");
const sys = @import("../sys.zig");
const c = sys.c;
const tcp = @import("tcp.zig");
const Opened = tcp.Socket.Opened;

/// A path needs a byte more for its end; a name does not.
pub const max_len = @sizeOf(@FieldType(c.sockaddr.un, "path"));

const Address = struct {
    un: c.sockaddr.un,
    len: c.socklen_t,

    fn init(path: []const u8) union(enum) { address: Address, errno: i32 } {
        const is_name = path.len > 0 and path[0] == 0;
        if (is_name and !sys.has_unix_names) return .{ .errno = sys.unsupported };
        if (path.len == 0 or path.len + @intFromBool(!is_name) > max_len) return .{ .errno = sys.negative(.NAMETOOLONG) };
        var address: Address = .{ .un = .{ .path = @splat(0) }, .len = @intCast(@offsetOf(c.sockaddr.un, "path") + path.len + @intFromBool(!is_name)) };
        @memcpy(address.un.path[0..path.len], path);
        return .{ .address = address };
    }
};

/// Binds and listens. The path is left in place by a close.
pub fn listen(context: *tcp.Context, path: []const u8, backlog: u32) error{OutOfMemory}!Opened {
    const address = switch (Address.init(path)) {
        .errno => |errno| return .{ .errno = errno },
        .address => |address| address,
    };
    const fd = open();
    if (fd < 0) return .{ .errno = fd };
    var rc = sys.result(c.bind(fd, @ptrCast(&address.un), address.len));
    if (rc >= 0) rc = sys.listen(fd, backlog);
    if (rc < 0) {
        sys.close(fd);
        return .{ .errno = rc };
    }
    return tcp.Socket.adopt(context, fd);
}

/// Connects, which is done at once or not at all: -EAGAIN when the listener's backlog is full.
pub fn connect(context: *tcp.Context, path: []const u8) error{OutOfMemory}!Opened {
    const address = switch (Address.init(path)) {
        .errno => |errno| return .{ .errno = errno },
        .address => |address| address,
    };
    const fd = open();
    if (fd < 0) return .{ .errno = fd };
    const rc = sys.retry(c.connect, .{ fd, @as(*const c.sockaddr, @ptrCast(&address.un)), address.len });
    if (rc < 0) {
        sys.close(fd);
        return .{ .errno = rc };
    }
    return tcp.Socket.adopt(context, fd);
}

/// Two sockets that are connected to each other.
pub fn pair(ends: *[2]sys.fd_t) i32 {
    return sys.socketPair(c.SOCK.STREAM, ends);
}

fn open() i32 {
    return sys.openSocket(c.AF.UNIX, c.SOCK.STREAM, 0, true);
}
