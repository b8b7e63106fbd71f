//! Tests of files on each backend: the kernel does them for io_uring, threads for epoll.

const std = @import("std");
const testing = std.testing;
const linux = std.os.linux;
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const io = testing.io;

fn isEpoll(comptime aio: type) bool {
    return @intFromEnum(aio.xev.backend) == @intFromEnum(libcoro.xev.Backend.epoll);
}

fn open(comptime aio: type, dir: std.Io.Dir, flags: std.Io.Dir.CreateFileOptions) !aio.File {
    return .init(null, try aio.xev.File.init(try dir.createFile(io, "file", flags)));
}

test "write, read, at the position and elsewhere, to the end, close" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn main() !void {
                    var tmp = testing.tmpDir(.{});
                    defer tmp.cleanup();
                    const file = try open(aio, tmp.dir, .{ .read = true });
                    try testing.expectEqual(7, try file.write(.{ .slice = "hello, " }));
                    try testing.expectEqual(5, try file.write(.{ .slice = "world" }));
                    try testing.expectEqual(1, try file.pwrite(.{ .slice = "H" }, 0));
                    try testing.expectEqual(1, try file.pwrite(.{ .array = .{ .array = @splat('!'), .len = 1 } }, 12));
                    var buffer: [64]u8 = undefined;
                    try testing.expectEqual(13, try file.pread(.{ .slice = &buffer }, 0));
                    try testing.expectEqualStrings("Hello, world!", buffer[0..13]);
                    try testing.expectEqual(0, try file.pread(.{ .slice = buffer[0..0] }, 0));
                    try testing.expectError(error.EOF, file.pread(.{ .slice = &buffer }, 100));
                    // The position is still where the writes had left it.
                    try testing.expectEqual(1, try file.read(.{ .slice = &buffer }));
                    try testing.expectEqual('!', buffer[0]);
                    try testing.expectError(error.EOF, file.read(.{ .slice = &buffer }));
                    try file.close();
                }
            };
            try aio.run(null, Body.main, .{}, null);
            try Body.main();
        }
    }.body);
}

test "a hundred files' worth at once" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn run(file: aio.File, number: u8) !void {
                    const place: u64 = @as(u64, number) * 1000;
                    var bytes: [1000]u8 = @splat(number);
                    for (0..10) |i| try testing.expectEqual(100, try file.pwrite(.{ .slice = bytes[i * 100 ..][0..100] }, place + i * 100));
                    bytes = undefined;
                    try testing.expectEqual(1000, try file.pread(.{ .slice = &bytes }, place));
                    for (bytes) |byte| try testing.expectEqual(number, byte);
                }
            };
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            const file = try open(aio, tmp.dir, .{ .read = true });
            defer file.close() catch {};
            var group: libcoro.Group = .init;
            defer group.deinit();
            for (0..100) |i| try group.spawn(Body.run, .{ file, @as(u8, @intCast(i)) }, .{});
            try group.wait();
        }
    }.body);
}

test "a loop without threads says so, and still closes" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            if (!isEpoll(aio)) return;
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            var loop = try aio.xev.Loop.init(.{});
            defer loop.deinit();
            var exec: aio.Executor = .init(&loop);
            defer exec.deinit();
            const file: aio.File = .init(&exec, (try open(aio, tmp.dir, .{ .read = true })).file);
            var buffer: [8]u8 = undefined;
            try testing.expectError(error.ThreadPoolRequired, file.read(.{ .slice = &buffer }));
            try testing.expectError(error.ThreadPoolRequired, file.pread(.{ .slice = &buffer }, 0));
            try testing.expectError(error.ThreadPoolRequired, file.write(.{ .slice = &buffer }));
            try testing.expectError(error.ThreadPoolRequired, file.pwrite(.{ .slice = &buffer }, 0));
            try file.close();
            _ = world;
        }
    }.body);
}

test "errors have names" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            if (!isEpoll(aio)) return; // io_uring: see udp_test.zig
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            var buffer: [8]u8 = undefined;
            const file = try open(aio, tmp.dir, .{ .read = false });
            try testing.expectError(error.NotOpenForReading, file.read(.{ .slice = &buffer }));
            try file.close();
            const dir = try tmp.dir.openDir(io, ".", .{ .iterate = true });
            const directory: aio.File = .init(null, aio.xev.File.initFd(dir.handle));
            try testing.expectError(error.IsDir, directory.read(.{ .slice = &buffer }));
            try directory.close();
            var pipe: [2]i32 = undefined;
            try testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&pipe, .{ .CLOEXEC = true })));
            const end: aio.File = .init(null, aio.xev.File.initFd(pipe[0]));
            try testing.expectError(error.Unseekable, end.pread(.{ .slice = &buffer }, 1));
            try end.close();
            const other: aio.File = .init(null, aio.xev.File.initFd(pipe[1]));
            try testing.expectError(error.BrokenPipe, other.write(.{ .slice = "x" }));
            try other.close();
        }
    }.body);
}

test "a cancel ends a read that waits, or waits for the thread that does it" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn read(end: aio.File, got: *usize) !void {
                    var buffer: [8]u8 = undefined;
                    got.* = try end.read(.{ .slice = &buffer });
                    try aio.sleep(null, 10_000);
                }
                fn cancel(frame: libcoro.FrameT(read, .{})) !void {
                    return libcoro.xcancel(frame);
                }
            };
            var pipe: [2]i32 = undefined;
            try testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&pipe, .{ .CLOEXEC = true })));
            const end: aio.File = .init(null, aio.xev.File.initFd(pipe[0]));
            for ([_]bool{ false, true }) |has_ticked| {
                var got: usize = 0;
                const reader = try xasync(Body.read, .{ end, &got }, null);
                if (has_ticked) try aio.sleep(null, 1);
                const canceller = try xasync(Body.cancel, .{reader}, null);
                if (isEpoll(aio)) {
                    try aio.sleep(null, 1);
                    try testing.expectEqual(.suspended, canceller.status());
                    try testing.expectEqual(2, linux.write(pipe[1], "ab", 2));
                }
                // What was read all the same is not lost; the sleep after it is what the cancel ended.
                try testing.expectError(error.Cancelled, xawait(canceller));
                try testing.expectEqual(@as(usize, if (isEpoll(aio)) 2 else 0), got);
                canceller.deinit();
                reader.deinit();
            }
            try end.close();
            _ = linux.close(pipe[1]);
        }
    }.body);
}
