//! The switch for x86_64 in the Windows ABI. It touches registers, the initial frame and three fields of the thread's
//! environment block (TEB) only.
//!
//! `switchContext` is inlined and tells the compiler that every register changes, xmm6 to xmm15 among them, which this ABI
//! has functions preserve. It ends in an indirect jump, never in `ret`: calls and returns stay paired.
//!
//! The TEB says where the thread's stack is: StackBase and StackLimit bound what exception dispatch accepts as a frame and
//! what `__chkstk` probes, DeallocationStack is what the system takes for the whole. They change with the stack.
//!
//! MXCSR and the x87 control word belong to the thread, not to the coroutine: who changes them restores them before
//! suspending, as before any call.
//!
//! The frame that a new coroutine starts on:
//!
//!     top (aligned to 16) ->  +---------------------+
//!                             | unused              |  +56
//!                             | argument            |  +48
//!                             | entry               |  +40
//!                             | home space of entry |  +8    four words that it may write to
//!     sp ------------------>  | 0  return address   |  +0    8 below a multiple of 16, as after a call
//!                             +---------------------+
//!                             | entry's own frame   |        grows downwards
//!
//! `start` jumps to `entry(argument)`, so that `entry` is the outermost frame: its return address is zero, where unwinding ends.
//! The system's unwinder knows no way to the resumer.

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
    stack_base: usize,
    stack_limit: usize,
    deallocation_stack: usize,
};

/// What `initContext` puts at the top of a stack.
pub const Frame = extern struct {
    return_address: usize = 0,
    home: [4]usize = @splat(0),
    entry: @import("start.zig").Entry,
    argument: *anyopaque,
    unused: usize = 0,
};

comptime {
    std.debug.assert(@offsetOf(Context, "sp") == 0);
    std.debug.assert(@offsetOf(Context, "fp") == 8);
    std.debug.assert(@offsetOf(Context, "pc") == 16);
    std.debug.assert(@offsetOf(Context, "stack_base") == 24);
    std.debug.assert(@offsetOf(Context, "stack_limit") == 32);
    std.debug.assert(@offsetOf(Context, "deallocation_stack") == 40);
    std.debug.assert(@offsetOf(Frame, "return_address") == 0);
    std.debug.assert(@offsetOf(Frame, "entry") == 40);
    std.debug.assert(@offsetOf(Frame, "argument") == 48);
    std.debug.assert(@sizeOf(Frame) == 64);
}

/// Builds the initial frame. Switching to the result calls `entry(argument)`.
pub fn initContext(from: Start) Context {
    std.debug.assert(from.top % stack_alignment == 0);
    const frame: *Frame = @ptrFromInt(from.top - @sizeOf(Frame) - 8);
    frame.* = .{ .entry = from.entry, .argument = from.argument };
    from.link.* = .{};
    return .{
        .sp = @intFromPtr(frame),
        .fp = 0,
        .pc = @intFromPtr(&start),
        .stack_base = from.top,
        .stack_limit = from.low,
        .deallocation_stack = from.low,
    };
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
    asm volatile (
        \\ movq 48(%%rsp), %%rcx
        \\ movq 40(%%rsp), %%rax
        \\ jmpq *%%rax
    );
}

/// Saves where we are into `from` and goes on at `to`. Returns when somebody switches to `from`.
pub inline fn switchContext(from: *Context, to: *const Context) void {
    // The two inputs are outputs too: an input alone counts as unchanged, whatever the clobbers say.
    var from_after: usize = undefined;
    var to_after: usize = undefined;
    if (has_mask_registers) {
        // The mask registers have no name among the clobbers.
        var k1: u16 = undefined;
        var k2: u16 = undefined;
        var k3: u16 = undefined;
        var k4: u16 = undefined;
        var k5: u16 = undefined;
        var k6: u16 = undefined;
        var k7: u16 = undefined;
        asm volatile (routine
            : [from_after] "={rcx}" (from_after),
              [to_after] "={rdx}" (to_after),
              [k1] "={k1}" (k1),
              [k2] "={k2}" (k2),
              [k3] "={k3}" (k3),
              [k4] "={k4}" (k4),
              [k5] "={k5}" (k5),
              [k6] "={k6}" (k6),
              [k7] "={k7}" (k7),
            : [from] "{rcx}" (from),
              [to] "{rdx}" (to),
            : everything);
    } else asm volatile (routine
        : [from_after] "={rcx}" (from_after),
          [to_after] "={rdx}" (to_after),
        : [from] "{rcx}" (from),
          [to] "{rdx}" (to),
        : everything);
}

