//! System calls as the core needs them: each returns a result >= 0 or a negative errno, so that no error number is lost
//! on its way to the user. What the systems have in common is here; what one of them has alone, or does its own way, is in sys_linux.zig
//! and its like, under the same names on each. This file keeps no state.

const std = @import("std");
const builtin = @import("builtin");

/// For tests on Linux of what the library does on macOS: kqueue (made of epoll), and nothing that macOS lacks.
pub const imitates_macos = builtin.os.tag == .linux and @import("libcoro_options").imitate_macos;

const sys = @This();
const os = switch (builtin.os.tag) {
    .linux => @import("sys_linux.zig"),
    .macos => @import("sys_darwin.zig"),
    .windows => @import("sys_windows.zig"),
    else => @compileError("no system calls for " ++ @tagName(builtin.os.tag)),
};

const is_windows = builtin.os.tag == .windows;

/// Whether one kind of descriptor is for sockets, pipes, files and processes, and there are signals.
pub const is_posix = !is_windows;

/// Types, constants and calls by the names that they have in C. What a call returns is for `result` or `retry`.
pub const c = os.c;
pub const fd_t = c.fd_t;
pub const E = c.E;

/// An IPv4 or IPv6 socket address.
pub const Address = extern union {
    any: c.sockaddr,
    in: c.sockaddr.in,
    in6: c.sockaddr.in6,

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

    pub fn len(a: *const Address) c.socklen_t {
        return if (a.any.family == c.AF.INET6) @sizeOf(c.sockaddr.in6) else @sizeOf(c.sockaddr.in);
    }

    pub fn port(a: *const Address) u16 {
        return std.mem.bigToNative(u16, if (a.any.family == c.AF.INET6) a.in6.port else a.in.port);
    }
};

/// What a call of `c` returned, as a result >= 0 or a negative errno.
pub const result = os.result;

/// The negative errno of what the system does not have, ENOTSUP.
pub const unsupported = negative(.OPNOTSUPP);

pub fn negative(e: E) i32 {
    return -@as(i32, @intCast(@intFromEnum(e)));
}

/// Repeats a call that a signal interrupted.
pub fn retry(comptime call: anytype, args: anytype) i32 {
    while (true) {
        const rc = result(@call(.auto, call, args));
        if (rc != negative(.INTR)) return rc;
    }
}

pub const now = @import("clock.zig").now;

// Sockets. All descriptors made here are closed on exec.

/// A TCP socket.
pub fn socket(family: u32, nonblocking: bool) i32 {
    return openSocket(family, c.SOCK.STREAM, c.IPPROTO.TCP, nonblocking);
}

pub const openSocket = os.openSocket;

/// Two Unix sockets of one kind, non-blocking and connected to each other.
pub const socketPair = os.socketPair;

pub fn bind(fd: fd_t, address: *const Address) i32 {
    return result(c.bind(fd, &address.any, address.len()));
}

pub fn listen(fd: fd_t, backlog: u32) i32 {
    return result(c.listen(fd, backlog));
}

pub fn connect(fd: fd_t, address: *const Address) i32 {
    return result(c.connect(fd, &address.any, address.len()));
}

pub const accept = os.accept;

/// Whether `send` waits for nothing on any socket; else it must be non-blocking.
pub const sends_without_waiting = os.sends_without_waiting;

/// Sees to it that what is sent to a socket that others have made raises no SIGPIPE. 0 or a negative errno.
pub const muteSocket = os.muteSocket;

/// Never waits and never raises SIGPIPE.
pub fn send(fd: fd_t, bytes: []const u8) i32 {
    return retry(c.sendto, .{ fd, bytes.ptr, bytes.len, os.send_flags, null, 0 });
}

/// The same for a datagram; `to` null: where the socket is connected to.
pub fn sendTo(fd: fd_t, bytes: []const u8, to: ?*const Address) i32 {
    const name: ?*const c.sockaddr = if (to) |known| &known.any else null;
    return retry(c.sendto, .{ fd, bytes.ptr, bytes.len, os.send_flags, name, if (to) |known| known.len() else 0 });
}

pub const send_flags = os.send_flags;

