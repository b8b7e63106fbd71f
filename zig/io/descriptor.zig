//! Descriptor: how to read and write what is no socket, such as pipes, terminals and character devices, without ever waiting.
//!
//! What `open` made, the description, may be shared: a terminal or a pipe that was inherited is the parent's too. O_NONBLOCK belongs to the
//! description, so setting it there would change what other processes see. Instead a pipe or terminal is opened again (through /proc, or by
//! its path): a description of our own, which may be non-blocking. Where that is refused (it belongs to another user, there is no /proc, or,
//! on macOS, it is a pipe without a name), single calls are told not to wait, or are made only when poll says that they will not.
//!
//! This file keeps no state; a `Way` is kept by whoever owns the descriptor.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("../sys.zig");
const c = sys.c;

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
    const flags = sys.flagsOf(fd) orelse return .{ .errno = sys.negative(.BADF) };
    const names_only = @hasField(c.O, "PATH") and flags.PATH;
    if (names_only or (terms.readable and flags.ACCMODE == .WRONLY) or (terms.writable and flags.ACCMODE == .RDONLY)) {
        return .{ .errno = sys.negative(.BADF) };
    }
    const kind = sys.typeOf(fd);
    if (kind < 0) return .{ .errno = kind };
    const way: Way = switch (kind) {
        c.S.IFSOCK => if (!isStream(fd)) return .{ .errno = sys.unsupported } else socketWay(fd, flags, terms),
        c.S.IFREG, c.S.IFBLK => .ready,
        c.S.IFDIR => return .{ .errno = sys.negative(.ISDIR) },
        else => {
            if (!sys.isWaitable(fd)) return if (sys.isTerminal(fd)) .{ .errno = sys.unsupported } else owned(fd, .ready, terms);
            if (terms.private) {
                const set = makeNonblocking(fd, flags);
                return if (set < 0) .{ .errno = set } else owned(fd, .nonblocking, terms);
            }
            if (kind == c.S.IFIFO or (kind == c.S.IFCHR and sys.isTerminal(fd))) {
                const again = sys.openAgain(fd, flags.ACCMODE);
                if (again >= 0) return .{ .descriptor = .{ .fd = again, .way = .nonblocking } };
            }
            return owned(fd, .nowait, terms);
        },
    };
    return owned(fd, way, terms);
}

fn owned(fd: sys.fd_t, way: Way, terms: Terms) Prepared {
    const own = if (terms.keep) sys.duplicate(fd) else fd;
    return if (own < 0) .{ .errno = own } else .{ .descriptor = .{ .fd = own, .way = way } };
}

fn makeNonblocking(fd: sys.fd_t, flags: c.O) i32 {
    var nonblocking = flags;
    nonblocking.NONBLOCK = true;
    return sys.setFlags(fd, nonblocking);
}

/// Where calls cannot be told not to wait, a description that others rely on is asked first.
fn socketWay(fd: sys.fd_t, flags: c.O, terms: Terms) Way {
    _ = sys.muteSocket(fd);
    if (sys.sends_without_waiting or flags.NONBLOCK) return .socket;
    return if (terms.private and makeNonblocking(fd, flags) >= 0) .socket else .polled;
}

fn isStream(fd: sys.fd_t) bool {
    var kind: c_int = 0;
    const rc = sys.getOption(fd, c.SOL.SOCKET, c.SO.TYPE, std.mem.asBytes(&kind));
    return rc == 0 and (kind == c.SOCK.STREAM or kind == c.SOCK.SEQPACKET);
}

/// Another descriptor for what `fd` is, for a program that expects its calls to wait; or a negative errno. Of a socket the description is
/// the same one: ours tell each call that it must not wait. Where they cannot, or where a pipe cannot be opened again, `ways`, those of the
/// two directions, become one that asks first.
pub fn blockingCopy(fd: sys.fd_t, ways: [2]*Way) i32 {
    var flags = sys.flagsOf(fd) orelse return sys.negative(.BADF);
    var is_shared = !flags.NONBLOCK or ways[0].* == .socket;
    var copy = if (is_shared) sys.duplicate(fd) else sys.openAgain(fd, flags.ACCMODE);
    if (copy < 0 and !sys.sends_without_waiting and !is_shared) {
        is_shared = true;
        copy = sys.duplicate(fd);
    }
    if (copy < 0 or !flags.NONBLOCK) return copy;
    flags.NONBLOCK = false;
    _ = sys.setFlags(copy, flags);
    if (is_shared and !sys.sends_without_waiting) for (ways) |way| {
        way.* = .polled;
    };
    return copy;
}

/// Reads without waiting: how many bytes, 0 at the end, or a negative errno, -EAGAIN when it would have to wait.
pub fn read(way: *Way, fd: sys.fd_t, bytes: []u8) i32 {
    switch (way.*) {
        .socket => return sys.recv(fd, bytes),
        .ready, .nonblocking => {},
        .nowait => {
            const rc = sys.readNow(fd, bytes, -1);
            if (!isUnknown(rc)) return rc;
            way.* = .polled;
            return read(way, fd, bytes);
        },
        .polled => if (!sys.isReadable(fd)) return sys.negative(.AGAIN),
    }
    return sys.retry(c.read, .{ fd, bytes.ptr, bytes.len });
}

/// Writes without waiting and without SIGPIPE: how many bytes, or a negative errno, -EAGAIN when it would have to wait.
pub fn write(way: *Way, fd: sys.fd_t, bytes: []const u8) i32 {
    return if (way.* == .socket) sys.send(fd, bytes) else sys.withoutPipeSignal(fd, writeNow, .{ way, fd, bytes });
}

fn writeNow(way: *Way, fd: sys.fd_t, bytes: []const u8) i32 {
    switch (way.*) {
        .socket => unreachable,
        .ready, .nonblocking => return sys.retry(c.write, .{ fd, bytes.ptr, bytes.len }),
        .nowait => {
            const rc = sys.writeNow(fd, bytes, -1);
            if (!isUnknown(rc)) return rc;
            way.* = .polled;
            return writeNow(way, fd, bytes);
        },
        .polled => {
            if (!sys.isWritable(fd)) return sys.negative(.AGAIN);
            // What says that it can be written takes this much: a pipe takes 4096 bytes then, most terminals 256.
            return sys.retry(c.write, .{ fd, bytes.ptr, @min(bytes.len, piece) });
        },
    }
}

const piece = 256;

/// What a descriptor answers whose driver, or whose kernel, knows no RWF_NOWAIT.
fn isUnknown(rc: i32) bool {
    return rc == sys.negative(.OPNOTSUPP) or rc == sys.negative(.NOSYS) or rc == sys.negative(.SPIPE);
}