/// Zig's own backend knows none, by name or in use.
const has_mask_registers = builtin.cpu.has(.x86, .avx512f) and builtin.zig_backend != .stage2_x86_64;

const routine =
    \\ leaq 0f(%%rip), %%rax
    \\ movq %%rsp, 0(%%rcx)
    \\ movq %%rbp, 8(%%rcx)
    \\ movq %%rax, 16(%%rcx)
    \\ movq %%gs:0x08, %%rax
    \\ movq %%rax, 24(%%rcx)
    \\ movq %%gs:0x10, %%rax
    \\ movq %%rax, 32(%%rcx)
    \\ movq %%gs:0x1478, %%rax
    \\ movq %%rax, 40(%%rcx)
    \\ movq 24(%%rdx), %%rax
    \\ movq %%rax, %%gs:0x08
    \\ movq 32(%%rdx), %%rax
    \\ movq %%rax, %%gs:0x10
    \\ movq 40(%%rdx), %%rax
    \\ movq %%rax, %%gs:0x1478
    \\ movq 0(%%rdx), %%rsp
    \\ movq 8(%%rdx), %%rbp
    \\ jmpq *16(%%rdx)
    \\0:
;

/// All but the stack pointer and the frame pointer, which the routine itself saves. A register counts under every name:
/// xmm0 stands for ymm0 and zmm0 too. The wide names would not do, as LLVM drops those that the target's CPU lacks
/// without a word; zmm16 to zmm31 have no narrower name that older CPUs know.
const everything: std.builtin.assembly.Clobbers = .{
    .rax = true,
    .rbx = true,
    .rsi = true,
    .rdi = true,
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

// The bug to fear is a register missing from `everything`: the compiler would keep a value in it across a switch, and
// the other side would overwrite it. So both sides fill the same registers with values that stay live across the
// switch and check them after it, as many registers at a time as one asm statement may have outputs.

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

/// All that are neither the stack nor the frame pointer.
noinline fn generalRegisters(from: *Context, to: *const Context, seed: u64) bool {
    const want = pattern(u64, 14, seed);
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
    var g11: u64 = undefined;
    var g12: u64 = undefined;
    var g13: u64 = undefined;
    asm volatile (
        \\ movq 0(%%rsi), %%rax
        \\ movq 8(%%rsi), %%rbx
        \\ movq 16(%%rsi), %%rcx
        \\ movq 24(%%rsi), %%rdx
        \\ movq 40(%%rsi), %%rdi
        \\ movq 48(%%rsi), %%r8
        \\ movq 56(%%rsi), %%r9
        \\ movq 64(%%rsi), %%r10
        \\ movq 72(%%rsi), %%r11
        \\ movq 80(%%rsi), %%r12
        \\ movq 88(%%rsi), %%r13
        \\ movq 96(%%rsi), %%r14
        \\ movq 104(%%rsi), %%r15
        \\ movq 32(%%rsi), %%rsi
        : [g0] "={rax}" (g0),
          [g1] "={rbx}" (g1),
          [g2] "={rcx}" (g2),
          [g3] "={rdx}" (g3),
          [g4] "={rsi}" (g4),
          [g5] "={rdi}" (g5),
          [g6] "={r8}" (g6),
          [g7] "={r9}" (g7),
          [g8] "={r10}" (g8),
          [g9] "={r11}" (g9),
          [g10] "={r12}" (g10),
          [g11] "={r13}" (g11),
          [g12] "={r14}" (g12),
          [g13] "={r15}" (g13),
        : [values] "{rsi}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ g0, g1, g2, g3, g4, g5, g6, g7, g8, g9, g10, g11, g12, g13 };
    return std.meta.eql(want, got);
}

/// xmm0 to xmm7: the low halves of what wider vectors use.
noinline fn lowVectors(from: *Context, to: *const Context, seed: u64) bool {
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
        \\ movups 0(%%rsi), %%xmm0
        \\ movups 16(%%rsi), %%xmm1
        \\ movups 32(%%rsi), %%xmm2
        \\ movups 48(%%rsi), %%xmm3
        \\ movups 64(%%rsi), %%xmm4
        \\ movups 80(%%rsi), %%xmm5
        \\ movups 96(%%rsi), %%xmm6
        \\ movups 112(%%rsi), %%xmm7
        : [v0] "={xmm0}" (v0),
          [v1] "={xmm1}" (v1),
          [v2] "={xmm2}" (v2),
          [v3] "={xmm3}" (v3),
          [v4] "={xmm4}" (v4),
          [v5] "={xmm5}" (v5),
          [v6] "={xmm6}" (v6),
          [v7] "={xmm7}" (v7),
        : [values] "{rsi}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

/// xmm8 to xmm15: the low halves of what wider vectors use.
noinline fn highVectors(from: *Context, to: *const Context, seed: u64) bool {
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
        \\ movups 0(%%rsi), %%xmm8
        \\ movups 16(%%rsi), %%xmm9
        \\ movups 32(%%rsi), %%xmm10
        \\ movups 48(%%rsi), %%xmm11
        \\ movups 64(%%rsi), %%xmm12
        \\ movups 80(%%rsi), %%xmm13
        \\ movups 96(%%rsi), %%xmm14
        \\ movups 112(%%rsi), %%xmm15
        : [v0] "={xmm8}" (v0),
          [v1] "={xmm9}" (v1),
          [v2] "={xmm10}" (v2),
          [v3] "={xmm11}" (v3),
          [v4] "={xmm12}" (v4),
          [v5] "={xmm13}" (v5),
          [v6] "={xmm14}" (v6),
          [v7] "={xmm15}" (v7),
        : [values] "{rsi}" (&want),
        : .{ .memory = true });
    switchContext(from, to);
    const got: @TypeOf(want) = .{ v0, v1, v2, v3, v4, v5, v6, v7 };
    return std.meta.eql(want, got);
}

/// String instructions go upwards, as every function may assume on entry.
fn directionIsForward() bool {
    const bytes = [_]u8{ 0, 0, 0 };
    var at: [*]const u8 = bytes[1..];
    asm volatile ("lodsb"
        : [at] "={rsi}" (at),
        : [start] "{rsi}" (at),
        : .{ .rax = true, .memory = true });
    return at == bytes[2..].ptr;
}

/// Zig's own backend does not assemble the loads of vector registers.
const checks = if (builtin.zig_backend == .stage2_x86_64)
    [_]*const Check{generalRegisters}
else
    [_]*const Check{ generalRegisters, lowVectors, highVectors };

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
            if (!directionIsForward()) t.inside_ok = false;
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
        try std.testing.expect(directionIsForward());
        try std.testing.expect(t.inside_ok);
    }
}

