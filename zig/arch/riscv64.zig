//! The switch for riscv64 in the standard psABI, with or without floating point and vectors. It touches registers and the
//! initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in a plain jump, never in `ret`: calls and returns stay paired and the
//! return predictor stays right. It pushes nothing.
//!
//! gp and tp belong to the process and the thread and are the same on both sides. The rounding mode belongs to the thread,
//! not to the coroutine: who changes it restores it before suspending, as before any call.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | unused              |  +24
//!                             | link                |  +16   to the frame record that leads to the resumer
//!                             | entry               |  +8
//!     sp ------------------>  | argument            |  +0    aligned to 16, as sp always is
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` reads that frame and calls `entry(argument)`. A trace goes on from there at the resumer: by frame pointers through
//! the link, where the first frame pointer points, and by unwind information, which says the same. That calls `start` a signal
//! frame: debuggers then accept that the resumer's stack may lie below. A frame record lies below its frame pointer here.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");

pub const Context = common.Context;
pub const Frame = common.Frame;
pub const stack_alignment = 16;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp") + @sizeOf(common.Link);

comptime {
    std.debug.assert(common.control_offset == 24 and @sizeOf(Frame) == 32); // with common's: the numbers below
}

pub fn initContext(from: common.Start) Context {
    return common.initContext(from, &start, true);
}

pub fn start() callconv(.naked) noreturn {
    // For unwinders: link = *(sp + 16), record = *link; the caller's sp is at record - 24, its fp at record - 16, its pc at
    // record - 8.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x72, 16, 0x06, 0x06, 0x48, 0x1c, 0x06
        \\ .cfi_escape 0x10, 8, 6, 0x72, 16, 0x06, 0x06, 0x40, 0x1c
        \\ .cfi_escape 0x10, 1, 6, 0x72, 16, 0x06, 0x06, 0x38, 0x1c
    );
    asm volatile (
        \\ ld a0, 0(sp)
        \\ ld t0, 8(sp)
        \\ jalr t0
        \\ unimp
    );
}

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa s0, 0
        \\ .cfi_offset s0, -16
        \\ .cfi_offset ra, -8
    );
    asm volatile (
        \\ addi sp, sp, -16
        \\ sd ra, 8(sp)
        \\ sd s0, 0(sp)
        \\ addi s0, sp, 16
        \\ mv sp, a0
        \\ mv a0, a2
        \\ jalr a1
        \\ unimp
    );
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ lla t0, 0f
        \\ sd sp, 0(a0)
        \\ sd s0, 8(a0)
        \\ sd t0, 16(a0)
        \\
    ++ @import("fp_control.zig").swap(common.control_offset) ++
        \\ ld t0, 16(a1)
        \\ ld s0, 8(a1)
        \\ ld sp, 0(a1)
        \\ jr t0
        \\0:
        : [from_after] "={a0}" (from_after),
          [to_after] "={a1}" (to_after),
        : [from] "{a0}" (from),
          [to] "{a1}" (to),
        : everything);
}

pub inline fn jumpTo(to: *const Context) noreturn {
    asm volatile (@import("fp_control.zig").load(common.control_offset) ++
            \\ ld t0, 16(a1)
            \\ ld s0, 8(a1)
            \\ ld sp, 0(a1)
            \\ jr t0
        :
        : [to] "{a1}" (to),
        : .{ .memory = true });
    unreachable;
}

/// All but the stack pointer and the frame pointer (s0), which the routine itself saves, and gp and tp.
const everything: std.builtin.assembly.Clobbers = .{
    .ra = true,
    .t0 = true,
    .t1 = true,
    .t2 = true,
    .t3 = true,
    .t4 = true,
    .t5 = true,
    .t6 = true,
    .a2 = true,
    .a3 = true,
    .a4 = true,
    .a5 = true,
    .a6 = true,
    .a7 = true,
    .s1 = true,
    .s2 = true,
    .s3 = true,
    .s4 = true,
    .s5 = true,
    .s6 = true,
    .s7 = true,
    .s8 = true,
    .s9 = true,
    .s10 = true,
    .s11 = true,
    .f0 = true,
    .f1 = true,
    .f2 = true,
    .f3 = true,
    .f4 = true,
    .f5 = true,
    .f6 = true,
    .f7 = true,
    .f8 = true,
    .f9 = true,
    .f10 = true,
    .f11 = true,
    .f12 = true,
    .f13 = true,
    .f14 = true,
    .f15 = true,
    .f16 = true,
    .f17 = true,
    .f18 = true,
    .f19 = true,
    .f20 = true,
    .f21 = true,
    .f22 = true,
    .f23 = true,
    .f24 = true,
    .f25 = true,
    .f26 = true,
    .f27 = true,
    .f28 = true,
    .f29 = true,
    .f30 = true,
    .f31 = true,
    .v0 = true,
    .v1 = true,
    .v2 = true,
    .v3 = true,
    .v4 = true,
    .v5 = true,
    .v6 = true,
    .v7 = true,
    .v8 = true,
    .v9 = true,
    .v10 = true,
    .v11 = true,
    .v12 = true,
    .v13 = true,
    .v14 = true,
    .v15 = true,
    .v16 = true,
    .v17 = true,
    .v18 = true,
    .v19 = true,
    .v20 = true,
    .v21 = true,
    .v22 = true,
    .v23 = true,
    .v24 = true,
    .v25 = true,
    .v26 = true,
    .v27 = true,
    .v28 = true,
    .v29 = true,
    .v30 = true,
    .v31 = true,
    .fflags = true,
    .frm = true,
    .vtype = true,
    .vl = true,
    .vxsat = true,
    .vxrm = true,
    .memory = true,
};
