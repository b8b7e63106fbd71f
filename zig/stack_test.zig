//! Tests of stack.zig: classes, guards, reuse, what goes back to the system, failing system calls, and random use against a model.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const linux = std.os.linux;
const posix = std.posix;
const child_process = @import("child.zig");
const sanitizer = @import("sanitizer.zig");
const stacks = @import("stack.zig");
const Pool = stacks.Pool;
const Stack = stacks.Stack;
const Coro = @import("coro.zig").Coro;
const isUnreadable = @import("mapping.zig").isUnreadable;
const max_size = stacks.max_size;
const min_size = stacks.min_size;
const threadStackBottom = @import("thread_stack.zig").bottom;

test "the last stack released is the next acquired" {
    var pool: Pool = .{};
    defer pool.deinit();
    const a = try pool.acquire(16 * 1024);
    const b = try pool.acquire(16 * 1024);
    try testing.expect(a.memory.ptr != b.memory.ptr);
    pool.release(a);
    pool.release(b);
    const c = try pool.acquire(16 * 1024);
    const d = try pool.acquire(16 * 1024);
    try testing.expectEqual(b.memory.ptr, c.memory.ptr);
    try testing.expectEqual(a.memory.ptr, d.memory.ptr);
    pool.release(c);
    pool.release(d);
    try testing.expectEqual(0, pool.in_use);
}

test "sizes are rounded up to a class, and there is a largest" {
    var pool: Pool = .{};
    defer pool.deinit();
    const page = std.heap.pageSize();
    for ([_]usize{ 0, 1, 4096, 4097, 16 * 1024, 100_000, max_size }) |size| {
        const stack = try pool.acquire(size);
        defer pool.release(stack);
        try testing.expect(stack.memory.len >= size);
        try testing.expect(std.math.isPowerOfTwo(stack.memory.len));
        try testing.expect(stack.memory.len <= @max(2 * size, min_size, page));
        try testing.expectEqual(0, @intFromPtr(stack.memory.ptr) % page);
        stack.memory[0] = 1;
        stack.memory[stack.memory.len - 1] = 1;
    }
    try testing.expectError(error.StackTooLarge, pool.acquire(max_size + 1));
}

test "every stack is its own, with a guard of the recorded kind below" {
    var pool: Pool = .{};
    defer pool.deinit();
    var all: [200]Stack = undefined;
    for (&all) |*stack| stack.* = try pool.acquire(min_size);
    for (all, 0..) |stack, i| @memset(stack.memory, @truncate(i));
    for (all, 0..) |stack, i| try testing.expect(std.mem.allEqual(u8, stack.memory, @truncate(i)));
    for (all) |stack| {
        const page: []align(std.heap.page_size_min) u8 = @alignCast((stack.memory.ptr - std.heap.pageSize())[0..std.heap.pageSize()]);
        try testing.expect(stack.guard != .none);
        try testing.expect(isUnreadable(page));
        for ([_]usize{ @intFromPtr(page.ptr), @intFromPtr(stack.memory.ptr) - 1 }) |address| {
            try testing.expectEqual(stack.memory, pool.stackAboveGuard(address).?.memory);
        }
        try testing.expectEqual(null, pool.stackAboveGuard(@intFromPtr(stack.memory.ptr)));
        pool.release(stack);
    }
    try testing.expectEqual(200, pool.guards.get(.advised) + pool.guards.get(.protected));
}

test "neighbours' tops fall into different sets of the caches, and cost a sixteenth of a stack at most" {
    for ([_]struct { usize, usize }{ .{ 4096, 4 }, .{ 16 * 1024, 16 }, .{ 64 * 1024, 16 } }) |case| {
        const size, const sets = case;
        if (size < @max(min_size, std.heap.pageSize())) continue;
        var pool: Pool = .{};
        defer pool.deinit();
        var all: [64]Stack = undefined;
        var seen: std.StaticBitSet(64) = .initEmpty();
        for (&all) |*stack| {
            stack.* = try pool.acquire(size);
            seen.set(stack.top() / Stack.line % 64);
            const end = @intFromPtr(stack.memory.ptr) + stack.memory.len;
            try testing.expect(stack.top() <= end and stack.top() >= end - size / 16);
        }
        for (all) |stack| pool.release(stack);
        try testing.expectEqual(sets, seen.count());
    }
}

