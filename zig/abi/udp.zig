//! C ABI of UDP sockets. A handle names a socket until `udp_close`. No memory of the caller's is kept past any call.
//!
//! Datagrams cross as records of 32 bytes (`datagram.Record`) and their bytes. What is received goes into one block: `max_batch`
//! records, and behind them `datagram.slot_size` bytes for each datagram asked for.

const std = @import("std");
const code = @import("../code.zig");
const datagram = @import("../io/datagram.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const Record = datagram.Record;
const sys = @import("../sys.zig");
const udp = @import("../io/udp.zig");

pub const exports = struct {
    /// A socket's handle, or 0 with the shared errno. `host` is an address literal of `host_len` bytes; `options`: bits of `udp.Options`.
    pub fn udp_bind(env: *Env, host: [*]const u8, host_len: u32, port: u32, options: u32) callconv(.c) Handle {
        const number = std.math.cast(u16, port) orelse return env.failed(sys.negative(.INVAL));
        const address = sys.Address.parse(host[0..host_len], number) catch return env.failed(sys.negative(.INVAL));
        const opened = udp.Socket.bind(env.allocator, &env.loop, &address, @bitCast(options)) catch return env.failed(sys.negative(.NOMEM));
        switch (opened) {
            .errno => |errno| return env.failed(errno),
            .socket => |socket| return env.datagram_sockets.add(env.allocator, socket) catch {
                socket.close();
                return env.failed(sys.negative(.NOMEM));
            },
        }
    }

    /// Receives up to `count` (1 to `max_batch`) datagrams that are there: how many, -EAGAIN when there is none, or a negative errno.
    pub fn udp_receive(env: *Env, handle: Handle, block: [*]u8, count: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        if (!socket.in.isIdle()) return code.busy;
        return receiveInto(socket, block, count);
    }

    /// The same, but with none there it is `parked`: an entry follows, with status 0 when asking again pays, or a negative errno.
    pub fn op_udp_receive(env: *Env, handle: Handle, token: u32, block: [*]u8, count: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        if (!socket.in.isIdle()) return code.busy;
        if (socket.triesFirst()) {
            const came = receiveInto(socket, block, count);
            if (came != sys.negative(.AGAIN)) return came;
        }
        return park(env, socket, &socket.in, token);
    }

    /// Sends `count` (1 to `max_batch`) datagrams: how many were sent, a negative errno for the first, or `parked`, with nothing sent: an
    /// entry follows as for `op_udp_receive`. Their bytes stand one after the other in `data`.
    pub fn op_udp_send(env: *Env, handle: Handle, token: u32, records: [*]const u8, count: u32, data: [*]const u8) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        if (!socket.out.isIdle()) return code.busy;
        if (count == 0 or count > datagram.max_batch) return sys.negative(.INVAL);
        const of_sent: [*]const Record = @ptrCast(@alignCast(records));
        const sent = socket.send(of_sent[0..count], data);
        return if (sent == sys.negative(.AGAIN)) park(env, socket, &socket.out, token) else sent;
    }

    /// Connects to the address of a record. 0 or a negative errno.
    pub fn udp_connect(env: *Env, handle: Handle, record: [*]const u8) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        return socket.connect(@ptrCast(@alignCast(record)));
    }

    /// Fills a record's address; `peer` 0: the local one, 1: where it is connected to.
    pub fn udp_address(env: *Env, handle: Handle, peer: u32, record: [*]u8) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        var address: sys.Address = undefined;
        const rc = if (peer == 0) sys.localAddress(socket.fd, &address) else sys.peerAddress(socket.fd, &address);
        if (rc >= 0) asRecord(record).setAddress(&address);
        return rc;
    }

    /// `setting`: a `udp.Setting`. 0 or a negative errno.
    pub fn udp_set(env: *Env, handle: Handle, setting: u32, value: i32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        return socket.set(std.enums.fromInt(udp.Setting, setting) orelse return sys.negative(.INVAL), value);
    }

    /// The size of the buffer that `setting` (a `udp.Setting`) names, or a negative errno.
    pub fn udp_buffer_size(env: *Env, handle: Handle, setting: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        return socket.bufferSize(std.enums.fromInt(udp.Setting, setting) orelse return sys.negative(.INVAL));
    }

    /// Joins (`joins` 1) or leaves (0) the multicast group of a record, on the interface of that name or IPv4 address, or the kernel's choice
    /// when that is empty. 0 or a negative errno, -ENODEV for an interface that there is not.
    pub fn udp_membership(env: *Env, handle: Handle, joins: u32, group: [*]const u8, interface: [*]const u8, len: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        const found = socket.findInterface(interface[0..len]) orelse return sys.negative(.NODEV);
        return socket.setMembership(@ptrCast(@alignCast(group)), found, joins != 0);
    }

    /// Multicast datagrams leave by this interface. 0 or a negative errno.
    pub fn udp_multicast_interface(env: *Env, handle: Handle, interface: [*]const u8, len: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        return socket.setMulticastInterface(socket.findInterface(interface[0..len]) orelse return sys.negative(.NODEV));
    }

    /// The index of the interface of that name, for the scope of a record; -ENODEV when there is none.
    pub fn udp_interface_index(env: *Env, handle: Handle, name: [*]const u8, len: u32) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        return @intCast(socket.interfaceIndex(name[0..len]) orelse return sys.negative(.NODEV));
    }

    /// Reads an address literal into a record's family and address. 0, or -EINVAL when it is none.
    pub fn udp_parse(text: [*]const u8, len: u32, record: [*]u8) callconv(.c) i32 {
        const address = sys.Address.parse(text[0..len], 0) catch return sys.negative(.INVAL);
        asRecord(record).setAddress(&address);
        return 0;
    }

    /// Ends what is in flight on it (each operation with -ECANCELED) and closes it. The handle is refused from then on.
    pub fn udp_close(env: *Env, handle: Handle) callconv(.c) i32 {
        const socket = env.datagram_sockets.get(handle) orelse return code.bad_handle;
        env.datagram_sockets.remove(handle);
        socket.close();
        return 0;
    }
};

fn asRecord(bytes: [*]u8) *Record {
    return @ptrCast(@alignCast(bytes));
}

fn receiveInto(socket: *udp.Socket, block: [*]u8, count: u32) i32 {
    if (count == 0 or count > datagram.max_batch) return sys.negative(.INVAL);
    const records: [*]Record = @ptrCast(@alignCast(block));
    return socket.receive(records[0..count], block + datagram.max_batch * @sizeOf(Record));
}

fn park(env: *Env, socket: *udp.Socket, side: *udp.Side, token: u32) i32 {
    const slot = env.slots.claim(token) orelse return code.bad_token;
    const result = socket.startWait(side, &slot.io);
    if (result == code.parked) slot.target = .{ .plain = &side.op };
    return result;
}
