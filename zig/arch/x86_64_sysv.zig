//! x86_64 in the System V ABI: Linux, macOS, the BSDs. The switch itself is in x86_64.zig; this file touches the initial
//! frame only.
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | unused              |  +24
//!                             | link                |  +16   to the frame record that leads to the resumer
//!                             | entry               |  +8
//!     sp ------------------>  | argument            |  +0    aligned to 16, as before a call
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` reads that frame and calls `entry(argument)`. A trace goes on from there at the resumer: by frame pointers through
//! the link, where the first frame pointer points, and by unwind information, which says the same. That calls `start` a signal
//! frame: debuggers then accept that the resumer's stack may lie below.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");
const x86_64 = @import("x86_64.zig");

pub const Context = common.Context;
pub const Frame = common.Frame;
pub const stack_alignment = x86_64.stack_alignment;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

comptime {
    std.debug.assert(common.control_offset == 24 and @sizeOf(Frame) == 32); // with common's: the numbers below
}

pub fn initContext(from: common.Start) Context {
    return common.initContext(from, &start, false);
}

pub fn start() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) {
        if (builtin.zig_backend == .stage2_x86_64) {
            // Zig's own backend knows no escapes, but keeps frame pointers: the link is a frame like any other.
            asm volatile (frame_pointer_rules ++
                    \\ .cfi_offset $-8, %%rip
            );
        } else {
            // link = *(rsp + 16), record = *link; the caller's rsp is at record - 8, its rbp at record, its rip at record + 8.
            asm volatile (
                \\ .cfi_signal_frame
                \\ .cfi_escape 0x0f, 7, 0x77, 16, 0x06, 0x06, 0x38, 0x1c, 0x06
                \\ .cfi_escape 0x10, 6, 4, 0x77, 16, 0x06, 0x06
                \\ .cfi_escape 0x10, 16, 6, 0x77, 16, 0x06, 0x06, 0x38, 0x22
            );
        }
    }
    asm volatile (
        \\ leaq 0f(%%rip), %%rcx
        \\ movq 0(%%rsp), %%rdi
        \\ movq 8(%%rsp), %%rax
        \\ pushq %%rcx
        \\ jmpq *%%rax
        \\0:
        \\ ud2
    );
}

/// What unwinders are told of a frame that a frame pointer points to.
const frame_pointer_rules = if (builtin.zig_backend == .stage2_x86_64)
    // Zig's own backend reads these operands, too, from right to left.
    \\ .cfi_def_cfa $16, %%rbp
    \\ .cfi_offset $-16, %%rbp
    \\
else
    \\ .cfi_def_cfa %%rbp, 16
    \\ .cfi_offset %%rbp, -16
    \\
;

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (frame_pointer_rules);
    asm volatile (
        \\ pushq %%rbp
        \\ movq %%rsp, %%rbp
        \\ movq %%rdi, %%rsp
        \\ movq %%rdx, %%rdi
        \\ callq *%%rsi
        \\ ud2
    );
}

pub inline fn jumpTo(to: *const Context) noreturn {
    x86_64.jumpTo(@import("fp_control.zig").load(common.control_offset), to);
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    x86_64.switchContext(@import("fp_control.zig").swap(common.control_offset), from, to);
}
