//! Tests of coro.zig: the raw and the typed layer, misuse, traces, and random schedules against a model.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const arch = @import("arch.zig");
const sanitizer = @import("sanitizer.zig");
const stacks = @import("stack.zig");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Status = coro.Status;
const Frame = coro.Frame;
const StackT = coro.StackT;
const frame_ = @import("frame.zig");
const CoroT = frame_.CoroT;
const FrameT = frame_.FrameT;
const CreateError = coro.CreateError;
const default_stack_size = coro.default_stack_size;
const stack_alignment = coro.stack_alignment;
const initEnv = coro.initEnv;
const remainingStackSize = frame_.remainingStackSize;
const stackAlloc = frame_.stackAlloc;
const xasync = frame_.xasync;
const xawait = frame_.xawait;
const xframe = coro.xframe;
const xresume = frame_.xresume;
const xsuspend = frame_.xsuspend;
const xsuspendBlock = frame_.xsuspendBlock;
const Executor = @import("executor.zig").Executor;
const testing = std.testing;

/// A pool and an executor as the thread's Env, for the length of a test.
pub const TestEnv = struct {
    pool: stacks.Pool = .{},
    executor: Executor = .init(),

    pub fn setUp(env: *TestEnv) void {
        initEnv(.{ .pool = &env.pool, .executor = &env.executor });
    }

    pub fn tearDown(env: *TestEnv) void {
        assert(env.executor.isEmpty());
        env.pool.deinit();
        initEnv(.{});
    }
};

test "raw: a coroutine runs between resume and suspend, in order" {
    const Body = struct {
        fn run(co: *Coro) void {
            const steps = co.getStorage(std.ArrayList(u8));
            assert(remainingStackSize() > 2048);
            steps.appendAssumeCapacity(2);
            co.@"suspend"();
            steps.appendAssumeCapacity(4);
            xsuspend();
            steps.appendAssumeCapacity(6);
        }
    };
    var pool: stacks.Pool = .{};
    defer pool.deinit();
    var buffer: [8]u8 = undefined;
    var steps: std.ArrayList(u8) = .initBuffer(&buffer);

    steps.appendAssumeCapacity(0);
    const co: *Coro = try .init(&pool, 8192, Body.run, &steps, "steps");
    defer co.deinit();
    steps.appendAssumeCapacity(1);
    try testing.expectEqual(.start, co.status());
    co.@"resume"();
    steps.appendAssumeCapacity(3);
    try testing.expectEqual(.suspended, co.status());
    xresume(co);
    steps.appendAssumeCapacity(5);
    try co.tryResume();
    try testing.expectEqual(.done, co.status());
    try testing.expectEqualSlices(u8, &.{ 0, 1, 2, 3, 4, 5, 6 }, steps.items);
    try testing.expectError(error.ResumeFinished, co.tryResume());
    try testing.expectEqualStrings("steps", co.name());
}

pub fn addTwice(x: *usize) usize {
    x.* += 1;
    xsuspend();
    x.* += 3;
    xsuspend();
    return x.* + 10;
}

test "xasync runs to the first suspend; xawait of what has returned gives the value" {
    const memory = try stackAlloc(testing.allocator, null);
    defer testing.allocator.free(memory);
    var x: usize = 0;
    const frame = try xasync(addTwice, .{&x}, memory);
    defer frame.deinit();
    try testing.expectEqual(1, x);
    xresume(frame);
    try testing.expectEqual(4, x);
    xresume(frame.frame());
    try testing.expectEqual(.done, frame.status());
    try testing.expectEqual(14, xawait(frame));
    try testing.expectEqual(14, FrameT(addTwice, .{}).wrap(frame.frame()).xreturned());
    comptime assert(@TypeOf(frame).ReturnT == usize);
    comptime assert(@TypeOf(frame) == FrameT(addTwice, .{}));
}

test "stacks: from the Env's pool, its allocator, a size, or memory" {
    var x: usize = 0;
    try testing.expectError(error.NoStackSource, xasync(addTwice, .{&x}, null));

    initEnv(.{ .stack_allocator = testing.allocator, .default_stack_size = 20_000 });
    const a = try xasync(addTwice, .{&x}, null);
    try testing.expectEqual(20_000, a.frame().stack.memory.len);
    a.deinit();

    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const b = try xasync(addTwice, .{&x}, 60_000);
    try testing.expectEqual(64 * 1024, b.frame().stack.memory.len);
    b.deinit();
    const size: ?usize = null;
    const c = try xasync(addTwice, .{&x}, size);
    try testing.expect(c.frame().stack.memory.len >= default_stack_size);
    c.deinit();

    var small: [256]u8 align(stack_alignment) = undefined;
    try testing.expectError(error.StackTooSmall, xasync(addTwice, .{&x}, @as(StackT, &small)));
    try testing.expectError(error.StackTooLarge, xasync(addTwice, .{&x}, stacks.max_size + 1));
    env.pool.fault.maps_left = 0;
    try testing.expectError(error.OutOfMemory, xasync(addTwice, .{&x}, 1024 * 1024));
    try testing.expectEqual(0, env.pool.statistics().in_use);
}

