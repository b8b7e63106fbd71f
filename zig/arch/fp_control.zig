//! The control words of the floating-point unit: how it rounds, which exceptions trap, and where the same register holds them the
//! sticky exception flags. MXCSR and the x87 control word on x86, FPCR on aarch64, fcsr on riscv64.
//!
//! They belong to the thread unless the build says `-Dfp_control=true`: who changes them restores them before suspending, as
//! before any call. With it each coroutine has its own, those of its creator to begin with, and a switch costs about twice as much.
//!
//! On x86 the option has a second effect. The compiler may keep an f80 (C's long double) in an x87 register from before a switch
//! to after it, and no clobber that Zig can name forbids it; a call does. So with the option the switch makes one. Without it an
//! f80 that is used again after suspending belongs in memory.

const std = @import("std");
const builtin = @import("builtin");

pub const is_saved = @import("libcoro_options").fp_control;
/// In a context.
pub const Words = [if (is_saved) 2 else 0]u32;

const is_x86 = builtin.cpu.arch == .x86_64 or builtin.cpu.arch == .x86;
const is_known = is_x86 or builtin.cpu.arch == .aarch64 or (builtin.cpu.arch == .riscv64 and builtin.cpu.has(.riscv, .f));

comptime {
    if (is_saved and !is_known) @compileError("zigcoro: no -Dfp_control for " ++ @tagName(builtin.cpu.arch));
}

