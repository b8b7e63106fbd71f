//! Tests of misuse: an error where there is a way to return one, otherwise the end of the process with a message that names the coroutine.

const std = @import("std");
const testing = std.testing;
const child_process = @import("child.zig");
const coro = @import("coro.zig");
const coro_test = @import("coro_test.zig");
const frame_ = @import("frame.zig");
const sanitizer = @import("sanitizer.zig");
const stacks = @import("stack.zig");
const Coro = coro.Coro;
const FrameT = frame_.FrameT;
const ResumeError = coro.ResumeError;
const SuspendError = coro.SuspendError;
const TestEnv = coro_test.TestEnv;
const inCoro = coro.inCoro;
const stackAlloc = frame_.stackAlloc;
const xasync = frame_.xasync;
const xawait = frame_.xawait;
const xframe = coro.xframe;
const xresume = frame_.xresume;
const xresumeSafe = frame_.xresumeSafe;
const xsuspend = frame_.xsuspend;
const xsuspendSafe = frame_.xsuspendSafe;

test "misuse is an error from the safe functions" {
    const Body = struct {
        fn resumeRoot(result: *ResumeError!void) void {
            const me = xframe();
            result.* = xresumeSafe(me.resumer());
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    try testing.expectError(error.SuspendFromRoot, xsuspendSafe());
    var result: ResumeError!void = {};
    const frame = try xasync(Body.resumeRoot, .{&result}, null);
    defer frame.deinit();
    try testing.expectError(error.ResumeActive, result);
    try testing.expectError(error.ResumeFinished, xresumeSafe(frame));
    try testing.expect(!inCoro());
    try testing.expect(xframe().isRoot());
}

test "a lost canary is an error from xsuspendSafe" {
    const Body = struct {
        fn run(result: *SuspendError!void) void {
            const canary: *usize = @ptrCast(xframe().stack.memory.ptr);
            canary.* += 1;
            result.* = xsuspendSafe();
            canary.* -= 1;
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const memory = try stackAlloc(testing.allocator, null);
    defer testing.allocator.free(memory);
    var result: SuspendError!void = {};
    const frame = try xasync(Body.run, .{&result}, memory);
    defer frame.deinit();
    try testing.expectError(error.StackOverflow, result);
    try testing.expectEqual(.done, frame.status());
}

/// Runs `func` in a child process and expects that it panics with `message`.
fn expectPanic(comptime func: fn () anyerror!void, message: []const u8) !void {
    var buffer: [1024]u8 = undefined;
    const ended = try child_process.run(func, &buffer);
    if (ended.signal == .ABRT and std.mem.find(u8, ended.err, message) != null) return;
    std.debug.print("expected a panic with \"{s}\", got {f}\n", .{ message, ended });
    return error.TestUnexpectedResult;
}

test "misuse panics with the coroutine's name, from inside a coroutine too" {
    if (sanitizer.isSlow()) return error.SkipZigTest; // a trace each
    const Misuse = struct {
        var env: TestEnv = .{};

        fn finished() anyerror!void {
            env.setUp();
            const co: *Coro = try .init(&env.pool, 4096, nothing, null, "parser");
            co.@"resume"();
            xresume(co);
        }
        fn finishedFromInside() anyerror!void {
            env.setUp();
            (try Coro.init(&env.pool, 8192, inner, null, "outer")).@"resume"();
        }
        fn inner(_: *Coro) void {
            finished() catch {};
        }
        fn active() anyerror!void {
            env.setUp();
            (try Coro.init(&env.pool, 4096, resumeResumer, null, "outer")).@"resume"();
        }
        fn resumeResumer(co: *Coro) void {
            xresume(co.resumer());
        }
        fn suspendRoot() anyerror!void {
            xsuspend();
        }
        fn destroySelf() anyerror!void {
            env.setUp();
            (try Coro.init(&env.pool, 4096, Coro.deinit, null, "ouroboros")).@"resume"();
        }
        fn overflow() anyerror!void {
            env.setUp();
            const memory = try stacks.Stack.fromAllocator(std.heap.page_allocator, 4096);
            (try Coro.place(memory, breakCanary, null, "pump 17", 0)).@"resume"();
        }
        fn breakCanary(co: *Coro) void {
            co.stack.memory[0] +%= 1;
            co.@"suspend"();
        }
        fn deadlock() anyerror!void {
            env.setUp();
            var x: usize = 0;
            _ = xawait(try xasync(coro_test.addTwice, .{&x}, null));
        }
        fn awaitSelf() anyerror!void {
            env.setUp();
            (try Coro.init(&env.pool, 4096, awaitFrame, null, "narcissus")).@"resume"();
        }
        fn awaitFrame(co: *Coro) void {
            xawait(FrameT(nothing_, .{}){ .co = co });
        }
        fn nothing_() void {}
        fn noValue() anyerror!void {
            env.setUp();
            const it: coro_test.Iter = try .init(.{100}, null);
            _ = it.xnextStart();
        }
        fn noResult() anyerror!void {
            env.setUp();
            const it: coro_test.Iter = try .init(.{1}, null);
            _ = it.xnextStart();
            _ = it.xreturned();
        }
        fn wrongYield() anyerror!void {
            env.setUp();
            (try Coro.init(&env.pool, 4096, yieldElsewhere, null, "stranger")).@"resume"();
        }
        fn yieldElsewhere(_: *Coro) void {
            _ = coro_test.Iter.xyield(1);
        }
        fn nothing(_: *Coro) void {}
    };
    try expectPanic(Misuse.finished, "cannot resume coroutine \"parser\": it has finished");
    try expectPanic(Misuse.finishedFromInside, "cannot resume coroutine \"parser\": it has finished");
    try expectPanic(Misuse.active, "cannot resume coroutine \"root\": it is running");
    try expectPanic(Misuse.suspendRoot, "cannot suspend \"root\": only a coroutine can suspend");
    try expectPanic(Misuse.destroySelf, "cannot destroy coroutine \"ouroboros\": it is running");
    try expectPanic(Misuse.overflow, "coroutine \"pump 17\" overflowed its ");
    try expectPanic(Misuse.deadlock, "all coroutines are asleep, and \"root\" waits");
    try expectPanic(Misuse.awaitSelf, "coroutine \"narcissus\" cannot await itself");
    try expectPanic(Misuse.noValue, "coroutine \"iterate\" has no such value: it has finished");
    try expectPanic(Misuse.noResult, "coroutine \"iterate\" has not returned yet");
    try expectPanic(Misuse.wrongYield, "xyield of another type in coroutine \"stranger\"");
}