/// Never waits.
pub fn recv(fd: fd_t, bytes: []u8) i32 {
    return retry(c.recvfrom, .{ fd, bytes.ptr, bytes.len, c.MSG.DONTWAIT, null, null });
}

pub const receiveFrom = os.receiveFrom;

pub fn shutdown(fd: fd_t, how: i32) i32 {
    return result(c.shutdown(fd, how));
}

pub fn close(fd: fd_t) void {
    // Not repeated on EINTR: the descriptor is closed by then.
    _ = c.close(fd);
}

pub fn setOption(fd: fd_t, level: i32, name: u32, value: c_int) i32 {
    return setOptionBytes(fd, level, name, std.mem.asBytes(&value));
}

pub fn setOptionBytes(fd: fd_t, level: i32, name: u32, bytes: []const u8) i32 {
    return result(c.setsockopt(fd, level, name, bytes.ptr, @intCast(bytes.len)));
}

/// 0, or a negative errno.
pub fn getOption(fd: fd_t, level: i32, name: u32, out: []u8) i32 {
    var size: c.socklen_t = @intCast(out.len);
    return @min(result(c.getsockopt(fd, level, name, out.ptr, &size)), 0);
}

/// The pending error of a socket (SO_ERROR), which reading clears; 0 when there is none.
pub fn socketError(fd: fd_t) i32 {
    var value: c_int = 0;
    const rc = getOption(fd, c.SOL.SOCKET, c.SO.ERROR, std.mem.asBytes(&value));
    if (rc < 0) return rc;
    return if (!is_windows) -value else if (value == 0) 0 else os.failure(@intCast(value));
}

pub fn localAddress(fd: fd_t, address: *Address) i32 {
    var size: c.socklen_t = @sizeOf(Address);
    return result(c.getsockname(fd, &address.any, &size));
}

pub fn peerAddress(fd: fd_t, address: *Address) i32 {
    var size: c.socklen_t = @sizeOf(Address);
    return result(c.getpeername(fd, &address.any, &size));
}

pub const peerCredentials = os.peerCredentials;
pub const has_unix_names = os.has_unix_names;
pub const IP = os.IP;
pub const IPV6 = os.IPV6;
pub const TCP = os.TCP;
pub const keepAlive = os.keepAlive;
pub const interfaceIndex = os.interfaceIndex;

// Waiting.

/// Whether `fd` can be written (a connect is over) right now.
pub fn isWritable(fd: fd_t) bool {
    if (is_windows) return os.isWritable(fd);
    return isReady(fd, c.POLL.OUT);
}

pub fn isReadable(fd: fd_t) bool {
    return isReady(fd, c.POLL.IN);
}

fn isReady(fd: fd_t, events: i16) bool {
    var fds = [_]c.pollfd{.{ .fd = fd, .events = events, .revents = 0 }};
    return poll(&fds, 0) > 0;
}

/// How many are ready. `timeout_ms` -1: for ever.
pub fn poll(fds: []c.pollfd, timeout_ms: i32) i32 {
    return result(c.poll(fds.ptr, @intCast(fds.len), timeout_ms));
}

/// The timeout for a poll that is to end at `deadline`: in milliseconds, rounded up; -1, for ever, without one. At most 12 days,
/// for longer ones do not fit; whoever waits looks at the clock anyway.
pub fn millisecondsUntil(deadline: ?u64) i32 {
    const left = (deadline orelse return -1) -| now();
    return @intCast(@min(std.math.divCeil(u64, left, std.time.ns_per_ms) catch unreachable, 1 << 30));
}

/// Waits until one of `fds` can be read, or a signal came. `timeout_ms` -1: for ever.
pub fn pollReadable(fds: []const fd_t, timeout_ms: i32) void {
    var entries: [4]c.pollfd = undefined;
    for (fds, entries[0..fds.len]) |fd, *entry| entry.* = .{ .fd = fd, .events = c.POLL.IN, .revents = 0 };
    _ = poll(entries[0..fds.len], timeout_ms);
}

pub const waitWhile = os.waitWhile;
pub const wakeOne = os.wakeOne;

// Pipes, and what else makes a descriptor readable.

