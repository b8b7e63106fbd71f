//! Tests of streams over pipes, terminals, files and devices, on each backend.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const buffer = @import("../buffer.zig");
const descriptor = @import("descriptor.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const IoWait = @import("op.zig").IoWait;
const Socket = tcp.Socket;
const World = @import("tcp_test.zig").World;
const backends = @import("tcp_test.zig").backends;
const large = @import("tcp_test.zig").large;
const nothing = @import("tcp_test.zig").nothing;
const openFile = @import("tcp_test.zig").openFile;
const tcp = @import("tcp.zig");

/// What is written to the one end comes out of the other, with reads and writes that have to wait.
fn passes(world: *World, in: *Socket, out: *Socket, amount: usize) !void {
    var reading: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
    var writing: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
    try testing.expectEqual(tcp.parked, try in.startRead(&reading, 1 << 20));
    try world.turn(false);
    var sent: usize = 0;
    var got: usize = 0;
    var bytes: [1 << 16]u8 = undefined;
    var write_parks: u32 = 0;
    while (got < amount) {
        if (out.isIdle(&out.out) and sent < amount) {
            const n = try out.startWrite(&writing, large[sent..amount]);
            if (n != tcp.parked) sent += @intCast(n) else write_parks += 1;
        } else if (!in.isIdle(&in.in)) try world.turn(true);
        if (out.isIdle(&out.out) and writing.waiter.state == .woken) {
            sent += @intCast(writing.result);
            writing.waiter.state = .idle;
        }
        if (!in.isIdle(&in.in)) continue;
        if (reading.waiter.state == .woken) try testing.expect(reading.result > 0);
        reading.waiter.state = .idle;
        while (true) {
            const n = in.take(&bytes);
            if (n == 0) break;
            for (bytes[0..n]) |byte| if (byte != 'x') return error.WrongByte;
            got += n;
        }
        if (got < amount) {
            const n = try in.startRead(&reading, 1 << 20);
            if (n != tcp.parked) try testing.expect(n > 0);
        }
    }
    while (!out.isIdle(&out.out)) try world.turn(true);
    try testing.expectEqual(amount, got);
    try testing.expect(write_parks > 0);
}

test "what goes into a pipe comes out, however its ends are kept from waiting" {
    for (backends) |backend| {
        for ([_]descriptor.Way{ .nonblocking, .nowait, .polled }) |way| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            var fds: [2]sys.fd_t = undefined;
            try testing.expectEqual(0, sys.pipe(&fds, way == .nonblocking));
            const in = (try Socket.adoptAny(&world.context, fds[0], .{ .readable = true, .private = way == .nonblocking })).socket;
            const out = (try Socket.adoptAny(&world.context, fds[1], .{ .writable = true })).socket;
            for ([_]*Socket{ in, out }) |end| {
                // Elsewhere a pipe cannot be opened again.
                if (backends[0] != .kqueue) try testing.expectEqual(.nonblocking, end.in.op.way);
                if (way == .nonblocking) continue;
                // As if opening it again had been refused.
                try testing.expectEqual(0, sys.setFlags(end.fd, .{ .ACCMODE = if (end == in) .RDONLY else .WRONLY }));
                end.in.op.way = way;
                end.out.op.way = way;
            }
            try passes(&world, in, out, 300_000);
            // The end of the one is the end of the stream for the other.
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            const result = try in.startRead(&wait, 10);
            try testing.expectEqual(tcp.parked, result);
            try world.turn(false);
            out.close();
            try testing.expectEqual(0, try world.ended(result, &wait));
            in.close();
            try world.deinit();
        }
    }
}

test "a pipe whose reader is gone is EPIPE, and its signal is seen by nobody" {
    const Signal = struct {
        var count: u32 = 0;
        fn handle(_: c.SIG) callconv(.c) void {
            count += 1;
        }
    };
    const action: c.Sigaction = .{ .handler = .{ .handler = Signal.handle }, .mask = sys.SignalSet.none.set, .flags = 0 };
    var before: c.Sigaction = undefined;
    try testing.expectEqual(0, sys.sigaction(.PIPE, &action, &before));
    defer _ = sys.sigaction(.PIPE, &before, null);
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var fds: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, sys.pipe(&fds, true));
        const out = (try Socket.adoptAny(&world.context, fds[1], .{ .writable = true, .private = true })).socket;
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        // In flight when the reader goes.
        const result = try out.startWrite(&wait, large[0..200_000]);
        try testing.expectEqual(tcp.parked, result);
        try world.turn(false);
        sys.close(fds[0]);
        try testing.expectEqual(sys.negative(.PIPE), try world.ended(result, &wait));
        // And at once.
        try testing.expectEqual(sys.negative(.PIPE), try out.startWrite(&wait, "x"));
        out.close();
        try world.deinit();
    }
    try testing.expectEqual(0, Signal.count);
    // The signal is not held back for ever.
    _ = c.kill(c.getpid(), .PIPE);
    try testing.expectEqual(1, Signal.count);
}

