//! sys.zig's macOS part. The system's one stable interface is its C library (libSystem), so all calls are made through that.
//!
//! What Linux has and this system does not, and what is done instead:
//!  * flags of a call that makes a descriptor: `fcntl` afterwards; a program that another thread starts in between may inherit it;
//!  * MSG_NOSIGNAL: SO_NOSIGPIPE, on every socket that comes into our hands;
//!  * MSG_DONTWAIT for sends is not to be relied on: descriptors must be non-blocking (`sends_without_waiting`);
//!  * reading what the page cache has (RWF_NOWAIT): every read of a file goes to the pool;
//!  * datagrams in batches, Unix sockets with names.

const std = @import("std");
const sys = @import("sys.zig");
const fd_t = c.fd_t;

pub const c = std.c;

/// What a call returned, as a result >= 0 or a negative errno.
pub fn result(rc: anytype) i32 {
    if (rc == -1) return -@as(i32, c._errno().*);
    return @intCast(@min(rc, std.math.maxInt(i32)));
}

pub const sends_without_waiting = false;

pub fn openSocket(family: u32, kind: u32, protocol: u32, nonblocking: bool) i32 {
    const fd = result(c.socket(family, kind, protocol));
    if (fd < 0) return fd;
    // Otherwise no datagram may be larger than 9216 bytes.
    if (kind == c.SOCK.DGRAM) _ = sys.setOption(fd, c.SOL.SOCKET, c.SO.SNDBUF, largest_datagram);
    return prepared(fd, nonblocking);
}

pub fn socketPair(kind: u32, ends: *[2]fd_t) i32 {
    const rc = result(c.socketpair(c.AF.UNIX, kind, 0, ends));
    if (rc >= 0) for (ends) |end| {
        _ = prepared(end, true);
    };
    return rc;
}

pub fn accept(fd: fd_t, nonblocking: bool) i32 {
    const accepted = sys.retry(c.accept, .{ fd, null, null });
    return if (accepted < 0) accepted else prepared(accepted, nonblocking);
}

/// A socket as all of ours are. An accepted one has its listener's O_NONBLOCK; nothing here fails on a socket.
fn prepared(fd: fd_t, nonblocking: bool) fd_t {
    sys.closeOnExec(fd);
    _ = muteSocket(fd);
    if (sys.flagsOf(fd)) |now| {
        var flags = now;
        flags.NONBLOCK = nonblocking;
        _ = sys.setFlags(fd, flags);
    }
    return fd;
}

/// What is sent to it raises no SIGPIPE.
pub fn muteSocket(fd: fd_t) i32 {
    return sys.setOption(fd, c.SOL.SOCKET, c.SO.NOSIGPIPE, 1);
}

/// Of calls that send, beside what was set on the socket.
pub const send_flags = c.MSG.DONTWAIT;

pub fn pipe(ends: *[2]fd_t, nonblocking: bool) i32 {
    const rc = result(c.pipe(ends));
    if (rc < 0) return rc;
    for (ends) |end| {
        sys.closeOnExec(end);
        if (!nonblocking) continue;
        var flags = sys.flagsOf(end).?;
        flags.NONBLOCK = true;
        _ = sys.setFlags(end, flags);
    }
    return 0;
}

pub const Stat = struct {
    raw: c.Stat,

    /// 0 or a negative errno.
    pub fn read(stat: *Stat, fd: fd_t) i32 {
        return sys.retry(c.fstat, .{ fd, &stat.raw });
    }

    pub fn values(stat: *const Stat) sys.StatValues {
        const s = &stat.raw;
        return .{
            .dev = @as(u32, @bitCast(s.dev)),
            .ino = s.ino,
            .mode = s.mode,
            .nlink = s.nlink,
            .uid = s.uid,
            .gid = s.gid,
            .rdev = @as(u32, @bitCast(s.rdev)),
            .size = @bitCast(s.size),
            .blksize = @intCast(s.blksize),
            .blocks = @bitCast(s.blocks),
            .atime = nanoseconds(s.atime()),
            .mtime = nanoseconds(s.mtime()),
            .ctime = nanoseconds(s.ctime()),
            .birthtime = nanoseconds(s.birthtime()),
        };
    }

    fn nanoseconds(t: c.timespec) i64 {
        return t.sec *| std.time.ns_per_s +| t.nsec;
    }
};

