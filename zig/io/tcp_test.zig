//! Tests of sockets on each backend: memory that runs out at every point, cancelled writes, and random use of loopback
//! connections against a model.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const buffer = @import("../buffer.zig");
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const Backend = @import("../loop.zig").Backend;
const Loop = @import("../loop.zig").Loop;
const Watch = @import("../loop.zig").Watch;
const Waiter = @import("../waiter.zig").Waiter;
const IoWait = @import("op.zig").IoWait;
const Op = @import("op.zig").Op;
const tcp = @import("tcp.zig");
const Socket = tcp.Socket;
const unix = @import("unix.zig");

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

    /// As after a turn that told many, all of whom had little to do: from now on small writes are gathered, where the backend does that.
    pub fn becomeBrisk(world: *World) void {
        world.loop.told = 100;
        world.loop.is_brisk = true;
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
        const is_open = if (sys.is_posix) sys.flagsOf(@intCast(fd)) != null else sys.isFileOrSocket(@intCast(4 * (fd + 1)));
        if (is_open) count += 1;
    }
    return count;
}

/// A file without a name.
pub fn emptyFile() sys.fd_t {
    const path = ".zig-cache/tmp/zigcoro-empty";
    const fd = openFile(path, .{ .ACCMODE = .RDWR, .CREAT = true });
    _ = c.unlink(path);
    return fd;
}

/// A descriptor, or a negative errno.
pub fn openFile(path: [*:0]const u8, flags: c.O) i32 {
    var all = flags;
    all.CLOEXEC = true;
    return sys.retry(c.openat, .{ c.AT.FDCWD, path, all, @as(u32, 0o600) });
}

pub fn nothing(_: *Waiter) void {}

const loops = @import("../loop.zig");
pub const backends = loops.backends;
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
    const listener = (try Socket.listen(&world.context, &address, 8, .{})).socket;
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
            try testing.expectEqual(0, sys.socketPair(c.SOCK.STREAM, &pair));
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

test "a gathered write goes with the next tick, and neither cancel nor shutdown nor close cuts it off" {
    const Then = enum { nothing, cancel, shutdown, close };
    for (backends) |backend| {
        for (std.enums.values(Then)) |then| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            var pair: [2]sys.fd_t = undefined;
            try testing.expectEqual(0, unix.pair(&pair));
            const socket = (try Socket.adopt(&world.context, pair[0])).socket;
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            world.becomeBrisk();
            const result = try socket.startGatheredWrite(&wait, "hello");
            var bytes: [10]u8 = undefined;
            if (backend == .io_uring) {
                try testing.expectEqual(tcp.parked, result);
                try testing.expectEqual(sys.negative(.AGAIN), sys.recv(pair[1], &bytes));
            }
            switch (then) {
                .nothing => {},
                .cancel => world.loop.cancel(&socket.out.op),
                .shutdown => try testing.expectEqual(0, socket.shutdown(1)),
                .close => socket.close(),
            }
            try testing.expectEqual(5, try world.ended(result, &wait));
            try testing.expectEqual(5, sys.recv(pair[1], &bytes));
            const is_over = then == .shutdown or then == .close;
            try testing.expectEqual(if (is_over) 0 else sys.negative(.AGAIN), sys.recv(pair[1], &bytes));
            if (then != .close) socket.close();
            sys.close(pair[1]);
            try world.deinit();
        }
    }
}

test "a gathered write that finds no room waits, and a close ends it as it does any other" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var pair: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, unix.pair(&pair));
        const socket = (try Socket.adopt(&world.context, pair[0])).socket;
        while (sys.send(pair[0], large[0..100_000]) > 0) {}
        while (sys.send(pair[0], large[0..1]) > 0) {}
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        world.becomeBrisk();
        try testing.expectEqual(tcp.parked, try socket.startGatheredWrite(&wait, "hello"));
        try world.turn(false);
        try testing.expectEqual(.armed, wait.waiter.state);
        socket.close();
        try testing.expectEqual(sys.negative(.CANCELED), try world.ended(tcp.parked, &wait));
        sys.close(pair[1]);
        try world.deinit();
    }
}

