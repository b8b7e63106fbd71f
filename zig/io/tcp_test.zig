//! Tests of sockets on each backend: memory that runs out at every point, cancelled writes, and random use of loopback
//! connections against a model.

const std = @import("std");
const testing = std.testing;
const linux = std.os.linux;
const buffer = @import("../buffer.zig");
const sys = @import("../sys.zig");
const Backend = @import("../loop.zig").Backend;
const Loop = @import("../loop.zig").Loop;
const Watch = @import("../loop.zig").Watch;
const Waiter = @import("../waiter.zig").Waiter;
const IoWait = @import("op.zig").IoWait;
const Op = @import("op.zig").Op;
const tcp = @import("tcp.zig");
const Socket = tcp.Socket;

/// A loop and what sockets need of it, in place.
pub const World = struct {
    loop: Loop,
    buffers: buffer.Pool,
    context: tcp.Context,
    descriptors: u32,

    /// Null where the machine refuses the backend.
    pub fn init(world: *World, backend: Backend, allocator: std.mem.Allocator) !?void {
        world.descriptors = openDescriptors();
        world.loop = Loop.init(backend) catch |err| return if (err == error.Unavailable) null else err;
        world.buffers = .{ .memory = allocator };
        world.context = .{ .allocator = allocator, .loop = &world.loop, .buffers = &world.buffers };
    }

    /// Every socket was closed. Afterwards nothing may be left.
    pub fn deinit(world: *World) !void {
        while (world.loop.in_flight > 0) try world.turn(true);
        try testing.expectEqual(0, world.buffers.borrowed);
        world.buffers.deinit();
        world.loop.deinit();
        try testing.expectEqual(world.descriptors, openDescriptors());
    }

    pub fn turn(world: *World, wait: bool) !void {
        try world.loop.tick(wait);
        world.loop.deliver();
    }

    /// The result that an operation gave, now or when `wait` is told.
    pub fn ended(world: *World, result: i32, wait: *IoWait) !i32 {
        if (result != tcp.parked) return result;
        while (wait.waiter.state == .armed) try world.turn(true);
        return wait.result;
    }
};

/// Of this process, counted without opening any.
pub fn openDescriptors() u32 {
    var count: u32 = 0;
    for (0..4096) |fd| {
        if (linux.errno(linux.fcntl(@intCast(fd), linux.F.GETFD, 0)) == .SUCCESS) count += 1;
    }
    return count;
}

pub fn nothing(_: *Waiter) void {}

pub const backends = [_]Backend{ .io_uring, .epoll };
pub const large: [8 << 20]u8 = @splat('x');

test "memory that runs out anywhere leaks neither memory nor descriptors" {
    for (backends) |backend| {
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
            var world: World = undefined;
            try world.init(backend, failing.allocator()) orelse break;
            var waits: [5]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
            const outcome = useAll(&world, &waits);
            try world.deinit();
            outcome catch |err| {
                try testing.expectEqual(error.OutOfMemory, err);
                continue;
            };
            try testing.expect(!failing.has_induced_failure);
            break;
        }
        // A struct for each of three sockets and a buffer for each of a read and a write.
        try testing.expect(fail_index >= 5 or backend == .io_uring);
    }
}

/// Listens, connects, accepts, reads and writes, and leaves a read and a write in flight as it closes.
fn useAll(world: *World, waits: *[5]IoWait) !void {
    var address = try sys.Address.parse("127.0.0.1", 0);
    const listener = (try Socket.listen(&world.context, &address, 8, false)).socket;
    defer listener.close();
    try testing.expectEqual(0, sys.localAddress(listener.fd, &address));
    const accepting = listener.startAccept(&waits[0]);
    const client = (try Socket.open(&world.context, &address)).socket;
    defer client.close();
    try testing.expectEqual(0, try world.ended(client.startConnect(&waits[1]), &waits[1]));
    const server = (try Socket.adopt(&world.context, try world.ended(accepting, &waits[0]))).socket;
    defer server.close();
    try testing.expectEqual(tcp.parked, try client.startRead(&waits[2], 100));
    var sent: usize = 0;
    while (true) {
        const n = try client.startWrite(&waits[3], large[sent..]);
        if (n == tcp.parked) break;
        sent += @intCast(n);
    }
    const n = try world.ended(try server.startRead(&waits[4], 100), &waits[4]);
    try testing.expect(n > 0);
}

