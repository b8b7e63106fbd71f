//! sys.zig's Windows part: what reads as in C is put on top of Windows' sockets here, and on top of its files in file_windows.zig. A
//! descriptor is a handle of the system; they have 32 bits. Errnos are libuv's numbers, which Bun and Node give to their users on Windows.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("sys.zig");
const file = @import("file_windows.zig");
const win32 = @import("win32.zig");
const ws2 = std.os.windows.ws2_32;

/// A handle.
const Fd = i32;

pub const c = struct {
    pub const fd_t = Fd;
    pub const sockaddr = ws2.sockaddr;
    pub const socklen_t = c_int;
    pub const AF = ws2.AF;
    pub const SOCK = ws2.SOCK;
    pub const SOL = ws2.SOL;
    pub const SO = struct {
        pub const REUSEADDR = ws2.SO.REUSEADDR;
        pub const KEEPALIVE = ws2.SO.KEEPALIVE;
        pub const BROADCAST = ws2.SO.BROADCAST;
        pub const SNDBUF = ws2.SO.SNDBUF;
        pub const RCVBUF = ws2.SO.RCVBUF;
        pub const ERROR = ws2.SO.ERROR;
        pub const TYPE = ws2.SO.TYPE;
        /// Not of Windows.
        pub const REUSEPORT = 0x7fff;
    };
    pub const IPPROTO = struct {
        pub const IP = 0;
        pub const TCP = 6;
        pub const UDP = 17;
        pub const IPV6 = 41;
    };
    pub const MSG = struct {
        pub const PEEK = ws2.MSG.PEEK;
        /// Sockets here never wait.
        pub const DONTWAIT = 0;
    };
    pub const POLL = struct {
        pub const IN = 0x100;
        pub const OUT = 0x10;
    };
    /// A handle has 64 bits there.
    pub const pollfd = extern struct { fd: Fd align(8), high: u32 = 0, events: i16, revents: i16 };

    /// libuv's numbers, positive.
    pub const E = enum(u16) {
        SUCCESS = 0,
        UNKNOWN = 4094,
        @"2BIG" = 4093,
        ACCES = 4092,
        ADDRINUSE = 4091,
        ADDRNOTAVAIL = 4090,
        AFNOSUPPORT = 4089,
        AGAIN = 4088,
        ALREADY = 4084,
        BADF = 4083,
        BUSY = 4082,
        CANCELED = 4081,
        CONNABORTED = 4079,
        CONNREFUSED = 4078,
        CONNRESET = 4077,
        DESTADDRREQ = 4076,
        EXIST = 4075,
        FAULT = 4074,
        HOSTUNREACH = 4073,
        INTR = 4072,
        INVAL = 4071,
        IO = 4070,
        ISCONN = 4069,
        ISDIR = 4068,
        LOOP = 4067,
        MFILE = 4066,
        MSGSIZE = 4065,
        NAMETOOLONG = 4064,
        NETDOWN = 4063,
        NETUNREACH = 4062,
        NFILE = 4061,
        NOBUFS = 4060,
        NODEV = 4059,
        NOENT = 4058,
        NOMEM = 4057,
        NOSPC = 4055,
        NOSYS = 4054,
        NOTCONN = 4053,
        NOTDIR = 4052,
        NOTEMPTY = 4051,
        NOTSOCK = 4050,
        NOTSUP = 4049,
        PERM = 4048,
        PIPE = 4047,
        PROTO = 4046,
        PROTONOSUPPORT = 4045,
        PROTOTYPE = 4044,
        ROFS = 4043,
        SPIPE = 4041,
        SRCH = 4040,
        TIMEDOUT = 4039,
        XDEV = 4037,
        FBIG = 4036,
        NOPROTOOPT = 4035,
        RANGE = 4034,
        NXIO = 4033,
        HOSTDOWN = 4031,
        NOTTY = 4029,
        OVERFLOW = 4026,
        SOCKTNOSUPPORT = 4025,

        // What libuv has no number for.
        pub const INPROGRESS: E = .AGAIN;
        pub const OPNOTSUPP: E = .NOTSUP;
        pub const CHILD: E = .SRCH;
    };

    // Each returns a result >= 0 or a negative errno, which `result` leaves as it is.

    pub fn bind(fd: Fd, address: *const sockaddr, len: socklen_t) i32 {
        return checked(win32.bind(socketOf(fd), address, len));
    }

    pub fn listen(fd: Fd, backlog: u32) i32 {
        return checked(win32.listen(socketOf(fd), std.math.lossyCast(c_int, backlog)));
    }

    /// What libuv has no number for, EINPROGRESS, is EAGAIN.
    pub fn connect(fd: Fd, address: *const sockaddr, len: socklen_t) i32 {
        const rc = checked(win32.connect(socketOf(fd), address, len));
        // Done at once: a datagram socket, which hears from this one only.
        if (rc >= 0) _ = reportRefusals(fd, true);
        return rc;
    }

    pub fn sendto(fd: Fd, bytes: [*]const u8, len: usize, flags: i32, to: ?*const sockaddr, to_len: socklen_t) i32 {
        const rc = checked(win32.sendto(socketOf(fd), bytes, std.math.lossyCast(c_int, len), flags, to, to_len));
        const is_datagram = to == null and (rc == sys.negative(.NOTCONN) or rc == sys.negative(.INVAL)) and kindOf(fd) == SOCK.DGRAM;
        if (is_datagram) return sys.negative(.DESTADDRREQ);
        if (rc != sys.negative(.NOTSUP) and rc != sys.negative(.FAULT)) return rc;
        // Said of an address that is none of the socket's family.
        var own: sys.Address = undefined;
        const is_other = to != null and sys.localAddress(fd, &own) >= 0 and own.any.family != to.?.family;
        return if (is_other) sys.negative(.AFNOSUPPORT) else rc;
    }

    pub fn recvfrom(fd: Fd, bytes: [*]u8, len: usize, flags: i32, from: ?*sockaddr, from_len: ?*socklen_t) i32 {
        const rc = checked(win32.recvfrom(socketOf(fd), bytes, std.math.lossyCast(c_int, len), flags, from, from_len));
        return if (rc == sys.negative(.PIPE)) 0 else rc; // its reading side was shut down here
    }

    pub fn shutdown(fd: Fd, how: i32) i32 {
        return checked(win32.shutdown(socketOf(fd), how));
    }

    pub fn setsockopt(fd: Fd, level: i32, name: u32, value: [*]const u8, len: socklen_t) i32 {
        if (level == SOL.SOCKET and name == SO.REUSEPORT) return sys.negative(.NOTSUP);
        return checked(win32.setsockopt(socketOf(fd), level, @bitCast(name), value, len));
    }

    pub fn getsockopt(fd: Fd, level: i32, name: u32, value: [*]u8, len: *socklen_t) i32 {
        return checked(win32.getsockopt(socketOf(fd), level, @bitCast(name), value, len));
    }

    pub fn getsockname(fd: Fd, address: *sockaddr, len: *socklen_t) i32 {
        return checked(win32.getsockname(socketOf(fd), address, len));
    }

    pub fn getpeername(fd: Fd, address: *sockaddr, len: *socklen_t) i32 {
        return checked(win32.getpeername(socketOf(fd), address, len));
    }

    pub fn poll(fds: [*]pollfd, len: u32, timeout_ms: i32) i32 {
        return checked(win32.WSAPoll(fds, len, timeout_ms));
    }

    pub const O = file.O;
    pub const PATH_MAX = 32 * 1024;
    pub const AT = struct {
        pub const FDCWD = 0;
    };
    pub const openat = file.openat;
    pub const pread = file.pread;
    pub const pwrite = file.pwrite;
    pub const ftruncate = file.ftruncate;

    pub const SEEK = struct {
        pub const CUR = 1;
    };

    /// All that is opened has positions.
    pub fn lseek(_: Fd, _: i64, _: u32) i32 {
        return 0;
    }

    /// Of a socket. Files are read at positions.
    pub fn read(fd: Fd, bytes: [*]u8, len: usize) i32 {
        return recvfrom(fd, bytes, len, 0, null, null);
    }

    pub fn write(fd: Fd, bytes: [*]const u8, len: usize) i32 {
        return sendto(fd, bytes, len, 0, null, 0);
    }

    /// Of a socket, or of any other handle.
    pub fn close(fd: Fd) i32 {
        if (win32.closesocket(socketOf(fd)) == 0 or win32.CloseHandle(handleOf(fd)) != 0) return 0;
        return sys.negative(.BADF);
    }
};

