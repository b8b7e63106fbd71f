//! For register_test.zig: the registers of x86 and x86_64.

const builtin = @import("builtin");
const arch = @import("../arch.zig");
const Context = arch.Context;
const switchContext = arch.switchContext;
const Check = @import("register_test.zig").Check;
const pattern = @import("register_test.zig").pattern;
const same = @import("register_test.zig").same;

const is_64 = builtin.cpu.arch == .x86_64;
const has_mask_registers = if (is_64) @import("x86_64.zig").has_mask_registers else @import("x86.zig").has_mask_registers;

pub const checks = general_checks ++ vector_checks ++ wide_checks;

const general_checks = if (is_64) [_]Check{general64} else [_]Check{general32};
/// Zig's own backend passes no vectors to assembly.
const vector_checks = if (builtin.zig_backend == .stage2_x86_64)
    [0]Check{}
else if (is_64) [_]Check{ lowVectors, highVectors } else [_]Check{lowVectors};
/// In full width, where the CPU that we build for has it.
const wide_checks = if (!has_mask_registers)
    [0]Check{}
else if (is_64) [_]Check{ masks, firstWide, secondWide, thirdWide, lastWide } else [_]Check{ masks, firstWide };

const Vector = @Vector(2, u64);
const Wide = @Vector(8, u64);

/// All that are neither the stack nor the frame pointer.
noinline fn general64(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 14, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9, var r10, var r11, var r12, var r13 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={rax}" (r0),
              [r1] "={rbx}" (r1),
              [r2] "={rcx}" (r2),
              [r3] "={rdx}" (r3),
              [r4] "={rsi}" (r4),
              [r5] "={rdi}" (r5),
              [r6] "={r8}" (r6),
              [r7] "={r9}" (r7),
              [r8] "={r10}" (r8),
              [r9] "={r11}" (r9),
              [r10] "={r12}" (r10),
              [r11] "={r13}" (r11),
              [r12] "={r14}" (r12),
              [r13] "={r15}" (r13),
            : [i0] "{rax}" (r0),
              [i1] "{rbx}" (r1),
              [i2] "{rcx}" (r2),
              [i3] "{rdx}" (r3),
              [i4] "{rsi}" (r4),
              [i5] "{rdi}" (r5),
              [i6] "{r8}" (r6),
              [i7] "{r9}" (r7),
              [i8] "{r10}" (r8),
              [i9] "{r11}" (r9),
              [i10] "{r12}" (r10),
              [i11] "{r13}" (r11),
              [i12] "{r14}" (r12),
              [i13] "{r15}" (r13),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13 });
}

/// All that are neither the stack nor the frame pointer.
noinline fn general32(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u32, 6, seed);
    var r0, var r1, var r2, var r3, var r4, var r5 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={eax}" (r0),
              [r1] "={ebx}" (r1),
              [r2] "={ecx}" (r2),
              [r3] "={edx}" (r3),
              [r4] "={esi}" (r4),
              [r5] "={edi}" (r5),
            : [i0] "{eax}" (r0),
              [i1] "{ebx}" (r1),
              [i2] "{ecx}" (r2),
              [i3] "{edx}" (r3),
              [i4] "{esi}" (r4),
              [i5] "{edi}" (r5),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5 });
}

/// xmm0 to xmm7.
noinline fn lowVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={xmm0}" (r0),
              [r1] "={xmm1}" (r1),
              [r2] "={xmm2}" (r2),
              [r3] "={xmm3}" (r3),
              [r4] "={xmm4}" (r4),
              [r5] "={xmm5}" (r5),
              [r6] "={xmm6}" (r6),
              [r7] "={xmm7}" (r7),
            : [i0] "{xmm0}" (r0),
              [i1] "{xmm1}" (r1),
              [i2] "{xmm2}" (r2),
              [i3] "{xmm3}" (r3),
              [i4] "{xmm4}" (r4),
              [i5] "{xmm5}" (r5),
              [i6] "{xmm6}" (r6),
              [i7] "{xmm7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// xmm8 to xmm15.
