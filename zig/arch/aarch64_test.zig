//! For register_test.zig: the registers of aarch64.

const arch = @import("../arch.zig");
const Context = arch.Context;
const switchContext = arch.switchContext;
const Check = @import("register_test.zig").Check;
const pattern = @import("register_test.zig").pattern;
const same = @import("register_test.zig").same;

pub const checks = [_]Check{ firstRegisters, middleRegisters, lastRegisters, firstVectors, secondVectors, thirdVectors, lastVectors };

const Vector = @Vector(2, u64);

/// x0 to x9.
noinline fn firstRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 10, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={x0}" (r0),
              [r1] "={x1}" (r1),
              [r2] "={x2}" (r2),
              [r3] "={x3}" (r3),
              [r4] "={x4}" (r4),
              [r5] "={x5}" (r5),
              [r6] "={x6}" (r6),
              [r7] "={x7}" (r7),
              [r8] "={x8}" (r8),
              [r9] "={x9}" (r9),
            : [i0] "{x0}" (r0),
              [i1] "{x1}" (r1),
              [i2] "{x2}" (r2),
              [i3] "{x3}" (r3),
              [i4] "{x4}" (r4),
              [i5] "{x5}" (r5),
              [i6] "{x6}" (r6),
              [i7] "{x7}" (r7),
              [i8] "{x8}" (r8),
              [i9] "{x9}" (r9),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 });
}

/// x10 to x19; x18 is the platform's.
noinline fn middleRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 9, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={x10}" (r0),
              [r1] "={x11}" (r1),
              [r2] "={x12}" (r2),
              [r3] "={x13}" (r3),
              [r4] "={x14}" (r4),
              [r5] "={x15}" (r5),
              [r6] "={x16}" (r6),
              [r7] "={x17}" (r7),
              [r8] "={x19}" (r8),
            : [i0] "{x10}" (r0),
              [i1] "{x11}" (r1),
              [i2] "{x12}" (r2),
              [i3] "{x13}" (r3),
              [i4] "{x14}" (r4),
              [i5] "{x15}" (r5),
              [i6] "{x16}" (r6),
              [i7] "{x17}" (r7),
              [i8] "{x19}" (r8),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8 });
}

/// x20 to x30.
noinline fn lastRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 10, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7, var r8, var r9 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={x20}" (r0),
              [r1] "={x21}" (r1),
              [r2] "={x22}" (r2),
              [r3] "={x23}" (r3),
              [r4] "={x24}" (r4),
              [r5] "={x25}" (r5),
              [r6] "={x26}" (r6),
              [r7] "={x27}" (r7),
              [r8] "={x28}" (r8),
              [r9] "={lr}" (r9),
            : [i0] "{x20}" (r0),
              [i1] "{x21}" (r1),
              [i2] "{x22}" (r2),
              [i3] "{x23}" (r3),
              [i4] "{x24}" (r4),
              [i5] "{x25}" (r5),
              [i6] "{x26}" (r6),
              [i7] "{x27}" (r7),
              [i8] "{x28}" (r8),
              [i9] "{lr}" (r9),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 });
}

/// v0 to v7.
noinline fn firstVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={v0}" (r0),
              [r1] "={v1}" (r1),
              [r2] "={v2}" (r2),
              [r3] "={v3}" (r3),
              [r4] "={v4}" (r4),
              [r5] "={v5}" (r5),
              [r6] "={v6}" (r6),
              [r7] "={v7}" (r7),
            : [i0] "{v0}" (r0),
              [i1] "{v1}" (r1),
              [i2] "{v2}" (r2),
              [i3] "{v3}" (r3),
              [i4] "{v4}" (r4),
              [i5] "{v5}" (r5),
              [i6] "{v6}" (r6),
              [i7] "{v7}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// v8 to v15.
noinline fn secondVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={v8}" (r0),
              [r1] "={v9}" (r1),
              [r2] "={v10}" (r2),
              [r3] "={v11}" (r3),
              [r4] "={v12}" (r4),
              [r5] "={v13}" (r5),
              [r6] "={v14}" (r6),
              [r7] "={v15}" (r7),
            : [i0] "{v8}" (r0),
              [i1] "{v9}" (r1),
              [i2] "{v10}" (r2),
              [i3] "{v11}" (r3),
              [i4] "{v12}" (r4),
              [i5] "{v13}" (r5),
              [i6] "{v14}" (r6),
              [i7] "{v15}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// v16 to v23.
noinline fn thirdVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={v16}" (r0),
              [r1] "={v17}" (r1),
              [r2] "={v18}" (r2),
              [r3] "={v19}" (r3),
              [r4] "={v20}" (r4),
              [r5] "={v21}" (r5),
              [r6] "={v22}" (r6),
              [r7] "={v23}" (r7),
            : [i0] "{v16}" (r0),
              [i1] "{v17}" (r1),
              [i2] "{v18}" (r2),
              [i3] "{v19}" (r3),
              [i4] "{v20}" (r4),
              [i5] "{v21}" (r5),
              [i6] "{v22}" (r6),
              [i7] "{v23}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}

/// v24 to v31.
noinline fn lastVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var r0, var r1, var r2, var r3, var r4, var r5, var r6, var r7 = want;
    inline for (.{ true, false }) |switches| {
        asm volatile (""
            : [r0] "={v24}" (r0),
              [r1] "={v25}" (r1),
              [r2] "={v26}" (r2),
              [r3] "={v27}" (r3),
              [r4] "={v28}" (r4),
              [r5] "={v29}" (r5),
              [r6] "={v30}" (r6),
              [r7] "={v31}" (r7),
            : [i0] "{v24}" (r0),
              [i1] "{v25}" (r1),
              [i2] "{v26}" (r2),
              [i3] "{v27}" (r3),
              [i4] "{v28}" (r4),
              [i5] "{v29}" (r5),
              [i6] "{v30}" (r6),
              [i7] "{v31}" (r7),
        );
        if (switches) switchContext(from, to);
    }
    return same(&want, &.{ r0, r1, r2, r3, r4, r5, r6, r7 });
}
