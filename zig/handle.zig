//! Handles: what crosses the C ABI instead of pointers. A handle is a slot number and the slot's generation, so one that
//! outlives its object is refused and never reaches the object that took its place. The table owns the slots, not the objects.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;

/// 0 is never a handle.
pub const Handle = u32;

pub fn Table(comptime T: type) type {
    return struct {
        const Self = @This();

        slots: std.ArrayList(Slot) = .empty,
        /// Head of the free slots, linked through `next_free`.
        free: u32 = none,
        live: u32 = 0,

        const Slot = struct { object: ?*T, generation: u9, next_free: u32 };
        const none = std.math.maxInt(u32);
        const index_bits = 22;
        const max_slots = 1 << index_bits;

        pub fn deinit(self: *Self, allocator: Allocator) void {
            self.slots.deinit(allocator);
        }

        pub fn add(self: *Self, allocator: Allocator, object: *T) error{OutOfMemory}!Handle {
            if (self.free == none) {
                if (self.slots.items.len == max_slots) return error.OutOfMemory;
                try self.slots.append(allocator, .{ .object = null, .generation = 1, .next_free = none });
                self.free = @intCast(self.slots.items.len - 1);
            }
            const index = self.free;
            const slot = &self.slots.items[index];
            self.free = slot.next_free;
            slot.object = object;
            self.live += 1;
            // 31 bits, so that a handle is a small integer in JavaScript and no negative code.
            return @as(u32, slot.generation) << index_bits | index;
        }

        pub inline fn get(self: *const Self, handle: Handle) ?*T {
            const index = handle & (max_slots - 1);
            if (index >= self.slots.items.len) return null;
            const slot = &self.slots.items[index];
            return if (slot.generation == handle >> index_bits) slot.object else null;
        }

        pub fn remove(self: *Self, handle: Handle) void {
            assert(self.get(handle) != null);
            const index = handle & (max_slots - 1);
            const slot = &self.slots.items[index];
            slot.object = null;
            slot.generation = @max(1, slot.generation +% 1);
            slot.next_free = self.free;
            self.free = index;
            self.live -= 1;
        }
    };
}

test "a handle ends with its object" {
    const allocator = std.testing.allocator;
    var table: Table(u8) = .{};
    defer table.deinit(allocator);
    var a: u8 = 1;
    var b: u8 = 2;
    const ha = try table.add(allocator, &a);
    try std.testing.expectEqual(&a, table.get(ha).?);
    table.remove(ha);
    try std.testing.expectEqual(null, table.get(ha));
    const hb = try table.add(allocator, &b);
    try std.testing.expect(ha != hb and hb != 0);
    try std.testing.expectEqual(null, table.get(ha));
    try std.testing.expectEqual(&b, table.get(hb).?);
    try std.testing.expectEqual(null, table.get(0));
    try std.testing.expectEqual(null, table.get(0xffff_ffff));
    for (0..3000) |_| {
        const h = try table.add(allocator, &a);
        try std.testing.expect(h != 0);
        table.remove(h);
    }
    table.remove(hb);
}
