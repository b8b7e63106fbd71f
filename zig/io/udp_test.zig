//! Tests of datagram sockets on each backend: memory that runs out at every point, batches, waits that are cancelled or closed
//! upon, and random use of loopback sockets against a model.

const std = @import("std");
const testing = std.testing;
const datagram = @import("datagram.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const udp = @import("udp.zig");
const Backend = @import("../loop.zig").Backend;
const backends = @import("../loop.zig").backends;
const IoWait = @import("op.zig").IoWait;
const Loop = @import("../loop.zig").Loop;
const openDescriptors = @import("tcp_test.zig").openDescriptors;
const parked = @import("tcp.zig").parked;
const Record = datagram.Record;
const Socket = udp.Socket;
const Waiter = @import("../waiter.zig").Waiter;

/// A loop in place, and room for a batch.
const World = struct {
    loop: Loop,
    allocator: std.mem.Allocator,
    descriptors: u32,

    /// Null where the machine refuses the backend.
    fn init(world: *World, backend: Backend, allocator: std.mem.Allocator) !?void {
        world.descriptors = openDescriptors();
        world.loop = Loop.init(backend) catch |err| return if (err == error.Unavailable) null else err;
        world.allocator = allocator;
    }

    /// Every socket was closed. Afterwards nothing may be left.
    fn deinit(world: *World) !void {
        while (world.loop.in_flight > 0) try world.turn(true);
        world.loop.deinit();
        try testing.expectEqual(world.descriptors, openDescriptors());
    }

    fn turn(world: *World, wait: bool) !void {
        try world.loop.tick(wait);
        world.loop.deliver();
    }

    /// What `wait` is told.
    fn told(world: *World, wait: *IoWait) !i32 {
        while (wait.waiter.state == .armed) try world.turn(true);
        wait.waiter.state = .idle;
        return wait.result;
    }

    fn open(world: *World, literal: []const u8) !struct { *Socket, Record } {
        var address = try sys.Address.parse(literal, 0);
        const socket = (try Socket.bind(world.allocator, &world.loop, &address, .{})).socket;
        try testing.expectEqual(0, sys.localAddress(socket.fd, &address));
        var record: Record = .{};
        record.setAddress(&address);
        return .{ socket, record };
    }
};

fn nothing(_: *Waiter) void {}

fn newWait() IoWait {
    return .{ .waiter = .{ .wakeFn = nothing } };
}

var block: [datagram.max_batch * datagram.slot_size]u8 = undefined;
var records: [datagram.max_batch]Record = @splat(.{});

/// The datagram at `index` of the last batch.
fn received(index: usize) []const u8 {
    return block[index * datagram.slot_size ..][0..records[index].length];
}

test "memory that runs out anywhere leaks neither memory nor descriptors" {
    for (backends) |backend| {
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
            var world: World = undefined;
            try world.init(backend, failing.allocator()) orelse break;
            var waits = [_]IoWait{ newWait(), newWait() };
            const outcome = leaveWaiting(&world, &waits);
            try world.deinit();
            outcome catch |err| {
                try testing.expectEqual(error.OutOfMemory, err);
                continue;
            };
            try testing.expect(!failing.has_induced_failure);
            for (&waits) |*wait| try testing.expectEqual(sys.negative(.CANCELED), wait.result);
            break;
        }
        try testing.expect(fail_index >= 2 or backend == .io_uring);
    }
}

/// Two sockets, closed while they wait.
fn leaveWaiting(world: *World, waits: *[2]IoWait) !void {
    const a, _ = try world.open("127.0.0.1");
    defer a.close();
    const b, _ = try world.open("::1");
    defer b.close();
    try testing.expectEqual(parked, a.startWait(&a.in, &waits[0]));
    try testing.expectEqual(parked, b.startWait(&b.in, &waits[1]));
}

test "datagrams come one by one, whole, with their sender, the empty one, too" {
    for (backends) |backend| {
        for ([_][]const u8{ "127.0.0.1", "::1" }) |literal| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            const a, const address_a = try world.open(literal);
            const b, const address_b = try world.open(literal);
            var out = [_]Record{address_b} ** 4;
            const texts = [_][]const u8{ "one", "", "three", "4" };
            for (&out, texts) |*record, text| record.length = @intCast(text.len);
            try testing.expectEqual(4, a.send(&out, "onethree4"));
            // A batch that is larger than what is there.
            try testing.expectEqual(4, b.receive(records[0..7], &block));
            for (texts, 0..) |text, i| {
                try testing.expectEqualStrings(text, received(i));
                try testing.expectEqual(address_a.port, records[i].port);
                try testing.expectEqual(address_a.address, records[i].address);
                try testing.expectEqual(text.len, records[i].whole);
            }
            try testing.expectEqual(sys.negative(.AGAIN), b.receive(records[0..7], &block));
            // One alone, and one that does not fit.
            try testing.expectEqual(1, a.send(out[2..3], "three"));
            try testing.expectEqual(1, b.receive(records[0..1], &block));
            try testing.expectEqualStrings("three", received(0));
            try testing.expectEqual(1, a.send(out[2..3], "three"));
            var room: [2]u8 = undefined;
            try testing.expectEqual(2, datagram.receiveOne(b.fd, &records[0], &room));
            try testing.expectEqualStrings("th", &room);
            try testing.expectEqual(5, records[0].whole);
            a.close();
            b.close();
            try world.deinit();
        }
    }
}