fn iterate(start: usize) bool {
    var value = start;
    var step: usize = 0;
    while (value < 10) : (value += step) step = Iter.xyield(value);
    return value == 28;
}
pub const Iter = CoroT(iterate, .{ .YieldT = usize, .InjectT = usize });

test "an iterator: values out and in" {
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const it: Iter = try .init(.{1}, null);
    defer it.deinit();
    try testing.expectEqual(.start, it.status());
    try testing.expectEqual(1, it.xnextStart());
    try testing.expectEqual(4, it.xnext(3));
    try testing.expectEqual(6, it.xnext(2));
    try testing.expect(it.xnextEnd(22));
    try testing.expectEqual(.done, it.status());
    try testing.expect(it.xreturned());
}

test "resuming oneself returns at once" {
    const Body = struct {
        fn run() void {
            xresume(xframe());
        }
    };
    xresume(xframe());
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const frame = try xasync(Body.run, .{}, null);
    defer frame.deinit();
    try testing.expectEqual(.done, frame.status());
}

fn failLater(x: *usize) !usize {
    x.* += 1;
    xsuspend();
    if (x.* > 0) return error.SomethingBad;
    return x.*;
}

test "an error comes out of xawait" {
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var x: usize = 0;
    const frame = try xasync(failLater, .{&x}, null);
    defer frame.deinit();
    xresume(frame);
    try testing.expectError(error.SomethingBad, xawait(frame));
}

