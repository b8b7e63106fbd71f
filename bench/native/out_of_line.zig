//! The classic way to switch, as a peer: a function that pushes what its caller expects to find again, swaps the stack
//! pointers and returns. And the least that makes coroutines of it: `Coroutine` has no name, no checks and no guard.

const std = @import("std");
const builtin = @import("builtin");

/// Whether the classic switch is written for the machine.
pub const supported = switch (builtin.cpu.arch) {
    .x86_64 => builtin.os.tag != .windows,
    .aarch64, .riscv64 => true,
    else => false,
};
pub const why_not = "no peer out of line: that switch is not written for this machine";

pub const stack_alignment = 16;

/// Words that `swap` pushes, the return address included.
const saved_words = switch (builtin.cpu.arch) {
    .x86_64 => 7,
    .aarch64 => 20,
    .riscv64 => 26,
    else => 0,
};

/// Which of them is the return address.
const return_word = switch (builtin.cpu.arch) {
    .x86_64 => 6,
    .aarch64 => 19,
    else => 0,
};

/// A side that does not run.
pub const Context = extern struct {
    sp: usize,

    /// The first `swap` to it calls `entry` at the top of `stack`.
    pub fn init(stack: []align(stack_alignment) u8, entry: *const fn () callconv(.c) noreturn) Context {
        const words: []usize = @ptrCast(stack[0 .. stack.len / 16 * 16]);
        // A function begins where a call has just pushed a word (x86_64), or aligned (elsewhere).
        const top = words.len - if (builtin.cpu.arch == .x86_64) 1 else 0;
        const saved = words[top - saved_words .. top];
        @memset(saved, 0);
        saved[return_word] = @intFromPtr(entry);
        return .{ .sp = @intFromPtr(saved.ptr) };
    }
};

/// Saves where we are into the first and goes on at the second.
pub const swap: *const fn (*Context, *const Context) callconv(.c) void = @ptrCast(&swapNaked);

fn swapNaked() callconv(.naked) void {
    asm volatile (routine ::: .{ .memory = true });
}

const routine = switch (builtin.cpu.arch) {
    .x86_64 =>
    \\ pushq %%rbp
    \\ pushq %%rbx
    \\ pushq %%r12
    \\ pushq %%r13
    \\ pushq %%r14
    \\ pushq %%r15
    \\ movq %%rsp, (%%rdi)
    \\ movq (%%rsi), %%rsp
    \\ popq %%r15
    \\ popq %%r14
    \\ popq %%r13
    \\ popq %%r12
    \\ popq %%rbx
    \\ popq %%rbp
    \\ retq
    ,
    .aarch64 =>
    \\ sub sp, sp, #160
    \\ stp d8, d9, [sp, #0]
    \\ stp d10, d11, [sp, #16]
    \\ stp d12, d13, [sp, #32]
    \\ stp d14, d15, [sp, #48]
    \\ stp x19, x20, [sp, #64]
    \\ stp x21, x22, [sp, #80]
    \\ stp x23, x24, [sp, #96]
    \\ stp x25, x26, [sp, #112]
    \\ stp x27, x28, [sp, #128]
    \\ stp x29, x30, [sp, #144]
    \\ mov x9, sp
    \\ str x9, [x0]
    \\ ldr x9, [x1]
    \\ mov sp, x9
    \\ ldp d8, d9, [sp, #0]
    \\ ldp d10, d11, [sp, #16]
    \\ ldp d12, d13, [sp, #32]
    \\ ldp d14, d15, [sp, #48]
    \\ ldp x19, x20, [sp, #64]
    \\ ldp x21, x22, [sp, #80]
    \\ ldp x23, x24, [sp, #96]
    \\ ldp x25, x26, [sp, #112]
    \\ ldp x27, x28, [sp, #128]
    \\ ldp x29, x30, [sp, #144]
    \\ add sp, sp, #160
    \\ ret
    ,
    .riscv64 => riscv64,
    else => "",
};

const riscv64 = blk: {
    const integers = [_][]const u8{ "ra", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11" };
    const floats = [_][]const u8{ "fs0", "fs1", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11" };
    var save: []const u8 = " addi sp, sp, -208\n";
    var load: []const u8 = " sd sp, 0(a0)\n ld sp, 0(a1)\n";
    for (integers, 0..) |register, i| {
        save = save ++ std.fmt.comptimePrint(" sd {s}, {d}(sp)\n", .{ register, 8 * i });
        load = load ++ std.fmt.comptimePrint(" ld {s}, {d}(sp)\n", .{ register, 8 * i });
    }
    for (floats, integers.len..) |register, i| {
        save = save ++ std.fmt.comptimePrint(" fsd {s}, {d}(sp)\n", .{ register, 8 * i });
        load = load ++ std.fmt.comptimePrint(" fld {s}, {d}(sp)\n", .{ register, 8 * i });
    }
    break :blk save ++ load ++ " addi sp, sp, 208\n ret\n";
};

/// Lies at the top of its own stack.
pub const Coroutine = struct {
    context: Context,
    resumer: *Coroutine,
    body: *const fn () void,
    finished: bool = false,

    threadlocal var root: Coroutine = undefined;
    threadlocal var current: ?*Coroutine = null;

    pub fn init(memory: []align(stack_alignment) u8, body: *const fn () void) *Coroutine {
        const room = std.mem.alignForward(usize, @sizeOf(Coroutine), stack_alignment);
        const co: *Coroutine = @ptrCast(@alignCast(memory[memory.len / 16 * 16 - room ..]));
        co.* = .{ .context = .init(memory[0 .. memory.len / 16 * 16 - room], start), .resumer = undefined, .body = body };
        return co;
    }

    pub fn running() *Coroutine {
        return current orelse &root;
    }

    pub fn @"resume"(co: *Coroutine) void {
        const from = running();
        co.resumer = from;
        current = co;
        swap(&from.context, &co.context);
    }

    /// For the running coroutine, never the root.
    pub fn @"suspend"(co: *Coroutine) void {
        current = co.resumer;
        swap(&co.context, &co.resumer.context);
    }

    fn start() callconv(.c) noreturn {
        const co = running();
        co.body();
        co.finished = true;
        co.@"suspend"();
        unreachable; // it is not resumed again
    }
};
