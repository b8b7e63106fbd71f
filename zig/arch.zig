//! The switch of the machine we build for. One file under `arch/` per architecture and ABI, each with the same names:
//! `Context`, `Frame`, `initContext`, `switchContext`, `recordOf`, `contextOf`, `stack_alignment`.

const std = @import("std");
const builtin = @import("builtin");
const start = @import("arch/start.zig");

const native = switch (builtin.cpu.arch) {
    .x86_64 => switch (builtin.os.tag) {
        .windows => @import("arch/x86_64_windows.zig"),
        else => @import("arch/x86_64_sysv.zig"),
    },
    .aarch64 => switch (builtin.os.tag) {
        .windows => @compileError("zigcoro: no switch yet for aarch64 Windows"),
        else => @import("arch/aarch64.zig"),
    },
    .riscv64 => @import("arch/riscv64.zig"),
    else => |arch| @compileError("zigcoro: no switch yet for " ++ @tagName(arch)),
};

/// Where a coroutine that is not running goes on.
pub const Context = native.Context;
pub const Entry = start.Entry;
pub const Link = start.Link;
pub const Start = start.Start;
/// Bytes, a power of two: of the top of a stack.
pub const stack_alignment = native.stack_alignment;
/// Bytes that `initContext` uses at the top of a stack.
pub const frame_size = @sizeOf(native.Frame);
pub const initContext = native.initContext;
pub const switchContext = native.switchContext;
pub const recordOf = native.recordOf;
pub const contextOf = native.contextOf;
/// Whether there is a `callOnStack`.
pub const can_call_on_stack = @hasDecl(native, "callOnStack");
pub const callOnStack = native.callOnStack;

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