test "a regular file and a device that epoll refuses are read and written; what is no stream is refused" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        const file = @import("tcp_test.zig").emptyFile();
        const stream = (try Socket.adoptAny(&world.context, file, .{ .readable = true, .writable = true, .keep = true })).socket;
        try testing.expectEqual(.ready, stream.in.op.way);
        try testing.expectEqual(5, try world.ended(try stream.startWrite(&wait, "hello"), &wait));
        // The position is shared with the descriptor that was kept.
        try testing.expectEqual(1, sys.result(c.lseek(file, 1, c.SEEK.SET)));
        var bytes: [8]u8 = undefined;
        try testing.expectEqual(4, try world.ended(try stream.startRead(&wait, 8), &wait));
        try testing.expectEqual(4, stream.take(&bytes));
        try testing.expectEqualStrings("ello", bytes[0..4]);
        try testing.expectEqual(0, try world.ended(try stream.startRead(&wait, 8), &wait));
        stream.close();
        sys.close(file);

        const device = openFile("/dev/null", .{ .ACCMODE = .RDWR });
        const sink = (try Socket.adoptAny(&world.context, device, .{ .readable = true, .writable = true })).socket;
        try testing.expectEqual(0, try world.ended(try sink.startRead(&wait, 8), &wait));
        var sent: usize = 0;
        while (sent < 10_000) sent += @intCast(try world.ended(try sink.startWrite(&wait, large[sent..10_000]), &wait));
        sink.close();

        const Case = struct { fd: i32, terms: descriptor.Terms, errno: sys.E };
        const directory = openFile("/", .{});
        const datagrams = sys.openSocket(c.AF.UNIX, c.SOCK.DGRAM, 0, false);
        var ends: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, sys.pipe(&ends, true));
        for ([_]Case{
            .{ .fd = -1, .terms = .{}, .errno = .BADF },
            .{ .fd = 4000, .terms = .{ .keep = true }, .errno = .BADF },
            .{ .fd = directory, .terms = .{ .readable = true }, .errno = .ISDIR },
            .{ .fd = datagrams, .terms = .{ .readable = true }, .errno = .OPNOTSUPP },
            .{ .fd = ends[0], .terms = .{ .writable = true }, .errno = .BADF },
            .{ .fd = ends[1], .terms = .{ .readable = true }, .errno = .BADF },
        }) |case| {
            try testing.expectEqual(sys.negative(case.errno), (try Socket.adoptAny(&world.context, case.fd, case.terms)).errno);
        }
        for ([_]sys.fd_t{ directory, datagrams, ends[0], ends[1] }) |fd| sys.close(fd);
        try world.deinit();
    }
}

test "a pipe of somebody else's stays as it was, and memory that runs out leaves it to them" {
    for (backends) |backend| {
        var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = 0 });
        for ([_]bool{ true, false }) |fails| {
            var world: World = undefined;
            try world.init(backend, if (fails) failing.allocator() else testing.allocator) orelse continue;
            var fds: [2]sys.fd_t = undefined;
            try testing.expectEqual(0, sys.pipe(&fds, false));
            const flags = sys.flagsOf(fds[0]);
            const opened = Socket.adoptAny(&world.context, fds[0], .{ .readable = true, .keep = true });
            if (fails) try testing.expectError(error.OutOfMemory, opened) else (try opened).socket.close();
            try testing.expectEqual(flags, sys.flagsOf(fds[0]));
            for (fds) |fd| sys.close(fd);
            try world.deinit();
        }
    }
}

/// Master and slave of a new pseudo terminal; null where there are none, or another way to get them.
fn terminal() ?[2]sys.fd_t {
    if (builtin.os.tag != .linux) return null;
    const linux = std.os.linux;
    const master = openFile("/dev/ptmx", .{ .ACCMODE = .RDWR, .NOCTTY = true });
    if (master < 0) return null;
    var number: c_int = 0;
    const unlocked: c_int = 0;
    _ = linux.ioctl(master, linux.T.IOCSPTLCK, @intFromPtr(&unlocked));
    _ = linux.ioctl(master, linux.T.IOCGPTN, @intFromPtr(&number));
    var buffer_: [32]u8 = undefined;
    const path = std.fmt.bufPrintZ(&buffer_, "/dev/pts/{d}", .{number}) catch unreachable;
    const slave = openFile(path, .{ .ACCMODE = .RDWR, .NOCTTY = true });
    if (slave >= 0) return .{ master, slave };
    sys.close(master);
    return null;
}

