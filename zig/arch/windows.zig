//! What the Windows ABIs share: three fields of the thread's environment block (TEB) that say where the thread's stack is.
//! StackBase and StackLimit bound what exception dispatch accepts as a frame and what `__chkstk` probes, DeallocationStack is
//! what the system takes for the whole. They change with the stack, so a context keeps them.
//!
//! `start` jumps to `entry(argument)`, so that `entry` is the outermost frame: its return address is zero, where unwinding ends.
//! The system's unwinder knows no way to the resumer.

const std = @import("std");
const assert = std.debug.assert;
const common = @import("common.zig");
const fp_control = @import("fp_control.zig");

/// A coroutine that is not running: where to go on.
pub const Context = extern struct {
    sp: usize,
    fp: usize,
    pc: usize,
    stack_base: usize,
    stack_limit: usize,
    deallocation_stack: usize,
    control: fp_control.Words,
};

/// Where the control words are in it.
pub const control_offset = 48;

// What the assembly relies on.
comptime {
    assert(@offsetOf(Context, "sp") == 0);
    assert(@offsetOf(Context, "fp") == 8);
    assert(@offsetOf(Context, "pc") == 16);
    assert(@offsetOf(Context, "stack_base") == 24);
    assert(@offsetOf(Context, "stack_limit") == 32);
    assert(@offsetOf(Context, "deallocation_stack") == 40);
    assert(@offsetOf(Context, "control") == control_offset);
    assert(@sizeOf(Context) == 48 + @sizeOf(fp_control.Words));
}

/// For `start`, which finds its frame at `frame`.
pub fn initContext(from: common.Start, start: *const anyopaque, frame: *anyopaque) Context {
    from.link.* = .{};
    return .{
        .sp = @intFromPtr(frame),
        .fp = 0,
        .pc = @intFromPtr(start),
        .stack_base = from.top,
        .stack_limit = from.low,
        .deallocation_stack = from.low,
        .control = fp_control.now(),
    };
}

/// What the TEB says of the stack in use, in the context's order.
fn fieldsNow() [3]usize {
    var values: [3]usize = undefined;
    const teb = @intFromPtr(std.os.windows.teb());
    for (&values, [_]usize{ 0x08, 0x10, 0x1478 }) |*value, offset| value.* = @as(*const volatile usize, @ptrFromInt(teb + offset)).*;
    return values;
}

test "the thread's stack fields change with the stack" {
    const arch = @import("../arch.zig");
    const Body = struct {
        outside: Context = undefined,
        inside: Context = undefined,
        link: common.Link = .{},
        seen: [3]usize = undefined,
        stack: [16 * 1024]u8 align(arch.stack_alignment) = undefined,

        fn run(argument: *anyopaque) callconv(.c) noreturn {
            const body: *@This() = @ptrCast(@alignCast(argument));
            body.seen = fieldsNow();
            while (true) arch.switchContext(&body.inside, &body.outside);
        }
    };
    const body = try std.testing.allocator.create(Body);
    defer std.testing.allocator.destroy(body);
    body.* = .{};
    const low = @intFromPtr(&body.stack);
    const top = low + body.stack.len;
    body.inside = arch.initContext(.{ .low = low, .top = top, .entry = Body.run, .argument = body, .link = &body.link });
    const before = fieldsNow();
    arch.switchContext(&body.outside, &body.inside);
    try std.testing.expectEqual(before, fieldsNow());
    try std.testing.expectEqual([3]usize{ top, low, low }, body.seen);
}
