//! The test of every switch: all registers survive it, on both sides. The bug to fear is a register missing from the clobbers:
//! the compiler would keep a value in it across a switch, and the other side would overwrite it. So both sides fill the same
//! registers before they switch and look at them after, as many at a time as one asm statement may have outputs.
//!
//! A check has two asm statements without instructions, which only say what they take and give in which register. The compiler
//! cannot know that the values stay the same, so what the first gives and the second takes lives across the switch; and as both
//! name the same register, it stays there unless the clobbers say otherwise.

const std = @import("std");
const builtin = @import("builtin");
const arch = @import("../arch.zig");
const Context = arch.Context;

/// Fills some registers with values made from `seed`, switches, and tells whether they are still there.
pub const Check = *const fn (from: *Context, to: *const Context, seed: u64) bool;

const checks: []const Check = &(switch (builtin.cpu.arch) {
    .x86, .x86_64 => @import("x86_test.zig"),
    .arm => @import("arm_test.zig"),
    .loongarch64 => @import("loongarch64_test.zig"),
    .aarch64 => @import("aarch64_test.zig"),
    .riscv64 => @import("riscv64_test.zig"),
    else => unreachable,
}).checks;

/// A different value for each register and each `seed`, in every part of a vector.
pub fn pattern(comptime T: type, comptime count: usize, seed: u64) [count]T {
    var values: [count]T = undefined;
    var prng: std.Random.SplitMix64 = .init(seed);
    for (std.mem.asBytes(&values)) |*byte| byte.* = @truncate(prng.next());
    return values;
}

/// Bit by bit, as not every float equals itself.
pub fn same(want: anytype, got: @TypeOf(want)) bool {
    return std.mem.eql(u8, std.mem.asBytes(want), std.mem.asBytes(got));
}

/// What was found before a switch still decides after it: the condition flags, where a compiler keeps it in those.
noinline fn conditions(from: *Context, to: *const Context, seed: u64) bool {
    const half: u64 = 1 << 63;
    const value = (pattern(u64, 1, seed))[0];
    const is_low = opaquely(value) < half;
    switchContext(from, to);
    return if (is_low) opaquely(value) < half else opaquely(value) >= half;
}

fn opaquely(value: u64) u64 {
    return @as(*const volatile u64, &value).*;
}

const switchContext = arch.switchContext;

const Sides = struct {
    outside: Context = undefined,
    inside: Context = undefined,
    inside_ok: bool = true,
    link: arch.Link = .{},
    stack: [64 * 1024]u8 align(arch.stack_alignment) = undefined,

    fn run(argument: *anyopaque) callconv(.c) noreturn {
        const sides: *Sides = @ptrCast(@alignCast(argument));
        var seed: u64 = 1_000_000;
        while (true) : (seed += 1) {
            inline for (checks ++ .{conditions}) |check| if (!check(&sides.inside, &sides.outside, seed)) {
                sides.inside_ok = false;
            };
        }
    }
};

test "every register survives a switch, on both sides" {
    const sides = try std.testing.allocator.create(Sides);
    defer std.testing.allocator.destroy(sides);
    sides.* = .{};
    const low = @intFromPtr(&sides.stack);
    sides.inside = arch.initContext(.{
        .low = low,
        .top = low + sides.stack.len,
        .entry = Sides.run,
        .argument = sides,
        .link = &sides.link,
    });
    for (0..1000) |seed| {
        inline for (checks ++ .{conditions}, 0..) |check, i| {
            errdefer std.debug.print("check {d}, seed {d}\n", .{ i, seed });
            try std.testing.expect(check(&sides.outside, &sides.inside, seed));
            try std.testing.expect(sides.inside_ok);
        }
    }
}
