//! Tests of TCP sockets on each backend.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;

test "a server and a client" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn serve(listener: aio.TCP) !usize {
                    const end = try listener.accept();
                    defer end.close() catch unreachable;
                    try listener.close();
                    var sum: usize = 0;
                    var buffer: [128]u8 = undefined;
                    while (true) {
                        const n = end.read(.{ .slice = &buffer }) catch |err| if (err == error.EOF) break else return err;
                        try end.writeAll(buffer[0..n]);
                        sum += n;
                    }
                    return sum;
                }
                fn main() !void {
                    const listener = try fixture.Listener(aio).init(null);
                    const server = try xasync(serve, .{listener.tcp}, null);
                    defer server.deinit();
                    const end: aio.TCP = .init(null, try aio.xev.TCP.init(listener.address));
                    defer end.close() catch unreachable;
                    try end.connect(listener.address);
                    var buffer: [128]u8 = undefined;
                    for ([_][]const u8{ "hello", "coroutines" }) |text| {
                        try testing.expectEqual(text.len, try end.write(.{ .slice = text }));
                        var at: usize = 0;
                        while (at < text.len) at += try end.read(.{ .slice = buffer[at..] });
                        try testing.expectEqualStrings(text, buffer[0..at]);
                    }
                    try end.shutdown();
                    try testing.expectError(error.EOF, end.read(.{ .slice = &buffer }));
                    try testing.expectEqual(15, try xawait(server));
                }
            };
            try aio.run(null, Body.main, .{}, null);
        }
    }.body);
}

test "every call can be made on the thread's own stack" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const ends = try fixture.connected(aio);
            try testing.expectEqual(5, try ends[0].write(.{ .slice = "hello" }));
            var buffer: [16]u8 = undefined;
            try testing.expectEqual(0, try ends[1].read(.{ .slice = buffer[0..0] }));
            try testing.expectEqual(5, try ends[1].read(.{ .slice = &buffer }));
            try testing.expectEqualStrings("hello", buffer[0..5]);
            try testing.expectEqual(3, try ends[1].write(.{ .array = .{ .array = ("abc" ++ [_]u8{0} ** 29).*, .len = 3 } }));
            try testing.expectEqual(3, try ends[0].read(.{ .slice = &buffer }));
            try ends[0].shutdown();
            try testing.expectError(error.EOF, ends[1].read(.{ .slice = &buffer }));
            for (ends) |end| try end.close();
        }
    }.body);
}

test "more is written than the kernel buffers, both ends in one thread" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn write(end: aio.TCP, bytes: []const u8) !void {
                    try end.writeAll(bytes);
                    try end.shutdown();
                }
                fn read(end: aio.TCP, bytes: []u8) !usize {
                    var at: usize = 0;
                    while (true) at += end.read(.{ .slice = bytes[at..] }) catch |err| if (err == error.EOF) return at else return err;
                }
            };
            const ends = try fixture.connected(aio);
            const sent = try testing.allocator.alloc(u8, 16 << 20);
            defer testing.allocator.free(sent);
            for (sent, 0..) |*byte, i| byte.* = @truncate(i *% 2654435761 >> 13);
            const got = try testing.allocator.alloc(u8, sent.len + 1);
            defer testing.allocator.free(got);
            // From the accepting end, too, which is another kind of socket for some systems.
            for ([_][2]usize{ .{ 0, 1 }, .{ 1, 0 } }) |way| {
                const writer = try xasync(Body.write, .{ ends[way[0]], sent }, null);
                defer writer.deinit();
                const reader = try xasync(Body.read, .{ ends[way[1]], got }, null);
                defer reader.deinit();
                try xawait(writer);
                try testing.expectEqual(sent.len, try xawait(reader));
                try testing.expectEqualSlices(u8, sent, got[0..sent.len]);
            }
            for (ends) |end| try end.close();
        }
    }.body);
}

test "several accept on one socket, and several read from one; each gets its own" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn accept(listener: aio.TCP) !aio.TCP {
                    return listener.accept();
                }
                fn read(end: aio.TCP) !u8 {
                    var byte: [1]u8 = undefined;
                    _ = try end.read(.{ .slice = &byte });
                    return byte[0];
                }
            };
            const listener = try fixture.Listener(aio).init(null);
            var acceptors: [4]libcoro.FrameT(Body.accept, .{}) = undefined;
            for (&acceptors) |*acceptor| acceptor.* = try xasync(Body.accept, .{listener.tcp}, null);
            for (&acceptors) |acceptor| {
                const end: aio.TCP = .init(null, try aio.xev.TCP.init(fixture.loopback));
                try end.connect(listener.address);
                defer end.close() catch {};
                // Whoever it was: the connections are all alike.
                _ = acceptor;
            }
            var sum: u32 = 0;
            for (&acceptors) |acceptor| {
                const end = try xawait(acceptor);
                acceptor.deinit();
                sum += 1;
                try end.close();
            }
            try testing.expectEqual(4, sum);
            try listener.tcp.close();

            const ends = try fixture.connected(aio);
            var readers: [3]libcoro.FrameT(Body.read, .{}) = undefined;
            for (&readers) |*reader| reader.* = try xasync(Body.read, .{ends[0]}, null);
            for ("abc") |byte| {
                _ = try ends[1].write(.{ .slice = &.{byte} });
                try aio.sleep(null, 0);
            }
            var all: u32 = 0;
            for (&readers) |reader| {
                all += try xawait(reader);
                reader.deinit();
            }
            try testing.expectEqual('a' + 'b' + 'c', all);
            for (ends) |end| try end.close();
        }
    }.body);
}