/// First the end to read, then the one to write.
pub const pipe = os.pipe;

/// On Windows: whether it is an open handle of a file, a socket or a pipe. Handles are multiples of 4.
pub const isFileOrSocket = os.isFileOrSocket;

/// On Windows: a socket that is connected to `port` of this process.
pub const connectedTo = os.connectedTo;

/// Makes the pipe readable. A full one is.
pub fn pipeSignal(fd: fd_t) void {
    _ = c.write(fd, "!", 1);
}

/// Takes at most 64 signals.
pub fn pipeClear(fd: fd_t) void {
    var bytes: [64]u8 = undefined;
    _ = c.read(fd, &bytes, bytes.len);
}

/// Its `fd` is readable from `signal` to `clear`, from whatever threads they are called. `open` gives 0 or a negative errno.
pub const Event = if (@hasDecl(os, "Event") and !imitates_macos) os.Event else PipeEvent;

/// An event where there is nothing smaller.
pub const PipeEvent = struct {
    /// The end to read.
    fd: fd_t,
    writer: fd_t,

    pub fn open(event: *PipeEvent) i32 {
        var ends: [2]fd_t = undefined;
        const rc = pipe(&ends, true);
        event.* = .{ .fd = ends[0], .writer = ends[1] };
        return rc;
    }

    pub fn close(event: PipeEvent) void {
        sys.close(event.fd);
        sys.close(event.writer);
    }

    pub fn signal(event: PipeEvent) void {
        pipeSignal(event.writer);
    }

    /// All signals: many may have come.
    pub fn clear(event: PipeEvent) void {
        while (isReadable(event.fd)) pipeClear(event.fd);
    }
};

// Files.

pub const Stat = os.Stat;

/// The C ABI's stat. Times are nanoseconds.
pub const StatValues = extern struct {
    dev: u64,
    ino: u64,
    mode: u64,
    nlink: u64,
    uid: u64,
    gid: u64,
    rdev: u64,
    size: u64,
    blksize: u64,
    blocks: u64,
    atime: i64,
    mtime: i64,
    ctime: i64,
    birthtime: i64,
};

pub const typeOf = os.typeOf;
pub const typeOfPath = os.typeOfPath;
pub const sync = os.sync;
pub const dataSync = os.dataSync;
pub const readNow = os.readNow;
pub const writeNow = os.writeNow;
pub const isStream = os.isStream;
pub const isTerminal = os.isTerminal;
pub const isWaitable = os.isWaitable;
pub const openAgain = os.openAgain;

/// The flags of `fd`'s description, or null when there is no such descriptor.
pub fn flagsOf(fd: fd_t) ?c.O {
    const flags = result(c.fcntl(fd, c.F.GETFL, @as(usize, 0)));
    return if (flags < 0) null else @bitCast(@as(u32, @intCast(flags)));
}

/// 0 or a negative errno.
pub fn setFlags(fd: fd_t, flags: c.O) i32 {
    return @min(result(c.fcntl(fd, c.F.SETFL, @as(usize, @as(u32, @bitCast(flags))))), 0);
}

pub fn closeOnExec(fd: fd_t) void {
    const close_on_exec: usize = 1;
    _ = c.fcntl(fd, c.F.SETFD, close_on_exec);
}

/// Another descriptor for the same description, 3 or more; or a negative errno.
pub fn duplicate(fd: fd_t) i32 {
    return result(c.fcntl(fd, c.F.DUPFD_CLOEXEC, @as(usize, 3)));
}

// Signals.

/// `none`, `all`, `add`, `remove`, `has`.
pub const SignalSet = os.SignalSet;
pub const internal_signals = os.internal_signals;
pub const unblocked_signals = os.unblocked_signals;
pub const setMask = os.setMask;
pub const sigaction = os.sigaction;
pub const raise = os.raise;
pub const withoutPipeSignal = os.withoutPipeSignal;

/// As Bun has it, unless the program listens to it, or has done so.
pub fn isPipeSignalIgnored() bool {
    var action: c.Sigaction = undefined;
    return sigaction(.PIPE, null, &action) == 0 and action.handler.handler == c.SIG.IGN;
}
