//! Datagram: how one crosses the C ABI, and the system calls that receive and send several at once. It keeps no state.
//!
//! No call here waits: what would have to wait is -EAGAIN, and nothing has happened then.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("../sys.zig");
const c = sys.c;

/// No datagram is larger.
pub const slot_size = 64 * 1024;

/// That many in one call at most: what is known of each stands on the stack meanwhile.
pub const max_batch = 32;

/// What is known of a datagram beside its bytes.
pub const Record = extern struct {
    /// Bytes that are there.
    length: u32 = 0,
    /// Bytes that it had. Larger than `length`: the rest was cut off. Not looked at when sending.
    whole: u32 = 0,
    /// 4 or 6; 0: where the socket is connected to.
    family: u16 = 0,
    port: u16 = 0,
    /// The interface of a link-local IPv6 address.
    scope: u32 = 0,
    /// The first four bytes only for family 4.
    address: [16]u8 = @splat(0),

    const mapped_prefix = [_]u8{0} ** 10 ++ [_]u8{0xff} ** 2;

    pub fn setAddress(record: *Record, from: *const sys.Address) void {
        record.port = from.port();
        record.scope = 0;
        if (from.any.family == c.AF.INET6) {
            record.family = 6;
            record.scope = from.in6.scope_id;
            record.address = from.in6.addr;
        } else {
            record.family = if (from.any.family == c.AF.INET) 4 else 0;
            record.address = @splat(0);
            record.address[0..4].* = @bitCast(from.in.addr);
        }
    }

    /// The address as a socket of `family` takes it: an IPv4 one of an IPv6 socket is mapped, and the other way round.
    pub fn toAddress(record: *const Record, family: u32) ?sys.Address {
        const port = std.mem.nativeToBig(u16, record.port);
        switch (record.family) {
            4 => {
                const four = record.address[0..4].*;
                if (family == c.AF.INET) return .{ .in = .{ .port = port, .addr = @bitCast(four) } };
                return .{ .in6 = .{ .port = port, .flowinfo = 0, .addr = mapped_prefix ++ four, .scope_id = 0 } };
            },
            6 => {
                const is_mapped = std.mem.eql(u8, record.address[0..12], &mapped_prefix);
                if (is_mapped and family == c.AF.INET) return .{ .in = .{ .port = port, .addr = @bitCast(record.address[12..].*) } };
                return .{ .in6 = .{ .port = port, .flowinfo = 0, .addr = record.address, .scope_id = record.scope } };
            },
            else => return null,
        }
    }
};

/// The next datagram, into `bytes`. How many bytes of it are there (as the record says, too), or a negative errno.
pub fn receiveOne(fd: sys.fd_t, record: *Record, bytes: []u8) i32 {
    var from: sys.Address = undefined;
    const whole = sys.receiveFrom(fd, bytes, &from);
    if (whole < 0) return whole;
    describe(record, @intCast(whole), bytes.len, &from);
    return @intCast(record.length);
}

/// Whether the system has a call for several at once.
const has_batches = @hasDecl(c, "recvmmsg") and !sys.imitates_macos;

/// The next datagrams, one into each `slot_size` bytes of `data`. How many came, from 1 to `records.len`, or a negative errno.
pub fn receive(fd: sys.fd_t, records: []Record, data: [*]u8) i32 {
    assert(records.len > 0 and records.len <= max_batch);
    return if (has_batches and records.len > 1) receiveBatch(fd, records, data) else receiveEach(fd, records, data);
}

/// One call each, and one more to find that there are no more.
pub fn receiveEach(fd: sys.fd_t, records: []Record, data: [*]u8) i32 {
    for (records, 0..) |*record, i| {
        const length = receiveOne(fd, record, (data + i * slot_size)[0..slot_size]);
        // Behind a datagram it says that there are no more, or that one of ours was refused somewhere: then it is lost, as datagrams are.
        if (length < 0) return if (i > 0) @intCast(i) else length;
    }
    return @intCast(records.len);
}

