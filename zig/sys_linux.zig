//! sys.zig's Linux part: what Linux has alone, or does its own way. System calls are made without the C library.

const std = @import("std");
const linux = std.os.linux;
const sys = @import("sys.zig");
const fd_t = linux.fd_t;

pub const c = linux;

/// What a raw call returned, as a result >= 0 or a negative errno.
pub fn result(rc: usize) i32 {
    return @intCast(std.math.clamp(@as(isize, @bitCast(rc)), -4095, std.math.maxInt(i32)));
}

pub fn openSocket(family: u32, kind: u32, protocol: u32, nonblocking: bool) i32 {
    return result(linux.socket(family, kind | socketFlags(nonblocking), protocol));
}

pub fn socketPair(kind: u32, ends: *[2]fd_t) i32 {
    return result(linux.socketpair(linux.AF.UNIX, kind | socketFlags(true), 0, ends));
}

pub fn accept(fd: fd_t, nonblocking: bool) i32 {
    return sys.retry(linux.accept4, .{ fd, null, null, socketFlags(nonblocking) });
}

fn socketFlags(nonblocking: bool) u32 {
    return linux.SOCK.CLOEXEC | (if (nonblocking) @as(u32, linux.SOCK.NONBLOCK) else 0);
}

pub const sends_without_waiting = !sys.imitates_macos;

/// Each call says it.
pub fn muteSocket(_: fd_t) i32 {
    return 0;
}

/// Of calls that send: no waiting, no SIGPIPE.
pub const send_flags = linux.MSG.NOSIGNAL | (if (sends_without_waiting) linux.MSG.DONTWAIT else 0);

pub fn pipe(ends: *[2]fd_t, nonblocking: bool) i32 {
    return result(linux.pipe2(ends, .{ .CLOEXEC = true, .NONBLOCK = nonblocking }));
}

