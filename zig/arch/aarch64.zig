//! The switch for aarch64 in the AAPCS64 and Apple's variant of it. It touches registers and the initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in `br`, never in `ret`: calls and returns stay paired and the return
//! predictor stays right. It pushes nothing, so Apple's red zone below the old stack pointer stays whole.
//!
//! x18 is the platform's on Apple systems and on Windows and never touched here; elsewhere the compiler may keep a value in it, so
//! there it counts as changed. FPCR belongs to the thread, not to the coroutine: who changes it restores it before
//! suspending, as before any call.
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
//! frame: debuggers then accept that the resumer's stack may lie below.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");

pub const Context = common.Context;
pub const Frame = common.Frame;
pub const stack_alignment = 16;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

comptime {
    std.debug.assert(common.control_offset == 24 and @sizeOf(Frame) == 32); // with common's: the numbers below
}

pub fn initContext(from: common.Start) Context {
    return common.initContext(from, &start, false);
}

pub fn start() callconv(.naked) noreturn {
    // For unwinders: link = *(sp + 16), record = *link; the caller's sp is at record - 8, its fp at record, its pc at record + 8.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x8f, 16, 0x06, 0x06, 0x38, 0x1c, 0x06
        \\ .cfi_escape 0x10, 29, 4, 0x8f, 16, 0x06, 0x06
        \\ .cfi_escape 0x10, 30, 6, 0x8f, 16, 0x06, 0x06, 0x38, 0x22
    );
    asm volatile (
        \\ ldp x0, x1, [sp]
        \\ mov x30, xzr
        \\ blr x1
        \\ brk #1
    );
}

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa x29, 16
        \\ .cfi_offset x29, -16
        \\ .cfi_offset x30, -8
    );
    asm volatile (
        \\ stp x29, x30, [sp, #-16]!
        \\ mov x29, sp
        \\ mov sp, x0
        \\ mov x0, x2
        \\ blr x1
        \\ brk #1
    );
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    switchWith(@import("fp_control.zig").swap(common.control_offset), from, to);
}

/// Also what Windows builds on. `middle` saves what else the ABI's context has to x0 + 24 and further, and loads it from
/// x1 + 24, by way of x9 and x10.
pub inline fn switchWith(comptime middle: []const u8, from: *anyopaque, to: *const anyopaque) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: *anyopaque = undefined;
    var to_after: *const anyopaque = undefined;
    asm volatile (
        \\ adr x9, 0f
        \\ mov x10, sp
        \\ stp x10, x29, [x0]
        \\ str x9, [x0, #16]
        \\
    ++ middle ++
        \\ ldp x10, x29, [x1]
        \\ ldr x9, [x1, #16]
        \\ mov sp, x10
        \\ br x9
        \\0:
        : [from_after] "={x0}" (from_after),
          [to_after] "={x1}" (to_after),
        : [from] "{x0}" (from),
          [to] "{x1}" (to),
        : everything);
}

pub inline fn jumpTo(to: *const Context) noreturn {
    jumpWith(@import("fp_control.zig").load(common.control_offset), to);
}

/// As `switchWith`, but for good.
pub inline fn jumpWith(comptime middle: []const u8, to: *const anyopaque) noreturn {
    asm volatile (middle ++
            \\ ldp x10, x29, [x1]
            \\ ldr x9, [x1, #16]
            \\ mov sp, x10
            \\ br x9
        :
        : [to] "{x1}" (to),
        : .{ .memory = true });
    unreachable;
}

/// All but the stack pointer and the frame pointer, which the routine itself saves.
const everything: std.builtin.assembly.Clobbers = .{
    .nzcv = true,
    .x2 = true,
    .x3 = true,
    .x4 = true,
    .x5 = true,
    .x6 = true,
    .x7 = true,
    .x8 = true,
    .x9 = true,
    .x10 = true,
    .x11 = true,
    .x12 = true,
    .x13 = true,
    .x14 = true,
    .x15 = true,
    .x16 = true,
    .x17 = true,
    .x18 = !builtin.os.tag.isDarwin() and builtin.os.tag != .windows,
    .x19 = true,
    .x20 = true,
    .x21 = true,
    .x22 = true,
    .x23 = true,
    .x24 = true,
    .x25 = true,
    .x26 = true,
    .x27 = true,
    .x28 = true,
    .lr = true, // `.x30` is not known to LLVM by that name and would be dropped without a word
    .z0 = true,
    .z1 = true,
    .z2 = true,
    .z3 = true,
    .z4 = true,
    .z5 = true,
    .z6 = true,
    .z7 = true,
    .z8 = true,
    .z9 = true,
    .z10 = true,
    .z11 = true,
    .z12 = true,
    .z13 = true,
    .z14 = true,
    .z15 = true,
    .z16 = true,
    .z17 = true,
    .z18 = true,
    .z19 = true,
    .z20 = true,
    .z21 = true,
    .z22 = true,
    .z23 = true,
    .z24 = true,
    .z25 = true,
    .z26 = true,
    .z27 = true,
    .z28 = true,
    .z29 = true,
    .z30 = true,
    .z31 = true,
    .p0 = true,
    .p1 = true,
    .p2 = true,
    .p3 = true,
    .p4 = true,
    .p5 = true,
    .p6 = true,
    .p7 = true,
    .p8 = true,
    .p9 = true,
    .p10 = true,
    .p11 = true,
    .p12 = true,
    .p13 = true,
    .p14 = true,
    .p15 = true,
    .fpcr = true,
    .fpsr = true,
    .ffr = true,
    .memory = true,
};
