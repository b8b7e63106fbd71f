//! Tests of UDP sockets on each backend.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const linux = std.os.linux;
const backend = @import("backend.zig");
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const IpAddress = std.Io.net.IpAddress;

const is_windows = builtin.os.tag == .windows;

/// A socket on a free port of `address`.
fn bound(comptime aio: type, address: IpAddress) !aio.UDP {
    const udp = try aio.xev.UDP.init(address);
    try udp.bind(address);
    return .init(null, udp);
}

test "datagrams arrive whole, empty ones too, and tell who sent them" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn serve(server: aio.UDP) !void {
                    var buffer: [128]u8 = undefined;
                    for ([_][]const u8{ "hello", "", "coroutines" }) |expected| {
                        const received = try server.readFrom(.{ .slice = &buffer });
                        try testing.expectEqualStrings(expected, buffer[0..received.len]);
                        try testing.expectEqual(expected.len, try server.write(received.from, .{ .slice = buffer[0..received.len] }));
                    }
                    // What does not fit is lost; Windows calls that an error.
                    if (!is_windows) try testing.expectEqual(3, try server.read(.{ .slice = buffer[0..3] }));
                    try testing.expectEqual(2, try server.read(.{ .slice = &buffer }));
                }
                fn main() !void {
                    const server = try bound(aio, fixture.loopback);
                    const to = try fixture.addressOf(aio.xev, server.udp);
                    const client = try bound(aio, fixture.loopback);
                    const serving = try xasync(serve, .{server}, null);
                    defer serving.deinit();
                    var buffer: [128]u8 = undefined;
                    for ([_][]const u8{ "hello", "", "coroutines" }) |text| {
                        try testing.expectEqual(text.len, try client.write(to, .{ .slice = text }));
                        const received = try client.readFrom(.{ .slice = &buffer });
                        try testing.expectEqualStrings(text, buffer[0..received.len]);
                        try testing.expectEqual(to, received.from);
                    }
                    if (!is_windows) _ = try client.write(to, .{ .slice = "truncated" });
                    _ = try client.write(to, .{ .array = .{ .array = ("ok" ++ [_]u8{0} ** 30).*, .len = 2 } });
                    try xawait(serving);
                    try server.close();
                    try client.close();
                }
            };
            try aio.run(null, Body.main, .{}, null);
        }
    }.body);
}

test "over IPv6" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const any: IpAddress = .{ .ip6 = .loopback(0) };
            const server = bound(aio, any) catch return; // this machine has none
            const client = try bound(aio, any);
            _ = try client.write(try addressOf6(aio, server), .{ .slice = "six" });
            var buffer: [8]u8 = undefined;
            const received = try server.readFrom(.{ .slice = &buffer });
            try testing.expectEqualStrings("six", buffer[0..received.len]);
            try testing.expectEqual((try addressOf6(aio, client)).ip6.port, received.from.ip6.port);
            try server.close();
            try client.close();
        }

        fn addressOf6(comptime aio: type, socket: aio.UDP) !IpAddress {
            var address: linux.sockaddr.in6 = undefined;
            var len: linux.socklen_t = @sizeOf(@TypeOf(address));
            const fd = backend.fdOf(aio.xev, socket.udp);
            try testing.expectEqual(.SUCCESS, linux.errno(linux.getsockname(fd, @ptrCast(&address), &len)));
            return .{ .ip6 = .{ .bytes = address.addr, .port = std.mem.bigToNative(u16, address.port) } };
        }
    }.body);
}

test "an error of a read is one, not a length" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            // io_uring: libxev knows this one only as unexpected, and prints a trace for it.
            if (@intFromEnum(aio.xev.backend) == @intFromEnum(libcoro.xev.Backend.io_uring)) return;
            const nobody = try bound(aio, fixture.loopback);
            const to = try fixture.addressOf(aio.xev, nobody.udp);
            try nobody.close();
            const client = try bound(aio, fixture.loopback);
            // A connected socket is told that nobody listens.
            const address: linux.sockaddr.in = .{ .port = std.mem.nativeToBig(u16, to.ip4.port), .addr = @bitCast(to.ip4.bytes) };
            const fd = backend.fdOf(aio.xev, client.udp);
            try testing.expectEqual(.SUCCESS, linux.errno(linux.connect(fd, @ptrCast(&address), @sizeOf(@TypeOf(address)))));
            _ = try client.write(to, .{ .slice = "anybody?" });
            var buffer: [8]u8 = undefined;
            try testing.expectError(error.ConnectionRefused, client.read(.{ .slice = &buffer }));
            try client.close();
        }
    }.body);
}

test "several read from one socket, and select waits for one" {
    if (comptime !backend.canPoll(libcoro.xev)) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn read(socket: aio.UDP) !u8 {
                    var byte: [1]u8 = undefined;
                    _ = try socket.read(.{ .slice = &byte });
                    return byte[0];
                }
                fn readable(socket: aio.UDP) !bool {
                    return switch (try libcoro.select(.{ .readable = socket.readable(), .late = libcoro.after(5) })) {
                        .readable => |ready| if (ready) true else |err| err,
                        .late => |slept| if (slept) false else |err| err,
                    };
                }
            };
            const server = try bound(aio, fixture.loopback);
            const to = try fixture.addressOf(aio.xev, server.udp);
            const client = try bound(aio, fixture.loopback);
            try testing.expectEqual(false, try aio.run(null, Body.readable, .{server}, null));
            _ = try client.write(to, .{ .slice = "x" });
            try testing.expectEqual(true, try aio.run(null, Body.readable, .{server}, null));
            try testing.expectEqual('x', try Body.read(server));
            var readers: [3]libcoro.FrameT(Body.read, .{}) = undefined;
            for (&readers) |*reader| reader.* = try xasync(Body.read, .{server}, null);
            for ("abc") |byte| {
                _ = try client.write(to, .{ .slice = &.{byte} });
                try aio.sleep(null, 0);
            }
            var all: u32 = 0;
            for (&readers) |reader| {
                const byte = try xawait(reader);
                all += byte;
                reader.deinit();
            }
            try testing.expectEqual('a' + 'b' + 'c', all);
            try server.close();
            try client.close();
        }
    }.body);
}