/// What the TEB says about the stack in use.
fn stackFields() [3]usize {
    return .{
        asm volatile ("movq %%gs:0x08, %[value]"
            : [value] "=r" (-> usize),
        ),
        asm volatile ("movq %%gs:0x10, %[value]"
            : [value] "=r" (-> usize),
        ),
        asm volatile ("movq %%gs:0x1478, %[value]"
            : [value] "=r" (-> usize),
        ),
    };
}

test "the thread's stack fields change with the stack" {
    const Body = struct {
        outside: Context = undefined,
        inside: Context = undefined,
        link: Link = .{},
        seen: [3]usize = undefined,
        stack: [16 * 1024]u8 align(stack_alignment) = undefined,

        fn run(argument: *anyopaque) callconv(.c) noreturn {
            const body: *@This() = @ptrCast(@alignCast(argument));
            body.seen = stackFields();
            while (true) switchContext(&body.inside, &body.outside);
        }
    };
    const body = try std.testing.allocator.create(Body);
    defer std.testing.allocator.destroy(body);
    body.* = .{};
    const low = @intFromPtr(&body.stack);
    const top = low + body.stack.len;
    body.inside = initContext(.{ .low = low, .top = top, .entry = Body.run, .argument = body, .link = &body.link });
    const before = stackFields();
    switchContext(&body.outside, &body.inside);
    try std.testing.expectEqual(before, stackFields());
    try std.testing.expectEqual([3]usize{ top, low, low }, body.seen);
}
