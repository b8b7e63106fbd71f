//! The switch for riscv64 in the standard psABI, with or without floating point and vectors. It touches registers and the
//! initial frame only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, so that the compiler spills what is
//! live at that place and nothing else. It ends in a plain jump, never in `ret`: calls and returns stay paired and the
//! return predictor stays right. It pushes nothing.
//!
//! gp and tp belong to the process and the thread and are the same on both sides. The rounding mode belongs to the thread,
//! not to the coroutine: who changes it restores it before suspending, as before any call.
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
//! frame: debuggers then accept that the resumer's stack may lie below. A frame record lies below its frame pointer here.

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
    std.debug.assert(@offsetOf(Context, "fp") == 8);
    std.debug.assert(@offsetOf(Context, "pc") == 16);
    std.debug.assert(@sizeOf(Context) == 24);
    std.debug.assert(@offsetOf(Frame, "entry") == 0);
    std.debug.assert(@offsetOf(Frame, "argument") == 8);
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
    return .{ .sp = @intFromPtr(frame), .fp = @intFromPtr(from.link) + @sizeOf(Link), .pc = @intFromPtr(&start) };
}

/// The frame record in a context, as a frame pointer to it.
pub inline fn recordOf(context: *const Context) usize {
    return @intFromPtr(context) + @sizeOf(Context);
}

/// The inverse.
pub inline fn contextOf(record: usize) *Context {
    return @ptrFromInt(record - @sizeOf(Context));
}

fn start() callconv(.naked) noreturn {
    // For unwinders: link = *(sp + 16), record = *link; the caller's sp is at record - 24, its fp at record - 16, its pc at
    // record - 8.
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_signal_frame
        \\ .cfi_escape 0x0f, 7, 0x72, 16, 0x06, 0x06, 0x48, 0x1c, 0x06
        \\ .cfi_escape 0x10, 8, 6, 0x72, 16, 0x06, 0x06, 0x40, 0x1c
        \\ .cfi_escape 0x10, 1, 6, 0x72, 16, 0x06, 0x06, 0x38, 0x1c
    );
    asm volatile (
        \\ ld t0, 0(sp)
        \\ ld a0, 8(sp)
        \\ jalr t0
        \\ unimp
    );
}

/// Calls `func(argument)` on the stack whose free part ends at `top`, which is aligned to 16. Unwinding goes on at the caller.
pub fn callOnStack(top: usize, func: @import("start.zig").Entry, argument: *anyopaque) noreturn {
    const call: *const fn (usize, @import("start.zig").Entry, *anyopaque) callconv(.c) noreturn = @ptrCast(&callOnStackNaked);
    call(top, func, argument);
}

fn callOnStackNaked() callconv(.naked) noreturn {
    if (builtin.unwind_tables != .none or !builtin.strip_debug_info) asm volatile (
        \\ .cfi_def_cfa s0, 0
        \\ .cfi_offset s0, -16
        \\ .cfi_offset ra, -8
    );
    asm volatile (
        \\ addi sp, sp, -16
        \\ sd ra, 8(sp)
        \\ sd s0, 0(sp)
        \\ addi s0, sp, 16
        \\ mv sp, a0
        \\ mv a0, a2
        \\ jalr a1
        \\ unimp
    );
}

/// Saves where we are into `from` and goes on at `to`. Returns when somebody switches to `from`.
pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    asm volatile (
        \\ lla t0, 0f
        \\ sd sp, 0(a0)
        \\ sd s0, 8(a0)
        \\ sd t0, 16(a0)
        \\ ld t0, 16(a1)
        \\ ld s0, 8(a1)
        \\ ld sp, 0(a1)
        \\ jr t0
        \\0:
        : [from_after] "={a0}" (from_after),
          [to_after] "={a1}" (to_after),
        : [from] "{a0}" (from),
          [to] "{a1}" (to),
        : everything);
}