test "without advice mprotect guards, without both the loss is on record" {
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.refuse_advice = true;
    const a = try pool.acquire(min_size);
    try testing.expectEqual(.protected, a.guard);
    pool.fault.refuse_protect = true;
    const b = try pool.acquire(min_size);
    try testing.expectEqual(.none, b.guard);
    try testing.expectEqual(1, pool.guards.get(.none));
    pool.release(a);
    pool.release(b);
    const again = try pool.acquire(min_size);
    try testing.expectEqual(.none, again.guard);
    pool.release(again);
}

test "advice that is accepted and ignored does not count as a guard" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.ignore_advice = true;
    const stack = try pool.acquire(min_size);
    try testing.expectEqual(.protected, stack.guard);
    pool.release(stack);
}

/// Bytes of the smallest stacks here.
fn smallest() usize {
    return @max(min_size, std.heap.pageSize());
}

test "a map that fails leaves the pool as it was" {
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.maps_left = 1;
    const a = try pool.acquire(smallest());
    try testing.expectError(error.OutOfMemory, pool.acquire(2 * smallest()));
    try testing.expectEqual(1, pool.in_use);
    pool.release(a);
    const b = try pool.acquire(smallest());
    try testing.expectEqual(a.memory.ptr, b.memory.ptr);
    pool.release(b);
    pool.fault.maps_left = 1;
    pool.release(try pool.acquire(2 * smallest()));
}

test "an allocator's failure is passed on" {
    var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = 0 });
    try testing.expectError(error.OutOfMemory, Stack.fromAllocator(failing.allocator(), 4096));
    const stack = try Stack.fromAllocator(testing.allocator, 4096);
    stack.release();
}

test "the thread's own stack has a bottom below here" {
    if (sanitizer.underValgrind()) return error.SkipZigTest; // it maps that stack in its own way
    const bottom = threadStackBottom() orelse return error.SkipZigTest;
    const here = @frameAddress();
    try testing.expect(bottom < here);
    try testing.expect(here - bottom > 64 * 1024);
}

test "idle memory beyond the policy goes back to the system, and a stack that comes back is zero" {
    var pool: Pool = .{ .policy = .{ .keep_dirty_bytes = 64 * 1024, .keep_mapped_bytes = std.math.maxInt(usize) } };
    defer pool.deinit();
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var all: [200]Stack = undefined;
    for (&all) |*stack| {
        stack.* = try pool.acquire(16 * 1024);
        @memset(stack.memory, 0xa5);
    }
    const before = residentPages(&pool);
    if (before) |pages| try testing.expect(pages >= 200 * 4);
    for (all) |stack| pool.release(stack);
    try testing.expect(pool.dirty_bytes <= pool.policy.keep_dirty_bytes);
    if (before != null) try testing.expect(residentPages(&pool).? <= pool.policy.keep_dirty_bytes / 4096 + 2 * 4);
    // Guards stay, and memory that went is zero.
    for (&all) |*stack| {
        stack.* = try pool.acquire(16 * 1024);
        try testing.expect(isUnreadable(@alignCast((stack.memory.ptr - std.heap.pageSize())[0..std.heap.pageSize()])));
    }
    for (all) |stack| pool.release(stack);
    pool.trim();
    try testing.expectEqual(0, pool.mapped_bytes);
    try testing.expectEqual(0, pool.guards.get(pool.best_guard));
}

