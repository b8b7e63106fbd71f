//! System calls as the core needs them: each returns a result >= 0 or a negative errno, so that no error number is lost
//! on its way to the user. Linux only so far; this file is where another system's calls go. It keeps no state.

const std = @import("std");
const linux = std.os.linux;

pub const fd_t = linux.fd_t;
pub const E = linux.E;

/// An IPv4 or IPv6 socket address.
pub const Address = extern union {
    any: linux.sockaddr,
    in: linux.sockaddr.in,
    in6: linux.sockaddr.in6,

    const max_literal = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len;

    /// `text` is an address literal, never a host name.
    pub fn parse(text: []const u8, number: u16) error{InvalidAddress}!Address {
        // Zig's parser keeps the length of what names a zone, which is refused in the end, in 8 bits.
        if (text.len > max_literal) return error.InvalidAddress;
        const ip = std.Io.net.IpAddress.parse(text, number) catch return error.InvalidAddress;
        return switch (ip) {
            .ip4 => |ip4| .{ .in = .{ .port = std.mem.nativeToBig(u16, number), .addr = @bitCast(ip4.bytes) } },
            .ip6 => |ip6| .{ .in6 = .{
                .port = std.mem.nativeToBig(u16, number),
                .flowinfo = ip6.flow,
                .addr = ip6.bytes,
                .scope_id = ip6.interface.index,
            } },
        };
    }

    pub fn len(a: *const Address) linux.socklen_t {
        return if (a.any.family == linux.AF.INET6) @sizeOf(linux.sockaddr.in6) else @sizeOf(linux.sockaddr.in);
    }

    pub fn port(a: *const Address) u16 {
        return std.mem.bigToNative(u16, if (a.any.family == linux.AF.INET6) a.in6.port else a.in.port);
    }
};

/// What a raw call returned, as a result >= 0 or a negative errno.
pub fn result(rc: usize) i32 {
    return @intCast(std.math.clamp(@as(isize, @bitCast(rc)), -4095, std.math.maxInt(i32)));
}

pub fn negative(e: E) i32 {
    return -@as(i32, @intCast(@intFromEnum(e)));
}

pub fn socket(family: u32, nonblocking: bool) i32 {
    const flags: u32 = linux.SOCK.STREAM | linux.SOCK.CLOEXEC | (if (nonblocking) @as(u32, linux.SOCK.NONBLOCK) else 0);
    return result(linux.socket(family, flags, linux.IPPROTO.TCP));
}

pub fn bind(fd: fd_t, address: *const Address) i32 {
    return result(linux.bind(fd, &address.any, address.len()));
}

pub fn listen(fd: fd_t, backlog: u32) i32 {
    return result(linux.listen(fd, backlog));
}

pub fn connect(fd: fd_t, address: *const Address) i32 {
    return result(linux.connect(fd, address, address.len()));
}

pub fn accept(fd: fd_t, nonblocking: bool) i32 {
    const flags: u32 = linux.SOCK.CLOEXEC | (if (nonblocking) @as(u32, linux.SOCK.NONBLOCK) else 0);
    return retry(linux.accept4, .{ fd, null, null, flags });
}

/// Never waits and never raises SIGPIPE.
pub fn send(fd: fd_t, bytes: []const u8) i32 {
    return retry(linux.sendto, .{ fd, bytes.ptr, bytes.len, linux.MSG.DONTWAIT | linux.MSG.NOSIGNAL, null, 0 });
}

/// Never waits.
pub fn recv(fd: fd_t, bytes: []u8) i32 {
    return retry(linux.recvfrom, .{ fd, bytes.ptr, bytes.len, linux.MSG.DONTWAIT, null, null });
}

pub fn shutdown(fd: fd_t, how: i32) i32 {
    return result(linux.shutdown(fd, how));
}

pub fn close(fd: fd_t) void {
    // Not repeated on EINTR: Linux has closed the descriptor by then.
    _ = linux.close(fd);
}

pub fn setOption(fd: fd_t, level: i32, name: u32, value: c_int) i32 {
    return result(linux.setsockopt(fd, level, name, std.mem.asBytes(&value), @sizeOf(c_int)));
}

/// The pending error of a socket (SO_ERROR), which reading clears; 0 when there is none.
pub fn socketError(fd: fd_t) i32 {
    var value: c_int = 0;
    var size: linux.socklen_t = @sizeOf(c_int);
    const rc = result(linux.getsockopt(fd, linux.SOL.SOCKET, linux.SO.ERROR, std.mem.asBytes(&value), &size));
    return if (rc < 0) rc else -value;
}

pub fn localAddress(fd: fd_t, address: *Address) i32 {
    var size: linux.socklen_t = @sizeOf(Address);
    return result(linux.getsockname(fd, &address.any, &size));
}

pub fn peerAddress(fd: fd_t, address: *Address) i32 {
    var size: linux.socklen_t = @sizeOf(Address);
    return result(linux.getpeername(fd, &address.any, &size));
}

/// Whether `fd` can be written (a connect is over) right now.
pub fn isWritable(fd: fd_t) bool {
    return isReady(fd, linux.POLL.OUT);
}

pub fn isReadable(fd: fd_t) bool {
    return isReady(fd, linux.POLL.IN);
}

fn isReady(fd: fd_t, events: i16) bool {
    var fds = [_]linux.pollfd{.{ .fd = fd, .events = events, .revents = 0 }};
    return result(linux.poll(&fds, 1, 0)) > 0;
}

/// The timeout for a poll that is to end at `deadline`: in milliseconds, rounded up; -1, for ever, without one. At most 12 days,
/// for longer ones do not fit; whoever waits looks at the clock anyway.
pub fn millisecondsUntil(deadline: ?u64) i32 {
    const left = (deadline orelse return -1) -| now();
    return @intCast(@min(std.math.divCeil(u64, left, std.time.ns_per_ms) catch unreachable, 1 << 30));
}

/// Waits until one of `fds` can be read, or a signal came. `timeout_ms` -1: for ever.
pub fn pollReadable(fds: []const fd_t, timeout_ms: i32) void {
    var entries: [4]linux.pollfd = undefined;
    for (fds, entries[0..fds.len]) |fd, *entry| entry.* = .{ .fd = fd, .events = linux.POLL.IN, .revents = 0 };
    _ = linux.poll(&entries, @intCast(fds.len), timeout_ms);
}

/// A pipe whose ends never wait: first the one to read, then the one to write.
pub fn pipe(ends: *[2]fd_t) i32 {
    return result(linux.pipe2(ends, .{ .CLOEXEC = true, .NONBLOCK = true }));
}

/// Makes the pipe readable. A full one is.
pub fn pipeSignal(fd: fd_t) void {
    _ = linux.write(fd, "!", 1);
}

/// Takes at most 64 signals.
pub fn pipeClear(fd: fd_t) void {
    var bytes: [64]u8 = undefined;
    _ = linux.read(fd, &bytes, bytes.len);
}

pub fn eventfd() i32 {
    return result(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
}

pub fn eventfdSignal(fd: fd_t) void {
    const one: u64 = 1;
    _ = linux.write(fd, std.mem.asBytes(&one), 8);
}

pub fn eventfdClear(fd: fd_t) void {
    var count: u64 = 0;
    _ = linux.read(fd, std.mem.asBytes(&count), 8);
}

pub const now = @import("clock.zig").now;

/// Repeats a call that a signal interrupted.
pub fn retry(comptime call: anytype, args: anytype) i32 {
    while (true) {
        const rc = result(@call(.auto, call, args));
        if (rc != negative(.INTR)) return rc;
    }
}