test "a terminal is read by lines and written under backpressure, and stays as it was for others" {
    for (backends) |backend| {
        for ([_]descriptor.Way{ .nonblocking, .polled }) |way| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            const master, const slave = terminal() orelse return error.SkipZigTest;
            const flags = sys.flagsOf(slave).?;
            const stream = (try Socket.adoptAny(&world.context, slave, .{ .readable = true, .writable = true, .keep = true })).socket;
            try testing.expectEqual(.nonblocking, stream.in.op.way);
            try testing.expectEqual(flags, sys.flagsOf(slave).?);
            if (way != .nonblocking) {
                _ = sys.setFlags(stream.fd, flags);
                stream.in.op.way = way;
                stream.out.op.way = way;
            }
            // Half a line is nothing to read.
            var reading: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            const result = try stream.startRead(&reading, 100);
            try testing.expectEqual(tcp.parked, result);
            try testing.expectEqual(3, sys.result(c.write(master, "hel", 3)));
            for (0..3) |_| try world.turn(false);
            try testing.expect(reading.waiter.state == .armed);
            try testing.expectEqual(3, sys.result(c.write(master, "lo\n", 3)));
            try testing.expectEqual(6, try world.ended(result, &reading));
            var bytes: [4096]u8 = undefined;
            try testing.expectEqual(6, stream.take(&bytes));
            try testing.expectEqualStrings("hello\n", bytes[0..6]);
            // Nobody reads what is written, until it has filled up.
            var writing: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            const written = try stream.startWrite(&writing, large[0..100_000]);
            try testing.expectEqual(tcp.parked, written);
            for (0..3) |_| try world.turn(false);
            try testing.expect(writing.waiter.state == .armed);
            var got: usize = 0;
            while (got < 100_000) {
                var poll = [1]c.pollfd{.{ .fd = master, .events = c.POLL.IN, .revents = 0 }};
                _ = sys.poll(&poll, 10);
                if (poll[0].revents != 0) {
                    const n = sys.result(c.read(master, &bytes, bytes.len));
                    for (bytes[0..@intCast(n)]) |byte| got += @intFromBool(byte == 'x');
                }
                try world.turn(false);
            }
            try testing.expectEqual(100_000, try world.ended(written, &writing));
            stream.close();
            sys.close(slave);
            sys.close(master);
            try world.deinit();
        }
    }
}

test "the master of a terminal is not opened again: that would be another terminal" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const master, const slave = terminal() orelse return error.SkipZigTest;
        const stream = (try Socket.adoptAny(&world.context, master, .{ .readable = true, .writable = true })).socket;
        try testing.expectEqual(master, stream.fd);
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        const result = try stream.startRead(&wait, 100);
        try testing.expectEqual(tcp.parked, result);
        try world.turn(false);
        try testing.expectEqual(2, sys.result(c.write(slave, "hi", 2)));
        try testing.expectEqual(2, try world.ended(result, &wait));
        stream.close();
        sys.close(slave);
        try world.deinit();
    }
}

test "a pipe that two read: whoever comes too late goes on waiting" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var fds: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, sys.pipe(&fds, true));
        var streams: [2]*Socket = undefined;
        var waits: [2]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
        for (&streams, &waits) |*stream, *wait| {
            stream.* = (try Socket.adoptAny(&world.context, fds[0], .{ .readable = true, .keep = true })).socket;
            try testing.expectEqual(tcp.parked, try stream.*.startRead(wait, 1));
        }
        try world.turn(false);
        var told: u32 = 0;
        for (0..2) |_| {
            try testing.expectEqual(1, sys.result(c.write(fds[1], "x", 1)));
            while (told == @as(u32, @intFromBool(waits[0].waiter.state == .woken)) + @intFromBool(waits[1].waiter.state == .woken)) {
                try world.turn(true);
            }
            told += 1;
            for (0..3) |_| try world.turn(false);
            try testing.expectEqual(told, @as(u32, @intFromBool(waits[0].waiter.state == .woken)) + @intFromBool(waits[1].waiter.state == .woken));
        }
        for (streams, waits) |stream, wait| {
            try testing.expectEqual(1, wait.result);
            stream.close();
        }
        for (fds) |fd| sys.close(fd);
        try world.deinit();
    }
}

test "a pipe or pair that finds no memory for one of its ends leaves nothing open" {
    const Env = @import("../env.zig").Env;
    const abi = @import("../abi/stream.zig").exports;
    const openDescriptors = @import("tcp_test.zig").openDescriptors;
    for (backends) |backend| {
        const env = Env.create(testing.allocator, backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        defer env.destroy();
        const before = openDescriptors();
        for ([_]*const fn (*Env, [*]u8) callconv(.c) i32{ abi.stream_pipe, abi.stream_pair }) |make| {
            var fail_index: usize = 0;
            var ends: [8]u8 = undefined;
            while (true) : (fail_index += 1) {
                var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
                env.allocator = failing.allocator();
                env.tcp_context.allocator = failing.allocator();
                defer env.allocator = testing.allocator;
                defer env.tcp_context.allocator = testing.allocator;
                const rc = make(env, &ends);
                if (rc == 0) break;
                try testing.expectEqual(sys.negative(.NOMEM), rc);
                try testing.expectEqual(before, openDescriptors());
                try testing.expectEqual(0, env.sockets.live);
            }
            // Each end's struct; room in the table is there after the first.
            try testing.expect(fail_index >= 2);
            for ([_]usize{ 0, 4 }) |at| {
                const closed = @import("../abi/tcp.zig").exports.tcp_close(env, std.mem.readInt(u32, ends[at..][0..4], .little));
                try testing.expectEqual(0, closed);
            }
            try testing.expectEqual(before, openDescriptors());
        }
    }
}
