//! Descriptor: how to read and write what is no socket, such as pipes, terminals and character devices, without ever waiting.
//!
//! What `open` made, the description, may be shared: a terminal or a pipe that was inherited is the parent's too. O_NONBLOCK belongs to the
//! description, so setting it there would change what other processes see. Instead a pipe or terminal is opened again through
//! /proc: a description of our own, which may be non-blocking. Where that is refused (it belongs to another user, or there is
//! no /proc), single calls are told not to wait, or are made only when poll says that they will not.
//!
//! This file keeps no state; a `Way` is kept by whoever owns the descriptor.

const std = @import("std");
const assert = std.debug.assert;
const linux = std.os.linux;
const sys = @import("../sys.zig");

/// How a call on a descriptor is kept from waiting.
pub const Way = enum(u8) {
    /// A socket: calls have a flag for it.
    socket,
    /// Never waits anyway: a regular file or a disk.
    ready,
    /// The description is ours and non-blocking.
    nonblocking,
    /// Each call is told not to wait, by RWF_NOWAIT.
    nowait,
    /// What does not know RWF_NOWAIT is asked by poll first. Others who use it may still come between, and make the call wait.
    polled,
};

/// What whoever hands a descriptor over says about it. Its bits are those of the C ABI.
pub const Terms = packed struct(u32) {
    /// It is to be read; it must be open for that.
    readable: bool = false,
    /// It is to be written; it must be open for that.
    writable: bool = false,
    /// The descriptor stays the caller's, and we work on one of our own.
    keep: bool = false,
    /// Nobody else has its description: it may be made non-blocking.
    private: bool = false,
    _: u28 = 0,
};

pub const Prepared = union(enum) {
    /// `fd` is the given one, unless that stays the caller's or its description had to be replaced.
    descriptor: struct { fd: sys.fd_t, way: Way },
    errno: i32,
};

/// A descriptor that can be used without waiting, for the one given. What was given is open still, whatever happened.
pub fn prepare(fd: sys.fd_t, terms: Terms) Prepared {
    const status = sys.result(linux.fcntl(fd, linux.F.GETFL, 0));
    if (status < 0) return .{ .errno = status };
    const flags: linux.O = @bitCast(@as(u32, @intCast(status)));
    if (flags.PATH or (terms.readable and flags.ACCMODE == .WRONLY) or (terms.writable and flags.ACCMODE == .RDONLY)) {
        return .{ .errno = sys.negative(.BADF) };
    }
    var about: linux.Statx = undefined;
    const rc = sys.result(linux.statx(fd, "", linux.AT.EMPTY_PATH, .{ .TYPE = true }, &about));
    if (rc < 0) return .{ .errno = rc };
    const way: Way = switch (about.mode & linux.S.IFMT) {
        linux.S.IFSOCK => if (isStream(fd)) .socket else return .{ .errno = sys.negative(.OPNOTSUPP) },
        linux.S.IFREG, linux.S.IFBLK => .ready,
        linux.S.IFDIR => return .{ .errno = sys.negative(.ISDIR) },
        else => |kind| {
            if (terms.private) {
                const set = sys.result(linux.fcntl(fd, linux.F.SETFL, @as(u32, @intCast(status)) | @as(u32, @bitCast(linux.O{ .NONBLOCK = true }))));
                return if (set < 0) .{ .errno = set } else owned(fd, .nonblocking, terms);
            }
            if (kind == linux.S.IFIFO or (kind == linux.S.IFCHR and isTerminal(fd, &about))) {
                const again = openAgain(fd, flags.ACCMODE);
                if (again >= 0) return .{ .descriptor = .{ .fd = again, .way = .nonblocking } };
            }
            return owned(fd, .nowait, terms);
        },
    };
    return owned(fd, way, terms);
}

fn owned(fd: sys.fd_t, way: Way, terms: Terms) Prepared {
    const own = if (terms.keep) sys.result(linux.fcntl(fd, linux.F.DUPFD_CLOEXEC, 3)) else fd;
    return if (own < 0) .{ .errno = own } else .{ .descriptor = .{ .fd = own, .way = way } };
}

fn isStream(fd: sys.fd_t) bool {
    var kind: c_int = 0;
    var size: linux.socklen_t = @sizeOf(c_int);
    const rc = linux.getsockopt(fd, linux.SOL.SOCKET, linux.SO.TYPE, std.mem.asBytes(&kind), &size);
    return linux.errno(rc) == .SUCCESS and (kind == linux.SOCK.STREAM or kind == linux.SOCK.SEQPACKET);
}

/// Not the master of a pseudo terminal: to open that again makes another terminal.
fn isTerminal(fd: sys.fd_t, about: *const linux.Statx) bool {
    if (about.rdev_major == 5 and about.rdev_minor == 2) return false;
    var settings: linux.termios = undefined;
    return linux.errno(linux.tcgetattr(fd, &settings)) == .SUCCESS;
}

