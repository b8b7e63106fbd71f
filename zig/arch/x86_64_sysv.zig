//! The switch for x86_64 in the System V ABI: Linux, macOS, the BSDs. It touches registers and the initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in an indirect jump, never in `ret`: calls and returns stay paired and
//! the return predictor stays right. It pushes nothing, so the red zone below the old stack pointer stays whole.
//!
//! MXCSR and the x87 control word belong to the thread, not to the coroutine: who changes them restores them before
//! suspending, as before any call.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | 0  return address   |  +24   both zero: a walk by
//!                             | 0  frame pointer    |  +16   frame pointers ends here
//!                             | argument            |  +8
//!     sp ------------------>  | entry               |  +0    aligned to 16, as before a call
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` reads that frame and calls `entry(argument)`. Its return address is marked undefined for unwinders, and the
//! frame pointer starts as zero.

const std = @import("std");
const builtin = @import("builtin");

pub const stack_alignment = 16;

/// A coroutine that is not running: where to go on.
pub const Context = extern struct {
    sp: usize,
    fp: usize,
    pc: usize,
};

/// What `initContext` puts at the top of a stack.
pub const Frame = extern struct {
    entry: Entry,
    argument: *anyopaque,
    end_frame_pointer: usize = 0,
    end_return_address: usize = 0,
};

pub const Entry = *const fn (argument: *anyopaque) callconv(.c) noreturn;

comptime {
    std.debug.assert(@offsetOf(Context, "sp") == 0);
    std.debug.assert(@offsetOf(Context, "fp") == 8);
    std.debug.assert(@offsetOf(Context, "pc") == 16);
    std.debug.assert(@sizeOf(Context) == 24);
    std.debug.assert(@offsetOf(Frame, "entry") == 0);
    std.debug.assert(@offsetOf(Frame, "argument") == 8);
    std.debug.assert(@offsetOf(Frame, "end_frame_pointer") == 16);
    std.debug.assert(@offsetOf(Frame, "end_return_address") == 24);
    std.debug.assert(@sizeOf(Frame) == 32 and @sizeOf(Frame) % stack_alignment == 0);
}

/// Builds the initial frame below `top`, which is aligned to 16. Switching to the result calls `entry(argument)`.
pub fn initContext(top: usize, entry: Entry, argument: *anyopaque) Context {
    std.debug.assert(top % stack_alignment == 0);
    const frame: *Frame = @ptrFromInt(top - @sizeOf(Frame));
    frame.* = .{ .entry = entry, .argument = argument };
    return .{ .sp = @intFromPtr(frame), .fp = 0, .pc = @intFromPtr(&start) };
}

fn start() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (".cfi_undefined %%rip");
    asm volatile (
        \\ movq 0(%%rsp), %%rax
        \\ movq 8(%%rsp), %%rdi
        \\ callq *%%rax
        \\ ud2
    );
}

/// Saves where we are into `from` and goes on at `to`. Returns when somebody switches to `from`.
pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ leaq 0f(%%rip), %%rax
        \\ movq %%rsp, 0(%%rdi)
        \\ movq %%rbp, 8(%%rdi)
        \\ movq %%rax, 16(%%rdi)
        \\ movq 0(%%rsi), %%rsp
        \\ movq 8(%%rsi), %%rbp
        \\ jmpq *16(%%rsi)
        \\0:
        : [from_after] "={rdi}" (from_after),
          [to_after] "={rsi}" (to_after),
        : [from] "{rdi}" (from),
          [to] "{rsi}" (to),
        : everything);
}

/// All but the stack pointer and the frame pointer, which the routine itself saves.
const everything: std.builtin.assembly.Clobbers = .{
    .rax = true,
    .rbx = true,
    .rcx = true,
    .rdx = true,
    .r8 = true,
    .r9 = true,
    .r10 = true,
    .r11 = true,
    .r12 = true,
    .r13 = true,
    .r14 = true,
    .r15 = true,
    .mm0 = true,
    .mm1 = true,
    .mm2 = true,
    .mm3 = true,
    .mm4 = true,
    .mm5 = true,
    .mm6 = true,
    .mm7 = true,
    .zmm0 = true,
    .zmm1 = true,
    .zmm2 = true,
    .zmm3 = true,
    .zmm4 = true,
    .zmm5 = true,
    .zmm6 = true,
    .zmm7 = true,
    .zmm8 = true,
    .zmm9 = true,
    .zmm10 = true,
    .zmm11 = true,
    .zmm12 = true,
    .zmm13 = true,
    .zmm14 = true,
    .zmm15 = true,
    .zmm16 = true,
    .zmm17 = true,
    .zmm18 = true,
    .zmm19 = true,
    .zmm20 = true,
    .zmm21 = true,
    .zmm22 = true,
    .zmm23 = true,
    .zmm24 = true,
    .zmm25 = true,
    .zmm26 = true,
    .zmm27 = true,
    .zmm28 = true,
    .zmm29 = true,
    .zmm30 = true,
    .zmm31 = true,
    .fpsr = true,
    .fpcr = true,
    .mxcsr = true,
    .rflags = true,
    .dirflag = true,
    .memory = true,
};