/// Assembly that saves the words to `offset` in the context that is left, and loads those in the one gone to.
pub fn swap(comptime offset: u32) []const u8 {
    if (!is_saved) return "";
    const text = switch (builtin.cpu.arch) {
        .x86_64 =>
        \\ stmxcsr {0d}(%%rdi)
        \\ fnstcw {1d}(%%rdi)
        \\ ldmxcsr {0d}(%%rsi)
        \\ fldcw {1d}(%%rsi)
        \\
        ,
        .x86 =>
        \\ stmxcsr {0d}(%%ecx)
        \\ fnstcw {1d}(%%ecx)
        \\ ldmxcsr {0d}(%%edx)
        \\ fldcw {1d}(%%edx)
        \\
        ,
        .aarch64 =>
        \\ mrs x9, fpcr
        \\ str w9, [x0, #{0d}]
        \\ ldr w9, [x1, #{0d}]
        \\ msr fpcr, x9
        \\
        ,
        .riscv64 =>
        \\ frcsr t0
        \\ sw t0, {0d}(a0)
        \\ lw t0, {0d}(a1)
        \\ fscsr t0
        \\
        ,
        else => unreachable,
    };
    return std.fmt.comptimePrint(text, if (is_x86) .{ offset, offset + 4 } else .{offset});
}

/// Assembly that only loads them.
pub fn load(comptime offset: u32) []const u8 {
    if (!is_saved) return "";
    const text = switch (builtin.cpu.arch) {
        .x86_64 =>
        \\ ldmxcsr {0d}(%%rsi)
        \\ fldcw {1d}(%%rsi)
        \\
        ,
        .x86 =>
        \\ ldmxcsr {0d}(%%edx)
        \\ fldcw {1d}(%%edx)
        \\
        ,
        .aarch64 =>
        \\ ldr w9, [x1, #{0d}]
        \\ msr fpcr, x9
        \\
        ,
        .riscv64 =>
        \\ lw t0, {0d}(a1)
        \\ fscsr t0
        \\
        ,
        else => unreachable,
    };
    return std.fmt.comptimePrint(text, if (is_x86) .{ offset, offset + 4 } else .{offset});
}

/// The calling thread's.
pub fn now() Words {
    return if (is_saved) read() else .{};
}

fn read() [2]u32 {
    var words: [2]u32 = .{ 0, 0 };
    if (is_x86) {
        x86("stmxcsr", &words[0]);
        x86("fnstcw", &words[1]);
    } else words[0] = @truncate(switch (builtin.cpu.arch) {
        .aarch64 => asm volatile ("mrs %[value], fpcr"
            : [value] "=r" (-> u64),
        ),
        .riscv64 => asm volatile ("frcsr %[value]"
            : [value] "=r" (-> u64),
        ),
        else => unreachable,
    });
    return words;
}

/// One instruction that reads or writes `word`.
fn x86(comptime instruction: []const u8, word: *const u32) void {
    if (builtin.cpu.arch == .x86_64) {
        asm volatile (instruction ++ " (%%rax)"
            :
            : [word] "{rax}" (word),
            : .{ .memory = true });
    } else asm volatile (instruction ++ " (%%eax)"
        :
        : [word] "{eax}" (word),
        : .{ .memory = true });
}

fn write(words: [2]u32) void {
    if (is_x86) {
        x86("ldmxcsr", &words[0]);
        x86("fldcw", &words[1]);
    } else switch (builtin.cpu.arch) {
        .aarch64 => asm volatile ("msr fpcr, %[value]"
            :
            : [value] "r" (@as(u64, words[0])),
            : .{ .memory = true }),
        .riscv64 => asm volatile ("fscsr %[value]"
            :
            : [value] "r" (@as(u64, words[0])),
            : .{ .memory = true }),
        else => unreachable,
    }
}

/// Before a switch. Without SSE2 every float lives in x87 registers.
pub inline fn emptyX87() void {
    if (comptime is_x86 and (is_saved or !builtin.cpu.has(.x86, .sse2))) nothing();
}

noinline fn nothing() void {
    asm volatile ("" ::: .{ .memory = true });
}

const arch = @import("../arch.zig");

/// Rounds up from now on.
fn roundUp() void {
    var words = read();
    switch (builtin.cpu.arch) {
        .x86_64, .x86 => words = .{ words[0] & ~@as(u32, 0x6000) | 0x4000, words[1] & ~@as(u32, 0xc00) | 0x800 },
        .aarch64 => words[0] = words[0] & ~@as(u32, 0xc0_0000) | 0x40_0000,
        .riscv64 => words[0] = words[0] & ~@as(u32, 0xe0) | 0x60,
        else => unreachable,
    }
    write(words);
}

/// What rounds differently to the nearest and up.
noinline fn third() f64 {
    var values: [2]f64 = .{ 1, 3 }; // a constant would be divided by the compiler
    const at: *volatile [2]f64 = &values;
    return at[0] / at[1];
}

noinline fn longThird(from: *arch.Context, to: *const arch.Context, dividend: f80) f80 {
    const at: *const volatile f80 = &dividend;
    const kept = at.* / 3;
    arch.switchContext(from, to);
    return kept * at.*;
}

const Test = struct {
    outside: arch.Context = undefined,
    inside: arch.Context = undefined,
    link: arch.Link = .{},
    seen: [2]f64 = @splat(0),
    long: f80 = 0,
    stack: [16 * 1024]u8 align(arch.stack_alignment) = undefined,

    fn start(t: *Test, entry: arch.Entry) void {
        const low = @intFromPtr(&t.stack);
        t.inside = arch.initContext(.{ .low = low, .top = low + t.stack.len, .entry = entry, .argument = t, .link = &t.link });
    }

    fn round(argument: *anyopaque) callconv(.c) noreturn {
        const t: *Test = @ptrCast(@alignCast(argument));
        roundUp();
        t.seen[0] = third();
        arch.switchContext(&t.inside, &t.outside);
        t.seen[1] = third();
        while (true) arch.switchContext(&t.inside, &t.outside);
    }

    fn divide(argument: *anyopaque) callconv(.c) noreturn {
        const t: *Test = @ptrCast(@alignCast(argument));
        while (true) t.long = longThird(&t.inside, &t.outside, 9);
    }
};

test "the rounding mode is the coroutine's own with -Dfp_control, else the thread's" {
    if (@import("../sanitizer.zig").underValgrind()) return error.SkipZigTest; // as in arch.zig
    if (!is_known) return error.SkipZigTest;
    const before = read();
    defer write(before);
    const nearest: f64 = @bitCast(@as(u64, 0x3fd5_5555_5555_5555));
    const up: f64 = @bitCast(@as(u64, 0x3fd5_5555_5555_5556));
    var t: Test = .{};
    t.start(Test.round);
    try std.testing.expectEqual(nearest, third());
    arch.switchContext(&t.outside, &t.inside);
    const between = third();
    write(before);
    arch.switchContext(&t.outside, &t.inside);
    try std.testing.expectEqual(if (is_saved) nearest else up, between);
    try std.testing.expectEqual([2]f64{ up, if (is_saved) up else nearest }, t.seen);
    if (is_saved) try std.testing.expectEqual(roundingOf(before), roundingOf(read()));
}

/// Without the sticky flags.
fn roundingOf(words: [2]u32) [2]u32 {
    return switch (builtin.cpu.arch) {
        .x86_64, .x86 => .{ words[0] & 0xffc0, words[1] },
        .riscv64 => .{ words[0] & 0xe0, 0 },
        else => words,
    };
}

test "an f80 is kept across a switch with -Dfp_control" {
    if (!is_x86 or !is_saved) return error.SkipZigTest;
    var t: Test = .{};
    t.start(Test.divide);
    arch.switchContext(&t.outside, &t.inside);
    try std.testing.expectEqual(12, longThird(&t.outside, &t.inside, 6));
    arch.switchContext(&t.outside, &t.inside);
    try std.testing.expectEqual(27, t.long);
}