test "a write that is cancelled while a part of it was sent goes no further and says how much is gone" {
    for (backends) |backend| {
        for ([_]bool{ false, true }) |part_came| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            var pair: [2]sys.fd_t = undefined;
            try testing.expectEqual(0, linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.NONBLOCK, 0, &pair));
            const socket = (try Socket.adopt(&world.context, pair[0])).socket;
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            try testing.expectEqual(tcp.parked, try socket.startWrite(&wait, &large));
            const first = socket.out.bytes;
            try world.turn(false);
            var bytes: [100_000]u8 = undefined;
            var got: usize = 0;
            if (part_came) {
                while (socket.out.op.state != .finished) {
                    const n = sys.recv(pair[1], &bytes);
                    if (n > 0) got += @intCast(n);
                    try world.loop.tick(false);
                }
            }
            socket.context.loop.cancel(&socket.out.op);
            while (wait.waiter.state == .armed) try world.turn(true);
            try testing.expect(socket.isIdle(&socket.out));
            try testing.expect(wait.result > 0 and wait.result < large.len);
            try testing.expectEqual(part_came, wait.result > first);
            socket.close();
            while (true) {
                const n = sys.recv(pair[1], &bytes);
                if (n <= 0) break;
                got += @intCast(n);
            }
            try testing.expectEqual(@as(usize, @intCast(wait.result)), got);
            sys.close(pair[1]);
            try world.deinit();
        }
    }
}

test "an operation on a descriptor that epoll refuses fails instead of waiting for ever" {
    var world: World = undefined;
    (try world.init(.epoll, testing.allocator)).?;
    const regular: sys.fd_t = @intCast(linux.memfd_create("refused", 0));
    const fd = sys.socket(linux.AF.INET, true);
    const address = try sys.Address.parse("127.0.0.1", 0);
    try testing.expectEqual(0, sys.bind(fd, &address));
    try testing.expectEqual(0, sys.listen(fd, 1));
    var op: Op = .{ .kind = .accept, .fd = fd, .doneFn = undefined };
    var watch: Watch = .{ .ops = .{ &op, &op } };
    world.loop.watch(&watch, regular);
    try testing.expectEqual(sys.negative(.NOMEM), world.loop.start(&op, &watch).?);
    world.loop.unwatch(&watch, regular);
    sys.close(fd);
    sys.close(regular);
    try world.deinit();
}

/// One end of a connection, and what the model knows of it.
const End = struct {
    socket: *Socket,
    /// Names the stream of bytes that it writes; `reads` the one that it reads.
    writes: u32,
    reads: u32,
    read_at: usize = 0,
    write_at: usize = 0,
    read_wait: IoWait = .{ .waiter = .{ .wakeFn = readTold } },
    write_wait: IoWait = .{ .waiter = .{ .wakeFn = writeTold } },
    /// A byte out of order, or an error that nothing explains.
    failed: bool = false,
    prng: *std.Random.DefaultPrng,

    fn readTold(w: *Waiter) void {
        const end: *End = @fieldParentPtr("read_wait", @as(*IoWait, @fieldParentPtr("waiter", w)));
        end.readEnded(end.read_wait.result);
    }

    fn writeTold(w: *Waiter) void {
        const end: *End = @fieldParentPtr("write_wait", @as(*IoWait, @fieldParentPtr("waiter", w)));
        end.writeEnded(end.write_wait.result);
    }

    fn readEnded(end: *End, result: i32) void {
        if (result <= 0) return end.stopped(result);
        // Sometimes less than has come: the rest is for the next read.
        var bytes: [32 * 1024]u8 = undefined;
        const n = end.socket.take(bytes[0..end.prng.random().intRangeAtMost(usize, 1, @min(bytes.len, @as(usize, @intCast(result))))]);
        for (bytes[0..n]) |byte| {
            if (byte != byteAt(end.reads, end.read_at)) end.failed = true;
            end.read_at += 1;
        }
    }

    fn writeEnded(end: *End, result: i32) void {
        if (result > 0) end.write_at += @intCast(result) else end.stopped(result);
    }

    fn stopped(end: *End, result: i32) void {
        for ([_]sys.E{ .CANCELED, .PIPE, .CONNRESET }) |expected| if (result == sys.negative(expected)) return;
        if (result != 0) end.failed = true;
    }

    fn act(end: *End, random: std.Random) !void {
        const socket = end.socket;
        switch (random.uintLessThan(u8, 8)) {
            0, 1, 2 => if (socket.isIdle(&socket.in)) {
                const result = try socket.startRead(&end.read_wait, random.intRangeAtMost(usize, 1, 100_000));
                if (result != tcp.parked) end.readEnded(result);
            },
            3, 4, 5 => if (socket.isIdle(&socket.out)) {
                var bytes: [300_000]u8 = undefined;
                const chosen = bytes[0..random.intRangeAtMost(usize, 1, bytes.len)];
                for (chosen, end.write_at..) |*byte, at| byte.* = byteAt(end.writes, at);
                const result = try socket.startWrite(&end.write_wait, chosen);
                if (result != tcp.parked) end.writeEnded(result);
            },
            6 => socket.context.loop.cancel(&socket.in.op),
            else => socket.context.loop.cancel(&socket.out.op),
        }
    }
};