pub const Event = struct {
    /// An eventfd.
    fd: fd_t,

    pub fn open(event: *Event) i32 {
        const fd = result(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
        event.fd = fd;
        return @min(fd, 0);
    }

    pub fn close(event: Event) void {
        sys.close(event.fd);
    }

    pub fn signal(event: Event) void {
        const one: u64 = 1;
        _ = linux.write(event.fd, std.mem.asBytes(&one), 8);
    }

    pub fn clear(event: Event) void {
        var count: u64 = 0;
        _ = linux.read(event.fd, std.mem.asBytes(&count), 8);
    }
};

pub const Stat = struct {
    raw: linux.Statx,

    /// 0 or a negative errno.
    pub fn read(stat: *Stat, fd: fd_t) i32 {
        return sys.retry(linux.statx, .{ fd, "", linux.AT.EMPTY_PATH, fields, &stat.raw });
    }

    /// What a statx asks for.
    pub const fields: linux.STATX = fields: {
        var wanted: linux.STATX = .BASIC_STATS;
        wanted.BTIME = true;
        break :fields wanted;
    };

    pub fn values(stat: *const Stat) sys.StatValues {
        const s = &stat.raw;
        return .{
            .dev = device(s.dev_major, s.dev_minor),
            .ino = s.ino,
            .mode = s.mode,
            .nlink = s.nlink,
            .uid = s.uid,
            .gid = s.gid,
            .rdev = device(s.rdev_major, s.rdev_minor),
            .size = s.size,
            .blksize = s.blksize,
            .blocks = s.blocks,
            .atime = nanoseconds(s.atime),
            .mtime = nanoseconds(s.mtime),
            .ctime = nanoseconds(s.ctime),
            .birthtime = nanoseconds(if (s.mask.BTIME) s.btime else s.ctime),
        };
    }

    /// A device number as the C library makes it.
    fn device(major: u64, minor: u64) u64 {
        return (major & 0xffff_f000) << 32 | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | (minor & 0xff);
    }

    fn nanoseconds(t: linux.statx_timestamp) i64 {
        return t.sec *| std.time.ns_per_s +| t.nsec;
    }
};

/// The type (`S.IFMT`) of what `fd` or `path` names, or a negative errno.
pub fn typeOf(fd: fd_t) i32 {
    return typeAt(fd, "", linux.AT.EMPTY_PATH);
}

pub fn typeOfPath(path: [*:0]const u8) i32 {
    return typeAt(linux.AT.FDCWD, path, 0);
}

fn typeAt(fd: fd_t, path: [*:0]const u8, flags: u32) i32 {
    var about: linux.Statx = undefined;
    const rc = result(linux.statx(fd, path, flags, .{ .TYPE = true }, &about));
    return if (rc < 0) rc else about.mode & linux.S.IFMT;
}

pub fn sync(fd: fd_t) i32 {
    return sys.retry(linux.fsync, .{fd});
}

pub fn dataSync(fd: fd_t) i32 {
    return sys.retry(linux.fdatasync, .{fd});
}

/// Reads what needs no waiting: -EAGAIN when there is nothing of that kind, -EOPNOTSUPP when the file cannot tell. May give less
/// than there is. `at` -1: where the descriptor is, and of what has no positions.
pub fn readNow(fd: fd_t, bytes: []u8, at: i64) i32 {
    if (sys.imitates_macos) return sys.negative(.OPNOTSUPP);
    const vector = [1]std.posix.iovec{.{ .base = bytes.ptr, .len = bytes.len }};
    return sys.retry(linux.preadv2, .{ fd, &vector, 1, at, linux.RWF.NOWAIT });
}

pub fn writeNow(fd: fd_t, bytes: []const u8, at: i64) i32 {
    if (sys.imitates_macos) return sys.negative(.OPNOTSUPP);
    const vector = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
    return sys.retry(linux.pwritev2, .{ fd, &vector, 1, at, linux.RWF.NOWAIT });
}

/// Whether it has no positions.
pub fn isStream(fd: fd_t) bool {
    return result(linux.lseek(fd, 0, linux.SEEK.CUR)) == sys.negative(.SPIPE);
}

/// Whether it can be waited for.
pub fn isWaitable(_: fd_t) bool {
    return true;
}

/// Whether `fd` is a terminal, and not the master of a pseudo terminal.
pub fn isTerminal(fd: fd_t) bool {
    var about: linux.Statx = undefined;
    const rc = result(linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .TYPE = true }, &about));
    if (rc < 0 or (about.rdev_major == 5 and about.rdev_minor == 2)) return false;
    var settings: linux.termios = undefined;
    return result(linux.tcgetattr(fd, &settings)) >= 0;
}

/// What `fd` is, opened once more: a description of its own, which does not wait. Or a negative errno.
pub fn openAgain(fd: fd_t, mode: std.posix.ACCMODE) i32 {
    if (sys.imitates_macos and !isTerminal(fd)) return sys.negative(.BADF);
    var buffer: [32]u8 = undefined;
    const path = std.fmt.bufPrintZ(&buffer, "/proc/self/fd/{d}", .{fd}) catch unreachable;
    const flags: linux.O = .{ .ACCMODE = mode, .NONBLOCK = true, .CLOEXEC = true, .NOCTTY = true };
    return sys.retry(linux.openat, .{ linux.AT.FDCWD, path.ptr, flags, 0 });
}

/// Of the other end of a Unix socket: process, user, group.
pub fn peerCredentials(fd: fd_t, out: *[3]i32) i32 {
    return sys.getOption(fd, linux.SOL.SOCKET, linux.SO.PEERCRED, std.mem.asBytes(out));
}

/// Whether Unix sockets may have names, which begin with a zero byte, in place of paths.
pub const has_unix_names = true;

pub const IP = linux.IP;
pub const IPV6 = linux.IPV6;
pub const TCP = linux.TCP;

/// The index of the interface of that name; null: there is none. `socket` is any.
pub fn interfaceIndex(socket: fd_t, name: []const u8) ?u32 {
    // The kernel writes the index behind the name; the whole is larger only for other requests.
    var request: extern struct { name: [16]u8, index: c_int, unused: [20]u8 } = .{ .name = @splat(0), .index = 0, .unused = @splat(0) };
    if (name.len >= request.name.len) return null;
    @memcpy(request.name[0..name.len], name);
    if (result(linux.ioctl(socket, linux.SIOCGIFINDEX, @intFromPtr(&request))) < 0) return null;
    return @intCast(request.index);
}