pub fn result(rc: i32) i32 {
    return rc;
}

/// Before the first socket. Windows counts: it may be called again.
pub fn startSockets() bool {
    var data: [512]u8 = undefined;
    return win32.WSAStartup(0x0202, &data) == 0;
}

pub fn handleOf(fd: Fd) win32.HANDLE {
    return @ptrFromInt(socketOf(fd));
}

pub fn socketOf(fd: Fd) win32.SOCKET {
    return @bitCast(@as(isize, fd));
}

/// The socket itself, below the layers that programs put over it.
pub fn baseOf(fd: Fd) win32.SOCKET {
    const sio_base_handle = 0x48000022;
    var base: win32.SOCKET = undefined;
    const rc = control(fd, sio_base_handle, "", std.mem.asBytes(&base));
    return if (rc == 0) base else socketOf(fd);
}

fn control(fd: Fd, code: u32, in: []const u8, out: []u8) i32 {
    var returned: u32 = 0;
    return checked(win32.WSAIoctl(socketOf(fd), code, in.ptr, @intCast(in.len), out.ptr, @intCast(out.len), &returned, null, null));
}

/// The errno, negative, for an error number of Windows or of its sockets.
pub fn failure(code: u32) i32 {
    return sys.negative(switch (code) {
        2, 3, 15, 53, 67, 123, 126, 161, 1200, 2250, 11001, 11004 => .NOENT,
        4, 10024 => .MFILE,
        5, 740, 998 => .PERM,
        10013 => .ACCES,
        6, 10009 => .BADF,
        8, 14, 1450 => .NOMEM,
        10055 => .NOBUFS,
        32, 33, 231, 10016 => .BUSY,
        50, 10045 => .NOTSUP,
        80, 183 => .EXIST,
        87, 10022 => .INVAL,
        109, 232, 233, 10058 => .PIPE,
        111, 206 => .NAMETOOLONG,
        39, 112, 1295 => .NOSPC,
        223 => .FBIG,
        31 => .IO,
        145 => .NOTEMPTY,
        267 => .NOTDIR,
        19 => .ROFS,
        995 => .CANCELED,
        996, 997, 10035, 10036 => .AGAIN,
        121, 258, 10060 => .TIMEDOUT,
        64, 1236, 10053 => .CONNABORTED,
        10052, 10054 => .CONNRESET,
        1225, 10061 => .CONNREFUSED,
        10004 => .INTR,
        10014 => .FAULT,
        10037 => .ALREADY,
        10038 => .NOTSOCK,
        10039 => .DESTADDRREQ,
        234, 10040 => .MSGSIZE,
        10041 => .PROTOTYPE,
        10042 => .NOPROTOOPT,
        10043 => .PROTONOSUPPORT,
        10044 => .SOCKTNOSUPPORT,
        10046, 10047 => .AFNOSUPPORT,
        1227, 10048 => .ADDRINUSE,
        10049 => .ADDRNOTAVAIL,
        10050 => .NETDOWN,
        1231, 10051 => .NETUNREACH,
        10056 => .ISCONN,
        10057 => .NOTCONN,
        10064 => .HOSTDOWN,
        1232, 10065 => .HOSTUNREACH,
        else => .UNKNOWN,
    });
}

