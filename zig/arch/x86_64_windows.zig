//! x86_64 in the Windows ABI. The switch itself is in x86_64.zig, what a context keeps in windows.zig; this file touches the
//! initial frame and three fields of the thread's environment block. Functions of this ABI preserve xmm6 to xmm15; the switch
//! changes them like all others.
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | argument            |  +48
//!                             | entry               |  +40
//!                             | home space of entry |  +8    four words that it may write to
//!     sp ------------------>  | 0  return address   |  +0    8 below a multiple of 16, as after a call
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards

const std = @import("std");
const assert = std.debug.assert;
const common = @import("common.zig");
const windows = @import("windows.zig");
const x86_64 = @import("x86_64.zig");

pub const Context = windows.Context;
pub const stack_alignment = x86_64.stack_alignment;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

/// What `initContext` puts at the top of a stack.
pub const Frame = extern struct {
    return_address: usize = 0,
    home: [4]usize = @splat(0),
    entry: common.Entry,
    argument: *anyopaque,
};

comptime {
    assert(@offsetOf(Frame, "return_address") == 0);
    assert(@offsetOf(Frame, "entry") == 40);
    assert(@offsetOf(Frame, "argument") == 48);
    assert(@sizeOf(Frame) == 56 and @sizeOf(Frame) % stack_alignment == 8);
}

pub fn initContext(from: common.Start) Context {
    const frame: *Frame = @ptrFromInt(from.top - @sizeOf(Frame));
    frame.* = .{ .entry = from.entry, .argument = from.argument };
    return windows.initContext(from, &start, frame);
}

pub fn start() callconv(.naked) noreturn {
    asm volatile (
        \\ movq 48(%%rsp), %%rcx
        \\ movq 40(%%rsp), %%rax
        \\ jmpq *%%rax
    );
}

pub inline fn jumpTo(to: *const Context) noreturn {
    x86_64.jumpTo(load_fields ++ @import("fp_control.zig").load(windows.control_offset), to);
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    x86_64.switchContext(
        \\ movq %%gs:0x08, %%rax
        \\ movq %%rax, 24(%%rdi)
        \\ movq %%gs:0x10, %%rax
        \\ movq %%rax, 32(%%rdi)
        \\ movq %%gs:0x1478, %%rax
        \\ movq %%rax, 40(%%rdi)
        \\
    ++ load_fields ++ @import("fp_control.zig").swap(windows.control_offset), from, to);
}

const load_fields =
    \\ movq 24(%%rsi), %%rax
    \\ movq %%rax, %%gs:0x08
    \\ movq 32(%%rsi), %%rax
    \\ movq %%rax, %%gs:0x10
    \\ movq 40(%%rsi), %%rax
    \\ movq %%rax, %%gs:0x1478
    \\
;
