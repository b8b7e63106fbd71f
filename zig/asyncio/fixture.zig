//! For tests of asyncio: a loop with its executor, stacks and threads as the thread's Env, on each backend that the machine has, and
//! sockets to use there.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const linux = std.os.linux;
const libcoro = @import("../libcoro.zig");
const xev = libcoro.xev;
const IpAddress = std.Io.net.IpAddress;

/// The faces of libxev that are tested here.
pub const faces = switch (builtin.os.tag) {
    .linux => .{ xev.IO_Uring, xev.Epoll, xev.Dynamic },
    else => .{xev},
};

/// Runs `body`, a `fn (comptime aio: type, world: *World(aio)) anyerror!void`, on each. A backend that the machine refuses is
/// left out; one must be there.
pub fn onEach(comptime body: anytype) !void {
    var count: usize = 0;
    inline for (faces) |face| {
        if (face.dynamic) {
            inline for (face.candidates) |candidate| {
                if (face.prefer(candidate)) try on(face, body, &count);
            }
        } else if (face.available()) try on(face, body, &count);
    }
    try testing.expect(count > 0);
}

fn on(comptime face: type, comptime body: anytype, count: *usize) !void {
    errdefer std.debug.print("on {s}{t}\n", .{ if (face.dynamic) "Dynamic, " else "", face.backend });
    const descriptors = openDescriptors();
    const aio = libcoro.Asyncio(face);
    // After a failure threads may still use it.
    const world = try std.heap.page_allocator.create(World(aio));
    try world.setUp();
    try body(aio, world);
    try world.tearDown();
    std.heap.page_allocator.destroy(world);
    try testing.expectEqual(descriptors, openDescriptors());
    count.* += 1;
}

pub fn World(comptime aio: type) type {
    return struct {
        pool: libcoro.StackPool = .{},
        threads: xev.ThreadPool,
        loop: aio.xev.Loop,
        exec: aio.Executor,

        const Self = @This();
        /// Debug builds need more than a program.
        const stack_size = 64 * 1024;

        pub fn setUp(world: *Self) !void {
            world.* = .{ .threads = .init(.{ .max_threads = 2 }), .loop = undefined, .exec = undefined };
            world.loop = try aio.xev.Loop.init(.{ .thread_pool = &world.threads });
            world.exec = .init(&world.loop);
            aio.initEnv(.{ .executor = &world.exec, .pool = &world.pool, .default_stack_size = stack_size });
        }

        /// Nothing may be left.
        pub fn tearDown(world: *Self) !void {
            try testing.expectEqual(0, world.exec.in_flight);
            try testing.expectEqual(0, world.exec.sleepers.heap.count());
            var live = libcoro.liveCoroutines();
            try testing.expectEqual(null, live.next());
            try testing.expectEqual(0, world.pool.statistics().in_use);
            world.exec.deinit();
            world.loop.deinit();
            world.threads.shutdown();
            world.threads.deinit();
            world.pool.deinit();
            libcoro.initEnv(.{});
        }
    };
}

pub const loopback: IpAddress = .{ .ip4 = .loopback(0) };

/// A listening socket on a free port, and its address.
pub fn Listener(comptime aio: type) type {
    return struct {
        tcp: aio.TCP,
        address: IpAddress,

        pub fn init(exec: ?*aio.Executor) !@This() {
            const tcp = try aio.xev.TCP.init(loopback);
            try tcp.bind(loopback);
            try tcp.listen(128);
            return .{ .tcp = .init(exec, tcp), .address = try addressOf(aio.xev, tcp) };
        }
    };
}

/// Two ends of a connection.
pub fn connected(comptime aio: type) ![2]aio.TCP {
    const listener = try Listener(aio).init(null);
    defer listener.tcp.close() catch {};
    const Connecting = struct {
        fn run(address: IpAddress) !aio.TCP {
            const tcp: aio.TCP = .init(null, try aio.xev.TCP.init(loopback));
            try tcp.connect(address);
            return tcp;
        }
    };
    const client = try libcoro.xasync(Connecting.run, .{listener.address}, null);
    defer client.deinit();
    const server = try listener.tcp.accept();
    return .{ try libcoro.xawait(client), server };
}

/// Waits for something that is there at once, on the loop and without a sleep: its timer is armed for who sleeps already.
pub fn waitBriefly(comptime aio: type) !void {
    const ends = try connected(aio);
    _ = try ends[0].write(.{ .slice = "x" });
    var byte: [1]u8 = undefined;
    _ = try ends[1].read(.{ .slice = &byte });
    for (ends) |end| try end.close();
}

/// The address that a socket of libxev's is bound to.
pub fn addressOf(comptime face: type, socket: anytype) !IpAddress {
    return @import("address.zig").localOf(@import("backend.zig").fdOf(face, socket));
}

/// Of this process, counted without opening any. 0 where nobody can count them.
pub fn openDescriptors() u32 {
    // ThreadSanitizer opens some when it likes.
    if (builtin.os.tag != .linux or builtin.sanitize_thread) return 0;
    var count: u32 = 0;
    for (0..4096) |fd| {
        if (linux.errno(linux.fcntl(@intCast(fd), linux.F.GETFD, 0)) == .SUCCESS) count += 1;
    }
    return count;
}
