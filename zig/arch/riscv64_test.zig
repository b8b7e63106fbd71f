//! For register_test.zig: the registers of riscv64.

const builtin = @import("builtin");
const arch = @import("../arch.zig");
const Context = arch.Context;
const switchContext = arch.switchContext;
const Check = @import("register_test.zig").Check;
const pattern = @import("register_test.zig").pattern;
const same = @import("register_test.zig").same;

pub const checks = if (builtin.cpu.has(.riscv, .d)) general_checks ++ float_checks else general_checks;

const general_checks = [_]Check{ temporaries, arguments, preserved };
const float_checks = [_]Check{ firstFloats, middleFloats, lastFloats };

/// ra and the temporaries.
noinline fn temporaries(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={ra}" (r0),
              [r1] "={t0}" (r1),
              [r2] "={t1}" (r2),
              [r3] "={t2}" (r3),
              [r4] "={t3}" (r4),
              [r5] "={t4}" (r5),
              [r6] "={t5}" (r6),
              [r7] "={t6}" (r7),
            : [i0] "{ra}" (r0),
              [i1] "{t0}" (r1),
              [i2] "{t1}" (r2),
              [i3] "{t2}" (r3),
              [i4] "{t3}" (r4),
              [i5] "{t4}" (r5),
              [i6] "{t5}" (r6),
              [i7] "{t6}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// a0 to a7.
noinline fn arguments(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={a0}" (r0),
              [r1] "={a1}" (r1),
              [r2] "={a2}" (r2),
              [r3] "={a3}" (r3),
              [r4] "={a4}" (r4),
              [r5] "={a5}" (r5),
              [r6] "={a6}" (r6),
              [r7] "={a7}" (r7),
            : [i0] "{a0}" (r0),
              [i1] "{a1}" (r1),
              [i2] "{a2}" (r2),
              [i3] "{a3}" (r3),
              [i4] "{a4}" (r4),
              [i5] "{a5}" (r5),
              [i6] "{a6}" (r6),
              [i7] "{a7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// What a call preserves.
noinline fn preserved(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 11, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9, var r10 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={s1}" (r0),
              [r1] "={s2}" (r1),
              [r2] "={s3}" (r2),
              [r3] "={s4}" (r3),
              [r4] "={s5}" (r4),
              [r5] "={s6}" (r5),
              [r6] "={s7}" (r6),
              [r7] "={s8}" (r7),
              [r8] "={s9}" (r8),
              [r9] "={s10}" (r9),
              [r10] "={s11}" (r10),
            : [i0] "{s1}" (r0),
              [i1] "{s2}" (r1),
              [i2] "{s3}" (r2),
              [i3] "{s4}" (r3),
              [i4] "{s5}" (r4),
              [i5] "{s6}" (r5),
              [i6] "{s7}" (r6),
              [i7] "{s8}" (r7),
              [i8] "{s9}" (r8),
              [i9] "{s10}" (r9),
              [i10] "{s11}" (r10),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 });
}

/// f0 to f10.
noinline fn firstFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 11, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9, var r10 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={f0}" (r0),
              [r1] "={f1}" (r1),
              [r2] "={f2}" (r2),
              [r3] "={f3}" (r3),
              [r4] "={f4}" (r4),
              [r5] "={f5}" (r5),
              [r6] "={f6}" (r6),
              [r7] "={f7}" (r7),
              [r8] "={f8}" (r8),
              [r9] "={f9}" (r9),
              [r10] "={f10}" (r10),
            : [i0] "{f0}" (r0),
              [i1] "{f1}" (r1),
              [i2] "{f2}" (r2),
              [i3] "{f3}" (r3),
              [i4] "{f4}" (r4),
              [i5] "{f5}" (r5),
              [i6] "{f6}" (r6),
              [i7] "{f7}" (r7),
              [i8] "{f8}" (r8),
              [i9] "{f9}" (r9),
              [i10] "{f10}" (r10),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 });
}

/// f11 to f21.
noinline fn middleFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 11, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9, var r10 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={f11}" (r0),
              [r1] "={f12}" (r1),
              [r2] "={f13}" (r2),
              [r3] "={f14}" (r3),
              [r4] "={f15}" (r4),
              [r5] "={f16}" (r5),
              [r6] "={f17}" (r6),
              [r7] "={f18}" (r7),
              [r8] "={f19}" (r8),
              [r9] "={f20}" (r9),
              [r10] "={f21}" (r10),
            : [i0] "{f11}" (r0),
              [i1] "{f12}" (r1),
              [i2] "{f13}" (r2),
              [i3] "{f14}" (r3),
              [i4] "{f15}" (r4),
              [i5] "{f16}" (r5),
              [i6] "{f17}" (r6),
              [i7] "{f18}" (r7),
              [i8] "{f19}" (r8),
              [i9] "{f20}" (r9),
              [i10] "{f21}" (r10),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10 });
}

/// f22 to f31.
noinline fn lastFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 10, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={f22}" (r0),
              [r1] "={f23}" (r1),
              [r2] "={f24}" (r2),
              [r3] "={f25}" (r3),
              [r4] "={f26}" (r4),
              [r5] "={f27}" (r5),
              [r6] "={f28}" (r6),
              [r7] "={f29}" (r7),
              [r8] "={f30}" (r8),
              [r9] "={f31}" (r9),
            : [i0] "{f22}" (r0),
              [i1] "{f23}" (r1),
              [i2] "{f24}" (r2),
              [i3] "{f25}" (r3),
              [i4] "{f26}" (r4),
              [i5] "{f27}" (r5),
              [i6] "{f28}" (r6),
              [i7] "{f29}" (r7),
              [i8] "{f30}" (r8),
              [i9] "{f31}" (r9),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 });
}
