//! Buffer pool: the native memory that the kernel reads into and writes from. Memory that outlives a call is never
//! JavaScript's, so each operation in flight borrows a buffer here and gives it back when it ends.
//!
//! Sizes are powers of two from 4 KiB to 256 KiB, each class with a last-in-first-out free list threaded through the
//! free buffers themselves: the hottest buffer goes out first, and taking one costs no system call. At most
//! `max_idle_bytes` stay idle; beyond that buffers go back to the system.

const std = @import("std");
const assert = std.debug.assert;

pub const min_size = 4 * 1024;
pub const max_size = 256 * 1024;

pub const Buffer = []align(min_size) u8;

pub const Pool = struct {
    free: [class_count]?*Free = @splat(null),
    idle_bytes: usize = 0,
    /// Borrowed and not yet given back.
    borrowed: usize = 0,
    /// Where buffers come from: whole pages.
    memory: std.mem.Allocator = std.heap.page_allocator,

    const Free = struct { next: ?*Free };
    const class_count = std.math.log2_int(usize, max_size / min_size) + 1;
    const max_idle_bytes = 64 * 1024 * 1024;

    pub fn deinit(pool: *Pool) void {
        assert(pool.borrowed == 0);
        for (&pool.free, 0..) |*list, class| {
            while (list.*) |node| {
                list.* = node.next;
                pool.memory.free(whole(node, class));
            }
        }
    }

    /// A buffer of at least `size` bytes, at most `max_size`.
    pub fn take(pool: *Pool, size: usize) error{OutOfMemory}!Buffer {
        const class = classOf(@min(size, max_size));
        const bytes = if (pool.free[class]) |node| reused: {
            pool.free[class] = node.next;
            pool.idle_bytes -= sizeOf(class);
            break :reused whole(node, class);
        } else try pool.memory.alignedAlloc(u8, .fromByteUnits(min_size), sizeOf(class));
        pool.borrowed += 1;
        return bytes;
    }

    /// A buffer of at least `size` bytes however many these are. One beyond the largest class is never kept idle.
    pub fn takeLarge(pool: *Pool, size: usize) error{OutOfMemory}!Buffer {
        if (size <= max_size) return pool.take(size);
        const whole_size = std.math.ceilPowerOfTwo(usize, size) catch return error.OutOfMemory;
        const bytes = try pool.memory.alignedAlloc(u8, .fromByteUnits(min_size), whole_size);
        pool.borrowed += 1;
        return bytes;
    }

    pub fn give(pool: *Pool, bytes: Buffer) void {
        assert(pool.borrowed > 0);
        pool.borrowed -= 1;
        if (bytes.len > max_size or pool.idle_bytes + bytes.len > max_idle_bytes) return pool.memory.free(bytes);
        const class = classOf(bytes.len);
        assert(sizeOf(class) == bytes.len);
        const node: *Free = @ptrCast(bytes.ptr);
        node.* = .{ .next = pool.free[class] };
        pool.free[class] = node;
        pool.idle_bytes += bytes.len;
    }

    fn whole(node: *Free, class: usize) Buffer {
        const start: [*]align(min_size) u8 = @ptrCast(@alignCast(node));
        return start[0..sizeOf(class)];
    }

    fn sizeOf(class: usize) usize {
        return @as(usize, min_size) << @intCast(class);
    }

    fn classOf(size: usize) usize {
        if (size <= min_size) return 0;
        return std.math.log2_int_ceil(usize, size) - std.math.log2_int(usize, min_size);
    }
};

/// How large the next read of a stream should be: doubles when a read filled its buffer, halves after two reads in a
/// row that used less than a quarter.
pub const ReadSize = struct {
    size: u32 = min_size,
    small_reads: u8 = 0,

    pub fn record(s: *ReadSize, filled: usize, of: usize) void {
        if (filled == of) {
            s.size = @min(s.size * 2, max_size);
            s.small_reads = 0;
        } else if (filled < s.size / 4 and s.size > min_size) {
            s.small_reads += 1;
            if (s.small_reads < 2) return;
            s.small_reads = 0;
            s.size /= 2;
        } else s.small_reads = 0;
    }
};

test "buffers are reused last in first out and keep their class" {
    var pool: Pool = .{};
    defer pool.deinit();
    const a = try pool.take(1);
    try std.testing.expectEqual(min_size, a.len);
    const b = try pool.take(min_size + 1);
    try std.testing.expectEqual(2 * min_size, b.len);
    const c = try pool.take(10 * max_size);
    try std.testing.expectEqual(max_size, c.len);
    pool.give(c);
    pool.give(b);
    pool.give(a);
    const d = try pool.take(min_size);
    try std.testing.expectEqual(a.ptr, d.ptr);
    pool.give(d);
}

test "a buffer beyond the largest class is as large as asked for, and not kept" {
    var pool: Pool = .{ .memory = std.testing.allocator };
    defer pool.deinit();
    const a = try pool.takeLarge(max_size + 1);
    try std.testing.expectEqual(2 * max_size, a.len);
    pool.give(a);
    try std.testing.expectEqual(0, pool.idle_bytes);
    const b = try pool.takeLarge(1);
    try std.testing.expectEqual(min_size, b.len);
    pool.give(b);
}

test "read size follows the stream" {
    var s: ReadSize = .{};
    for (0..20) |_| s.record(s.size, s.size);
    try std.testing.expectEqual(max_size, s.size);
    s.record(10, s.size);
    try std.testing.expectEqual(max_size, s.size);
    s.record(10, s.size);
    try std.testing.expectEqual(max_size / 2, s.size);
}