/// Sleeps while `word` is `expected`, at most `timeout_ns`, or until it is woken, or for no reason. False: the time is over.
pub fn waitWhile(word: *const u32, expected: u32, timeout_ns: ?u64) bool {
    const timeout: linux.timespec = if (timeout_ns) |ns| .{ .sec = @intCast(ns / std.time.ns_per_s), .nsec = @intCast(ns % std.time.ns_per_s) } else undefined;
    const rc = linux.futex_4arg(word, .{ .cmd = .WAIT, .private = true }, expected, if (timeout_ns != null) &timeout else null);
    return result(rc) != sys.negative(.TIMEDOUT);
}

pub fn wakeOne(word: *const u32) void {
    _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = true }, 1);
}

pub const SignalSet = struct {
    set: linux.sigset_t,

    pub const none: SignalSet = .{ .set = linux.sigemptyset() };
    pub const all: SignalSet = .{ .set = linux.sigfillset() };

    pub fn add(s: *SignalSet, signal: linux.SIG) void {
        linux.sigaddset(&s.set, signal);
    }

    pub fn remove(s: *SignalSet, signal: linux.SIG) void {
        linux.sigdelset(&s.set, signal);
    }

    pub fn has(s: *const SignalSet, signal: linux.SIG) bool {
        return linux.sigismember(&s.set, signal);
    }
};

/// By these C libraries talk to all threads, when the user is changed, say: nobody else may handle them, and no thread may block them.
pub const internal_signals = [_]u32{ 32, 33 };
pub const unblocked_signals = internal_signals ++ [_]u32{34};

/// Of this thread. Returns what it was.
pub fn setMask(mask: *const SignalSet) SignalSet {
    var before: SignalSet = undefined;
    _ = linux.sigprocmask(linux.SIG.SETMASK, &mask.set, &before.set);
    return before;
}

pub fn sigaction(signal: linux.SIG, new: ?*const linux.Sigaction, old: ?*linux.Sigaction) i32 {
    return result(linux.sigaction(signal, new, old));
}

/// To this thread.
pub fn raise(signal: linux.SIG) void {
    _ = linux.tkill(linux.gettid(), signal);
}

/// Makes a call that writes to `fd`, without SIGPIPE.
pub fn withoutPipeSignal(_: fd_t, comptime call: anytype, args: anytype) i32 {
    if (sys.isPipeSignalIgnored()) return @call(.auto, call, args);
    var signal: SignalSet = .none;
    signal.add(.PIPE);
    var before: SignalSet = undefined;
    _ = linux.sigprocmask(linux.SIG.BLOCK, &signal.set, &before.set);
    var pending: SignalSet = .none;
    _ = linux.syscall2(.rt_sigpending, @intFromPtr(&pending.set), linux.NSIG / 8);
    const rc = @call(.auto, call, args);
    // The one that this raised, for it was sent to this thread, is taken before anybody sees it.
    if (rc == sys.negative(.PIPE) and !pending.has(.PIPE)) {
        const at_once: linux.kernel_timespec = .{ .sec = 0, .nsec = 0 };
        _ = linux.syscall4(.rt_sigtimedwait, @intFromPtr(&signal.set), 0, @intFromPtr(&at_once), linux.NSIG / 8);
    }
    _ = setMask(&before);
    return rc;
}

/// The next datagram, into `bytes`: how long it was, which may be more than they hold, or a negative errno. Never waits.
pub fn receiveFrom(fd: fd_t, bytes: []u8, from: *sys.Address) i32 {
    from.any.family = linux.AF.UNSPEC;
    var from_len: linux.socklen_t = @sizeOf(sys.Address);
    return sys.retry(linux.recvfrom, .{ fd, bytes.ptr, bytes.len, linux.MSG.DONTWAIT | linux.MSG.TRUNC, &from.any, &from_len });
}