/// All but the stack pointer and the frame pointer (s0), which the routine itself saves, and gp and tp.
const everything: std.builtin.assembly.Clobbers = .{
    .ra = true,
    .t0 = true,
    .t1 = true,
    .t2 = true,
    .t3 = true,
    .t4 = true,
    .t5 = true,
    .t6 = true,
    .a2 = true,
    .a3 = true,
    .a4 = true,
    .a5 = true,
    .a6 = true,
    .a7 = true,
    .s1 = true,
    .s2 = true,
    .s3 = true,
    .s4 = true,
    .s5 = true,
    .s6 = true,
    .s7 = true,
    .s8 = true,
    .s9 = true,
    .s10 = true,
    .s11 = true,
    .f0 = true,
    .f1 = true,
    .f2 = true,
    .f3 = true,
    .f4 = true,
    .f5 = true,
    .f6 = true,
    .f7 = true,
    .f8 = true,
    .f9 = true,
    .f10 = true,
    .f11 = true,
    .f12 = true,
    .f13 = true,
    .f14 = true,
    .f15 = true,
    .f16 = true,
    .f17 = true,
    .f18 = true,
    .f19 = true,
    .f20 = true,
    .f21 = true,
    .f22 = true,
    .f23 = true,
    .f24 = true,
    .f25 = true,
    .f26 = true,
    .f27 = true,
    .f28 = true,
    .f29 = true,
    .f30 = true,
    .f31 = true,
    .v0 = true,
    .v1 = true,
    .v2 = true,
    .v3 = true,
    .v4 = true,
    .v5 = true,
    .v6 = true,
    .v7 = true,
    .v8 = true,
    .v9 = true,
    .v10 = true,
    .v11 = true,
    .v12 = true,
    .v13 = true,
    .v14 = true,
    .v15 = true,
    .v16 = true,
    .v17 = true,
    .v18 = true,
    .v19 = true,
    .v20 = true,
    .v21 = true,
    .v22 = true,
    .v23 = true,
    .v24 = true,
    .v25 = true,
    .v26 = true,
    .v27 = true,
    .v28 = true,
    .v29 = true,
    .v30 = true,
    .v31 = true,
    .fflags = true,
    .frm = true,
    .vtype = true,
    .vl = true,
    .vxsat = true,
    .vxrm = true,
    .memory = true,
};

// The bug to fear is a register missing from `everything`: the compiler would keep a value in it across a switch, and
// the other side would overwrite it. So both sides fill the same registers with values that stay live across the
// switch and check them after it, as many registers at a time as one asm statement may have outputs.

const Check = fn (from: *Context, to: *const Context, seed: u64) bool;

/// A different value for each register and each `seed`.
fn pattern(comptime T: type, comptime count: usize, seed: u64) [count]T {
    var values: [count]T = undefined;
    for (&values, 0..) |*value, i| {
        // As a float: finite, and never two equal ones.
        const word = (seed *% 0x9e37_79b9_7f4a_7c15 +% i) >> 2;
        value.* = @bitCast(word);
    }
    return values;
}

/// ra and the temporaries.
noinline fn temporaries(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 8, seed);
    var g0: u64 = undefined;
    var g1: u64 = undefined;
    var g2: u64 = undefined;
    var g3: u64 = undefined;
    var g4: u64 = undefined;
    var g5: u64 = undefined;
    var g6: u64 = undefined;
    var g7: u64 = undefined;
    asm volatile (
        \\ ld ra, 0(t0)
        \\ ld t1, 16(t0)
        \\ ld t2, 24(t0)
        \\ ld t3, 32(t0)
        \\ ld t4, 40(t0)
        \\ ld t5, 48(t0)
        \\ ld t6, 56(t0)
        \\ ld t0, 8(t0)
        : [g0] "={ra}" (g0),
          [g1] "={t0}" (g1),
          [g2] "={t1}" (g2),
          [g3] "={t2}" (g3),
          [g4] "={t3}" (g4),
          [g5] "={t4}" (g5),
          [g6] "={t5}" (g6),
          [g7] "={t6}" (g7),
        : [values] "{t0}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7 };
    return std.meta.eql(want, got);
}

/// The arguments.
noinline fn arguments(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 8, seed);
    var g0: u64 = undefined;
    var g1: u64 = undefined;
    var g2: u64 = undefined;
    var g3: u64 = undefined;
    var g4: u64 = undefined;
    var g5: u64 = undefined;
    var g6: u64 = undefined;
    var g7: u64 = undefined;
    asm volatile (
        \\ ld a1, 8(a0)
        \\ ld a2, 16(a0)
        \\ ld a3, 24(a0)
        \\ ld a4, 32(a0)
        \\ ld a5, 40(a0)
        \\ ld a6, 48(a0)
        \\ ld a7, 56(a0)
        \\ ld a0, 0(a0)
        : [g0] "={a0}" (g0),
          [g1] "={a1}" (g1),
          [g2] "={a2}" (g2),
          [g3] "={a3}" (g3),
          [g4] "={a4}" (g4),
          [g5] "={a5}" (g5),
          [g6] "={a6}" (g6),
          [g7] "={a7}" (g7),
        : [values] "{a0}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7 };
    return std.meta.eql(want, got);
}

