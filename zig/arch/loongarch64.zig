//! The switch for loongarch64 in the LP64 ABIs, with or without floating point and vectors. It touches registers and the
//! initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in `jr` with a register that is not ra: calls and returns stay paired and the
//! return predictor stays right. It pushes nothing.
//!
//! r2 (tp) belongs to the thread and r21 to the system; both are the same on both sides. The rounding mode belongs to the
//! thread, not to the coroutine: who changes it restores it before suspending, as before any call.
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
    // For unwinders: link = *(sp + 16), record = *link; the caller's sp is at record - 24, its fp (r22) at record - 16, its pc
    // at record - 8.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x73, 16, 0x06, 0x06, 0x48, 0x1c, 0x06
        \\ .cfi_escape 0x10, 22, 6, 0x73, 16, 0x06, 0x06, 0x40, 0x1c
        \\ .cfi_escape 0x10, 1, 6, 0x73, 16, 0x06, 0x06, 0x38, 0x1c
    );
    asm volatile (
        \\ ld.d $a0, $sp, 0
        \\ ld.d $t0, $sp, 8
        \\ jirl $ra, $t0, 0
        \\ break 0
    );
}

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa 22, 0
        \\ .cfi_offset 22, -16
        \\ .cfi_offset 1, -8
    );
    asm volatile (
        \\ addi.d $sp, $sp, -16
        \\ st.d $ra, $sp, 8
        \\ st.d $fp, $sp, 0
        \\ addi.d $fp, $sp, 16
        \\ move $sp, $a0
        \\ move $a0, $a2
        \\ jirl $ra, $a1, 0
        \\ break 0
    );
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ la.pcrel $t0, 0f
        \\ st.d $sp, $a0, 0
        \\ st.d $fp, $a0, 8
        \\ st.d $t0, $a0, 16
        \\ ld.d $t0, $a1, 16
        \\ ld.d $fp, $a1, 8
        \\ ld.d $sp, $a1, 0
        \\ jr $t0
        \\0:
        : [from_after] "={r4}" (from_after),
          [to_after] "={r5}" (to_after),
        : [from] "{r4}" (from),
          [to] "{r5}" (to),
        : everything);
}

pub inline fn jumpTo(to: *const Context) noreturn {
    asm volatile (
        \\ ld.d $t0, $a1, 16
        \\ ld.d $fp, $a1, 8
        \\ ld.d $sp, $a1, 0
        \\ jr $t0
        :
        : [to] "{r5}" (to),
        : .{ .memory = true });
    unreachable;
}

/// All but the stack pointer and the frame pointer (r22), which the routine itself saves, r2 and r21. f0 stands for the vector
/// registers that contain it, too.
const everything: std.builtin.assembly.Clobbers = .{
    .r1 = true,
    .r6 = true,
    .r7 = true,
    .r8 = true,
    .r9 = true,
    .r10 = true,
    .r11 = true,
    .r12 = true,
    .r13 = true,
    .r14 = true,
    .r15 = true,
    .r16 = true,
    .r17 = true,
    .r18 = true,
    .r19 = true,
    .r20 = true,
    .r23 = true,
    .r24 = true,
    .r25 = true,
    .r26 = true,
    .r27 = true,
    .r28 = true,
    .r29 = true,
    .r30 = true,
    .r31 = true,
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
    .fcc0 = true,
    .fcc1 = true,
    .fcc2 = true,
    .fcc3 = true,
    .fcc4 = true,
    .fcc5 = true,
    .fcc6 = true,
    .fcc7 = true,
    .memory = true,
};
