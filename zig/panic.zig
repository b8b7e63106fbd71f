//! A panic handler for programs with coroutines. A coroutine's stack has no room to print a trace from; this one prints from the
//! thread's own stack, and the trace shows the coroutine's frames and then its resumer's. In the program's root file:
//!
//!     pub const panic = libcoro.panic;
//!
//! Where the machine's switch has no `callOnStack` it is Zig's own handler.

const std = @import("std");
const builtin = @import("builtin");
const arch = @import("arch.zig");
const coro = @import("coro.zig");
const stacks = @import("stack.zig");

pub const panic = std.debug.FullPanic(call);

const Call = struct {
    message: []const u8,
    first_address: usize,

    fn run(argument: *anyopaque) callconv(.c) noreturn {
        const c: *Call = @ptrCast(@alignCast(argument));
        std.debug.defaultPanic(c.message, c.first_address);
    }
};

fn call(message: []const u8, first_address: ?usize) noreturn {
    @branchHint(.cold);
    var c: Call = .{ .message = message, .first_address = first_address orelse @returnAddress() };
    if (arch.can_call_on_stack and coro.inCoro()) {
        // What lies below the stack pointer may still be in use: the red zone.
        const top = std.mem.alignBackward(usize, coro.Thread.get().root.context.sp - 256, arch.stack_alignment);
        arch.callOnStack(top, Call.run, &c);
    }
    Call.run(&c);
}

const child_process = @import("child.zig");
const testing = std.testing;

const Scene = struct {
    fn panics() anyerror!void {
        var pool: stacks.Pool = .{};
        const outer: *coro.Coro = try .init(&pool, 16 * 1024, outside, &pool, "outer");
        outer.@"resume"();
    }

    fn outside(co: *coro.Coro) void {
        const inner = coro.Coro.init(co.getStorage(stacks.Pool), 4096, inside, null, "inner") catch return;
        resumes(inner);
    }

    noinline fn resumes(inner: *coro.Coro) void {
        inner.@"resume"();
        std.mem.doNotOptimizeAway(inner);
    }

    fn inside(_: *coro.Coro) void {
        panic.call("on purpose", null);
    }

    fn panicsOnRoot() anyerror!void {
        panic.call("on purpose", null);
    }
};

test "a panic in a coroutine with a small stack prints its whole trace" {
    if (!arch.can_call_on_stack) return error.SkipZigTest;
    const buffer = try testing.allocator.alloc(u8, 64 * 1024);
    defer testing.allocator.free(buffer);
    inline for (.{ Scene.panics, Scene.panicsOnRoot }) |func| {
        const ended = try child_process.run(func, buffer);
        errdefer std.debug.print("got {f}\n", .{ended});
        try testing.expectEqual(.ABRT, ended.signal);
        try testing.expect(std.mem.find(u8, ended.err, "panic: on purpose") != null);
        if (builtin.mode == .Debug and func == Scene.panics and arch.std_can_unwind) {
            var from: usize = 0;
            for ([_][]const u8{ " in inside (", " in outside (" }) |name| {
                from = std.mem.findPos(u8, ended.err, from, name) orelse return error.NotInTrace;
            }
        }
    }
}