test "writes are gathered while turns tell many, and are short" {
    var world: World = undefined;
    try world.init(.io_uring, testing.allocator) orelse return;
    var pair: [2]sys.fd_t = undefined;
    try testing.expectEqual(0, unix.pair(&pair));
    const socket = (try Socket.adopt(&world.context, pair[0])).socket;
    var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
    const loop = &world.loop;
    for ([_]u32{ 0, 3, 4, 100 }) |told| {
        for ([_]u64{ 0, std.time.ns_per_s }) |worked| {
            loop.told = told;
            loop.told_at = sys.now() - worked;
            try loop.tick(false);
            const gathers = told >= 4 and worked == 0;
            try testing.expectEqual(gathers, loop.gathers());
            const result = try socket.startGatheredWrite(&wait, "x");
            try testing.expectEqual(gathers, result == tcp.parked);
            try testing.expectEqual(1, try world.ended(result, &wait));
        }
    }
    // What is large goes at once.
    world.becomeBrisk();
    try testing.expectEqual(5000, try socket.startGatheredWrite(&wait, large[0..5000]));
    socket.close();
    sys.close(pair[1]);
    try world.deinit();
}

test "an operation on a descriptor that epoll refuses fails instead of waiting for ever" {
    // Other systems register files, too.
    if (loops.backends[0] != .io_uring) return error.SkipZigTest;
    var world: World = undefined;
    (try world.init(.epoll, testing.allocator)).?;
    const regular = emptyFile();
    const fd = sys.socket(c.AF.INET, true);
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
    /// Writes that were gathered.
    gathered: usize = 0,
    /// A byte out of order, or an error that nothing explains.
    failed: bool = false,
    prng: *std.Random.DefaultPrng,
    world: *World,

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

    /// Puts some of what was read back, and looks for something among it.
    fn readAgain(end: *End, random: std.Random) !void {
        var bytes: [50_000]u8 = undefined;
        const again = bytes[0..random.uintAtMost(usize, @min(bytes.len, end.read_at))];
        end.read_at -= again.len;
        for (again, end.read_at..) |*byte, at| byte.* = byteAt(end.reads, at);
        try end.socket.untake(again);
        const there = end.socket.in.bytes;
        if (there < 3) return;
        const at = random.uintAtMost(usize, there - 3);
        const delimiter = [_]u8{ byteAt(end.reads, end.read_at + at), byteAt(end.reads, end.read_at + at + 1), byteAt(end.reads, end.read_at + at + 2) };
        const found = end.socket.find(&delimiter, at / 2) orelse return error.NotFound;
        var first = at / 2;
        while (first < at) : (first += 1) {
            for (delimiter, end.read_at + first..) |byte, place| {
                if (byte != byteAt(end.reads, place)) break;
            } else break;
        }
        try testing.expectEqual(first, found);
    }

    fn act(end: *End, random: std.Random) !void {
        const socket = end.socket;
        switch (random.uintLessThan(u8, 11)) {
            0, 1, 2 => if (socket.isIdle(&socket.in)) {
                const result = try socket.startRead(&end.read_wait, random.intRangeAtMost(usize, 1, 100_000));
                if (result != tcp.parked) end.readEnded(result);
            },
            3, 4, 5 => if (socket.isIdle(&socket.out)) {
                var bytes: [300_000]u8 = undefined;
                const gathers = random.boolean();
                const chosen = bytes[0..random.intRangeAtMost(usize, 1, if (gathers) buffer.min_size else bytes.len)];
                for (chosen, end.write_at..) |*byte, at| byte.* = byteAt(end.writes, at);
                if (gathers) end.world.becomeBrisk();
                const result = try if (gathers) socket.startGatheredWrite(&end.write_wait, chosen) else socket.startWrite(&end.write_wait, chosen);
                if (gathers and result == tcp.parked) end.gathered += 1;
                if (result != tcp.parked) end.writeEnded(result);
            },
            6 => socket.context.loop.cancel(&socket.in.op),
            7, 8 => if (socket.isIdle(&socket.in)) {
                const min = random.intRangeAtMost(usize, 1, if (random.boolean()) 5000 else 700_000);
                const result = try socket.startFill(&end.read_wait, min);
                if (result != tcp.parked) end.readEnded(result);
            },
            9 => if (socket.isIdle(&socket.in)) try end.readAgain(random),
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
    pair[0] = .{ .socket = client, .writes = stream, .reads = stream + 1, .prng = prng, .world = world };
    pair[1] = .{ .socket = server, .writes = stream + 1, .reads = stream, .prng = prng, .world = world };
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
        const listener = (try Socket.listen(&world.context, &address, 8, .{})).socket;
        var pairs: [4][2]End = undefined;
        for (&pairs, 0..) |*pair, i| try connect(&world, listener, pair, @intCast(2 * i), &prng);
        var moved: Moved = .{};
        const steps = sanitizer.bearable(6000);
        for (0..steps) |step| {
            const pair = &pairs[random.uintLessThan(usize, pairs.len)];
            try pair[random.uintLessThan(usize, 2)].act(random);
            if (random.uintLessThan(u8, 3) == 0) try world.turn(false);
            const is_last = step + 1 == steps;
            if (is_last or (step + 1) % (steps / 12) == 0) {
                try closePair(&world, pair, random, &moved);
                if (!is_last) try connect(&world, listener, pair, @intCast(step & ~@as(usize, 1)), &prng);
                if (is_last) for (&pairs) |*other| if (other != pair) {
                    try closePair(&world, other, random, &moved);
                };
            }
        }
        listener.close();
        try world.deinit();
        try testing.expect(moved.bytes > 166 * steps);
        try testing.expect(moved.gathered > steps / 60 or backend != .io_uring);
    }
}

/// What connections carried, and how many writes were gathered.
const Moved = struct { bytes: usize = 0, gathered: usize = 0 };

/// With operations in flight, one end a turn before the other or both at once. Adds what it carried to `moved`.
fn closePair(world: *World, pair: *[2]End, random: std.Random, moved: *Moved) !void {
    pair[0].socket.close();
    if (random.boolean()) try world.turn(false);
    pair[1].socket.close();
    // A wait is told at the latest when its socket is gone; a second time would trip the waiter's assertion.
    for (pair) |*end| {
        while (end.read_wait.waiter.state == .armed or end.write_wait.waiter.state == .armed) try world.turn(true);
    }
    for (pair) |*end| {
        try testing.expect(!end.failed);
        moved.bytes += end.read_at;
        moved.gathered += end.gathered;
    }
}

test "a fill waits for as many bytes as it was asked for, and a cancel, a close or the end leaves what came" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var fds: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, unix.pair(&fds));
        const socket = (try Socket.adopt(&world.context, fds[0])).socket;
        const peer = fds[1];
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        var bytes: [1 << 20]u8 = undefined;
        // In pieces.
        var result = try socket.startFill(&wait, 1 << 20);
        var sent: usize = 0;
        while (sent < 1 << 20) {
            const n = sys.send(peer, large[0 .. (1 << 20) - sent]);
            if (n > 0) sent += @intCast(n);
            try world.turn(false);
        }
        try testing.expectEqual(1 << 20, try world.ended(result, &wait));
        try testing.expectEqual(10, socket.take(bytes[0..10]));
        try testing.expectEqual((1 << 20) - 10, socket.take(&bytes));
        try testing.expectEqual(null, socket.in.buffer);
        // Cancelled with a part: that is for the next.
        result = try socket.startFill(&wait, 100);
        try testing.expectEqual(tcp.parked, result);
        try testing.expectEqual(5, sys.send(peer, "hello"));
        while (socket.in.bytes < 5) try world.turn(true);
        world.loop.cancel(&socket.in.op);
        try testing.expectEqual(sys.negative(.CANCELED), try world.ended(result, &wait));
        try testing.expectEqual(3, socket.find("lo", 0).?);
        try testing.expectEqual(null, socket.find("x", 0));
        try testing.expectEqual(null, socket.find("o", 9));
        try testing.expectEqual(5, try socket.startFill(&wait, 5));
        try testing.expectEqual(2, socket.take(bytes[0..2]));
        try socket.untake("He");
        try testing.expectEqual(5, try socket.startRead(&wait, 100));
        try testing.expectEqual(5, socket.take(&bytes));
        try testing.expectEqualStrings("Hello", bytes[0..5]);
        try socket.untake(bytes[0..5]);
        // A cancel is for one operation only, also when the next is over without the loop.
        result = try socket.startRead(&wait, 100);
        try testing.expectEqual(5, result);
        try testing.expectEqual(5, socket.take(&bytes));
        result = try socket.startRead(&wait, 5);
        world.loop.cancel(&socket.in.op);
        try testing.expectEqual(sys.negative(.CANCELED), try world.ended(result, &wait));
        try testing.expectEqual(5, sys.send(peer, "Hello"));
        socket.likely_readable = true;
        result = try socket.startFill(&wait, 6);
        try testing.expectEqual(tcp.parked, result);
        try testing.expectEqual(1, sys.send(peer, "!"));
        try testing.expectEqual(6, try world.ended(result, &wait));
        try testing.expectEqual(6, socket.take(&bytes));
        try socket.untake(bytes[0..5]);
        // The end comes first.
        result = try socket.startFill(&wait, 100);
        try testing.expectEqual(tcp.parked, result);
        sys.close(peer);
        try testing.expectEqual(5, try world.ended(result, &wait));
        try testing.expectEqual(5, socket.take(&bytes));
        result = try socket.startFill(&wait, 100);
        try testing.expectEqual(0, try world.ended(result, &wait));
        socket.close();
        try world.deinit();
    }
}

