//! Udp: datagram sockets on the loop. One wait in flight per direction, both embedded in the socket.
//!
//! The kernel is never given a buffer to keep: a socket waits until it can be read, or written, and the datagram goes straight
//! from or into the caller's memory during the call that then receives or sends it. So a waiting socket holds no memory (of
//! 64 KiB, for a datagram may be that large), and a cancelled read has taken nothing: the datagram stays in the kernel.
//! The price is one system call more than a receive that io_uring keeps, for a datagram that was waited for; those that come
//! behind it are received by the same call.
//!
//! `open -> closing -> gone`. A socket whose close was asked for cancels what is in flight; each op ends once and tells its
//! waiter; the last one to end closes the descriptor, so a number is never reused under an operation.
//!
//! A socket owns its descriptor and its struct.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const datagram = @import("datagram.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const IoWait = @import("op.zig").IoWait;
const Loop = @import("../loop.zig").Loop;
const Op = @import("op.zig").Op;
const Record = datagram.Record;
const Watch = @import("../loop.zig").Watch;
const parked = @import("tcp.zig").parked;

pub const Side = struct {
    op: Op,
    /// Told once, when the op has ended.
    wait: ?*IoWait = null,

    pub fn isIdle(side: *const Side) bool {
        return side.op.state == .idle;
    }
};

pub const Options = packed struct(u32) {
    reuse_port: bool = false,
    reuse_address: bool = false,
    ipv6_only: bool = false,
    broadcast: bool = false,
    unused: u28 = 0,
};

/// What can be set and asked by number.
pub const Setting = enum(u32) { broadcast, ttl, multicast_ttl, multicast_loopback, receive_buffer, send_buffer };