fn openAgain(fd: sys.fd_t, mode: std.posix.ACCMODE) i32 {
    var buffer: [32]u8 = undefined;
    const path = std.fmt.bufPrintZ(&buffer, "/proc/self/fd/{d}", .{fd}) catch unreachable;
    return sys.retry(linux.openat, .{ linux.AT.FDCWD, path.ptr, linux.O{ .ACCMODE = mode, .NONBLOCK = true, .CLOEXEC = true, .NOCTTY = true }, 0 });
}

/// Another descriptor for what `fd` is, for a program that expects its calls to wait; or a negative errno. Of a socket the description is
/// the same one: ours tell each call that it must not wait.
pub fn blockingCopy(fd: sys.fd_t, way: Way) i32 {
    const status = sys.result(linux.fcntl(fd, linux.F.GETFL, 0));
    if (status < 0) return status;
    var flags: linux.O = @bitCast(@as(u32, @intCast(status)));
    const is_shared = !flags.NONBLOCK or way == .socket;
    const copy = if (is_shared) sys.result(linux.fcntl(fd, linux.F.DUPFD_CLOEXEC, 3)) else openAgain(fd, flags.ACCMODE);
    if (copy < 0 or !flags.NONBLOCK) return copy;
    flags.NONBLOCK = false;
    _ = linux.fcntl(copy, linux.F.SETFL, @as(u32, @bitCast(flags)));
    return copy;
}

/// Reads without waiting: how many bytes, 0 at the end, or a negative errno, -EAGAIN when it would have to wait.
pub fn read(way: *Way, fd: sys.fd_t, bytes: []u8) i32 {
    switch (way.*) {
        .socket => return sys.recv(fd, bytes),
        .ready, .nonblocking => {},
        .nowait => {
            const part = [1]std.posix.iovec{.{ .base = bytes.ptr, .len = bytes.len }};
            const rc = sys.retry(linux.preadv2, .{ fd, &part, 1, -1, linux.RWF.NOWAIT });
            if (!isUnknown(rc)) return rc;
            way.* = .polled;
            return read(way, fd, bytes);
        },
        .polled => if (!sys.isReadable(fd)) return sys.negative(.AGAIN),
    }
    return sys.retry(linux.read, .{ fd, bytes.ptr, bytes.len });
}

/// Writes without waiting and without SIGPIPE: how many bytes, or a negative errno, -EAGAIN when it would have to wait.
pub fn write(way: *Way, fd: sys.fd_t, bytes: []const u8) i32 {
    return if (way.* == .socket) sys.send(fd, bytes) else withoutSignal(writeNow, .{ way, fd, bytes });
}

/// Makes a call that writes, without SIGPIPE.
pub fn withoutSignal(comptime call: anytype, args: anytype) i32 {
    if (isPipeSignalIgnored()) return @call(.auto, call, args);
    var signal = linux.sigemptyset();
    linux.sigaddset(&signal, .PIPE);
    var before: linux.sigset_t = undefined;
    _ = linux.sigprocmask(linux.SIG.BLOCK, &signal, &before);
    var pending = linux.sigemptyset();
    _ = linux.syscall2(.rt_sigpending, @intFromPtr(&pending), linux.NSIG / 8);
    const rc = @call(.auto, call, args);
    // The one that this raised, for it was sent to this thread, is taken before anybody sees it.
    if (rc == sys.negative(.PIPE) and !linux.sigismember(&pending, .PIPE)) {
        const at_once: linux.kernel_timespec = .{ .sec = 0, .nsec = 0 };
        _ = linux.syscall4(.rt_sigtimedwait, @intFromPtr(&signal), 0, @intFromPtr(&at_once), linux.NSIG / 8);
    }
    _ = linux.sigprocmask(linux.SIG.SETMASK, &before, null);
    return rc;
}

/// As Bun has it, unless the program listens to it, or has done so.
fn isPipeSignalIgnored() bool {
    var action: linux.Sigaction = undefined;
    return linux.errno(linux.sigaction(.PIPE, null, &action)) == .SUCCESS and action.handler.handler == linux.SIG.IGN;
}

fn writeNow(way: *Way, fd: sys.fd_t, bytes: []const u8) i32 {
    switch (way.*) {
        .socket => unreachable,
        .ready, .nonblocking => return sys.retry(linux.write, .{ fd, bytes.ptr, bytes.len }),
        .nowait => {
            const part = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
            const rc = sys.retry(linux.pwritev2, .{ fd, &part, 1, -1, linux.RWF.NOWAIT });
            if (!isUnknown(rc)) return rc;
            way.* = .polled;
            return writeNow(way, fd, bytes);
        },
        .polled => {
            if (!sys.isWritable(fd)) return sys.negative(.AGAIN);
            // What says that it can be written takes this much: a pipe takes 4096 bytes then, most terminals 256.
            return sys.retry(linux.write, .{ fd, bytes.ptr, @min(bytes.len, piece) });
        },
    }
}

const piece = 256;

/// What a descriptor answers whose driver, or whose kernel, knows no RWF_NOWAIT.
fn isUnknown(rc: i32) bool {
    return rc == sys.negative(.OPNOTSUPP) or rc == sys.negative(.NOSYS) or rc == sys.negative(.SPIPE);
}
