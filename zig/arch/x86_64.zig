//! What the two ABIs of x86_64 share: the switch itself. It touches registers and the two contexts only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else; whether a call would preserve a register makes no difference. It ends in an
//! indirect jump, never in `ret`: calls and returns stay paired and the return predictor stays right. It pushes nothing,
//! so the red zone below the old stack pointer stays whole.
//!
//! MXCSR and the x87 registers: see fp_control.zig.

const std = @import("std");
const builtin = @import("builtin");
const fp_control = @import("fp_control.zig");

pub const stack_alignment = 16;

/// Saves where we are into the context `from` and goes on at `to`. `middle` saves what else the ABI's context has to
/// 24(rdi) and further, and loads it from 24(rsi), by way of rax.
pub inline fn switchContext(comptime middle: []const u8, from: *anyopaque, to: *const anyopaque) void {
    const routine =
        \\ leaq 0f(%%rip), %%rax
        \\ movq %%rsp, 0(%%rdi)
        \\ movq %%rbp, 8(%%rdi)
        \\ movq %%rax, 16(%%rdi)
        \\
    ++ middle ++
        \\ movq 0(%%rsi), %%rsp
        \\ movq 8(%%rsi), %%rbp
        \\ jmpq *16(%%rsi)
        \\0:
    ;
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: *anyopaque = undefined;
    var to_after: *const anyopaque = undefined;
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
            : [from_after] "={rdi}" (from_after),
              [to_after] "={rsi}" (to_after),
              [k0] "={k0}" (k0),
              [k1] "={k1}" (k1),
              [k2] "={k2}" (k2),
              [k3] "={k3}" (k3),
              [k4] "={k4}" (k4),
              [k5] "={k5}" (k5),
              [k6] "={k6}" (k6),
              [k7] "={k7}" (k7),
            : [from] "{rdi}" (from),
              [to] "{rsi}" (to),
            : everything);
    } else asm volatile (routine
        : [from_after] "={rdi}" (from_after),
          [to_after] "={rsi}" (to_after),
        : [from] "{rdi}" (from),
          [to] "{rsi}" (to),
        : everything);
}

/// Goes on at `to` for good. `middle` loads what else the ABI's context has.
pub inline fn jumpTo(comptime middle: []const u8, to: *const anyopaque) noreturn {
    asm volatile (middle ++
            \\ movq 0(%%rsi), %%rsp
            \\ movq 8(%%rsi), %%rbp
            \\ jmpq *16(%%rsi)
        :
        : [to] "{rsi}" (to),
        : .{ .memory = true });
    unreachable;
}

/// Zig's own backend knows none, by name or in use.
pub const has_mask_registers = builtin.cpu.has(.x86, .avx512f) and builtin.zig_backend != .stage2_x86_64;

/// All but the stack pointer and the frame pointer, which the routine itself saves. A register counts under every name:
/// xmm0 stands for ymm0 and zmm0 too. The wide names would not do, as LLVM drops those that the target's CPU lacks
/// without a word; zmm16 to zmm31 have no narrower name that older CPUs know.
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
    .xmm0 = true,
    .xmm1 = true,
    .xmm2 = true,
    .xmm3 = true,
    .xmm4 = true,
    .xmm5 = true,
    .xmm6 = true,
    .xmm7 = true,
    .xmm8 = true,
    .xmm9 = true,
    .xmm10 = true,
    .xmm11 = true,
    .xmm12 = true,
    .xmm13 = true,
    .xmm14 = true,
    .xmm15 = true,
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