test "memory that runs out in a fill or as bytes are put back leaves what came" {
    for (backends) |backend| {
        for (0..4) |fail_index| {
            var failing = testing.FailingAllocator.init(testing.allocator, .{});
            var world: World = undefined;
            try world.init(backend, failing.allocator()) orelse continue;
            var fds: [2]sys.fd_t = undefined;
            try testing.expectEqual(0, unix.pair(&fds));
            const socket = (try Socket.adopt(&world.context, fds[0])).socket;
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            try testing.expectEqual(100_000, sys.send(fds[1], large[0..100_000]));
            failing.fail_index = failing.alloc_index + fail_index;
            const result = if (socket.startFill(&wait, 100_000)) |result| try world.ended(result, &wait) else |_| sys.negative(.NOMEM);
            // 4, 8, 16, 32, 64, 128 KiB in turn.
            try testing.expectEqual(sys.negative(.NOMEM), result);
            const there: usize = if (fail_index == 0) 0 else @as(usize, 4096) << @intCast(fail_index - 1);
            try testing.expectEqual(there, socket.in.bytes);
            try testing.expectError(error.OutOfMemory, socket.untake(&large));
            try testing.expectEqual(there, socket.in.bytes);
            failing.fail_index = std.math.maxInt(usize);
            try socket.untake(large[0..10]);
            const rest = try socket.startFill(&wait, 100_010);
            try testing.expectEqual(100_010, try world.ended(rest, &wait));
            socket.close();
            sys.close(fds[1]);
            try world.deinit();
        }
    }
}

