//! For register_test.zig: the registers of arm.

const builtin = @import("builtin");
const arch = @import("../arch.zig");
const Context = arch.Context;
const switchContext = arch.switchContext;
const Check = @import("register_test.zig").Check;
const pattern = @import("register_test.zig").pattern;
const same = @import("register_test.zig").same;

pub const checks = general_checks ++ (if (!builtin.cpu.has(.arm, .fp64)) [0]Check{} else if (!builtin.cpu.has(.arm, .d32)) low_checks else low_checks ++ high_checks);

const general_checks = [_]Check{general};
const low_checks = [_]Check{ firstDoubles, secondDoubles };
const high_checks = [_]Check{ thirdDoubles, lastDoubles };

/// All that are neither the stack nor the frame pointer.
noinline fn general(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u32, 13, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9, var r10, var r11, var r12 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={r0}" (r0),
              [r1] "={r1}" (r1),
              [r2] "={r2}" (r2),
              [r3] "={r3}" (r3),
              [r4] "={r4}" (r4),
              [r5] "={r5}" (r5),
              [r6] "={r6}" (r6),
              [r7] "={r7}" (r7),
              [r8] "={r8}" (r8),
              [r9] "={r9}" (r9),
              [r10] "={r10}" (r10),
              [r11] "={r12}" (r11),
              [r12] "={lr}" (r12),
            : [i0] "{r0}" (r0),
              [i1] "{r1}" (r1),
              [i2] "{r2}" (r2),
              [i3] "{r3}" (r3),
              [i4] "{r4}" (r4),
              [i5] "{r5}" (r5),
              [i6] "{r6}" (r6),
              [i7] "{r7}" (r7),
              [i8] "{r8}" (r8),
              [i9] "{r9}" (r9),
              [i10] "{r10}" (r10),
              [i11] "{r12}" (r11),
              [i12] "{lr}" (r12),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12 });
}

/// d0 to d7.
noinline fn firstDoubles(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={d0}" (r0),
              [r1] "={d1}" (r1),
              [r2] "={d2}" (r2),
              [r3] "={d3}" (r3),
              [r4] "={d4}" (r4),
              [r5] "={d5}" (r5),
              [r6] "={d6}" (r6),
              [r7] "={d7}" (r7),
            : [i0] "{d0}" (r0),
              [i1] "{d1}" (r1),
              [i2] "{d2}" (r2),
              [i3] "{d3}" (r3),
              [i4] "{d4}" (r4),
              [i5] "{d5}" (r5),
              [i6] "{d6}" (r6),
              [i7] "{d7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// d8 to d15.
noinline fn secondDoubles(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={d8}" (r0),
              [r1] "={d9}" (r1),
              [r2] "={d10}" (r2),
              [r3] "={d11}" (r3),
              [r4] "={d12}" (r4),
              [r5] "={d13}" (r5),
              [r6] "={d14}" (r6),
              [r7] "={d15}" (r7),
            : [i0] "{d8}" (r0),
              [i1] "{d9}" (r1),
              [i2] "{d10}" (r2),
              [i3] "{d11}" (r3),
              [i4] "{d12}" (r4),
              [i5] "{d13}" (r5),
              [i6] "{d14}" (r6),
              [i7] "{d15}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// d16 to d23.
noinline fn thirdDoubles(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={d16}" (r0),
              [r1] "={d17}" (r1),
              [r2] "={d18}" (r2),
              [r3] "={d19}" (r3),
              [r4] "={d20}" (r4),
              [r5] "={d21}" (r5),
              [r6] "={d22}" (r6),
              [r7] "={d23}" (r7),
            : [i0] "{d16}" (r0),
              [i1] "{d17}" (r1),
              [i2] "{d18}" (r2),
              [i3] "{d19}" (r3),
              [i4] "{d20}" (r4),
              [i5] "{d21}" (r5),
              [i6] "{d22}" (r6),
              [i7] "{d23}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// d24 to d31.
noinline fn lastDoubles(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={d24}" (r0),
              [r1] "={d25}" (r1),
              [r2] "={d26}" (r2),
              [r3] "={d27}" (r3),
              [r4] "={d28}" (r4),
              [r5] "={d29}" (r5),
              [r6] "={d30}" (r6),
              [r7] "={d31}" (r7),
            : [i0] "{d24}" (r0),
              [i1] "{d25}" (r1),
              [i2] "{d26}" (r2),
              [i3] "{d27}" (r3),
              [i4] "{d28}" (r4),
              [i5] "{d29}" (r5),
              [i6] "{d30}" (r6),
              [i7] "{d31}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}