test "a connected socket needs no address, hears of a refusal, and one error of a batch stops it there" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const a, _ = try world.open("127.0.0.1");
        const b, const address_b = try world.open("127.0.0.1");
        try testing.expectEqual(0, a.connect(&address_b));
        const large: Record = .{ .length = datagram.slot_size };
        const small: Record = .{ .length = 1 };
        try testing.expectEqual(1, a.send(&.{ small, large, small }, &block));
        try testing.expectEqual(sys.negative(.MSGSIZE), a.send(&.{ large, small }, &block));
        try testing.expectEqual(1, b.receive(records[0..2], &block));
        b.close();
        try testing.expectEqual(1, a.send(&.{small}, &block));
        var wait = newWait();
        try testing.expectEqual(parked, a.startWait(&a.in, &wait));
        try testing.expectEqual(0, try world.told(&wait));
        try testing.expectEqual(sys.negative(.CONNREFUSED), a.receive(records[0..2], &block));
        a.close();
        try world.deinit();
    }
}

test "who waits to write is told when there is room" {
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        // Over loopback a UDP datagram has arrived as soon as it is sent; a socket pair can be full.
        var pair: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, sys.socketPair(c.SOCK.DGRAM, &pair));
        const a = try Socket.adopt(testing.allocator, &world.loop, pair[0], c.AF.UNIX);
        const b = try Socket.adopt(testing.allocator, &world.loop, pair[1], c.AF.UNIX);
        const small: Record = .{ .length = 1 };
        while (a.send(&.{small}, &block) == 1) {}
        var wait = newWait();
        for ([_]i32{ sys.negative(.CANCELED), 0 }) |result| {
            try testing.expectEqual(parked, a.startWait(&a.out, &wait));
            try world.turn(false);
            if (result == 0) {
                while (b.receive(records[0..8], &block) > 0) {}
            } else world.loop.cancel(&a.out.op);
            try testing.expectEqual(result, try world.told(&wait));
        }
        try testing.expectEqual(1, a.send(&.{small}, &block));
        a.close();
        b.close();
        try world.deinit();
    }
}

test "random sends, receives, waits and cancels lose no datagram and keep their order" {
    for (backends) |backend| {
        for (0..40) |seed| {
            errdefer std.debug.print("backend {s}, seed {d}\n", .{ @tagName(backend), seed });
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse break;
            try playRandomly(&world, seed);
            try world.deinit();
        }
    }
}

/// Each datagram carries its number; the model is the numbers of the next one to send and the next to come.
fn playRandomly(world: *World, seed: u64) !void {
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    const literal = if (random.boolean()) "127.0.0.1" else "::1";
    const sender, _ = try world.open(literal);
    defer sender.close();
    const receiver, const to = try world.open(literal);
    defer receiver.close();
    var wait = newWait();
    var sent: u32 = 0;
    var came: u32 = 0;
    for (0..300) |_| {
        const is_waiting = !receiver.in.isIdle();
        switch (random.uintLessThan(u8, 5)) {
            0 => {
                // The kernel's buffer drops what is too much.
                const count = @min(random.uintAtMost(u32, 8), 100 - (sent - came));
                if (count == 0) continue;
                var out: [8]Record = @splat(to);
                var numbers: [8]u32 = undefined;
                for (out[0..count], numbers[0..count], sent..) |*record, *number, n| {
                    record.length = 4;
                    number.* = @intCast(n);
                }
                try testing.expectEqual(@as(i32, @intCast(count)), sender.send(out[0..count], std.mem.asBytes(&numbers)));
                sent += count;
            },
            1 => if (!is_waiting) {
                try testing.expectEqual(parked, receiver.startWait(&receiver.in, &wait));
            },
            2 => world.loop.cancel(&receiver.in.op),
            3 => try world.turn(false),
            else => if (!is_waiting) {
                const count = receiver.receive(records[0..random.intRangeAtMost(usize, 1, datagram.max_batch)], &block);
                if (count == sys.negative(.AGAIN)) {
                    try testing.expectEqual(sent, came);
                    continue;
                }
                for (0..@intCast(count)) |i| {
                    try testing.expectEqual(came, std.mem.readInt(u32, received(i)[0..4], @import("builtin").cpu.arch.endian()));
                    came += 1;
                }
            },
        }
        // What ended says so, and a wait that was not cancelled ends only when there is something.
        if (is_waiting and receiver.in.isIdle()) {
            if (wait.result == 0) try testing.expect(sent > came) else try testing.expectEqual(sys.negative(.CANCELED), wait.result);
            wait.waiter.state = .idle;
        }
    }
    while (!receiver.in.isIdle()) {
        world.loop.cancel(&receiver.in.op);
        try world.turn(true);
    }
    while (came < sent) came += @intCast(receiver.receive(&records, &block));
    try testing.expectEqual(sent, came);
}