/// Of a call on sockets: what it returned, or why it failed.
fn checked(rc: c_int) i32 {
    return if (rc < 0) failure(@intCast(win32.WSAGetLastError())) else rc;
}

fn kindOf(fd: Fd) i32 {
    var kind: c_int = 0;
    const rc = sys.getOption(fd, ws2.SOL.SOCKET, ws2.SO.TYPE, std.mem.asBytes(&kind));
    return if (rc < 0) rc else kind;
}

/// It never waits, whatever is asked for, and programs that are started do not get it.
pub fn openSocket(family: u32, kind: u32, protocol: u32, _: bool) i32 {
    const fd = neverWaits(openRaw(@intCast(family), @intCast(kind), @intCast(protocol)));
    // Otherwise a datagram that nobody took ends the next receive, whoever that is from.
    if (fd >= 0 and kind == ws2.SOCK.DGRAM) _ = reportRefusals(fd, false);
    return fd;
}

fn openRaw(family: c_int, kind: c_int, protocol: c_int) win32.SOCKET {
    const overlapped = 1;
    const no_handle_inherit = 0x80;
    return win32.WSASocketW(family, kind, protocol, null, 0, overlapped | no_handle_inherit);
}

/// The descriptor for a new socket, which is closed if it cannot be one.
fn neverWaits(s: win32.SOCKET) i32 {
    if (s == win32.invalid_socket) return checked(-1);
    const fionbio: c_long = @bitCast(@as(c_ulong, 0x8004667e));
    var on: u32 = 1;
    const rc = if (s > std.math.maxInt(Fd)) sys.negative(.MFILE) else checked(win32.ioctlsocket(s, fionbio, &on));
    if (rc >= 0) return @intCast(s);
    _ = win32.closesocket(s);
    return rc;
}