/// What a call preserves.
noinline fn preserved(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 11, seed);
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
    var g10: u64 = undefined;
    asm volatile (
        \\ ld s2, 8(s1)
        \\ ld s3, 16(s1)
        \\ ld s4, 24(s1)
        \\ ld s5, 32(s1)
        \\ ld s6, 40(s1)
        \\ ld s7, 48(s1)
        \\ ld s8, 56(s1)
        \\ ld s9, 64(s1)
        \\ ld s10, 72(s1)
        \\ ld s11, 80(s1)
        \\ ld s1, 0(s1)
        : [g0] "={s1}" (g0),
          [g1] "={s2}" (g1),
          [g2] "={s3}" (g2),
          [g3] "={s4}" (g3),
          [g4] "={s5}" (g4),
          [g5] "={s6}" (g5),
          [g6] "={s7}" (g6),
          [g7] "={s8}" (g7),
          [g8] "={s9}" (g8),
          [g9] "={s10}" (g9),
          [g10] "={s11}" (g10),
        : [values] "{s1}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10 };
    return std.meta.eql(want, got);
}

/// f0 to f10. Read by a second asm statement: the compiler would compare floats from memory that it filled before the switch.
noinline fn firstFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 11, seed);
    var g0: f64 = undefined;
    var g1: f64 = undefined;
    var g2: f64 = undefined;
    var g3: f64 = undefined;
    var g4: f64 = undefined;
    var g5: f64 = undefined;
    var g6: f64 = undefined;
    var g7: f64 = undefined;
    var g8: f64 = undefined;
    var g9: f64 = undefined;
    var g10: f64 = undefined;
    asm volatile (
        \\ fld f0, 0(a0)
        \\ fld f1, 8(a0)
        \\ fld f2, 16(a0)
        \\ fld f3, 24(a0)
        \\ fld f4, 32(a0)
        \\ fld f5, 40(a0)
        \\ fld f6, 48(a0)
        \\ fld f7, 56(a0)
        \\ fld f8, 64(a0)
        \\ fld f9, 72(a0)
        \\ fld f10, 80(a0)
        : [g0] "={f0}" (g0),
          [g1] "={f1}" (g1),
          [g2] "={f2}" (g2),
          [g3] "={f3}" (g3),
          [g4] "={f4}" (g4),
          [g5] "={f5}" (g5),
          [g6] "={f6}" (g6),
          [g7] "={f7}" (g7),
          [g8] "={f8}" (g8),
          [g9] "={f9}" (g9),
          [g10] "={f10}" (g10),
        : [values] "{a0}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    var got: @TypeOf(want) = undefined;
    asm volatile (
        \\ fsd f0, 0(a0)
        \\ fsd f1, 8(a0)
        \\ fsd f2, 16(a0)
        \\ fsd f3, 24(a0)
        \\ fsd f4, 32(a0)
        \\ fsd f5, 40(a0)
        \\ fsd f6, 48(a0)
        \\ fsd f7, 56(a0)
        \\ fsd f8, 64(a0)
        \\ fsd f9, 72(a0)
        \\ fsd f10, 80(a0)
        :
        : [got] "{a0}" (&got),
          [g0] "{f0}" (g0),
          [g1] "{f1}" (g1),
          [g2] "{f2}" (g2),
          [g3] "{f3}" (g3),
          [g4] "{f4}" (g4),
          [g5] "{f5}" (g5),
          [g6] "{f6}" (g6),
          [g7] "{f7}" (g7),
          [g8] "{f8}" (g8),
          [g9] "{f9}" (g9),
          [g10] "{f10}" (g10),
        : .{ .memory = true });
    return std.meta.eql(want, got);
}

