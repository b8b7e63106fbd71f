//! Tests of coroutines on stacks that others have left: nothing of the former shows, and the pool's numbers and policy hold. In Debug every
//! stack is cleaned and goes back to its slab; the rest of the tests are the same there.

const std = @import("std");
const testing = std.testing;
const cancel = @import("cancel.zig");
const coro = @import("coro.zig");
const sanitizer = @import("sanitizer.zig");
const stacks = @import("stack.zig");
const Coro = coro.Coro;
const FrameT = @import("frame.zig").FrameT;
const Pool = stacks.Pool;

const Body = struct {
    /// Suspends once if its storage says so.
    fn run(co: *Coro) void {
        const rounds = co.getStorage(usize);
        while (rounds.* > 0) : (rounds.* -= 1) co.@"suspend"();
    }

    fn sum(numbers: [40]usize) usize {
        var total: usize = 0;
        for (numbers) |number| total += number;
        return total;
    }

    fn huge(numbers: [450]u64) u64 {
        return numbers[0];
    }

    fn ended(co: *Coro) void {
        co.name_len = 1;
    }
};

test "the next coroutine on a stack finds nothing of the one before" {
    var pool: Pool = .{};
    defer pool.deinit();
    coro.initEnv(.{ .pool = &pool });
    defer coro.initEnv(.{});
    const fresh: *Coro = try .init(&pool, 0, Body.run, null, "nobody's");
    fresh.deinit(); // started never, so it is not kept
    var former: ?*Coro = null;
    for (0..4) |rounds| {
        var left = rounds;
        const co: *Coro = try .init(&pool, 0, Body.run, &left, "one with a long name");
        if (former) |before| if (!stacks.measures_use) try testing.expectEqual(before, co);
        try testing.expectEqual(.start, co.status());
        try testing.expectEqualStrings("one with a long name", co.name());
        try testing.expect(!cancel.isCancelled(co) and co.cancelled_by == null);
        try testing.expect(co.parked == null and co.joiners.isEmpty() and co.finishedFn == null and co.anchors == null);
        try testing.expectEqual(null, co.executor);
        cancel.requestCancel(co);
        co.finishedFn = Body.ended;
        for (0..rounds + 1) |_| co.@"resume"();
        try testing.expectEqual(.done, co.status());
        try testing.expectEqual(1, co.name_len);
        co.deinit();
        former = co;

        const frame = try FrameT(Body.sum, .{}).init(.{@as([40]usize, @splat(rounds))}, stacks.min_size);
        if (!stacks.measures_use) try testing.expectEqual(former, frame.frame());
        try testing.expectEqualStrings("sum", frame.frame().name());
        frame.frame().@"resume"();
        try testing.expectEqual(40 * rounds, frame.xreturned());
        frame.deinit();
        try testing.expectEqual(0, pool.statistics().in_use);
        try testing.expectEqual(if (pool.refused_bytes > 0) 0 else std.math.ceilPowerOfTwoAssert(usize, @max(stacks.min_size, std.heap.pageSize())), pool.statistics().dirty_bytes);
    }
    pool.trim();
    const statistics = pool.statistics();
    if (pool.refused_bytes == 0) try testing.expectEqual(0, statistics.dirty_bytes);
    try testing.expectEqual(0, statistics.in_use);
}

test "a stack that is kept and too small for the next is given back" {
    if (stacks.min_size + std.heap.pageSize() > 8 * 1024) return error.SkipZigTest; // large enough
    var pool: Pool = .{};
    defer pool.deinit();
    coro.initEnv(.{ .pool = &pool });
    defer coro.initEnv(.{});
    for (0..3) |_| {
        var rounds: usize = 0;
        const co: *Coro = try .init(&pool, 0, Body.run, &rounds, "");
        co.@"resume"();
        co.deinit();
        try testing.expectError(error.StackTooSmall, FrameT(Body.huge, .{}).init(.{@as([450]u64, @splat(0))}, 0));
        try testing.expectEqual(0, pool.statistics().in_use);
        try testing.expectEqual(1, pool.slabs.?.carved);
    }
}