/// Of a datagram socket: whether a receive fails when a datagram that was sent before found nobody.
pub fn reportRefusals(fd: Fd, on: bool) i32 {
    const sio_udp_connreset = 0x9800000c;
    const value: u32 = @intFromBool(on);
    return control(fd, sio_udp_connreset, std.mem.asBytes(&value), &.{});
}

pub fn accept(fd: Fd, _: bool) i32 {
    return neverWaits(win32.accept(socketOf(fd), null, null));
}

pub const send_flags = 0;
/// All sockets of ours are non-blocking.
pub const sends_without_waiting = true;

/// The next datagram, into `bytes`: how long it was, or a negative errno. Of a longer one than they hold only that is known.
pub fn receiveFrom(fd: Fd, bytes: []u8, from: *sys.Address) i32 {
    from.any.family = ws2.AF.UNSPEC;
    var from_len: c_int = @sizeOf(sys.Address);
    const rc = c.recvfrom(fd, bytes.ptr, bytes.len, 0, &from.any, &from_len);
    if (rc == sys.negative(.MSGSIZE)) return @intCast(bytes.len + 1);
    // What a connected socket has sent found nobody.
    return if (rc == sys.negative(.CONNRESET)) sys.negative(.CONNREFUSED) else rc;
}

/// Two sockets that are connected to each other.
pub fn socketPair(_: u32, ends: *[2]Fd) i32 {
    return pipe(ends, true);
}

/// Seconds; 0: what is usual.
pub fn keepAlive(fd: Fd, on: bool, idle: u32, interval: u32) i32 {
    const sio_keepalive_vals = 0x98000004;
    const values = [3]u32{ @intFromBool(on), (if (idle > 0) idle else 7200) *| 1000, (if (interval > 0) interval else 1) *| 1000 };
    return control(fd, sio_keepalive_vals, std.mem.asBytes(&values), &.{});
}

pub const has_unix_names = false;
pub const IP = @import("bsd_options.zig").IP;
pub const IPV6 = @import("bsd_options.zig").IPV6;

pub const TCP = struct {
    pub const NODELAY = 1;
    pub const KEEPIDLE = 3;
    pub const KEEPCNT = 16;
    pub const KEEPINTVL = 17;
};

/// Only files are opened.
pub fn isStream(_: Fd) bool {
    return false;
}

/// Interfaces go by the names that os.networkInterfaces() has for them, or by their numbers. `socket` is any.
pub fn interfaceIndex(_: Fd, name: []const u8) ?u32 {
    if (std.fmt.parseInt(u32, name, 10)) |index| return index else |_| {}
    var wide: [257]u16 = undefined;
    if (name.len >= wide.len) return null;
    wide[std.unicode.wtf8ToWtf16Le(&wide, name) catch return null] = 0;
    var luid: u64 = undefined;
    var index: u32 = undefined;
    if (win32.ConvertInterfaceAliasToLuid(@ptrCast(&wide), &luid) != 0 or win32.ConvertInterfaceLuidToIndex(&luid, &index) != 0) return null;
    return index;
}

/// There is no SIGPIPE.
pub fn withoutPipeSignal(_: Fd, comptime call: anytype, args: anytype) i32 {
    return @call(.auto, call, args);
}

pub const Stat = file.Stat;
pub const sync = file.sync;
pub const dataSync = file.sync;

/// No call here can promise not to wait.
pub fn readNow(_: Fd, _: []u8, _: i64) i32 {
    return sys.negative(.NOSYS);
}

pub fn writeNow(_: Fd, _: []const u8, _: i64) i32 {
    return sys.negative(.NOSYS);
}

/// Whether a connect is over or a socket can be written. One that failed is told as an exception, and not by every poll.
pub fn isWritable(fd: Fd) bool {
    var set: Set = .{ .socket = socketOf(fd) };
    var failed = set;
    return win32.select(0, null, &set, &failed, &.{ 0, 0 }) > 0;
}

const Set = extern struct { count: u32 = 1, socket: win32.SOCKET };

pub fn isFileOrSocket(fd: Fd) bool {
    const disk = 1;
    const pipe_or_socket = 3;
    const kind = win32.GetFileType(handleOf(fd));
    return kind == disk or kind == pipe_or_socket;
}

/// Two sockets, connected to each other through the loopback: what is written to the second makes the first readable. Windows has no
/// other pair of ends that its sockets' driver tells of.
pub fn pipe(ends: *[2]Fd, _: bool) i32 {
    const listener = openSocket(ws2.AF.INET, ws2.SOCK.STREAM, c.IPPROTO.TCP, true);
    if (listener < 0) return listener;
    defer sys.close(listener);
    var address: sys.Address = .{ .in = .{ .port = 0, .addr = @bitCast([4]u8{ 127, 0, 0, 1 }) } };
    var rc = sys.bind(listener, &address);
    if (rc >= 0) rc = sys.listen(listener, 8);
    if (rc >= 0) rc = sys.localAddress(listener, &address);
    if (rc < 0) return rc;
    const out = connectedTo(address.port());
    if (out < 0) return out;
    const in = acceptFrom(listener, out);
    if (in < 0) {
        sys.close(out);
        return in;
    }
    ends.* = .{ in, out };
    return 0;
}

