//! aarch64 in the Windows ABI. The switch itself is in aarch64.zig, what a context keeps in windows.zig; this file touches the
//! initial frame and three fields of the thread's environment block, which x18 points to.
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | entry               |  +8
//!     sp ------------------>  | argument            |  +0    aligned to 16, as sp always is
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards

const std = @import("std");
const assert = std.debug.assert;
const aarch64 = @import("aarch64.zig");
const common = @import("common.zig");
const windows = @import("windows.zig");

pub const Context = windows.Context;
pub const stack_alignment = aarch64.stack_alignment;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

/// What `initContext` puts at the top of a stack.
pub const Frame = extern struct {
    argument: *anyopaque,
    entry: common.Entry,
};

comptime {
    assert(@offsetOf(Frame, "argument") == 0);
    assert(@offsetOf(Frame, "entry") == 8);
    assert(@sizeOf(Frame) == 16 and @sizeOf(Frame) % stack_alignment == 0);
}

pub fn initContext(from: common.Start) Context {
    const frame: *Frame = @ptrFromInt(from.top - @sizeOf(Frame));
    frame.* = .{ .entry = from.entry, .argument = from.argument };
    return windows.initContext(from, &start, frame);
}

pub fn start() callconv(.naked) noreturn {
    asm volatile (
        \\ ldp x0, x1, [sp]
        \\ mov x30, xzr
        \\ br x1
    );
}

pub inline fn jumpTo(to: *const Context) noreturn {
    aarch64.jumpWith(load_fields ++ @import("fp_control.zig").load(windows.control_offset), to);
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    aarch64.switchWith(
        \\ ldp x9, x10, [x18, #0x08]
        \\ stp x9, x10, [x0, #24]
        \\ ldr x9, [x18, #0x1478]
        \\ str x9, [x0, #40]
        \\
    ++ load_fields ++ @import("fp_control.zig").swap(windows.control_offset), from, to);
}

const load_fields =
    \\ ldp x9, x10, [x1, #24]
    \\ stp x9, x10, [x18, #0x08]
    \\ ldr x9, [x1, #40]
    \\ str x9, [x18, #0x1478]
    \\
;