test "what is kept is within the policy, and ends with the pool" {
    for ([_]usize{ 0, 64 * 1024, 16 * 1024 * 1024 }) |allowed| {
        var pool: Pool = .{ .policy = .{ .keep_dirty_bytes = allowed } };
        defer pool.deinit();
        for ([_]usize{ 100, 100, 3 }) |count| {
            var all: [100]*Coro = undefined;
            var rounds: [100]usize = @splat(1);
            for (all[0..count], rounds[0..count]) |*co, *left| co.* = try .init(&pool, 16 * 1024, Body.run, left, "");
            for (0..2) |_| for (all[0..count]) |co| co.@"resume"();
            for (all[0..count]) |co| co.deinit();
            const statistics = pool.statistics();
            try testing.expectEqual(0, statistics.in_use);
            if (pool.refused_bytes == 0) try testing.expect(statistics.dirty_bytes <= allowed);
        }
    }
}

test "coroutines that come and go at random, whatever the policy, agree with a model" {
    for (0..sanitizer.bearable(40)) |n| {
        const seed = testing.random_seed +% n;
        comeAndGo(seed) catch |err| {
            std.debug.print("failing seed: {d}\n", .{seed});
            return err;
        };
    }
}

/// The model: a raw coroutine counts down what it was given, a typed one returns its argument, and as many stacks are in use as there are
/// coroutines.
fn comeAndGo(seed: u64) !void {
    var prng: std.Random.DefaultPrng = .init(seed);
    const random = prng.random();
    var pool: Pool = .{ .policy = .{ .keep_dirty_bytes = random.uintLessThan(usize, 8) * 1024 * 1024 } };
    defer pool.deinit();
    coro.initEnv(.{ .pool = &pool });
    defer coro.initEnv(.{});
    const Sum = FrameT(Body.sum, .{});
    const Slot = struct {
        co: ?*Coro = null,
        rounds: usize = 0,
        left: usize = 0,
        sum: ?usize = null,
        name: [8]u8 = undefined,
    };
    var slots: [50]Slot = @splat(.{});
    defer for (&slots) |*slot| if (slot.co) |co| co.deinit();
    var live: usize = 0;
    for (0..2_000) |step| {
        const slot = &slots[random.uintLessThan(usize, slots.len)];
        const co = slot.co orelse {
            const size = ([_]usize{ 0, 16 * 1024, 16 * 1024, 256 * 1024 })[random.uintLessThan(usize, 4)];
            const number = random.uintLessThan(usize, 4);
            slot.* = .{ .rounds = number, .left = number };
            _ = std.fmt.bufPrint(&slot.name, "{x:0>8}", .{step}) catch unreachable;
            slot.co = if (random.boolean()) blk: {
                const frame: Sum = try .init(.{@as([40]usize, @splat(number))}, size);
                frame.frame().setName(&slot.name);
                slot.sum = 40 * number;
                slot.rounds = 0;
                break :blk frame.frame();
            } else try .init(&pool, size, Body.run, &slot.left, &slot.name);
            live += 1;
            continue;
        };
        try testing.expectEqualStrings(&slot.name, co.name());
        if (co.status() == .done or random.uintLessThan(u8, 10) == 0) {
            if (co.status() == .done) {
                if (slot.sum) |sum| try testing.expectEqual(sum, Sum.wrap(co).xreturned());
            }
            co.deinit();
            slot.co = null;
            live -= 1;
            if (pool.refused_bytes == 0) try testing.expect(pool.statistics().dirty_bytes <= pool.policy.keep_dirty_bytes);
        } else {
            co.@"resume"();
            if (slot.rounds == 0) {
                try testing.expectEqual(.done, co.status());
            } else {
                slot.rounds -= 1;
                try testing.expectEqual(.suspended, co.status());
            }
        }
        if (random.uintLessThan(u8, 100) == 0) pool.trim();
        if (random.uintLessThan(u8, 100) == 0) pool.policy.keep_dirty_bytes = random.uintLessThan(usize, 8) * 1024 * 1024;
        try testing.expectEqual(live, pool.statistics().in_use);
    }
}