test "where the system takes no memory back, stacks stay as they are, it is rarely asked, and slabs go whole" {
    const size = @max(16 * 1024, smallest());
    for ([_]usize{ 0, 1, 7, 100 }) |forgets_left| {
        var pool: Pool = .{ .policy = .{ .keep_dirty_bytes = 64 * size, .keep_mapped_bytes = std.math.maxInt(usize) } };
        defer pool.deinit();
        pool.fault.forgets_left = forgets_left;
        var all: [1000]Stack = undefined;
        for (&all) |*stack| stack.* = try pool.acquire(size);
        // One of each slab stays in use, so that none can go whole.
        var kept: [1000]Stack = undefined;
        var kept_len: usize = 0;
        for (all, 0..) |stack, i| if (stack.index == 0) {
            std.mem.writeInt(u64, stack.memory[64..72], i, .little);
            kept[kept_len] = stack;
            kept_len += 1;
        } else {
            pool.release(stack);
            try checkNumbers(&pool);
        };
        try testing.expect(pool.fault.forgets <= forgets_left + 10);
        const asked = pool.fault.forgets;
        for (0..1000) |_| pool.release(try pool.acquire(size));
        try testing.expectEqual(asked, pool.fault.forgets);
        for (kept[0..kept_len]) |stack| pool.release(stack);
        pool.trim();
        try testing.expectEqual(0, pool.mapped_bytes);
        try checkNumbers(&pool);
        if (builtin.os.tag != .linux) continue;
        // It is asked again.
        pool.fault.forgets_left = std.math.maxInt(usize);
        for (&all) |*stack| stack.* = try pool.acquire(size);
        for (all) |stack| pool.release(stack);
        try testing.expect(pool.dirty_bytes <= pool.policy.keep_dirty_bytes);
    }
}

/// Pages of the pool's slabs that are committed, their headers not counted; null where the system does not tell, as emulators do not.
fn residentPages(pool: *const Pool) ?usize {
    var count: usize = 0;
    var next = pool.slabs;
    while (next) |slab| : (next = slab.next) {
        var states: [8192]u8 = undefined;
        const pages = slab.mapping.len / std.heap.pageSize() - 1;
        const rc = linux.syscall3(.mincore, @intFromPtr(slab.mapping.ptr), pages * std.heap.pageSize(), @intFromPtr(&states));
        if (linux.errno(rc) != .SUCCESS) return null;
        for (states[0..pages]) |state| count += state & 1;
    }
    return count;
}

test "how much of a stack was used shows to the word, and asking commits nothing" {
    var pool: Pool = .{};
    defer pool.deinit();
    const page = std.heap.pageSize();
    for ([_]usize{ min_size, 64 * 1024, max_size }) |size| {
        const stack = try pool.acquire(size);
        defer pool.release(stack);
        const memory = stack.memory;
        try testing.expectEqual(0, stacks.highWater(memory));
        const before = residentPages(&pool);
        for ([_]usize{ 1, 8, 1000, memory.len / 2, memory.len - @sizeOf(usize) }) |used| {
            memory[memory.len - used] = 1;
            try testing.expectEqual(std.mem.alignForward(usize, used, @sizeOf(usize)), stacks.highWater(memory));
        }
        // One page for each place that was written to, at most.
        if (before) |pages| try testing.expect(residentPages(&pool).? <= pages + 4 or memory.len < 8 * page);
    }
    // Memory that begins and ends within pages.
    var own: [3 * 4096]u8 align(stacks.alignment) = @splat(0);
    own[2000] = 1;
    try testing.expectEqual(own.len - 100 - 2000, stacks.highWater(own[1008 .. own.len - 100]));
    try testing.expectEqual(0, stacks.highWater(own[2016 .. own.len - 100]));
    try testing.expectEqual(0, stacks.highWater(own[0..16]));
}

test "a stack's use is measured from its top, and starts anew with each coroutine" {
    if (!stacks.measures_use) return error.SkipZigTest;
    var pool: Pool = .{};
    defer pool.deinit();
    const Body = struct {
        fn shallow(_: *Coro) void {}
        fn deep(_: *Coro) void {
            var bytes: [20 * 1024]u8 = undefined;
            @memset(&bytes, 1);
            std.mem.doNotOptimizeAway(&bytes);
        }
    };
    var used: [2]usize = undefined;
    for ([_]Coro.Entry{ Body.deep, Body.shallow }, &used) |body, *n| {
        const co: *Coro = try .init(&pool, 64 * 1024, body, null, "measured");
        co.@"resume"();
        n.* = co.highWater();
        co.deinit();
    }
    try testing.expect(used[0] > 20 * 1024 and used[0] < 64 * 1024);
    try testing.expect(used[1] < 20 * 1024);
    try testing.expect(pool.statistics().high_water >= used[0]);
    // Also on the caller's memory, which is not zero.
    const memory = try testing.allocator.alignedAlloc(u8, .fromByteUnits(stacks.alignment), 64 * 1024);
    defer testing.allocator.free(memory);
    const co: *Coro = try .place(.fromMemory(memory), Body.shallow, null, "measured", 0);
    co.@"resume"();
    try testing.expect(co.highWater() < 20 * 1024);
    co.deinit();
}

