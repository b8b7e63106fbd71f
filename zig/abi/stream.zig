//! C ABI of streams that are no TCP sockets: what is adopted, pipes, Unix sockets. A stream's handle is used with the operations
//! of abi/tcp.zig: read, take, write, close.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const descriptor = @import("../io/descriptor.zig");
const sys = @import("../sys.zig");
const tcp = @import("../io/tcp.zig");
const unix = @import("../io/unix.zig");

pub const exports = struct {
    /// A handle for the stream over descriptor `fd`, or 0 with the shared errno; then `fd` is the caller's still. `terms`, added up:
    /// 1 it is to be read, 2 it is to be written, 4 the caller keeps `fd` and the stream has a descriptor of its own, 8 nobody else has
    /// what it names, so that it may be made non-blocking. Without 4 it is the stream's, which closes it.
    pub fn stream_adopt(env: *Env, fd: i32, terms: u32) callconv(.c) Handle {
        if (!sys.is_posix) return env.failed(sys.negative(.NOSYS));
        const opened = tcp.Socket.adoptAny(&env.tcp_context, fd, @bitCast(terms & 15)) catch return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// Makes a pipe and writes the handles of its two ends: u32 to read from, u32 to write to. 0 or a negative errno.
    pub fn stream_pipe(env: *Env, ends: [*]u8) callconv(.c) i32 {
        var fds: [2]sys.fd_t = undefined;
        const rc = sys.pipe(&fds, true);
        if (rc < 0) return rc;
        return adoptPair(env, &fds, .{ .{ .readable = true, .private = true }, .{ .writable = true, .private = true } }, ends);
    }

    /// As `stream_pipe`, with Unix sockets that are connected to each other, and both to be read and written.
    pub fn stream_pair(env: *Env, ends: [*]u8) callconv(.c) i32 {
        var fds: [2]sys.fd_t = undefined;
        const rc = unix.pair(&fds);
        if (rc < 0) return rc;
        return adoptPair(env, &fds, .{ .{}, .{} }, ends);
    }

    /// A listener's handle, or 0 with the shared errno. `path` of `len` bytes: a path, or a name that begins with a zero byte.
    pub fn unix_listen(env: *Env, path: [*]const u8, len: u32, backlog: u32) callconv(.c) Handle {
        if (!sys.is_posix) return env.failed(sys.negative(.NOSYS));
        const opened = unix.listen(&env.tcp_context, path[0..len], backlog) catch return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// A connected socket's handle, or 0 with the shared errno: EAGAIN when the listener's backlog is full.
    pub fn unix_connect(env: *Env, path: [*]const u8, len: u32) callconv(.c) Handle {
        if (!sys.is_posix) return env.failed(sys.negative(.NOSYS));
        const opened = unix.connect(&env.tcp_context, path[0..len]) catch return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// Who the peer of a Unix socket was when it connected or listened: three i32, process, user and group. 0 or a negative errno.
    pub fn unix_peer(env: *Env, handle: Handle, out: [*]u8) callconv(.c) i32 {
        if (!sys.is_posix) return sys.negative(.NOSYS);
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        var credentials: [3]i32 = undefined;
        const rc = sys.peerCredentials(socket.fd, &credentials);
        if (rc >= 0) @memcpy(out[0..@sizeOf([3]i32)], std.mem.asBytes(&credentials));
        return rc;
    }
};

fn adoptPair(env: *Env, fds: *const [2]sys.fd_t, terms: [2]descriptor.Terms, ends: [*]u8) i32 {
    var handles: [2]Handle = undefined;
    for (fds, terms, 0..) |fd, its_terms, i| {
        handles[i] = if (sys.is_posix) exports.stream_adopt(env, fd, @bitCast(its_terms)) else adoptSocket(env, fd);
        if (handles[i] != 0) continue;
        // Refused: this one and the next are still ours, and the first is a stream already.
        for (fds[i..]) |left| sys.close(left);
        if (i > 0) _ = @import("tcp.zig").exports.tcp_close(env, handles[0]);
        return env.ring.shared.errno;
    }
    for (handles, 0..) |handle, i| std.mem.writeInt(u32, ends[4 * i ..][0..4], handle, .little);
    return 0;
}

/// On failure `fd` is the caller's still.
fn adoptSocket(env: *Env, fd: sys.fd_t) Handle {
    const opened = tcp.Socket.adoptSocket(&env.tcp_context, fd) catch return env.failed(sys.negative(.NOMEM));
    return env.addSocket(opened);
}
