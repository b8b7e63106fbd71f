//! Call: a system call on a file, as data, so that it can be made in three ways: now without waiting, as an entry of io_uring,
//! or by a thread that waits. Each gives a result >= 0 or a negative errno. Whatever a call points to is its owner's.

const std = @import("std");
const linux = std.os.linux;
const sys = @import("../sys.zig");

pub const Call = union(enum) {
    /// `flags` are Linux's; the result is a descriptor that is closed on exec.
    open: struct { path: [*:0]const u8, flags: u32, mode: u32 },
    read: struct { fd: sys.fd_t, bytes: []u8, at: i64 },
    write: struct { fd: sys.fd_t, bytes: []const u8, at: i64 },
    stat: struct { fd: sys.fd_t, out: *linux.Statx },
    sync: sys.fd_t,
    data_sync: sys.fd_t,
    truncate: struct { fd: sys.fd_t, length: i64 },
    close: sys.fd_t,

    /// The `at` of files that have no positions: pipes, terminals.
    pub const no_position = -1;

    /// Whether a ring takes it. Its truncate came with Linux 6.9, so that is left to threads everywhere.
    pub fn hasEntry(call: *const Call) bool {
        return call.* != .truncate;
    }

    /// Makes it on this thread, which may sleep in it as long as it takes.
    pub fn make(call: *const Call) i32 {
        return switch (call.*) {
            .open => |c| sys.retry(linux.openat, .{ linux.AT.FDCWD, c.path, withCloexec(c.flags), c.mode }),
            .read => |c| if (c.at == no_position)
                sys.retry(linux.read, .{ c.fd, c.bytes.ptr, c.bytes.len })
            else
                sys.retry(linux.pread, .{ c.fd, c.bytes.ptr, c.bytes.len, c.at }),
            .write => |c| if (c.at == no_position)
                sys.retry(linux.write, .{ c.fd, c.bytes.ptr, c.bytes.len })
            else
                sys.retry(linux.pwrite, .{ c.fd, c.bytes.ptr, c.bytes.len, c.at }),
            .stat => |c| sys.retry(linux.statx, .{ c.fd, "", linux.AT.EMPTY_PATH, stat_fields, c.out }),
            .sync => |fd| sys.retry(linux.fsync, .{fd}),
            .data_sync => |fd| sys.retry(linux.fdatasync, .{fd}),
            .truncate => |c| sys.retry(linux.ftruncate, .{ c.fd, c.length }),
            // Not repeated on EINTR: Linux has closed the descriptor by then.
            .close => |fd| sys.result(linux.close(fd)),
        };
    }

    pub fn prepare(call: *const Call, sqe: *linux.io_uring_sqe) void {
        switch (call.*) {
            .open => |c| {
                sqe.prep_openat(linux.AT.FDCWD, c.path, withCloexec(c.flags), c.mode);
                // The ring's try without waiting would open a FIFO that has no other end.
                sqe.flags |= linux.IOSQE_ASYNC;
            },
            .read => |c| sqe.prep_read(c.fd, c.bytes, @bitCast(c.at)),
            .write => |c| sqe.prep_write(c.fd, c.bytes, @bitCast(c.at)),
            .stat => |c| sqe.prep_statx(c.fd, "", linux.AT.EMPTY_PATH, stat_fields, c.out),
            .sync => |fd| sqe.prep_fsync(fd, 0),
            .data_sync => |fd| sqe.prep_fsync(fd, linux.IORING_FSYNC_DATASYNC),
            .close => |fd| sqe.prep_close(fd),
            .truncate => unreachable, // hasEntry
        }
    }

    /// Reads what needs no waiting: -EAGAIN when there is nothing of that kind, -EOPNOTSUPP when the file cannot tell. May give less
    /// than there is.
    pub fn readNow(fd: sys.fd_t, bytes: []u8, at: i64) i32 {
        const vector = [1]std.posix.iovec{.{ .base = bytes.ptr, .len = bytes.len }};
        return sys.retry(linux.preadv2, .{ fd, &vector, 1, at, linux.RWF.NOWAIT });
    }

    pub fn writeNow(fd: sys.fd_t, bytes: []const u8, at: i64) i32 {
        const vector = [1]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
        return sys.retry(linux.pwritev2, .{ fd, &vector, 1, at, linux.RWF.NOWAIT });
    }

    fn withCloexec(flags: u32) linux.O {
        var all: linux.O = @bitCast(flags);
        all.CLOEXEC = true;
        return all;
    }

    const stat_fields: linux.STATX = fields: {
        var fields: linux.STATX = .BASIC_STATS;
        fields.BTIME = true;
        break :fields fields;
    };
};