pub const Socket = struct {
    allocator: Allocator,
    loop: *Loop,
    fd: sys.fd_t,
    family: u32,
    closing: bool = false,
    /// The last receive took everything that was there: the next one is likely to wait.
    drained: bool = true,
    in: Side,
    out: Side,
    watch: Watch,

    pub const Opened = union(enum) { socket: *Socket, errno: i32 };

    pub fn bind(allocator: Allocator, loop: *Loop, address: *const sys.Address, options: Options) error{OutOfMemory}!Opened {
        const family = address.any.family;
        const fd = sys.openSocket(family, c.SOCK.DGRAM, c.IPPROTO.UDP, true);
        if (fd < 0) return .{ .errno = fd };
        var rc: i32 = 0;
        if (family == c.AF.INET6) rc = sys.setOption(fd, c.IPPROTO.IPV6, sys.IPV6.V6ONLY, @intFromBool(options.ipv6_only));
        if (rc >= 0 and options.reuse_address) rc = sys.setOption(fd, c.SOL.SOCKET, c.SO.REUSEADDR, 1);
        if (rc >= 0 and options.reuse_port) rc = sys.setOption(fd, c.SOL.SOCKET, c.SO.REUSEPORT, 1);
        if (rc >= 0 and options.broadcast) rc = sys.setOption(fd, c.SOL.SOCKET, c.SO.BROADCAST, 1);
        if (rc >= 0) rc = sys.bind(fd, address);
        if (rc < 0) {
            sys.close(fd);
            return .{ .errno = rc };
        }
        return .{ .socket = try adopt(allocator, loop, fd, family) };
    }

    /// Takes the descriptor over, and closes it when there is no memory.
    pub fn adopt(allocator: Allocator, loop: *Loop, fd: sys.fd_t, family: u32) error{OutOfMemory}!*Socket {
        errdefer sys.close(fd);
        const self = try allocator.create(Socket);
        self.* = .{
            .allocator = allocator,
            .loop = loop,
            .fd = fd,
            .family = family,
            .in = .{ .op = .{ .kind = .readable, .fd = fd, .doneFn = inDone } },
            .out = .{ .op = .{ .kind = .writable, .fd = fd, .doneFn = outDone } },
            .watch = .{ .ops = undefined },
        };
        self.watch.ops = .{ &self.in.op, &self.out.op };
        loop.watch(&self.watch, fd);
        return self;
    }

    /// Datagrams that are there, as `datagram.receive` gives them; -EAGAIN when there is none.
    pub fn receive(self: *Socket, records: []Record, data: [*]u8) i32 {
        const count = datagram.receive(self.fd, records, data);
        self.drained = count < 0 or count < records.len;
        return count;
    }

    /// Whether a receive should be tried before waiting. On epoll an edge that nobody waited for does not come again, so there it must.
    pub fn triesFirst(self: *const Socket) bool {
        return !self.drained or self.loop.wantsNonblocking();
    }

    /// As `datagram.send`.
    pub fn send(self: *Socket, records: []const Record, data: [*]const u8) i32 {
        return datagram.send(self.fd, self.family, records, data);
    }

    /// Waits until trying again pays: `parked`, then `wait` is told 0 or a negative errno; or an errno at once. It may have come in
    /// vain: another process took the datagram, or its checksum was wrong.
    pub fn startWait(self: *Socket, side: *Side, wait: *IoWait) i32 {
        assert(side.isIdle() and side.wait == null and !self.closing);
        if (self.loop.startWaiting(&side.op, &self.watch)) |failed| return failed;
        wait.waiter.arm();
        side.wait = wait;
        return parked;
    }

    /// Sends to `to` when nothing else is said, and receives from nobody else.
    pub fn connect(self: *Socket, to: *const Record) i32 {
        const address = to.toAddress(self.family) orelse return sys.negative(.INVAL);
        return sys.connect(self.fd, &address);
    }

    /// Ends what is in flight and gives the socket up: the caller must not use it again.
    pub fn close(self: *Socket) void {
        assert(!self.closing);
        self.closing = true;
        self.loop.cancel(&self.in.op);
        self.loop.cancel(&self.out.op);
        self.destroyIfDone();
    }

    pub fn set(self: *Socket, setting: Setting, value: c_int) i32 {
        const is_ip6 = self.family == c.AF.INET6;
        const rc = switch (setting) {
            .broadcast => return sys.setOption(self.fd, c.SOL.SOCKET, c.SO.BROADCAST, value),
            .receive_buffer => return sys.setOption(self.fd, c.SOL.SOCKET, c.SO.RCVBUF, value),
            .send_buffer => return sys.setOption(self.fd, c.SOL.SOCKET, c.SO.SNDBUF, value),
            .ttl => self.set4(sys.IP.TTL, value),
            .multicast_ttl => self.set4(sys.IP.MULTICAST_TTL, value),
            .multicast_loopback => self.set4(sys.IP.MULTICAST_LOOP, value),
        };
        // An IPv6 socket sends to IPv4, too, and has both.
        if (rc < 0 or !is_ip6) return rc;
        return sys.setOption(self.fd, c.IPPROTO.IPV6, switch (setting) {
            .ttl => sys.IPV6.UNICAST_HOPS,
            .multicast_ttl => sys.IPV6.MULTICAST_HOPS,
            .multicast_loopback => sys.IPV6.MULTICAST_LOOP,
            else => unreachable,
        }, value);
    }

    fn set4(self: *Socket, name: u32, value: c_int) i32 {
        return if (self.hasOnlyIp6()) 0 else sys.setOption(self.fd, c.IPPROTO.IP, name, value);
    }

    /// Of its options: Windows refuses IPv4's on an IPv6 socket.
    fn hasOnlyIp6(self: *const Socket) bool {
        return !sys.is_posix and self.family == c.AF.INET6;
    }

    /// The size of a buffer as the kernel counts it, or a negative errno.
    pub fn bufferSize(self: *Socket, setting: Setting) i32 {
        const name: u32 = switch (setting) {
            .receive_buffer => c.SO.RCVBUF,
            .send_buffer => c.SO.SNDBUF,
            else => return sys.negative(.INVAL),
        };
        var value: c_int = 0;
        const rc = sys.getOption(self.fd, c.SOL.SOCKET, name, std.mem.asBytes(&value));
        return if (rc < 0) rc else value;
    }

    const Ip4Membership = if (sys.is_posix)
        extern struct { group: [4]u8, address: [4]u8 = @splat(0), interface: c_int = 0 }
    else
        extern struct { group: [4]u8, address: [4]u8 = @splat(0) };
    const Ip6Membership = extern struct { group: [16]u8, interface: c_int };

    /// Joins or leaves a multicast group on an interface.
    pub fn setMembership(self: *Socket, group: *const Record, interface: Interface, joins: bool) i32 {
        if (group.family == 4) {
            const request = interface.request(group.address[0..4].*);
            return sys.setOptionBytes(self.fd, c.IPPROTO.IP, if (joins) sys.IP.ADD_MEMBERSHIP else sys.IP.DROP_MEMBERSHIP, std.mem.asBytes(&request));
        }
        const request: Ip6Membership = .{ .group = group.address, .interface = interface.index };
        return sys.setOptionBytes(self.fd, c.IPPROTO.IPV6, if (joins) sys.IPV6.ADD_MEMBERSHIP else sys.IPV6.DROP_MEMBERSHIP, std.mem.asBytes(&request));
    }

    /// The interface that multicast datagrams leave by.
    pub fn setMulticastInterface(self: *Socket, interface: Interface) i32 {
        const request = interface.request(@splat(0));
        const rc = if (self.hasOnlyIp6()) 0 else sys.setOptionBytes(self.fd, c.IPPROTO.IP, sys.IP.MULTICAST_IF, if (sys.is_posix) std.mem.asBytes(&request) else &request.address);
        if (rc < 0 or self.family != c.AF.INET6) return rc;
        return sys.setOption(self.fd, c.IPPROTO.IPV6, sys.IPV6.MULTICAST_IF, interface.index);
    }

    /// For multicast: an index, or an IPv4 address of the interface; neither leaves the choice to the kernel.
    pub const Interface = struct {
        index: c_int = 0,
        address: [4]u8 = @splat(0),

        fn request(interface: Interface, group: [4]u8) Ip4Membership {
            if (sys.is_posix) return .{ .group = group, .address = interface.address, .interface = interface.index };
            // Windows takes an index for an address of the network 0.
            const index = std.mem.asBytes(&std.mem.nativeToBig(u32, @intCast(interface.index))).*;
            return .{ .group = group, .address = if (interface.index > 0) index else interface.address };
        }
    };

    /// `text`: empty, an IPv4 address, or a name. Null: there is no such interface.
    pub fn findInterface(self: *Socket, text: []const u8) ?Interface {
        if (text.len == 0) return .{};
        if (sys.Address.parse(text, 0)) |address| {
            return if (address.any.family == c.AF.INET) .{ .address = @bitCast(address.in.addr) } else null;
        } else |_| {}
        return .{ .index = @intCast(self.interfaceIndex(text) orelse return null) };
    }

    /// Of an interface by its name.
    pub fn interfaceIndex(self: *Socket, name: []const u8) ?u32 {
        return sys.interfaceIndex(self.fd, name);
    }

    fn inDone(op: *Op) void {
        const side: *Side = @fieldParentPtr("op", op);
        const self: *Socket = @fieldParentPtr("in", side);
        self.drained = false;
        self.tell(side);
    }

    fn outDone(op: *Op) void {
        const side: *Side = @fieldParentPtr("op", op);
        const self: *Socket = @fieldParentPtr("out", side);
        self.tell(side);
    }

    fn tell(self: *Socket, side: *Side) void {
        if (side.wait) |wait| {
            side.wait = null;
            wait.result = if (self.closing) sys.negative(.CANCELED) else side.op.result;
            wait.waiter.wake();
        }
        if (self.closing) self.destroyIfDone();
    }

    fn destroyIfDone(self: *Socket) void {
        assert(self.closing);
        if (!self.in.isIdle() or !self.out.isIdle()) return;
        self.loop.unwatch(&self.watch, self.fd);
        sys.close(self.fd);
        self.allocator.destroy(self);
    }
};

test {
    _ = datagram;
    // On Windows the package's tests are those of UDP: not all that these expect is so there.
    if (sys.is_posix) _ = @import("udp_test.zig");
}