fn byteAt(stream: u32, at: usize) u8 {
    return @truncate(at ^ (at >> 8) *% 7 ^ (at >> 16) *% 31 ^ stream);
}

/// A new connection, `stream` and `stream + 1` naming its two directions.
fn connect(world: *World, listener: *Socket, pair: *[2]End, stream: u32, prng: *std.Random.DefaultPrng) !void {
    var address: sys.Address = undefined;
    try testing.expectEqual(0, sys.localAddress(listener.fd, &address));
    var accept_wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
    var connect_wait = accept_wait;
    const accepting = listener.startAccept(&accept_wait);
    const client = (try Socket.open(&world.context, &address)).socket;
    try testing.expectEqual(0, try world.ended(client.startConnect(&connect_wait), &connect_wait));
    const server = (try Socket.adopt(&world.context, try world.ended(accepting, &accept_wait))).socket;
    pair[0] = .{ .socket = client, .writes = stream, .reads = stream + 1, .prng = prng };
    pair[1] = .{ .socket = server, .writes = stream + 1, .reads = stream, .prng = prng };
}

test "random reads, writes, cancels and closes keep bytes in order and end each operation once" {
    const seed: u64 = 0x7463_7031;
    errdefer std.debug.print("seed {x}\n", .{seed});
    for (backends) |backend| {
        var prng = std.Random.DefaultPrng.init(seed);
        const random = prng.random();
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const address = try sys.Address.parse("127.0.0.1", 0);
        const listener = (try Socket.listen(&world.context, &address, 8, false)).socket;
        var pairs: [4][2]End = undefined;
        for (&pairs, 0..) |*pair, i| try connect(&world, listener, pair, @intCast(2 * i), &prng);
        var moved: usize = 0;
        for (0..6000) |step| {
            const pair = &pairs[random.uintLessThan(usize, pairs.len)];
            try pair[random.uintLessThan(usize, 2)].act(random);
            if (random.uintLessThan(u8, 3) == 0) try world.turn(false);
            if (step % 500 == 499 or step == 5999) {
                moved += try closePair(&world, pair, random);
                if (step != 5999) try connect(&world, listener, pair, @intCast(step & ~@as(usize, 1)), &prng);
                if (step == 5999) for (&pairs) |*other| if (other != pair) {
                    moved += try closePair(&world, other, random);
                };
            }
        }
        listener.close();
        try world.deinit();
        try testing.expect(moved > 1_000_000);
    }
}

/// With operations in flight, one end a turn before the other or both at once. Returns the bytes that it carried.
fn closePair(world: *World, pair: *[2]End, random: std.Random) !usize {
    pair[0].socket.close();
    if (random.boolean()) try world.turn(false);
    pair[1].socket.close();
    // A wait is told at the latest when its socket is gone; a second time would trip the waiter's assertion.
    for (pair) |*end| {
        while (end.read_wait.waiter.state == .armed or end.write_wait.waiter.state == .armed) try world.turn(true);
    }
    var moved: usize = 0;
    for (pair) |*end| {
        try testing.expect(!end.failed);
        moved += end.read_at;
    }
    return moved;
}
