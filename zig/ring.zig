//! Ready ring: how completions come back to TypeScript. The core appends, TypeScript drains through one mapped view, so a
//! completion costs no call.
//!
//! Layout, in one allocation that is mapped whole: a `Shared` head, then `capacity` entries. The ring always has room,
//! because each armed token yields at most one entry and there are never more tokens than entries.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;

pub const Entry = extern struct {
    /// Names who waits; see slot.zig.
    token: u32,
    /// >= 0, or a negative code.
    status: i32,
    /// What came with it: a handle, a number.
    value: f64,
};

/// The counters that TypeScript reads without a call.
pub const Shared = extern struct {
    /// Entries appended since the start, modulo 2^32. TypeScript keeps its own count of those it has drained.
    tail: u32 = 0,
    /// Entries TypeScript has drained, as of its last tick; only the assertions use it.
    head: u32 = 0,
    /// Kernel operations and timers that are pending: they keep the process alive.
    pending: u32 = 0,
    /// Errno of the last call that returns a handle and failed.
    errno: i32 = 0,
    /// Result of a native body that ended inside the call that ran it.
    value: f64 = 0,
    reserved: f64 = 0,
};

pub const Ring = struct {
    shared: *Shared,
    entries: []Entry,

    const alignment: std.mem.Alignment = .fromByteUnits(16);

    comptime {
        assert(@sizeOf(Shared) % 16 == 0 and @sizeOf(Entry) == 16);
    }

    /// `capacity` is a power of two.
    pub fn init(allocator: Allocator, capacity: u32) error{OutOfMemory}!Ring {
        assert(std.math.isPowerOfTwo(capacity));
        const memory = try allocator.alignedAlloc(u8, alignment, byteSize(capacity));
        const shared: *Shared = @ptrCast(@alignCast(memory.ptr));
        shared.* = .{};
        const entries: [*]Entry = @ptrCast(@alignCast(memory.ptr + @sizeOf(Shared)));
        return .{ .shared = shared, .entries = entries[0..capacity] };
    }

    pub fn deinit(ring: *Ring, allocator: Allocator) void {
        const start: [*]align(16) u8 = @ptrCast(@alignCast(ring.shared));
        allocator.free(start[0..byteSize(@intCast(ring.entries.len))]);
    }

    /// Moves to a larger allocation; TypeScript must map it anew. Undrained entries keep their numbers.
    pub fn grow(ring: *Ring, allocator: Allocator, capacity: u32) error{OutOfMemory}!void {
        var larger = try Ring.init(allocator, capacity);
        larger.shared.* = ring.shared.*;
        var at = ring.shared.tail -% @as(u32, @intCast(ring.entries.len));
        while (at != ring.shared.tail) : (at +%= 1) larger.entryAt(at).* = ring.entryAt(at).*;
        ring.deinit(allocator);
        ring.* = larger;
    }

    pub inline fn push(ring: *Ring, token: u32, status: i32, value: f64) void {
        const shared = ring.shared;
        ring.entryAt(shared.tail).* = .{ .token = token, .status = status, .value = value };
        shared.tail +%= 1;
    }

    inline fn entryAt(ring: *Ring, number: u32) *Entry {
        return &ring.entries[number & @as(u32, @intCast(ring.entries.len - 1))];
    }

    pub fn byteSize(capacity: u32) usize {
        return @sizeOf(Shared) + capacity * @sizeOf(Entry);
    }
};

test "entries survive growth, across the wrap of the counter" {
    const allocator = std.testing.allocator;
    var ring = try Ring.init(allocator, 4);
    defer ring.deinit(allocator);
    ring.shared.tail = std.math.maxInt(u32) - 1;
    for (0..4) |i| ring.push(@intCast(i), -1, 0.5);
    try ring.grow(allocator, 16);
    var number: u32 = std.math.maxInt(u32) - 1;
    for (0..4) |i| {
        try std.testing.expectEqual(@as(u32, @intCast(i)), ring.entryAt(number).token);
        number +%= 1;
    }
    try std.testing.expectEqual(number, ring.shared.tail);
}