fn receiveBatch(fd: sys.fd_t, records: []Record, data: [*]u8) i32 {
    var messages: [max_batch]c.mmsghdr = undefined;
    var parts: [max_batch]std.posix.iovec = undefined;
    var addresses: [max_batch]sys.Address = undefined;
    for (messages[0..records.len], parts[0..records.len], addresses[0..records.len], 0..) |*message, *part, *address, i| {
        part.* = .{ .base = data + i * slot_size, .len = slot_size };
        address.any.family = c.AF.UNSPEC;
        message.* = .{ .len = 0, .hdr = .{
            .name = &address.any,
            .namelen = @sizeOf(sys.Address),
            .iov = @ptrCast(part),
            .iovlen = 1,
            .control = null,
            .controllen = 0,
            .flags = 0,
        } };
    }
    const flags = c.MSG.DONTWAIT | c.MSG.TRUNC;
    const count = sys.retry(c.recvmmsg, .{ fd, &messages, @as(u32, @intCast(records.len)), flags, null });
    if (count < 0) return count;
    const came: usize = @intCast(count);
    for (messages[0..came], addresses[0..came], records[0..came]) |*message, *address, *record| describe(record, message.len, slot_size, address);
    return count;
}

fn describe(record: *Record, whole: u32, room: usize, from: *const sys.Address) void {
    record.whole = whole;
    record.length = @intCast(@min(whole, room));
    record.setAddress(from);
}

/// Sends datagrams, whose bytes stand one after the other in `data`, from a socket of `family`. How many were sent, from 1 to
/// `records.len`, or a negative errno for the first; the next call tells that of a later one.
pub fn send(fd: sys.fd_t, family: u32, records: []const Record, data: [*]const u8) i32 {
    assert(records.len > 0 and records.len <= max_batch);
    return if (has_batches and records.len > 1) sendBatch(fd, family, records, data) else sendEach(fd, family, records, data);
}

pub fn sendEach(fd: sys.fd_t, family: u32, records: []const Record, data: [*]const u8) i32 {
    var at = data;
    for (records, 0..) |*record, i| {
        const sent = sendOne(fd, family, record, at[0..record.length]);
        if (sent < 0) return if (i > 0) @intCast(i) else sent;
        at += record.length;
    }
    return @intCast(records.len);
}

fn sendBatch(fd: sys.fd_t, family: u32, records: []const Record, data: [*]const u8) i32 {
    var messages: [max_batch]c.mmsghdr = undefined;
    var parts: [max_batch]std.posix.iovec = undefined;
    var addresses: [max_batch]sys.Address = undefined;
    var at = data;
    for (records, messages[0..records.len], parts[0..records.len], addresses[0..records.len]) |*record, *message, *part, *address| {
        const to = record.toAddress(family);
        if (to) |known| address.* = known;
        part.* = .{ .base = @constCast(at), .len = record.length };
        at += record.length;
        message.* = .{ .len = 0, .hdr = .{
            .name = if (to != null) &address.any else null,
            .namelen = if (to != null) address.len() else 0,
            .iov = @ptrCast(part),
            .iovlen = 1,
            .control = null,
            .controllen = 0,
            .flags = 0,
        } };
    }
    return sys.retry(c.sendmmsg, .{ fd, &messages, @as(u32, @intCast(records.len)), sys.send_flags });
}

/// Sends one datagram; how many bytes, or a negative errno.
pub fn sendOne(fd: sys.fd_t, family: u32, to: *const Record, bytes: []const u8) i32 {
    const address = to.toAddress(family);
    return sys.sendTo(fd, bytes, if (address) |*known| known else null);
}

comptime {
    assert(@sizeOf(Record) == 32);
}

test "an address becomes what the socket's family takes and comes back" {
    const four = try sys.Address.parse("127.0.0.1", 7);
    const six = try sys.Address.parse("fe80::1", 8);
    const mapped = try sys.Address.parse("::ffff:127.0.0.1", 9);
    var record: Record = .{};
    try std.testing.expect(record.toAddress(c.AF.INET) == null);

    record.setAddress(&four);
    try std.testing.expectEqual(4, record.family);
    try std.testing.expectEqual(four.in.addr, record.toAddress(c.AF.INET).?.in.addr);
    try std.testing.expectEqual(7, record.toAddress(c.AF.INET6).?.port());
    try std.testing.expectEqualSlices(u8, &mapped.in6.addr, &record.toAddress(c.AF.INET6).?.in6.addr);

    record.setAddress(&mapped);
    try std.testing.expectEqual(6, record.family);
    try std.testing.expectEqual(four.in.addr, record.toAddress(c.AF.INET).?.in.addr);
    try std.testing.expectEqual(9, record.toAddress(c.AF.INET).?.port());

    record.setAddress(&six);
    record.scope = 3;
    // The kernel says what is wrong with it.
    try std.testing.expectEqual(c.AF.INET6, record.toAddress(c.AF.INET).?.any.family);
    try std.testing.expectEqual(3, record.toAddress(c.AF.INET6).?.in6.scope_id);
}
