//! For register_test.zig: the registers of loongarch64.

const builtin = @import("builtin");
const arch = @import("../arch.zig");
const Context = arch.Context;
const switchContext = arch.switchContext;
const Check = @import("register_test.zig").Check;
const pattern = @import("register_test.zig").pattern;
const same = @import("register_test.zig").same;

pub const checks = if (builtin.cpu.has(.loongarch, .d)) general_checks ++ float_checks else general_checks;

const general_checks = [_]Check{ firstRegisters, middleRegisters, lastRegisters };
const float_checks = [_]Check{ firstFloats, secondFloats, thirdFloats, lastFloats };

/// ra and r4 to r11, the arguments.
noinline fn firstRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 9, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={r1}" (r0),
              [r1] "={r4}" (r1),
              [r2] "={r5}" (r2),
              [r3] "={r6}" (r3),
              [r4] "={r7}" (r4),
              [r5] "={r8}" (r5),
              [r6] "={r9}" (r6),
              [r7] "={r10}" (r7),
              [r8] "={r11}" (r8),
            : [i0] "{r1}" (r0),
              [i1] "{r4}" (r1),
              [i2] "{r5}" (r2),
              [i3] "{r6}" (r3),
              [i4] "{r7}" (r4),
              [i5] "{r8}" (r5),
              [i6] "{r9}" (r6),
              [i7] "{r10}" (r7),
              [i8] "{r11}" (r8),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8 });
}

/// r12 to r20, the temporaries.
noinline fn middleRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 9, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={r12}" (r0),
              [r1] "={r13}" (r1),
              [r2] "={r14}" (r2),
              [r3] "={r15}" (r3),
              [r4] "={r16}" (r4),
              [r5] "={r17}" (r5),
              [r6] "={r18}" (r6),
              [r7] "={r19}" (r7),
              [r8] "={r20}" (r8),
            : [i0] "{r12}" (r0),
              [i1] "{r13}" (r1),
              [i2] "{r14}" (r2),
              [i3] "{r15}" (r3),
              [i4] "{r16}" (r4),
              [i5] "{r17}" (r5),
              [i6] "{r18}" (r6),
              [i7] "{r19}" (r7),
              [i8] "{r20}" (r8),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8 });
}

/// r23 to r31, which a call preserves.
noinline fn lastRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 9, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={r23}" (r0),
              [r1] "={r24}" (r1),
              [r2] "={r25}" (r2),
              [r3] "={r26}" (r3),
              [r4] "={r27}" (r4),
              [r5] "={r28}" (r5),
              [r6] "={r29}" (r6),
              [r7] "={r30}" (r7),
              [r8] "={r31}" (r8),
            : [i0] "{r23}" (r0),
              [i1] "{r24}" (r1),
              [i2] "{r25}" (r2),
              [i3] "{r26}" (r3),
              [i4] "{r27}" (r4),
              [i5] "{r28}" (r5),
              [i6] "{r29}" (r6),
              [i7] "{r30}" (r7),
              [i8] "{r31}" (r8),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8 });
}

/// f0 to f7.
noinline fn firstFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={$f0}" (r0),
              [r1] "={$f1}" (r1),
              [r2] "={$f2}" (r2),
              [r3] "={$f3}" (r3),
              [r4] "={$f4}" (r4),
              [r5] "={$f5}" (r5),
              [r6] "={$f6}" (r6),
              [r7] "={$f7}" (r7),
            : [i0] "{$f0}" (r0),
              [i1] "{$f1}" (r1),
              [i2] "{$f2}" (r2),
              [i3] "{$f3}" (r3),
              [i4] "{$f4}" (r4),
              [i5] "{$f5}" (r5),
              [i6] "{$f6}" (r6),
              [i7] "{$f7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// f8 to f15.
noinline fn secondFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={$f8}" (r0),
              [r1] "={$f9}" (r1),
              [r2] "={$f10}" (r2),
              [r3] "={$f11}" (r3),
              [r4] "={$f12}" (r4),
              [r5] "={$f13}" (r5),
              [r6] "={$f14}" (r6),
              [r7] "={$f15}" (r7),
            : [i0] "{$f8}" (r0),
              [i1] "{$f9}" (r1),
              [i2] "{$f10}" (r2),
              [i3] "{$f11}" (r3),
              [i4] "{$f12}" (r4),
              [i5] "{$f13}" (r5),
              [i6] "{$f14}" (r6),
              [i7] "{$f15}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// f16 to f23.
noinline fn thirdFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={$f16}" (r0),
              [r1] "={$f17}" (r1),
              [r2] "={$f18}" (r2),
              [r3] "={$f19}" (r3),
              [r4] "={$f20}" (r4),
              [r5] "={$f21}" (r5),
              [r6] "={$f22}" (r6),
              [r7] "={$f23}" (r7),
            : [i0] "{$f16}" (r0),
              [i1] "{$f17}" (r1),
              [i2] "{$f18}" (r2),
              [i3] "{$f19}" (r3),
              [i4] "{$f20}" (r4),
              [i5] "{$f21}" (r5),
              [i6] "{$f22}" (r6),
              [i7] "{$f23}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// f24 to f31.
noinline fn lastFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={$f24}" (r0),
              [r1] "={$f25}" (r1),
              [r2] "={$f26}" (r2),
              [r3] "={$f27}" (r3),
              [r4] "={$f28}" (r4),
              [r5] "={$f29}" (r5),
              [r6] "={$f30}" (r6),
              [r7] "={$f31}" (r7),
            : [i0] "{$f24}" (r0),
              [i1] "{$f25}" (r1),
              [i2] "{$f26}" (r2),
              [i3] "{$f27}" (r3),
              [i4] "{$f28}" (r4),
              [i5] "{$f29}" (r5),
              [i6] "{$f30}" (r6),
              [i7] "{$f31}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}