/// The type (`S.IFMT`) of what `fd` or `path` names, or a negative errno.
pub fn typeOf(fd: fd_t) i32 {
    var about: c.Stat = undefined;
    const rc = result(c.fstat(fd, &about));
    return if (rc < 0) rc else about.mode & c.S.IFMT;
}

pub fn typeOfPath(path: [*:0]const u8) i32 {
    var about: c.Stat = undefined;
    const rc = result(c.fstatat(c.AT.FDCWD, path, &about, 0));
    return if (rc < 0) rc else about.mode & c.S.IFMT;
}

/// Past the disk's own cache, which fsync alone leaves things in, unless the file system cannot.
pub fn sync(fd: fd_t) i32 {
    const rc = sys.retry(c.fcntl, .{ fd, c.F.FULLFSYNC });
    return if (rc >= 0) 0 else sys.retry(c.fsync, .{fd});
}

pub const dataSync = sync;

/// No file can tell here.
pub fn readNow(_: fd_t, _: []u8, _: i64) i32 {
    return sys.negative(.OPNOTSUPP);
}

pub fn writeNow(_: fd_t, _: []const u8, _: i64) i32 {
    return sys.negative(.OPNOTSUPP);
}

/// Whether it has no positions. A terminal's `lseek` may seem to work.
pub fn isStream(fd: fd_t) bool {
    return result(c.lseek(fd, 0, c.SEEK.CUR)) == sys.negative(.SPIPE) or isTerminal(fd);
}

pub fn isTerminal(fd: fd_t) bool {
    return c.isatty(fd) == 1;
}

/// Whether it can be waited for. The terminal by the name /dev/tty cannot, nor can devices that never make anybody wait.
pub fn isWaitable(fd: fd_t) bool {
    const kqueue = @import("io/kqueue.zig");
    const probe = kqueue.open();
    if (probe < 0) return true;
    defer sys.close(probe);
    return kqueue.change(probe, .{ .ident = @intCast(fd), .filter = .read, .flags = .{ .add = true } }) == 0 or
        kqueue.change(probe, .{ .ident = @intCast(fd), .filter = .write, .flags = .{ .add = true } }) == 0;
}

/// What `fd` is, opened once more by its path: a description of its own, which does not wait. Or a negative errno: an unnamed pipe has none.
/// (To open /dev/fd/N gives the same description.)
pub fn openAgain(fd: fd_t, mode: std.posix.ACCMODE) i32 {
    var path: [c.PATH_MAX]u8 = undefined;
    const named = result(c.fcntl(fd, c.F.GETPATH, &path));
    if (named < 0) return named;
    const flags: c.O = .{ .ACCMODE = mode, .NONBLOCK = true, .CLOEXEC = true, .NOCTTY = true };
    const again = sys.retry(c.open, .{ @as([*:0]const u8, @ptrCast(&path)), flags });
    if (again < 0 or isSame(fd, again)) return again;
    sys.close(again);
    return sys.negative(.NOENT);
}

fn isSame(a: fd_t, b: fd_t) bool {
    var about: [2]c.Stat = undefined;
    if (c.fstat(a, &about[0]) != 0 or c.fstat(b, &about[1]) != 0) return false;
    return about[0].dev == about[1].dev and about[0].ino == about[1].ino;
}

/// Of the other end of a Unix socket: process, user, group.
pub fn peerCredentials(fd: fd_t, out: *[3]i32) i32 {
    const local = 0;
    const peer_cred = 1;
    const peer_pid = 2;
    var credentials: extern struct { version: u32, user: u32, count: c_short, groups: [16]u32 } = undefined;
    const rc = sys.getOption(fd, local, peer_cred, std.mem.asBytes(&credentials));
    if (rc < 0) return rc;
    out[1] = @bitCast(credentials.user);
    out[2] = if (credentials.count > 0) @bitCast(credentials.groups[0]) else -1;
    return sys.getOption(fd, local, peer_pid, std.mem.asBytes(&out[0]));
}

pub const has_unix_names = false;

pub const IP = @import("bsd_options.zig").IP;
pub const IPV6 = @import("bsd_options.zig").IPV6;
// netinet/tcp.h
pub const TCP = struct {
    pub const NODELAY = 1;
    /// TCP_KEEPALIVE there.
    pub const KEEPIDLE = 0x10;
    pub const KEEPINTVL = 0x101;
    pub const KEEPCNT = 0x102;
};

