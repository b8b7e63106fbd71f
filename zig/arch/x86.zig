//! The switch for 32-bit x86 in the System V ABI. It touches registers and the initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in an indirect jump, never in `ret`: calls and returns stay paired and
//! the return predictor stays right. It pushes nothing, but for a word where code may lie anywhere.
//!
//! MXCSR and the x87 registers: see fp_control.zig.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | unused              |  +12
//!                             | link                |  +8    to the frame record that leads to the resumer
//!                             | entry               |  +4
//!     sp ------------------>  | argument            |  +0    aligned to 16, as before a call, and where it is passed
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` calls `entry` there. A trace goes on from there at the resumer: by frame pointers through the link, where the first
//! frame pointer points, and by unwind information, which says the same. That calls `start` a signal frame: debuggers then
//! accept that the resumer's stack may lie below.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("common.zig");
const fp_control = @import("fp_control.zig");

pub const Context = common.Context;
pub const Frame = common.Frame;
pub const stack_alignment = 16;
/// Of what a frame pointer points to, in a context.
pub const record_offset = @offsetOf(Context, "fp");

comptime {
    std.debug.assert(common.control_offset == 12 and @sizeOf(Frame) == 16); // with common's: the numbers below
}

pub fn initContext(from: common.Start) Context {
    return common.initContext(from, &start, false);
}

pub fn start() callconv(.naked) noreturn {
    // For unwinders: link = *(esp + 8), record = *link; the caller's esp is at record - 4, its ebp at record, its eip at
    // record + 4.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x74, 8, 0x06, 0x06, 0x34, 0x1c, 0x06
        \\ .cfi_escape 0x10, 5, 4, 0x74, 8, 0x06, 0x06
        \\ .cfi_escape 0x10, 8, 6, 0x74, 8, 0x06, 0x06, 0x34, 0x22
    );
    asm volatile (
        \\ calll *4(%%esp)
        \\ ud2
    );
}

/// As a function of (top, func, argument); see `callOnStack` in arch.zig.
pub fn callOnStack() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa %%ebp, 8
        \\ .cfi_offset %%ebp, -8
    );
    asm volatile (
        \\ pushl %%ebp
        \\ movl %%esp, %%ebp
        \\ movl 8(%%ebp), %%esp
        \\ subl $12, %%esp
        \\ pushl 16(%%ebp)
        \\ calll *12(%%ebp)
        \\ ud2
    );
}

pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    fp_control.emptyX87();
    if (has_mask_registers) {
        // The mask registers have no name among the clobbers.
        var k0: u16 = undefined;
        var k1: u16 = undefined;
        var k2: u16 = undefined;
        var k3: u16 = undefined;
        var k4: u16 = undefined;
        var k5: u16 = undefined;
        var k6: u16 = undefined;
        var k7: u16 = undefined;
        asm volatile (routine
            : [from_after] "={ecx}" (from_after),
              [to_after] "={edx}" (to_after),
              [k0] "={k0}" (k0),
              [k1] "={k1}" (k1),
              [k2] "={k2}" (k2),
              [k3] "={k3}" (k3),
              [k4] "={k4}" (k4),
              [k5] "={k5}" (k5),
              [k6] "={k6}" (k6),
              [k7] "={k7}" (k7),
            : [from] "{ecx}" (from),
              [to] "{edx}" (to),
            : everything);
    } else asm volatile (routine
        : [from_after] "={ecx}" (from_after),
          [to_after] "={edx}" (to_after),
        : [from] "{ecx}" (from),
          [to] "{edx}" (to),
        : everything);
}

pub inline fn jumpTo(to: *const Context) noreturn {
    asm volatile (fp_control.load(common.control_offset) ++
            \\ movl 0(%%edx), %%esp
            \\ movl 4(%%edx), %%ebp
            \\ jmpl *8(%%edx)
        :
        : [to] "{edx}" (to),
        : .{ .memory = true });
    unreachable;
}

pub const has_mask_registers = builtin.cpu.has(.x86, .avx512f);

const routine = where_we_are ++
    \\ movl %%esp, 0(%%ecx)
    \\ movl %%ebp, 4(%%ecx)
    \\ movl %%eax, 8(%%ecx)
    \\
++ fp_control.swap(common.control_offset) ++
    \\ movl 0(%%edx), %%esp
    \\ movl 4(%%edx), %%ebp
    \\ jmpl *8(%%edx)
    \\0:
;

/// A call of the next instruction is none to the return predictor.
const where_we_are = if (builtin.position_independent_code or builtin.position_independent_executable)
    \\ calll 1f
    \\1:
    \\ popl %%eax
    \\ addl $(0f - 1b), %%eax
    \\
else
    \\ movl $0f, %%eax
    \\
;

/// All but the stack pointer and the frame pointer, which the routine itself saves. A register counts under every name: xmm0
/// stands for ymm0 and zmm0 too.
const everything: std.builtin.assembly.Clobbers = .{
    .eax = true,
    .ebx = true,
    .esi = true,
    .edi = true,
    .mm0 = true,
    .mm1 = true,
    .mm2 = true,
    .mm3 = true,
    .mm4 = true,
    .mm5 = true,
    .mm6 = true,
    .mm7 = true,
    .xmm0 = true,
    .xmm1 = true,
    .xmm2 = true,
    .xmm3 = true,
    .xmm4 = true,
    .xmm5 = true,
    .xmm6 = true,
    .xmm7 = true,
    .fpsr = true,
    .fpcr = true,
    .mxcsr = true,
    .rflags = true,
    .dirflag = true,
    .memory = true,
};
