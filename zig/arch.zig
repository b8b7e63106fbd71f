//! The switch of the machine we build for. One file under `arch/` per architecture and ABI, each with the same names:
//! `Context`, `Frame`, `initContext`, `switchContext`, `jumpTo`, `record_offset`, `stack_alignment`, and `callOnStack` where traces need it.

const std = @import("std");
const builtin = @import("builtin");
const common = @import("arch/common.zig");
const sanitizer = @import("sanitizer.zig");

const native = switch (builtin.cpu.arch) {
    .x86_64 => switch (builtin.os.tag) {
        .windows => @import("arch/x86_64_windows.zig"),
        else => @import("arch/x86_64_sysv.zig"),
    },
    .aarch64 => switch (builtin.os.tag) {
        .windows => @import("arch/aarch64_windows.zig"),
        else => @import("arch/aarch64.zig"),
    },
    .riscv64 => @import("arch/riscv64.zig"),
    .x86 => switch (builtin.os.tag) {
        .windows => @compileError("zigcoro: no switch yet for 32-bit Windows, where exception handlers are chained through the stack"),
        else => @import("arch/x86.zig"),
    },
    .arm => @import("arch/arm.zig"),
    .loongarch64 => @import("arch/loongarch64.zig"),
    .wasm32, .wasm64 => @compileError("zigcoro: WebAssembly cannot switch stacks: a program there cannot reach its own call stack. " ++
        "Compile for a native target, or use std.Io's interface with a backend that needs no stacks of its own"),
    else => |arch| @compileError("zigcoro: no switch yet for " ++ @tagName(arch)),
};

/// Where a coroutine that is not running goes on.
pub const Context = native.Context;
pub const Entry = common.Entry;
pub const Link = common.Link;
pub const Start = common.Start;
/// Bytes, a power of two: of the top of a stack.
pub const stack_alignment = native.stack_alignment;
/// Bytes that `initContext` uses at the top of a stack.
pub const frame_size = @sizeOf(native.Frame);

/// Builds the initial frame. Switching to the result calls `entry(argument)`.
pub fn initContext(from: Start) Context {
    std.debug.assert(from.top % stack_alignment == 0);
    return native.initContext(from);
}

/// Whether a context of a stack where nothing was touched since, but by the coroutine that started from it, is still, or again, what
/// `initContext` makes for `top`.
pub inline fn isInitial(context: *const Context, top: usize) bool {
    // Otherwise the floating-point control is the creator's. And on x86 an argument belongs to who gets it.
    if (@import("arch/fp_control.zig").is_saved or builtin.cpu.arch == .x86) return false;
    return context.pc == @intFromPtr(&native.start) and context.sp == top - frame_size;
}

/// Saves where we are into `from` and goes on at `to`. Returns when somebody switches to `from`.
pub inline fn switchContext(from: *Context, to: *const Context) void {
    native.switchContext(from, to);
}

/// Goes on at `to` and never comes back.
pub inline fn jumpTo(to: *const Context) noreturn {
    native.jumpTo(to);
}

/// The frame record in a context, as a frame pointer to it.
pub inline fn recordOf(context: *const Context) usize {
    return @intFromPtr(context) + native.record_offset;
}

/// The inverse.
pub inline fn contextOf(record: usize) *Context {
    return @ptrFromInt(record - native.record_offset);
}

/// Whether Zig 0.16's own traces know this machine's unwind information. On arm they know frame pointers only.
pub const std_can_unwind = builtin.cpu.arch != .arm;

/// Whether there is a `callOnStack`.
pub const can_call_on_stack = @hasDecl(native, "callOnStack");

/// Calls `func(argument)` on the stack whose free part ends at `top`, which is aligned to `stack_alignment`. Unwinding goes on
/// at the caller.
pub fn callOnStack(top: usize, func: Entry, argument: *anyopaque) noreturn {
    const call: *const fn (usize, Entry, *anyopaque) callconv(.c) noreturn = @ptrCast(&native.callOnStack);
    call(top, func, argument);
}

/// Where the stack of the calling function ends.
pub inline fn stackPointer() usize {
    return switch (builtin.cpu.arch) {
        .x86_64 => asm volatile ("movq %%rsp, %[sp]"
            : [sp] "=r" (-> usize),
        ),
        .x86 => asm volatile ("movl %%esp, %[sp]"
            : [sp] "=r" (-> usize),
        ),
        .loongarch64 => asm volatile ("move %[sp], $sp"
            : [sp] "=r" (-> usize),
        ),
        .riscv64 => asm volatile ("mv %[sp], sp"
            : [sp] "=r" (-> usize),
        ),
        else => asm volatile ("mov %[sp], sp"
            : [sp] "=r" (-> usize),
        ),
    };
}

test {
    _ = native;
    _ = @import("arch/register_test.zig");
    _ = @import("arch/fp_control.zig");
}

const Pair = struct {
    outside: Context = undefined,
    inside: Context = undefined,
    link: Link = .{},
    rounds: u32 = 0,
    bytes: [4096]u8 align(stack_alignment) = undefined,

    fn init(pair: *Pair, entry: Entry) void {
        const low = @intFromPtr(&pair.bytes);
        pair.inside = initContext(.{ .low = low, .top = low + pair.bytes.len, .entry = entry, .argument = pair, .link = &pair.link });
    }
};

test "a new context starts with an aligned stack and its argument" {
    const Body = struct {
        fn run(argument: *anyopaque) callconv(.c) noreturn {
            const pair: *Pair = @ptrCast(@alignCast(argument));
            // Vector code faults here when the stack is not aligned.
            var probe: @Vector(4, u32) align(stack_alignment) = @splat(7);
            std.mem.doNotOptimizeAway(&probe);
            if (@intFromPtr(&probe) % stack_alignment == 0) pair.rounds = @reduce(.Add, probe);
            while (true) switchContext(&pair.inside, &pair.outside);
        }
    };
    var pair: Pair = .{};
    pair.init(Body.run);
    switchContext(&pair.outside, &pair.inside);
    try std.testing.expectEqual(28, pair.rounds);
}

test "switching back and forth goes on where it was" {
    if (sanitizer.underValgrind()) return error.SkipZigTest; // nobody tells it of this stack, which lies within another
    const Body = struct {
        fn run(argument: *anyopaque) callconv(.c) noreturn {
            const pair: *Pair = @ptrCast(@alignCast(argument));
            while (true) {
                pair.rounds += 1;
                switchContext(&pair.inside, &pair.outside);
            }
        }
    };
    var pair: Pair = .{};
    pair.init(Body.run);
    for (1..1001) |n| {
        switchContext(&pair.outside, &pair.inside);
        try std.testing.expectEqual(n, pair.rounds);
    }
}