noinline fn highVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={xmm8}" (r0),
              [r1] "={xmm9}" (r1),
              [r2] "={xmm10}" (r2),
              [r3] "={xmm11}" (r3),
              [r4] "={xmm12}" (r4),
              [r5] "={xmm13}" (r5),
              [r6] "={xmm14}" (r6),
              [r7] "={xmm15}" (r7),
            : [i0] "{xmm8}" (r0),
              [i1] "{xmm9}" (r1),
              [i2] "{xmm10}" (r2),
              [i3] "{xmm11}" (r3),
              [i4] "{xmm12}" (r4),
              [i5] "{xmm13}" (r5),
              [i6] "{xmm14}" (r6),
              [i7] "{xmm15}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// zmm0 to zmm7.
noinline fn firstWide(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Wide, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={zmm0}" (r0),
              [r1] "={zmm1}" (r1),
              [r2] "={zmm2}" (r2),
              [r3] "={zmm3}" (r3),
              [r4] "={zmm4}" (r4),
              [r5] "={zmm5}" (r5),
              [r6] "={zmm6}" (r6),
              [r7] "={zmm7}" (r7),
            : [i0] "{zmm0}" (r0),
              [i1] "{zmm1}" (r1),
              [i2] "{zmm2}" (r2),
              [i3] "{zmm3}" (r3),
              [i4] "{zmm4}" (r4),
              [i5] "{zmm5}" (r5),
              [i6] "{zmm6}" (r6),
              [i7] "{zmm7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// zmm8 to zmm15.
noinline fn secondWide(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Wide, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={zmm8}" (r0),
              [r1] "={zmm9}" (r1),
              [r2] "={zmm10}" (r2),
              [r3] "={zmm11}" (r3),
              [r4] "={zmm12}" (r4),
              [r5] "={zmm13}" (r5),
              [r6] "={zmm14}" (r6),
              [r7] "={zmm15}" (r7),
            : [i0] "{zmm8}" (r0),
              [i1] "{zmm9}" (r1),
              [i2] "{zmm10}" (r2),
              [i3] "{zmm11}" (r3),
              [i4] "{zmm12}" (r4),
              [i5] "{zmm13}" (r5),
              [i6] "{zmm14}" (r6),
              [i7] "{zmm15}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// zmm16 to zmm23.
noinline fn thirdWide(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Wide, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={zmm16}" (r0),
              [r1] "={zmm17}" (r1),
              [r2] "={zmm18}" (r2),
              [r3] "={zmm19}" (r3),
              [r4] "={zmm20}" (r4),
              [r5] "={zmm21}" (r5),
              [r6] "={zmm22}" (r6),
              [r7] "={zmm23}" (r7),
            : [i0] "{zmm16}" (r0),
              [i1] "{zmm17}" (r1),
              [i2] "{zmm18}" (r2),
              [i3] "{zmm19}" (r3),
              [i4] "{zmm20}" (r4),
              [i5] "{zmm21}" (r5),
              [i6] "{zmm22}" (r6),
              [i7] "{zmm23}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// zmm24 to zmm31.
noinline fn lastWide(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Wide, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={zmm24}" (r0),
              [r1] "={zmm25}" (r1),
              [r2] "={zmm26}" (r2),
              [r3] "={zmm27}" (r3),
              [r4] "={zmm28}" (r4),
              [r5] "={zmm29}" (r5),
              [r6] "={zmm30}" (r6),
              [r7] "={zmm31}" (r7),
            : [i0] "{zmm24}" (r0),
              [i1] "{zmm25}" (r1),
              [i2] "{zmm26}" (r2),
              [i3] "{zmm27}" (r3),
              [i4] "{zmm28}" (r4),
              [i5] "{zmm29}" (r5),
              [i6] "{zmm30}" (r6),
              [i7] "{zmm31}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// k0 to k7.
noinline fn masks(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u16, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={k0}" (r0),
              [r1] "={k1}" (r1),
              [r2] "={k2}" (r2),
              [r3] "={k3}" (r3),
              [r4] "={k4}" (r4),
              [r5] "={k5}" (r5),
              [r6] "={k6}" (r6),
              [r7] "={k7}" (r7),
            : [i0] "{k0}" (r0),
              [i1] "{k1}" (r1),
              [i2] "{k2}" (r2),
              [i3] "{k3}" (r3),
              [i4] "{k4}" (r4),
              [i5] "{k5}" (r5),
              [i6] "{k6}" (r6),
              [i7] "{k7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}