test "hundreds of operations begin in one tick" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn read(end: aio.TCP, got: *u32) !void {
                    var byte: [1]u8 = undefined;
                    _ = try end.read(.{ .slice = &byte });
                    got.* += 1;
                }
                fn write(end: aio.TCP) !void {
                    try end.writeAll(&@as([700]u8, @splat('x')));
                }
            };
            const ends = try fixture.connected(aio);
            var got: u32 = 0;
            var group: libcoro.Group = .init;
            defer group.deinit();
            // More than a ring has room for, and what they all wait for comes last.
            for (0..700) |_| try group.spawn(Body.read, .{ ends[0], &got }, .{});
            try group.spawn(Body.write, .{ends[1]}, .{});
            try group.wait();
            try testing.expectEqual(700, got);
            for (ends) |end| try end.close();
        }
    }.body);
}

test "errors have names, and leave nothing behind" {
    // There libxev knows no number, and a Debug build of it cannot even print one.
    if (builtin.os.tag == .windows) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const nobody = try fixture.Listener(aio).init(null);
            try nobody.tcp.close();
            const lost: aio.TCP = .init(null, try aio.xev.TCP.init(fixture.loopback));
            try testing.expectError(error.ConnectionRefused, lost.connect(nobody.address));
            try testing.expect(if (lost.shutdown()) |_| false else |err| err == error.SocketNotConnected);
            try lost.close();

            const ends = try fixture.connected(aio);
            try ends[1].close();
            var buffer: [16]u8 = undefined;
            try testing.expectError(error.EOF, ends[0].read(.{ .slice = &buffer }));
            _ = try ends[0].write(.{ .slice = "into the void" });
            try testing.expectError(error.BrokenPipe, ends[0].write(.{ .slice = "again" }));
            try ends[0].close();
        }
    }.body);
}

test "select takes sockets by readiness, which consumes nothing of the others" {
    if (comptime !@import("backend.zig").canPoll(libcoro.xev)) return error.SkipZigTest;
    const Ch = libcoro.Channel(u32, .{ .capacity = 0 });
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn run(end: aio.TCP, listener: aio.TCP, channel: *Ch) !u32 {
                    return switch (try libcoro.select(.{
                        .readable = end.readable(),
                        .connection = listener.readable(),
                        .message = channel.receiving(),
                        .late = libcoro.after(20),
                    })) {
                        .readable => |ready| if (ready) 1 else |err| err,
                        .connection => |ready| if (ready) 2 else |err| err,
                        .message => |message| message.?,
                        .late => |slept| if (slept) 4 else |err| err,
                    };
                }
            };
            const ends = try fixture.connected(aio);
            const listener = try fixture.Listener(aio).init(null);
            const client: aio.TCP = .init(null, try aio.xev.TCP.init(fixture.loopback));
            var channel: Ch = .init(null);
            defer channel.deinit();
            for ([_]u32{ 4, 3, 1, 2, 1 }, 0..) |expected, round| {
                const frame = try xasync(Body.run, .{ ends[0], listener.tcp, &channel }, null);
                defer frame.deinit();
                if (expected == 3) try channel.send(3);
                if (round == 2) _ = try ends[1].write(.{ .slice = "abc" });
                if (expected == 2) {
                    // The bytes that are still there would come first.
                    try testing.expectEqual(1, try xawait(frame));
                    var buffer: [16]u8 = undefined;
                    try testing.expectEqual(3, try ends[0].read(.{ .slice = &buffer }));
                    try client.connect(listener.address);
                    const again = try xasync(Body.run, .{ ends[0], listener.tcp, &channel }, null);
                    defer again.deinit();
                    try testing.expectEqual(2, try xawait(again));
                    const accepted = try listener.tcp.accept();
                    try accepted.close();
                    continue;
                }
                if (round == 4) try ends[1].shutdown(); // the end of a stream can be read
                try testing.expectEqual(expected, try xawait(frame));
            }
            switch (try libcoro.select(.{ .writable = ends[0].writable(), .late = libcoro.after(10_000) })) {
                .writable => |ready| try ready,
                .late => return error.NotWritable,
            }
            for (ends ++ .{ client, listener.tcp }) |socket| try socket.close();
        }
    }.body);
}
