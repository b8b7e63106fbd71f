//! The switch for 32-bit ARM in the AAPCS, in ARM code, with or without floating point. It touches registers and the initial
//! frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in `bx` with a register that is not lr: calls and returns stay paired and the
//! return predictor stays right. It pushes nothing.
//!
//! The rounding mode belongs to the thread, not to the coroutine: who changes it restores it before suspending, as before any
//! call.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 8) ->   +---------------------+
//!                             | unused              |  +12
//!                             | link                |  +8    to the frame record that leads to the resumer
//!                             | entry               |  +4
//!     sp ------------------>  | argument            |  +0    aligned to 8, as before a call
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` reads that frame and calls `entry(argument)`. A trace goes on from there at the resumer: by frame pointers through
//! the link, where the first frame pointer points, and by DWARF's unwind information, which says the same. That calls `start` a
//! signal frame: debuggers then accept that the resumer's stack may lie below. Exceptions, which have tables of their own on
//! this machine (EHABI), end there.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");

pub const Context = common.Context;
pub const Frame = common.Frame;
pub const stack_alignment = 8;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

comptime {
    std.debug.assert(common.control_offset == 12 and @sizeOf(Frame) == 16); // with common's: the numbers below
}

pub fn initContext(from: common.Start) Context {
    return common.initContext(from, &start, false);
}

pub fn start() callconv(.naked) noreturn {
    // Only debug information holds DWARF's rules here.
    // For unwinders: link = *(sp + 8), record = *link; the caller's sp is at record - 4, its r11 at record, its pc at record + 4.
    if (!builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x7d, 8, 0x06, 0x06, 0x34, 0x1c, 0x06
        \\ .cfi_escape 0x10, 11, 4, 0x7d, 8, 0x06, 0x06
        \\ .cfi_escape 0x10, 14, 6, 0x7d, 8, 0x06, 0x06, 0x34, 0x22
    );
    asm volatile (
        \\ ldr r0, [sp]
        \\ ldr r1, [sp, #4]
        \\ mov lr, #0
        \\ blx r1
        \\ udf #0
    );
}

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (!builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa r11, 8
        \\ .cfi_offset r11, -8
        \\ .cfi_offset lr, -4
    );
    asm volatile (
        \\ push {r11, lr}
        \\ mov r11, sp
        \\ mov sp, r0
        \\ mov r0, r2
        \\ blx r1
        \\ udf #0
    );
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ adr r2, 0f
        \\ str sp, [r0]
        \\ str r11, [r0, #4]
        \\ str r2, [r0, #8]
        \\ ldr r2, [r1, #8]
        \\ ldr r11, [r1, #4]
        \\ ldr sp, [r1]
        \\ bx r2
        \\0:
        : [from_after] "={r0}" (from_after),
          [to_after] "={r1}" (to_after),
        : [from] "{r0}" (from),
          [to] "{r1}" (to),
        : everything);
}

pub inline fn jumpTo(to: *const Context) noreturn {
    asm volatile (
        \\ ldr r2, [r1, #8]
        \\ ldr r11, [r1, #4]
        \\ ldr sp, [r1]
        \\ bx r2
        :
        : [to] "{r1}" (to),
        : .{ .memory = true });
    unreachable;
}

/// All but the stack pointer and the frame pointer (r11), which the routine itself saves. d0 stands for s0 and q0 too.
const everything: std.builtin.assembly.Clobbers = .{
    .cpsr = true,
    .r2 = true,
    .r3 = true,
    .r4 = true,
    .r5 = true,
    .r6 = true,
    .r7 = true,
    .r8 = true,
    .r9 = true,
    .r10 = true,
    .r12 = true,
    .lr = true,
    .d0 = true,
    .d1 = true,
    .d2 = true,
    .d3 = true,
    .d4 = true,
    .d5 = true,
    .d6 = true,
    .d7 = true,
    .d8 = true,
    .d9 = true,
    .d10 = true,
    .d11 = true,
    .d12 = true,
    .d13 = true,
    .d14 = true,
    .d15 = true,
    .d16 = true,
    .d17 = true,
    .d18 = true,
    .d19 = true,
    .d20 = true,
    .d21 = true,
    .d22 = true,
    .d23 = true,
    .d24 = true,
    .d25 = true,
    .d26 = true,
    .d27 = true,
    .d28 = true,
    .d29 = true,
    .d30 = true,
    .d31 = true,
    .memory = true,
};