test "the loss of guards is told once" {
    const Scene = struct {
        fn run() anyerror!void {
            Pool.told_of_no_guard.store(false, .monotonic);
            for (0..2) |_| {
                var pool: Pool = .{};
                pool.fault.refuse_advice = true;
                pool.fault.refuse_protect = true;
                for (0..3) |_| _ = try pool.acquire(min_size);
            }
        }
    };
    var buffer: [1024]u8 = undefined;
    const ended = try child_process.run(Scene.run, &buffer);
    try testing.expectEqual(0, ended.code);
    try testing.expectEqual(1, std.mem.count(u8, ended.err, "new stacks have no guard page"));
}

test "random use agrees with a model, whatever the policy, and whatever fails" {
    for (0..sanitizer.bearable(40)) |n| {
        const seed = testing.random_seed +% n;
        randomUse(seed) catch |err| {
            std.debug.print("failing seed: {d}\n", .{seed});
            return err;
        };
    }
}

/// The model: stacks in use are its own, at least as large as asked for, disjoint and keep what is written; the numbers add up.
fn randomUse(seed: u64) !void {
    var prng: std.Random.DefaultPrng = .init(seed);
    const random = prng.random();
    var pool: Pool = .{ .policy = .{
        .keep_dirty_bytes = random.uintLessThan(usize, 4) * 256 * 1024,
        .keep_mapped_bytes = random.uintLessThan(usize, 4) * 2 * 1024 * 1024,
    } };
    defer pool.deinit();
    const Used = struct { stack: Stack, mark: u64 };
    var used: std.ArrayList(Used) = .empty;
    defer used.deinit(testing.allocator);
    defer for (used.items) |u| pool.release(u.stack);

    for (0..3_000) |step| {
        switch (random.uintLessThan(u8, 100)) {
            0...54 => {
                const size = @as(usize, min_size) << @intCast(random.uintLessThan(u8, 6));
                pool.fault.maps_left = if (random.uintLessThan(u8, 10) == 0) 0 else std.math.maxInt(usize);
                const stack = pool.acquire(size) catch |err| {
                    try testing.expectEqual(error.OutOfMemory, err);
                    continue;
                };
                try testing.expect(stack.memory.len >= size);
                const mark = seed *% 31 +% step;
                std.mem.writeInt(u64, stack.memory[8..16], mark, .little);
                std.mem.writeInt(u64, stack.memory[stack.memory.len - 8 ..][0..8], mark, .little);
                try used.append(testing.allocator, .{ .stack = stack, .mark = mark });
            },
            55...97 => if (used.items.len > 0) {
                const u = used.swapRemove(random.uintLessThan(usize, used.items.len));
                try testing.expectEqual(u.mark, std.mem.readInt(u64, u.stack.memory[8..16], .little));
                try testing.expectEqual(u.mark, std.mem.readInt(u64, u.stack.memory[u.stack.memory.len - 8 ..][0..8], .little));
                pool.release(u.stack);
                if (pool.refused_bytes == 0) try testing.expect(pool.dirty_bytes <= pool.policy.keep_dirty_bytes);
                try testing.expect(pool.vacant_bytes <= pool.policy.keep_mapped_bytes);
            },
            98 => pool.trim(),
            else => {
                pool.fault.refuse_protect = random.boolean();
                pool.fault.forgets_left = if (random.boolean()) random.uintLessThan(usize, 30) else std.math.maxInt(usize);
            },
        }
        try testing.expectEqual(used.items.len, pool.in_use);
        try checkNumbers(&pool);
    }
}