test "an accepted socket knows its peer after that has reset the connection" {
    if (!sys.is_posix) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var address = try sys.Address.parse("127.0.0.1", 0);
        const listener = (try Socket.listen(&world.context, &address, 8, .{})).socket;
        try testing.expectEqual(0, sys.localAddress(listener.fd, &address));
        const client = sys.socket(c.AF.INET, false);
        try testing.expectEqual(0, sys.connect(client, &address));
        var own: sys.Address = undefined;
        try testing.expectEqual(0, sys.localAddress(client, &own));
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        const server = (try Socket.adoptAccepted(&world.context, try world.ended(listener.startAccept(&wait), &wait))).socket;
        const at_once = [2]c_int{ 1, 0 };
        try testing.expectEqual(0, sys.setOptionBytes(client, c.SOL.SOCKET, c.SO.LINGER, std.mem.asBytes(&at_once)));
        sys.close(client);
        try testing.expectEqual(sys.negative(.CONNRESET), try world.ended(try server.startRead(&wait, 10), &wait));
        try testing.expectEqual(sys.negative(.NOTCONN), sys.peerAddress(server.fd, &address));
        try testing.expectEqual(own.port(), server.peer().?.port());
        server.close();
        listener.close();
        try world.deinit();
    }
}

test "Unix sockets by path and by name" {
    if (!sys.is_posix) return error.SkipZigTest;
    var buffer_: [64]u8 = undefined;
    const name = try std.fmt.bufPrint(&buffer_, "\x00zigcoro-test-{d}", .{c.getpid()});
    var path_buffer: [64]u8 = undefined;
    const path = try std.fmt.bufPrintZ(&path_buffer, "/tmp/zigcoro-test-{d}", .{c.getpid()});
    for (backends) |backend| {
        for ([_][]const u8{ name, path }) |where| {
            if (where.ptr == name.ptr and !sys.has_unix_names) continue;
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            try testing.expectEqual(sys.negative(if (where.ptr == name.ptr) .CONNREFUSED else .NOENT), (try unix.connect(&world.context, where)).errno);
            const listener = (try unix.listen(&world.context, where, 0)).socket;
            try testing.expectEqual(sys.negative(.ADDRINUSE), (try unix.listen(&world.context, where, 1)).errno);
            const client = (try unix.connect(&world.context, where)).socket;
            // One is allowed to wait.
            if (builtin.os.tag == .linux) try testing.expectEqual(sys.negative(.AGAIN), (try unix.connect(&world.context, where)).errno);
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            const server = (try Socket.adoptAccepted(&world.context, try world.ended(listener.startAccept(&wait), &wait))).socket;
            try testing.expectEqual(null, server.peer());
            try testing.expectEqual(5, try world.ended(try client.startWrite(&wait, "hello"), &wait));
            try testing.expectEqual(5, try world.ended(try server.startRead(&wait, 10), &wait));
            for ([_]*Socket{ client, server, listener }) |socket| socket.close();
            try testing.expectEqual(if (where.ptr == path.ptr) 0 else sys.negative(.NOENT), sys.result(c.unlink(path)));
            try world.deinit();
        }
    }
    var world: World = undefined;
    try world.init(backends[backends.len - 1], testing.allocator) orelse return;
    if (!sys.has_unix_names) try testing.expectEqual(sys.unsupported, (try unix.connect(&world.context, name)).errno);
    const too_long_name = if (sys.has_unix_names) "\x00" ++ large[0..unix.max_len] else large[0 .. unix.max_len + 1];
    for ([_][]const u8{ "", large[0..unix.max_len], too_long_name }) |wrong| {
        try testing.expectEqual(sys.negative(.NAMETOOLONG), (try unix.connect(&world.context, wrong)).errno);
        try testing.expectEqual(sys.negative(.NAMETOOLONG), (try unix.listen(&world.context, wrong, 1)).errno);
    }
    try world.deinit();
}
