//! Call: a system call on a file, or another that may sleep, as data, so that it can be made in three ways: now without waiting, as an entry of io_uring,
//! or by a thread that waits. Each gives a result >= 0 or a negative errno. Whatever a call points to is its owner's.

const std = @import("std");
const Lookup = @import("lookup.zig").Lookup;
const sys = @import("../sys.zig");
const c = sys.c;

pub const Call = union(enum) {
    /// `flags` are the system's; the result is a descriptor that is closed on exec.
    open: struct { path: [*:0]const u8, flags: u32, mode: u32 },
    read: struct { fd: sys.fd_t, bytes: []u8, at: i64 },
    write: struct { fd: sys.fd_t, bytes: []const u8, at: i64 },
    stat: struct { fd: sys.fd_t, out: *sys.Stat },
    sync: sys.fd_t,
    data_sync: sys.fd_t,
    truncate: struct { fd: sys.fd_t, length: i64 },
    close: sys.fd_t,
    /// The result is how many addresses it has found.
    lookup: *Lookup,

    /// The `at` of files that have no positions: pipes, terminals.
    pub const no_position = -1;

    /// Makes it on this thread, which may sleep in it as long as it takes.
    pub fn make(call: *const Call) i32 {
        return switch (call.*) {
            .open => |o| sys.retry(c.openat, .{ c.AT.FDCWD, o.path, openFlags(o.flags), o.mode }),
            .read => |r| if (r.at == no_position)
                sys.retry(c.read, .{ r.fd, r.bytes.ptr, r.bytes.len })
            else
                sys.retry(c.pread, .{ r.fd, r.bytes.ptr, r.bytes.len, r.at }),
            .write => |w| if (w.at == no_position)
                sys.retry(c.write, .{ w.fd, w.bytes.ptr, w.bytes.len })
            else
                sys.retry(c.pwrite, .{ w.fd, w.bytes.ptr, w.bytes.len, w.at }),
            .stat => |s| s.out.read(s.fd),
            .sync => |fd| sys.sync(fd),
            .data_sync => |fd| sys.dataSync(fd),
            .truncate => |t| sys.retry(c.ftruncate, .{ t.fd, t.length }),
            // Not repeated on EINTR: the descriptor is closed by then.
            .close => |fd| sys.result(c.close(fd)),
            .lookup => |l| l.make(),
        };
    }

    pub fn openFlags(flags: u32) c.O {
        var all: c.O = @bitCast(flags);
        all.CLOEXEC = true;
        return all;
    }
};