fn checkNumbers(pool: *const Pool) !void {
    var mapped: usize = 0;
    var vacant: usize = 0;
    var dirty: usize = 0;
    var in_use: usize = 0;
    var next = pool.slabs;
    while (next) |slab| : (next = slab.next) {
        mapped += slab.mapping.len;
        if (slab.isVacant()) vacant += slab.mapping.len;
        in_use += slab.carved - slab.idle_len;
        for (slab.idle[0..slab.idle_len]) |index| {
            if (slab.dirty & @as(u64, 1) << @intCast(index) != 0) dirty += slab.stack_size;
        }
        try testing.expectEqual(slab.idle_len > 0 or slab.carved < slab.count, slab.is_available);
    }
    for (&pool.classes) |*class| {
        var clean = class.last;
        while (clean != class.dirty_last) : (clean = clean.?.before) {
            for (clean.?.idle[0..clean.?.idle_len]) |index| try testing.expectEqual(0, clean.?.dirty & @as(u64, 1) << @intCast(index));
        }
    }
    try testing.expectEqual(mapped, pool.mapped_bytes);
    try testing.expectEqual(vacant, pool.vacant_bytes);
    try testing.expectEqual(dirty, pool.dirty_bytes);
    try testing.expectEqual(in_use, pool.in_use);
}

test "a million coroutines alive at once, each with a guard and its own state" {
    if (builtin.os.tag != .linux or @sizeOf(usize) < 8) return error.SkipZigTest;
    // Where it is quick, and once: the library's tests, which have a libc, import this file too.
    if (builtin.mode == .Debug or builtin.link_libc) return error.SkipZigTest;
    if (availableBytes() < 6 * 1024 * 1024 * 1024 or sanitizer.bearable(1_000_000) < 1_000_000) return error.SkipZigTest;
    const Body = struct {
        fn run(co: *Coro) void {
            var n = @intFromPtr(co.storage);
            while (true) {
                n += 1;
                co.storage = @ptrFromInt(n);
                co.@"suspend"();
            }
        }
    };
    var pool: Pool = .{};
    defer pool.deinit();
    const probe = try pool.acquire(min_size);
    pool.release(probe);
    // mprotect stops at some thousands of guards.
    if (probe.guard != .advised) return error.SkipZigTest;
    const mappings = countMappings();
    const all = try std.heap.page_allocator.alloc(*Coro, 1_000_000);
    defer std.heap.page_allocator.free(all);
    for (all, 0..) |*co, i| {
        co.* = try .init(&pool, 16 * 1024, Body.run, @ptrFromInt(i * 16), "one of many");
        co.*.@"resume"();
    }
    defer for (all) |co| co.deinit();
    for (all) |co| co.@"resume"();
    for (all, 0..) |co, i| try testing.expectEqual(i * 16 + 2, @intFromPtr(co.storage));
    try testing.expectEqual(0, pool.guards.get(.none) + pool.guards.get(.protected));
    for (0..100) |i| {
        const memory = all[i * 9_973].stack.memory;
        try testing.expect(isUnreadable(@alignCast((memory.ptr - std.heap.pageSize())[0..std.heap.pageSize()])));
    }
    try testing.expect(countMappings() < mappings + 100);
}

fn countMappings() usize {
    const fd = posix.openat(linux.AT.FDCWD, "/proc/self/maps", .{ .ACCMODE = .RDONLY }, 0) catch return 0;
    defer _ = linux.close(fd);
    var buffer: [4096]u8 = undefined;
    var lines: usize = 0;
    while (true) {
        const n = posix.read(fd, &buffer) catch return 0;
        if (n == 0) return lines;
        lines += std.mem.count(u8, buffer[0..n], "\n");
    }
}

fn availableBytes() usize {
    var info: linux.Sysinfo = undefined;
    if (linux.errno(linux.sysinfo(&info)) != .SUCCESS) return 0;
    return @as(usize, info.freeram) * info.mem_unit;
}