/// A socket that is connected to a listener of this process, so that it has to wait for the kernel only.
pub fn connectedTo(port: u16) i32 {
    const s = openRaw(ws2.AF.INET, ws2.SOCK.STREAM, c.IPPROTO.TCP);
    if (s == win32.invalid_socket) return checked(-1);
    const address: sys.Address = .{ .in = .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast([4]u8{ 127, 0, 0, 1 }) } };
    const rc = checked(win32.connect(s, &address, address.len()));
    if (rc < 0) {
        _ = win32.closesocket(s);
        return rc;
    }
    const fd = neverWaits(s);
    if (fd >= 0) _ = sys.setOption(fd, c.IPPROTO.TCP, ws2.TCP.NODELAY, 1);
    return fd;
}

/// The connection from `peer` and from nobody else who has found the port meanwhile.
fn acceptFrom(listener: Fd, peer: Fd) i32 {
    var wanted: sys.Address = undefined;
    const named = sys.localAddress(peer, &wanted);
    if (named < 0) return named;
    while (true) {
        var set: Set = .{ .socket = socketOf(listener) };
        if (win32.select(0, &set, null, null, &.{ 5, 0 }) <= 0) return sys.negative(.TIMEDOUT);
        const fd = accept(listener, true);
        if (fd < 0) return fd;
        var address: sys.Address = undefined;
        if (sys.peerAddress(fd, &address) >= 0 and address.in.port == wanted.in.port and address.in.addr == wanted.in.addr) return fd;
        sys.close(fd);
    }
}

pub const Event = struct {
    /// A pipe.
    fd: Fd,
    other: Fd,

    pub fn open(event: *Event) i32 {
        var ends: [2]Fd = undefined;
        const rc = pipe(&ends, true);
        if (rc >= 0) event.* = .{ .fd = ends[0], .other = ends[1] };
        return @min(rc, 0);
    }

    pub fn close(event: Event) void {
        sys.close(event.fd);
        sys.close(event.other);
    }

    pub fn signal(event: Event) void {
        sys.pipeSignal(event.other);
    }

    pub fn clear(event: Event) void {
        sys.pipeClear(event.fd);
    }
};

/// Sleeps while `word` is `expected`, at most `timeout_ns`, or until it is woken, or for no reason. False: the time is over.
pub fn waitWhile(word: *const u32, expected: u32, timeout_ns: ?u64) bool {
    // Negative: from now on, in 100 ns.
    const timeout: i64 = if (timeout_ns) |ns| -@as(i64, @intCast(ns / 100)) else undefined;
    const status = win32.RtlWaitOnAddress(word, &expected, @sizeOf(u32), if (timeout_ns != null) &timeout else null);
    const timed_out = 0x102;
    return status != timed_out;
}

pub fn wakeOne(word: *const u32) void {
    win32.RtlWakeAddressSingle(word);
}

/// The system's resolver of names, for io/lookup.zig.
pub const resolver = struct {
    /// `struct addrinfo`
    pub const Info = extern struct {
        flags: c_int,
        family: c_int,
        socktype: c_int,
        protocol: c_int,
        addrlen: usize,
        canonname: ?[*:0]u8,
        addr: ?*ws2.sockaddr,
        next: ?*Info,
    };

    pub extern "ws2_32" fn getaddrinfo(name: [*:0]const u8, service: ?[*:0]const u8, hints: *const Info, out: *?*Info) callconv(.c) c_int;
    pub extern "ws2_32" fn freeaddrinfo(info: *Info) callconv(.c) void;

    /// Of an EAI_*, which are codes of Winsock here.
    pub fn errnoOf(code: c_int) sys.E {
        return switch (code) {
            // WSAHOST_NOT_FOUND, WSANO_DATA
            11001, 11004 => .NOENT,
            // WSATRY_AGAIN
            11002 => .AGAIN,
            // WSAEAFNOSUPPORT
            10047 => .AFNOSUPPORT,
            // WSA_NOT_ENOUGH_MEMORY
            8 => .NOMEM,
            // WSANO_RECOVERY and the rest
            else => .IO,
        };
    }
};
