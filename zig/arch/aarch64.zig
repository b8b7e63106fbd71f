//! The switch for aarch64 in the AAPCS64 and Apple's variant of it. It touches registers and the initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in `br`, never in `ret`: calls and returns stay paired and the return
//! predictor stays right. It pushes nothing, so Apple's red zone below the old stack pointer stays whole.
//!
//! x18 is the platform's on Apple systems and never touched here; elsewhere the compiler may keep a value in it, so
//! there it counts as changed. FPCR belongs to the thread, not to the coroutine: who changes it restores it before
//! suspending, as before any call.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | unused              |  +24
//!                             | link                |  +16   to the frame record that leads to the resumer
//!                             | argument            |  +8
//!     sp ------------------>  | entry               |  +0    aligned to 16, as sp always is
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` reads that frame and calls `entry(argument)`. A trace goes on from there at the resumer: by frame pointers through
//! the link, where the first frame pointer points, and by unwind information, which says the same. That calls `start` a signal
//! frame: debuggers then accept that the resumer's stack may lie below.

const std = @import("std");
const builtin = @import("builtin");
const Link = @import("start.zig").Link;
const Start = @import("start.zig").Start;

pub const stack_alignment = 16;

/// A coroutine that is not running: where to go on.
pub const Context = extern struct {
    sp: usize,
    fp: usize,
    pc: usize,
};

/// What `initContext` puts at the top of a stack.
pub const Frame = extern struct {
    entry: @import("start.zig").Entry,
    argument: *anyopaque,
    link: *Link,
    unused: usize = 0,
};

comptime {
    std.debug.assert(@offsetOf(Context, "sp") == 0);
    std.debug.assert(@offsetOf(Context, "fp") == 8); // one `ldp` loads both
    std.debug.assert(@offsetOf(Context, "pc") == 16);
    std.debug.assert(@sizeOf(Context) == 24);
    std.debug.assert(@offsetOf(Frame, "entry") == 0);
    std.debug.assert(@offsetOf(Frame, "argument") == 8); // one `ldp` loads both
    std.debug.assert(@offsetOf(Frame, "link") == 16);
    std.debug.assert(@offsetOf(Link, "frame") == 0); // what a frame pointer points to
    std.debug.assert(@offsetOf(Link, "return_address") == 8);
    std.debug.assert(@sizeOf(Frame) == 32 and @sizeOf(Frame) % stack_alignment == 0);
}

/// Builds the initial frame. Switching to the result calls `entry(argument)`.
pub fn initContext(from: Start) Context {
    std.debug.assert(from.top % stack_alignment == 0);
    const frame: *Frame = @ptrFromInt(from.top - @sizeOf(Frame));
    frame.* = .{ .entry = from.entry, .argument = from.argument, .link = from.link };
    from.link.* = .{ .return_address = @intFromPtr(&start) + 1 }; // a walk looks up the byte before
    return .{ .sp = @intFromPtr(frame), .fp = @intFromPtr(from.link), .pc = @intFromPtr(&start) };
}

/// The frame record in a context, as a frame pointer to it.
pub inline fn recordOf(context: *const Context) usize {
    return @intFromPtr(context) + @offsetOf(Context, "fp");
}

/// The inverse.
pub inline fn contextOf(record: usize) *Context {
    return @ptrFromInt(record - @offsetOf(Context, "fp"));
}

fn start() callconv(.naked) noreturn {
    // For unwinders: link = *(sp + 16), record = *link; the caller's sp is at record - 8, its fp at record, its pc at record + 8.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x8f, 16, 0x06, 0x06, 0x38, 0x1c, 0x06
        \\ .cfi_escape 0x10, 29, 4, 0x8f, 16, 0x06, 0x06
        \\ .cfi_escape 0x10, 30, 6, 0x8f, 16, 0x06, 0x06, 0x38, 0x22
    );
    asm volatile (
        \\ ldp x1, x0, [sp]
        \\ mov x30, xzr
        \\ blr x1
        \\ brk #1
    );
}

/// Calls `func(argument)` on the stack whose free part ends at `top`, which is aligned to 16. Unwinding goes on at the caller.
pub fn callOnStack(top: usize, func: @import("start.zig").Entry, argument: *anyopaque) noreturn {
    const call: *const fn (usize, @import("start.zig").Entry, *anyopaque) callconv(.c) noreturn = @ptrCast(&callOnStackNaked);
    call(top, func, argument);
}

fn callOnStackNaked() callconv(.naked) noreturn {
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

/// Saves where we are into `from` and goes on at `to`. Returns when somebody switches to `from`.
pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ adr x9, 0f
        \\ mov x10, sp
        \\ stp x10, x29, [x0]
        \\ str x9, [x0, #16]
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
    .x18 = !builtin.os.tag.isDarwin(),
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

// The bug to fear is a register missing from `everything`: the compiler would keep a value in it across a switch, and
// the other side would overwrite it. So both sides fill the same registers with values that stay live across the
// switch and check them after it, as many registers at a time as one asm statement may have outputs. x18 is
// left out, as Apple's systems own it.

const Vector = @Vector(2, u64);
const Check = fn (from: *Context, to: *const Context, seed: u64) bool;

/// A different value for each register and each `seed`.
fn pattern(comptime T: type, comptime count: usize, seed: u64) [count]T {
    var values: [count]T = undefined;
    for (&values, 0..) |*value, i| {
        const word = seed *% 0x9e37_79b9_7f4a_7c15 +% i;
        value.* = if (T == Vector) .{ word, ~word } else word;
    }
    return values;
}

/// x0 to x9.
noinline fn firstRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 10, seed);
    var g0: u64 = undefined;
    var g1: u64 = undefined;
    var g2: u64 = undefined;
    var g3: u64 = undefined;
    var g4: u64 = undefined;
    var g5: u64 = undefined;
    var g6: u64 = undefined;
    var g7: u64 = undefined;
    var g8: u64 = undefined;
    var g9: u64 = undefined;
    asm volatile (
        \\ ldr x0, [x1, #0]
        \\ ldr x2, [x1, #16]
        \\ ldr x3, [x1, #24]
        \\ ldr x4, [x1, #32]
        \\ ldr x5, [x1, #40]
        \\ ldr x6, [x1, #48]
        \\ ldr x7, [x1, #56]
        \\ ldr x8, [x1, #64]
        \\ ldr x9, [x1, #72]
        \\ ldr x1, [x1, #8]
        : [g0] "={x0}" (g0),
          [g1] "={x1}" (g1),
          [g2] "={x2}" (g2),
          [g3] "={x3}" (g3),
          [g4] "={x4}" (g4),
          [g5] "={x5}" (g5),
          [g6] "={x6}" (g6),
          [g7] "={x7}" (g7),
          [g8] "={x8}" (g8),
          [g9] "={x9}" (g9),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7, g8, g9 };
    return std.meta.eql(want, got);
}

/// x10 to x19.
noinline fn middleRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 9, seed);
    var g0: u64 = undefined;
    var g1: u64 = undefined;
    var g2: u64 = undefined;
    var g3: u64 = undefined;
    var g4: u64 = undefined;
    var g5: u64 = undefined;
    var g6: u64 = undefined;
    var g7: u64 = undefined;
    var g8: u64 = undefined;
    asm volatile (
        \\ ldr x10, [x1, #0]
        \\ ldr x11, [x1, #8]
        \\ ldr x12, [x1, #16]
        \\ ldr x13, [x1, #24]
        \\ ldr x14, [x1, #32]
        \\ ldr x15, [x1, #40]
        \\ ldr x16, [x1, #48]
        \\ ldr x17, [x1, #56]
        \\ ldr x19, [x1, #64]
        : [g0] "={x10}" (g0),
          [g1] "={x11}" (g1),
          [g2] "={x12}" (g2),
          [g3] "={x13}" (g3),
          [g4] "={x14}" (g4),
          [g5] "={x15}" (g5),
          [g6] "={x16}" (g6),
          [g7] "={x17}" (g7),
          [g8] "={x19}" (g8),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7, g8 };
    return std.meta.eql(want, got);
}

/// x20 to x30.
noinline fn lastRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 10, seed);
    var g0: u64 = undefined;
    var g1: u64 = undefined;
    var g2: u64 = undefined;
    var g3: u64 = undefined;
    var g4: u64 = undefined;
    var g5: u64 = undefined;
    var g6: u64 = undefined;
    var g7: u64 = undefined;
    var g8: u64 = undefined;
    var g9: u64 = undefined;
    asm volatile (
        \\ ldr x20, [x1, #0]
        \\ ldr x21, [x1, #8]
        \\ ldr x22, [x1, #16]
        \\ ldr x23, [x1, #24]
        \\ ldr x24, [x1, #32]
        \\ ldr x25, [x1, #40]
        \\ ldr x26, [x1, #48]
        \\ ldr x27, [x1, #56]
        \\ ldr x28, [x1, #64]
        \\ ldr x30, [x1, #72]
        : [g0] "={x20}" (g0),
          [g1] "={x21}" (g1),
          [g2] "={x22}" (g2),
          [g3] "={x23}" (g3),
          [g4] "={x24}" (g4),
          [g5] "={x25}" (g5),
          [g6] "={x26}" (g6),
          [g7] "={x27}" (g7),
          [g8] "={x28}" (g8),
          [g9] "={lr}" (g9),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7, g8, g9 };
    return std.meta.eql(want, got);
}

/// v0 to v7.
noinline fn firstVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var v0: Vector = undefined;
    var v1: Vector = undefined;
    var v2: Vector = undefined;
    var v3: Vector = undefined;
    var v4: Vector = undefined;
    var v5: Vector = undefined;
    var v6: Vector = undefined;
    var v7: Vector = undefined;
    asm volatile (
        \\ ldr q0, [x1, #0]
        \\ ldr q1, [x1, #16]
        \\ ldr q2, [x1, #32]
        \\ ldr q3, [x1, #48]
        \\ ldr q4, [x1, #64]
        \\ ldr q5, [x1, #80]
        \\ ldr q6, [x1, #96]
        \\ ldr q7, [x1, #112]
        : [v0] "={v0}" (v0),
          [v1] "={v1}" (v1),
          [v2] "={v2}" (v2),
          [v3] "={v3}" (v3),
          [v4] "={v4}" (v4),
          [v5] "={v5}" (v5),
          [v6] "={v6}" (v6),
          [v7] "={v7}" (v7),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

/// v8 to v15.
noinline fn secondVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var v0: Vector = undefined;
    var v1: Vector = undefined;
    var v2: Vector = undefined;
    var v3: Vector = undefined;
    var v4: Vector = undefined;
    var v5: Vector = undefined;
    var v6: Vector = undefined;
    var v7: Vector = undefined;
    asm volatile (
        \\ ldr q8, [x1, #0]
        \\ ldr q9, [x1, #16]
        \\ ldr q10, [x1, #32]
        \\ ldr q11, [x1, #48]
        \\ ldr q12, [x1, #64]
        \\ ldr q13, [x1, #80]
        \\ ldr q14, [x1, #96]
        \\ ldr q15, [x1, #112]
        : [v0] "={v8}" (v0),
          [v1] "={v9}" (v1),
          [v2] "={v10}" (v2),
          [v3] "={v11}" (v3),
          [v4] "={v12}" (v4),
          [v5] "={v13}" (v5),
          [v6] "={v14}" (v6),
          [v7] "={v15}" (v7),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

/// v16 to v23.
noinline fn thirdVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var v0: Vector = undefined;
    var v1: Vector = undefined;
    var v2: Vector = undefined;
    var v3: Vector = undefined;
    var v4: Vector = undefined;
    var v5: Vector = undefined;
    var v6: Vector = undefined;
    var v7: Vector = undefined;
    asm volatile (
        \\ ldr q16, [x1, #0]
        \\ ldr q17, [x1, #16]
        \\ ldr q18, [x1, #32]
        \\ ldr q19, [x1, #48]
        \\ ldr q20, [x1, #64]
        \\ ldr q21, [x1, #80]
        \\ ldr q22, [x1, #96]
        \\ ldr q23, [x1, #112]
        : [v0] "={v16}" (v0),
          [v1] "={v17}" (v1),
          [v2] "={v18}" (v2),
          [v3] "={v19}" (v3),
          [v4] "={v20}" (v4),
          [v5] "={v21}" (v5),
          [v6] "={v22}" (v6),
          [v7] "={v23}" (v7),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

/// v24 to v31.
noinline fn lastVectors(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(Vector, 8, seed);
    var v0: Vector = undefined;
    var v1: Vector = undefined;
    var v2: Vector = undefined;
    var v3: Vector = undefined;
    var v4: Vector = undefined;
    var v5: Vector = undefined;
    var v6: Vector = undefined;
    var v7: Vector = undefined;
    asm volatile (
        \\ ldr q24, [x1, #0]
        \\ ldr q25, [x1, #16]
        \\ ldr q26, [x1, #32]
        \\ ldr q27, [x1, #48]
        \\ ldr q28, [x1, #64]
        \\ ldr q29, [x1, #80]
        \\ ldr q30, [x1, #96]
        \\ ldr q31, [x1, #112]
        : [v0] "={v24}" (v0),
          [v1] "={v25}" (v1),
          [v2] "={v26}" (v2),
          [v3] "={v27}" (v3),
          [v4] "={v28}" (v4),
          [v5] "={v29}" (v5),
          [v6] "={v30}" (v6),
          [v7] "={v31}" (v7),
        : [values] "{x1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

const checks = [_]*const Check{ firstRegisters, middleRegisters, lastRegisters, firstVectors, secondVectors, thirdVectors, lastVectors };

const RegisterTest = struct {
    outside: Context = undefined,
    inside: Context = undefined,
    inside_ok: bool = true,
    link: Link = .{},
    stack: [64 * 1024]u8 align(stack_alignment) = undefined,

    fn run(argument: *anyopaque) callconv(.c) noreturn {
        const t: *RegisterTest = @ptrCast(@alignCast(argument));
        var seed: u64 = 1_000_000;
        while (true) : (seed += 1) {
            inline for (checks) |check| if (!check(&t.inside, &t.outside, seed)) {
                t.inside_ok = false;
            };
        }
    }
};

test "every general and vector register survives a switch, on both sides" {
    const t = try std.testing.allocator.create(RegisterTest);
    defer std.testing.allocator.destroy(t);
    t.* = .{};
    const low = @intFromPtr(&t.stack);
    t.inside = initContext(.{ .low = low, .top = low + t.stack.len, .entry = RegisterTest.run, .argument = t, .link = &t.link });
    for (0..1000) |seed| {
        inline for (checks) |check| try std.testing.expect(check(&t.outside, &t.inside, seed));
        try std.testing.expect(t.inside_ok);
    }
}