/// The index of the interface of that name; null: there is none.
pub fn interfaceIndex(_: fd_t, name: []const u8) ?u32 {
    var text: [16:0]u8 = @splat(0);
    if (name.len >= text.len) return null;
    @memcpy(text[0..name.len], name);
    const index = c.if_nametoindex(&text);
    return if (index > 0) @intCast(index) else null;
}

/// Sleeps while `word` is `expected`, at most `timeout_ns`, or until it is woken, or for no reason. False: the time is over.
pub fn waitWhile(word: *const u32, expected: u32, timeout_ns: ?u64) bool {
    // 0 is for ever.
    const rc = c.__ulock_wait2(.{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true }, word, expected, if (timeout_ns) |ns| @max(ns, 1) else 0, 0);
    return rc != sys.negative(.TIMEDOUT);
}

pub fn wakeOne(word: *const u32) void {
    _ = c.__ulock_wake(.{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true }, word, 0);
}

pub const SignalSet = struct {
    set: c.sigset_t,

    pub const none: SignalSet = .{ .set = 0 };
    pub const all: SignalSet = .{ .set = std.math.maxInt(c.sigset_t) };

    pub fn add(s: *SignalSet, signal: c.SIG) void {
        s.set |= bitOf(signal);
    }

    pub fn remove(s: *SignalSet, signal: c.SIG) void {
        s.set &= ~bitOf(signal);
    }

    pub fn has(s: *const SignalSet, signal: c.SIG) bool {
        return s.set & bitOf(signal) != 0;
    }

    fn bitOf(signal: c.SIG) c.sigset_t {
        return @as(c.sigset_t, 1) << @intCast(@intFromEnum(signal) - 1);
    }
};

pub const internal_signals = [_]u32{};
pub const unblocked_signals = [_]u32{};

/// Of this thread. Returns what it was.
pub fn setMask(mask: *const SignalSet) SignalSet {
    var before: SignalSet = undefined;
    _ = c.pthread_sigmask(c.SIG.SETMASK, &mask.set, &before.set);
    return before;
}

pub fn sigaction(signal: c.SIG, new: ?*const c.Sigaction, old: ?*c.Sigaction) i32 {
    return result(c.sigaction(signal, new, old));
}

/// To this thread.
pub fn raise(signal: c.SIG) void {
    _ = c.pthread_kill(c.pthread_self(), signal);
}

/// Makes a call that writes to `fd`, without SIGPIPE. The system sends that to the process, so blocking it here would not help; but a
/// description can be told to raise none. It may be shared, so it is told for this call only.
pub fn withoutPipeSignal(fd: fd_t, comptime call: anytype, args: anytype) i32 {
    if (sys.isPipeSignalIgnored()) return @call(.auto, call, args);
    const was_mute = c.fcntl(fd, c.F.GETNOSIGPIPE) > 0;
    if (!was_mute) _ = c.fcntl(fd, c.F.SETNOSIGPIPE, @as(c_int, 1));
    const rc = @call(.auto, call, args);
    if (!was_mute) _ = c.fcntl(fd, c.F.SETNOSIGPIPE, @as(c_int, 0));
    return rc;
}

/// The next datagram, into `bytes`: how long it was, which may be more than they hold, or a negative errno. Never waits.
pub fn receiveFrom(fd: fd_t, bytes: []u8, from: *sys.Address) i32 {
    from.any.family = c.AF.UNSPEC;
    // The call does not tell the length of one that it cuts; this tells it beforehand, and may be wrong where others receive as well.
    var next: c_int = 0;
    if (bytes.len < largest_datagram) _ = sys.getOption(fd, c.SOL.SOCKET, c.SO.NREAD, std.mem.asBytes(&next));
    var part = [1]std.posix.iovec{.{ .base = bytes.ptr, .len = bytes.len }};
    var message: c.msghdr = .{
        .name = &from.any,
        .namelen = @sizeOf(sys.Address),
        .iov = &part,
        .iovlen = 1,
        .control = null,
        .controllen = 0,
        .flags = 0,
    };
    const length = sys.retry(c.recvmsg, .{ fd, &message, c.MSG.DONTWAIT });
    if (length < 0 or @as(u32, @bitCast(message.flags)) & c.MSG.TRUNC == 0) return length;
    return @max(length + 1, next);
}

const largest_datagram = 64 * 1024;
