//! C ABI of TCP sockets. A handle names a socket until `tcp_close`. No memory of the caller's is kept past any call.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const sys = @import("../sys.zig");
const c = sys.c;
const tcp = @import("../io/tcp.zig");

pub const exports = struct {
    /// A listener's handle, or 0 with the shared errno. `host` is an address literal of `host_len` bytes. `options`, added up: 1 others may
    /// share the port, 2 an IPv6 address takes no IPv4 connections.
    pub fn tcp_listen(env: *Env, host: [*]const u8, host_len: u32, port: u32, backlog: u32, options: u32) callconv(.c) Handle {
        const address = parse(host, host_len, port) orelse return env.failed(sys.negative(.INVAL));
        const opened = tcp.Socket.listen(&env.tcp_context, &address, backlog, @bitCast(options & 3)) catch
            return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// A socket's handle for `op_tcp_connect`, or 0 with the shared errno.
    pub fn tcp_open(env: *Env, host: [*]const u8, host_len: u32, port: u32) callconv(.c) Handle {
        const address = parse(host, host_len, port) orelse return env.failed(sys.negative(.INVAL));
        const opened = tcp.Socket.open(&env.tcp_context, &address) catch return env.failed(sys.negative(.NOMEM));
        return env.addSocket(opened);
    }

    /// `parked`: an entry with status 0 and the new handle as value, or a negative errno, follows. Never at once.
    pub fn op_tcp_accept(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.in)) return code.busy;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const fd = socket.startAccept(&slot.io);
        slot.target = .{ .accept = socket };
        if (fd != code.parked) {
            slot.io.result = fd;
            slot.io.waiter.arm();
            slot.io.waiter.wake();
        }
        return code.parked;
    }

    /// 0, a negative errno, or `parked`.
    pub fn op_tcp_connect(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.out)) return code.busy;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const result = socket.startConnect(&slot.io);
        if (result == code.parked) slot.target = .{ .plain = &socket.out.op };
        return result;
    }

    /// How many bytes (1 to `max`) `tcp_take` will give, 0 at end of stream, a negative errno, or `parked`.
    pub fn op_tcp_read(env: *Env, handle: Handle, token: u32, max: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.in)) return code.busy;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const result = socket.startRead(&slot.io, max) catch return sys.negative(.NOMEM);
        if (result == code.parked) slot.target = .{ .plain = &socket.in.op };
        return result;
    }

    /// Waits until at least `min` (1 to 2^30) bytes can be taken: how many can, fewer only at the end of the stream; a negative errno, or
    /// `parked`. What came stays until it is taken.
    pub fn op_tcp_fill(env: *Env, handle: Handle, token: u32, min: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.in)) return code.busy;
        if (min == 0 or min > tcp.Socket.max_fill) return sys.negative(.INVAL);
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const result = socket.startFill(&slot.io, min) catch return sys.negative(.NOMEM);
        if (result == code.parked) slot.target = .{ .plain = &socket.in.op };
        return result;
    }

    /// Where the `len` bytes of `delimiter` begin among those that can be taken, looked for from byte `from` on; -1 - n when it is
    /// not among the n that there are.
    pub fn tcp_find(env: *Env, handle: Handle, delimiter: [*]const u8, len: u32, from: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (socket.find(delimiter[0..len], from)) |at| return @intCast(at);
        return -1 - socket.available();
    }

    /// Puts `len` bytes back in front of those that can be taken. 0 or a negative errno.
    pub fn tcp_untake(env: *Env, handle: Handle, bytes: [*]const u8, len: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.in)) return code.busy;
        socket.untake(bytes[0..len]) catch return sys.negative(.NOMEM);
        return 0;
    }

    /// Copies bytes that a read brought; returns how many.
    pub fn tcp_take(env: *Env, handle: Handle, destination: [*]u8, len: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        return @intCast(socket.take(destination[0..@min(len, std.math.maxInt(i32))]));
    }

    /// Sends `len` (1 to 2^31 - 1) bytes from `offset` on. How many were sent, a negative errno, or `parked`: then the entry says how
    /// many. When it was fewer than `len`, the caller sends the rest.
    pub fn op_tcp_write(env: *Env, handle: Handle, token: u32, bytes: [*]const u8, offset: f64, len: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        if (!socket.isIdle(&socket.out)) return code.busy;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const start: usize = @intFromFloat(offset);
        const result = socket.startWrite(&slot.io, bytes[start..][0..len]) catch return sys.negative(.NOMEM);
        if (result == code.parked) slot.target = .{ .plain = &socket.out.op };
        return result;
    }

    /// `how`: 0 the reading side, 1 the writing side, 2 both.
    pub fn tcp_shutdown(env: *Env, handle: Handle, how: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        return socket.shutdown(@intCast(@min(how, 2)));
    }

    /// Ends what is in flight on it (each operation with -ECANCELED) and closes it. The handle is refused from then on.
    pub fn tcp_close(env: *Env, handle: Handle) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        env.sockets.remove(handle);
        socket.close();
        return 0;
    }

    /// Writes an address as { u16 family (4 or 6), u16 port, 16 address bytes }; `peer` 0: the local one, 1: the peer's.
    pub fn tcp_address(env: *Env, handle: Handle, peer: u32, out: [*]u8) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        var address: sys.Address = undefined;
        if (peer == 0) {
            const rc = sys.localAddress(socket.fd, &address);
            if (rc < 0) return rc;
        } else address = (socket.peer() orelse return sys.negative(.NOTCONN)).*;
        const is_ip6 = address.any.family == c.AF.INET6;
        std.mem.writeInt(u16, out[0..2], if (is_ip6) 6 else 4, .little);
        std.mem.writeInt(u16, out[2..4], address.port(), .little);
        const bytes: []const u8 = if (is_ip6) &address.in6.addr else std.mem.asBytes(&address.in.addr);
        @memcpy(out[4..][0..bytes.len], bytes);
        return 0;
    }

    /// Has the kernel ask an idle peer whether it is there: after `idle` seconds, every `interval` seconds, `count` times. 0 leaves the
    /// system's figure. 0 or a negative errno.
    pub fn tcp_keep_alive(env: *Env, handle: Handle, on: u32, idle: u32, interval: u32, count: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        const names = [_]u32{ sys.TCP.KEEPIDLE, sys.TCP.KEEPINTVL, sys.TCP.KEEPCNT };
        for (names, [_]u32{ idle, interval, count }) |name, value| {
            if (value == 0) continue;
            const rc = sys.setOption(socket.fd, c.IPPROTO.TCP, name, std.math.cast(c_int, value) orelse return sys.negative(.INVAL));
            // Before Windows 10, version 1709, all of them but the count are set at once.
            if (!sys.is_posix and rc == sys.negative(.NOPROTOOPT) and count == 0) return sys.keepAlive(socket.fd, on != 0, idle, interval);
            if (rc < 0) return rc;
        }
        return sys.setOption(socket.fd, c.SOL.SOCKET, c.SO.KEEPALIVE, @intFromBool(on != 0));
    }

    /// Sets TCP_NODELAY: `on` 1, off 0. Returns 0 or a negative errno.
    pub fn tcp_no_delay(env: *Env, handle: Handle, on: u32) callconv(.c) i32 {
        const socket = env.sockets.get(handle) orelse return code.bad_handle;
        return sys.setOption(socket.fd, c.IPPROTO.TCP, sys.TCP.NODELAY, @intFromBool(on != 0));
    }
};

fn parse(host: [*]const u8, len: u32, port: u32) ?sys.Address {
    const number = std.math.cast(u16, port) orelse return null;
    return sys.Address.parse(host[0..len], number) catch null;
}