/// f11 to f21.
noinline fn middleFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 11, seed);
    var g0: f64 = undefined;
    var g1: f64 = undefined;
    var g2: f64 = undefined;
    var g3: f64 = undefined;
    var g4: f64 = undefined;
    var g5: f64 = undefined;
    var g6: f64 = undefined;
    var g7: f64 = undefined;
    var g8: f64 = undefined;
    var g9: f64 = undefined;
    var g10: f64 = undefined;
    asm volatile (
        \\ fld f11, 0(a0)
        \\ fld f12, 8(a0)
        \\ fld f13, 16(a0)
        \\ fld f14, 24(a0)
        \\ fld f15, 32(a0)
        \\ fld f16, 40(a0)
        \\ fld f17, 48(a0)
        \\ fld f18, 56(a0)
        \\ fld f19, 64(a0)
        \\ fld f20, 72(a0)
        \\ fld f21, 80(a0)
        : [g0] "={f11}" (g0),
          [g1] "={f12}" (g1),
          [g2] "={f13}" (g2),
          [g3] "={f14}" (g3),
          [g4] "={f15}" (g4),
          [g5] "={f16}" (g5),
          [g6] "={f17}" (g6),
          [g7] "={f18}" (g7),
          [g8] "={f19}" (g8),
          [g9] "={f20}" (g9),
          [g10] "={f21}" (g10),
        : [values] "{a0}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    var got: @TypeOf(want) = undefined;
    asm volatile (
        \\ fsd f11, 0(a0)
        \\ fsd f12, 8(a0)
        \\ fsd f13, 16(a0)
        \\ fsd f14, 24(a0)
        \\ fsd f15, 32(a0)
        \\ fsd f16, 40(a0)
        \\ fsd f17, 48(a0)
        \\ fsd f18, 56(a0)
        \\ fsd f19, 64(a0)
        \\ fsd f20, 72(a0)
        \\ fsd f21, 80(a0)
        :
        : [got] "{a0}" (&got),
          [g0] "{f11}" (g0),
          [g1] "{f12}" (g1),
          [g2] "{f13}" (g2),
          [g3] "{f14}" (g3),
          [g4] "{f15}" (g4),
          [g5] "{f16}" (g5),
          [g6] "{f17}" (g6),
          [g7] "{f18}" (g7),
          [g8] "{f19}" (g8),
          [g9] "{f20}" (g9),
          [g10] "{f21}" (g10),
        : .{ .memory = true });
    return std.meta.eql(want, got);
}

/// f22 to f31.
noinline fn lastFloats(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(f64, 10, seed);
    var g0: f64 = undefined;
    var g1: f64 = undefined;
    var g2: f64 = undefined;
    var g3: f64 = undefined;
    var g4: f64 = undefined;
    var g5: f64 = undefined;
    var g6: f64 = undefined;
    var g7: f64 = undefined;
    var g8: f64 = undefined;
    var g9: f64 = undefined;
    asm volatile (
        \\ fld f22, 0(a0)
        \\ fld f23, 8(a0)
        \\ fld f24, 16(a0)
        \\ fld f25, 24(a0)
        \\ fld f26, 32(a0)
        \\ fld f27, 40(a0)
        \\ fld f28, 48(a0)
        \\ fld f29, 56(a0)
        \\ fld f30, 64(a0)
        \\ fld f31, 72(a0)
        : [g0] "={f22}" (g0),
          [g1] "={f23}" (g1),
          [g2] "={f24}" (g2),
          [g3] "={f25}" (g3),
          [g4] "={f26}" (g4),
          [g5] "={f27}" (g5),
          [g6] "={f28}" (g6),
          [g7] "={f29}" (g7),
          [g8] "={f30}" (g8),
          [g9] "={f31}" (g9),
        : [values] "{a0}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    var got: @TypeOf(want) = undefined;
    asm volatile (
        \\ fsd f22, 0(a0)
        \\ fsd f23, 8(a0)
        \\ fsd f24, 16(a0)
        \\ fsd f25, 24(a0)
        \\ fsd f26, 32(a0)
        \\ fsd f27, 40(a0)
        \\ fsd f28, 48(a0)
        \\ fsd f29, 56(a0)
        \\ fsd f30, 64(a0)
        \\ fsd f31, 72(a0)
        :
        : [got] "{a0}" (&got),
          [g0] "{f22}" (g0),
          [g1] "{f23}" (g1),
          [g2] "{f24}" (g2),
          [g3] "{f25}" (g3),
          [g4] "{f26}" (g4),
          [g5] "{f27}" (g5),
          [g6] "{f28}" (g6),
          [g7] "{f29}" (g7),
          [g8] "{f30}" (g8),
          [g9] "{f31}" (g9),
        : .{ .memory = true });
    return std.meta.eql(want, got);
}

const checks = if (builtin.cpu.has(.riscv, .d))
    [_]*const Check{ temporaries, arguments, preserved, firstFloats, middleFloats, lastFloats }
else
    [_]*const Check{ temporaries, arguments, preserved };

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

test "every general and floating-point register survives a switch, on both sides" {
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