test "a suspend block runs on the resumer's stack and may resume" {
    const Body = struct {
        fn block(co: Frame, seen: *Status) void {
            assert(co != xframe());
            seen.* = co.status();
            xresume(co);
        }
        fn run(seen: *Status) void {
            xsuspendBlock(block, .{ xframe(), seen });
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var seen: Status = .start;
    const frame = try xasync(Body.run, .{&seen}, null);
    defer frame.deinit();
    try testing.expectEqual(.suspended, seen);
    try testing.expectEqual(.done, frame.status());
}

test "a generic function takes its argument types from the call" {
    const Body = struct {
        fn sum(values: anytype) usize {
            var total: usize = 0;
            for (values) |value| {
                total += value;
                xsuspend();
            }
            return total;
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const frame = try xasync(Body.sum, .{[_]u8{ 1, 2, 3 }}, null);
    defer frame.deinit();
    while (frame.status() != .done) xresume(frame);
    try testing.expectEqual(6, xawait(frame));
}

fn descend(depth: usize, trace: *std.ArrayList(usize)) CreateError!void {
    assert(xframe().status() == .active);
    trace.appendAssumeCapacity(depth);
    if (depth > 0) {
        const child = try xasync(descend, .{ depth - 1, trace }, null);
        defer child.deinit();
        assert(child.status() == .suspended);
        xsuspend();
        xresume(child);
        assert(child.status() == .done);
    } else xsuspend();
    trace.appendAssumeCapacity(depth);
}

test "resumes nest: each suspends to its own resumer" {
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var buffer: [16]usize = undefined;
    var trace: std.ArrayList(usize) = .initBuffer(&buffer);
    const frame = try xasync(descend, .{ 3, &trace }, null);
    defer frame.deinit();
    try testing.expectEqualSlices(usize, &.{ 3, 2, 1, 0 }, trace.items);
    xresume(frame);
    try testing.expectEqual(.done, frame.status());
    try testing.expectEqualSlices(usize, &.{ 3, 2, 1, 0, 0, 1, 2, 3 }, trace.items);
}

fn recordResult(frame: FrameT(addTwice, .{}), results: *std.ArrayList(usize)) void {
    results.appendAssumeCapacity(xawait(frame));
}

test "several coroutines and the root await one frame; each gets the value" {
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var buffer: [8]usize = undefined;
    var results: std.ArrayList(usize) = .initBuffer(&buffer);
    var x: usize = 0;
    const awaited = try xasync(addTwice, .{&x}, null);
    defer awaited.deinit();
    var awaiters: [5]FrameT(recordResult, .{}) = undefined;
    for (&awaiters) |*awaiter| awaiter.* = try xasync(recordResult, .{ awaited, &results }, null);
    defer for (awaiters) |awaiter| awaiter.deinit();

    // A resume by hand does not end a wait.
    xresume(awaiters[0]);
    try testing.expectEqual(.suspended, awaiters[0].status());

    env.executor.runSoon(awaited.frame());
    try testing.expect(env.executor.tick());
    xresume(awaited);
    try testing.expectEqual(.done, awaited.status());
    try testing.expectEqual(0, results.items.len); // a wake queues, and does not resume
    for (awaiters) |awaiter| xawait(awaiter);
    try testing.expectEqualSlices(usize, &@as([5]usize, @splat(14)), results.items);
    try testing.expectEqual(14, xawait(awaited));
}

test "without an executor an awaiter goes on when it is resumed by hand" {
    var pool: stacks.Pool = .{};
    defer pool.deinit();
    initEnv(.{ .pool = &pool });
    defer initEnv(.{});
    var buffer: [1]usize = undefined;
    var results: std.ArrayList(usize) = .initBuffer(&buffer);
    var x: usize = 0;
    const awaited = try xasync(addTwice, .{&x}, null);
    defer awaited.deinit();
    const awaiter = try xasync(recordResult, .{ awaited, &results }, null);
    defer awaiter.deinit();
    xresume(awaited);
    xresume(awaited);
    try testing.expectEqual(.suspended, awaiter.status());
    xresume(awaiter);
    try testing.expectEqual(.done, awaiter.status());
    try testing.expectEqual(14, results.items[0]);
}

test "a coroutine can be destroyed before it starts, while suspended, while queued, and after" {
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var x: usize = 0;
    const fresh: FrameT(addTwice, .{}) = try .init(.{&x}, null);
    fresh.deinit();
    const suspended = try xasync(addTwice, .{&x}, null);
    suspended.deinit();
    const queued = try xasync(addTwice, .{&x}, null);
    env.executor.runSoon(queued.frame());
    queued.deinit();
    try testing.expect(!env.executor.tick());
    try testing.expectEqual(2, x);
    try testing.expectEqual(0, env.pool.statistics().in_use);
}

test "the remaining stack shrinks with depth, in a coroutine and on the root" {
    const Body = struct {
        noinline fn deeper(shallow: usize) bool {
            var bytes: [1024]u8 = undefined;
            std.mem.doNotOptimizeAway(&bytes);
            return remainingStackSize() <= shallow - bytes.len;
        }
        fn run(size: *usize, shrinks: *bool) void {
            size.* = remainingStackSize();
            shrinks.* = deeper(size.*);
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var size: usize = 0;
    var shrinks = false;
    const frame = try xasync(Body.run, .{ &size, &shrinks }, 64 * 1024);
    defer frame.deinit();
    try testing.expect(size > 56 * 1024 and size < 64 * 1024);
    try testing.expect(shrinks);
    const root = remainingStackSize();
    if (root == 0) return error.SkipZigTest;
    try testing.expect(Body.deeper(root));
}

test "a trace taken inside a coroutine shows its frames and its resumer's" {
    const Trace = struct {
        addresses: [64]usize = undefined,
        len: usize = 0,

        noinline fn innermost(trace: *@This()) void {
            trace.len = std.debug.captureCurrentStackTrace(.{ .allow_unsafe_unwind = true }, &trace.addresses).return_addresses.len;
        }
        fn inside(trace: *@This()) void {
            innermost(trace);
            std.mem.doNotOptimizeAway(trace);
        }
        fn outside(trace: *@This()) !void {
            // Another function resumes it the second time: the trace follows the last.
            const frame = try xasync(suspended, .{trace}, 256 * 1024);
            defer frame.deinit();
            try resumes(frame.frame());
        }
        fn suspended(trace: *@This()) void {
            xsuspend();
            inside(trace);
        }
        /// A function that the switch is inlined in may be told by the switch's name.
        noinline fn resumes(frame: Frame) !void {
            xresume(frame);
        }

        /// Where `name` is in the trace.
        fn find(trace: *const @This(), name: []const u8) !?usize {
            const io = testing.io;
            const info = try std.debug.getSelfDebugInfo();
            // Not the testing allocator: it takes traces itself, and would wait for the lock that is held here.
            var arena: std.heap.ArenaAllocator = .init(std.heap.page_allocator);
            defer arena.deinit();
            for (trace.addresses[0..trace.len], 0..) |address, i| {
                var symbols: std.ArrayList(std.debug.Symbol) = .empty;
                try info.getSymbols(io, arena.allocator(), arena.allocator(), address - 1, true, &symbols);
                for (symbols.items) |symbol| {
                    if (std.mem.endsWith(u8, symbol.name orelse continue, name)) return i;
                }
            }
            return null;
        }
    };
    // Windows unwinds by tables of its own, which end at the coroutine's first frame.
    if (builtin.os.tag == .windows or builtin.mode != .Debug or !arch.std_can_unwind) return error.SkipZigTest;
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var trace: Trace = .{};
    const outer = try xasync(Trace.outside, .{&trace}, 256 * 1024);
    defer outer.deinit();
    try xawait(outer);
    const names = [_][]const u8{ "innermost", "inside", "suspended", "outside" };
    var last: usize = 0;
    for (names) |name| {
        const at = try trace.find(name) orelse return error.NotInTrace;
        try testing.expect(at >= last);
        last = at;
    }
}

test "100,000 coroutines alive at once, each with its own state" {
    const Body = struct {
        fn run(co: *Coro) void {
            var n = @intFromPtr(co.storage);
            while (true) {
                n += 1;
                co.storage = @ptrFromInt(n);
                co.@"suspend"();
            }
        }
    };
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    const all = try testing.allocator.alloc(*Coro, sanitizer.bearable(100_000));
    defer testing.allocator.free(all);
    for (all, 0..) |*co, i| co.* = try .init(&env.pool, default_stack_size, Body.run, @ptrFromInt(i * 16), "one of many");
    defer for (all) |co| co.deinit();
    for (0..3) |_| for (all) |co| co.@"resume"();
    for (all) |co| env.executor.runSoon(co);
    try testing.expect(env.executor.tick());
    for (all, 0..) |co, i| try testing.expectEqual(i * 16 + 4, @intFromPtr(co.storage));
}

test "random schedules agree with a plain model" {
    for (0..200) |n| {
        const seed = testing.random_seed +% n;
        randomSchedule(seed) catch |err| {
            std.debug.print("failing seed: {d}\n", .{seed});
            return err;
        };
    }
}

/// Creates, resumes by hand, queues, ticks and destroys coroutines in random order. The model knows for each how often it
/// is to run before it returns, and how often it has run.
fn randomSchedule(seed: u64) !void {
    const Slot = struct {
        co: ?*Coro = null,
        ran: u32 = 0,
        expected: u32 = 0,
        lifetime: u32 = 0,
        queued: bool = false,

        fn body(co: *Coro) void {
            const slot = co.getStorage(@This());
            // Values on the stack must survive whatever the others do.
            var words: [16]u64 = undefined;
            for (&words, 0..) |*word, i| word.* = @intFromPtr(slot) +% i;
            while (true) {
                slot.ran += 1;
                if (slot.ran == slot.lifetime) break;
                co.@"suspend"();
            }
            for (words, 0..) |word, i| if (word != @intFromPtr(slot) +% i) {
                slot.ran = 0;
            };
        }

        fn status(slot: *const @This()) Status {
            if (slot.expected == 0) return .start;
            return if (slot.expected == slot.lifetime) .done else .suspended;
        }
    };
    var prng: std.Random.DefaultPrng = .init(seed);
    const random = prng.random();
    var env: TestEnv = .{};
    env.setUp();
    defer env.tearDown();
    var slots: [12]Slot = @splat(.{});
    defer for (&slots) |*slot| if (slot.co) |co| co.deinit();

    for (0..200) |_| {
        const slot = &slots[random.uintLessThan(usize, slots.len)];
        if (slot.co) |co| {
            const done = slot.status() == .done;
            switch (random.uintLessThan(u8, 8)) {
                0, 1, 2 => {
                    if (done) {
                        try testing.expectError(error.ResumeFinished, co.tryResume());
                    } else {
                        co.@"resume"();
                        slot.expected += 1;
                        slot.queued = false;
                    }
                },
                3, 4, 5 => if (!done) {
                    env.executor.runSoon(co);
                    slot.queued = true;
                },
                6 => {
                    var any = false;
                    for (&slots) |*other| if (other.queued) {
                        any = true;
                        other.expected += 1;
                        other.queued = false;
                    };
                    try testing.expectEqual(any, env.executor.tick());
                },
                else => {
                    co.deinit();
                    slot.* = .{};
                },
            }
        } else {
            slot.lifetime = 1 + random.uintLessThan(u32, 6);
            slot.co = try .init(&env.pool, random.uintLessThan(usize, 40_000), Slot.body, slot, "random");
        }
        for (&slots) |*each| {
            const co = each.co orelse continue;
            try testing.expectEqual(each.expected, each.ran);
            try testing.expectEqual(each.status(), co.status());
            try testing.expectEqual(each.queued, co.task.queue != null);
        }
    }
}
