//! Tests of waiting and of what stands on it: channels, groups, mutexes, semaphores, events,
//! awaiting as ready, reports. Time is a number that the test moves.

const std = @import("std");
const testing = std.testing;
const Waiter = @import("waiter.zig").Waiter;
const wait = @import("wait.zig");
const libcoro = @import("libcoro.zig");
const sanitizer = @import("sanitizer.zig");
const child_process = @import("child.zig");
const sleep_ = @import("sleep.zig");
const Executor = libcoro.Executor;
const Event = libcoro.Event;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const xframe = libcoro.xframe;

/// A pool, an executor and a clock as the thread's Env, for the length of a test. When nothing is ready, time moves on to the next
/// sleeper, so a test takes no time.
pub const World = struct {
    pool: libcoro.StackPool = .{},
    executor: Executor = .init(),
    source: Executor.Source = .{ .pollFn = poll },
    sleepers: sleep_.Sleepers = .{ .nowFn = clock, .allocator = testing.allocator },

    pub var now: u64 = 0;

    fn clock() u64 {
        return now;
    }

    fn poll(source: *Executor.Source, may_wait: bool) bool {
        const world: *World = @alignCast(@fieldParentPtr("source", source));
        const earliest = world.sleepers.heap.earliest() orelse return false;
        if (may_wait) now = @max(now, earliest);
        world.sleepers.fire();
        return true;
    }

    pub fn setUp(world: *World) void {
        world.executor.source = &world.source;
        world.executor.sleepers = &world.sleepers;
        libcoro.initEnv(.{ .pool = &world.pool, .executor = &world.executor, .default_stack_size = 64 * 1024 });
    }

    pub fn tearDown(world: *World) !void {
        try testing.expect(world.executor.isEmpty());
        try testing.expectEqual(0, world.sleepers.heap.count());
        var live = libcoro.liveCoroutines();
        try testing.expectEqual(null, live.next());
        world.sleepers.deinit();
        world.pool.deinit();
        libcoro.initEnv(.{});
    }
};

test "a wake before the park is not lost, and one for nothing is not taken for a result" {
    const Op = struct {
        waiter: Waiter = .{ .wakeFn = undefined },
        rounds: *u32,

        pub const Result = u32;
        pub const text = "for rounds";
        pub fn subject(_: *const @This()) []const u8 {
            return "";
        }
        pub fn waiterOf(op: *@This()) *Waiter {
            return &op.waiter;
        }
        pub fn of(w: *Waiter) *@This() {
            return @alignCast(@fieldParentPtr("waiter", w));
        }
        pub fn poll(_: *@This()) ?u32 {
            return null;
        }
        pub fn park(op: *@This()) void {
            op.waiter.arm();
            op.waiter.wake();
        }
        pub fn takeBack(_: *@This()) bool {
            unreachable;
        }
        pub fn result(op: *@This()) ?u32 {
            op.rounds.* += 1;
            return if (op.rounds.* == 3) 7 else null;
        }
        fn body(rounds: *u32) !u32 {
            return wait.perform(@This(){ .rounds = rounds });
        }
    };
    var world: World = .{};
    world.setUp();
    var rounds: u32 = 0;
    const frame = try xasync(Op.body, .{&rounds}, null);
    try testing.expectEqual(7, try xawait(frame));
    try testing.expectEqual(3, rounds);
    frame.deinit();
    try world.tearDown();
}

test "the root waits by ticking, and asks for events when nothing is ready" {
    const Source = struct {
        executor: Executor = .init(),
        source: Executor.Source = .{ .pollFn = poll },
        event: Event = .init,
        asked: u32 = 0,

        fn poll(source: *Executor.Source, may_wait: bool) bool {
            const self: *@This() = @alignCast(@fieldParentPtr("source", source));
            std.debug.assert(may_wait);
            self.asked += 1;
            if (self.asked == 3) self.event.set();
            return true;
        }
    };
    var self: Source = .{};
    self.executor.source = &self.source;
    libcoro.initEnv(.{ .executor = &self.executor });
    defer libcoro.initEnv(.{});
    try self.event.wait();
    try testing.expectEqual(3, self.asked);
}

test "who is always ready does not starve who waits for an event" {
    const Busy = struct {
        fn run(stop: *bool) void {
            while (!stop.*) {
                xframe().executor.?.runSoon(xframe());
                libcoro.xsuspend();
            }
        }
        fn sleeper(stop: *bool) !void {
            try libcoro.sleep(0);
            stop.* = true;
        }
    };
    var world: World = .{};
    world.setUp();
    var stop = false;
    const busy = try xasync(Busy.run, .{&stop}, null);
    const sleeper = try xasync(Busy.sleeper, .{&stop}, null);
    xawait(busy);
    try xawait(sleeper);
    busy.deinit();
    sleeper.deinit();
    try world.tearDown();
}

fn sender(channel: anytype, count: usize) !void {
    defer channel.close();
    for (0..count) |i| try channel.send(i);
}

fn receiver(channel: anytype) usize {
    var sum: usize = 0;
    while (channel.recv()) |value| sum += value;
    return sum;
}

test "channels carry values between coroutines, whatever their capacity" {
    inline for (.{ 0, 1, 6, 100 }) |capacity| {
        var world: World = .{};
        world.setUp();
        var channel: libcoro.Channel(usize, .{ .capacity = capacity }) = .init(null);
        const from = try xasync(sender, .{ &channel, 6 }, null);
        const to = try xasync(receiver, .{&channel}, null);
        while (world.executor.tick()) {}
        try xawait(from);
        try testing.expectEqual(15, xawait(to));
        from.deinit();
        to.deinit();
        channel.deinit();
        try world.tearDown();
    }
}

test "a closed channel: sends fail, buffered values still arrive, everyone who waits is woken" {
    const Ch = libcoro.Channel(u32, .{ .capacity = 1 });
    const Body = struct {
        fn send(channel: *Ch, value: u32) !void {
            return channel.send(value);
        }
    };
    var world: World = .{};
    world.setUp();
    var channel: Ch = .init(null);
    try channel.send(1);
    const a = try xasync(Body.send, .{ &channel, 2 }, null);
    const b = try xasync(Body.send, .{ &channel, 3 }, null);
    channel.close();
    try testing.expectError(error.Closed, xawait(a));
    try testing.expectError(error.Closed, xawait(b));
    try testing.expectError(error.Closed, channel.send(4));
    try testing.expectEqual(1, channel.recv());
    try testing.expectEqual(null, channel.recv());
    a.deinit();
    b.deinit();
    channel.deinit();
    try world.tearDown();
}

pub fn sleepFor(ms: u64) !u64 {
    try libcoro.sleep(ms);
    return ms;
}

test "sleeps end in order of their deadlines; frames are awaited as they become ready" {
    var world: World = .{};
    world.setUp();
    var frames = [_]libcoro.FrameT(sleepFor, .{}){
        try xasync(sleepFor, .{30}, null),
        try xasync(sleepFor, .{10}, null),
        try xasync(sleepFor, .{20}, null),
    };
    var ready = libcoro.xawaitAsReady(&frames);
    const order = [_]usize{ 1, 2, 0 };
    for (order) |index| {
        const done = (try ready.next()).?;
        try testing.expectEqual(index, done.index);
        try testing.expectEqual((try done.value), ([_]u64{ 30, 10, 20 })[index]);
    }
    try testing.expectEqual(null, try ready.next());
    ready.deinit();
    for (frames) |frame| frame.deinit();
    try world.tearDown();
}

test "xawaitAsReady gives up early without a trace, and knows frames that have returned" {
    var world: World = .{};
    world.setUp();
    var frames = [_]libcoro.FrameT(sleepFor, .{}){ try xasync(sleepFor, .{10}, null), try xasync(sleepFor, .{20}, null) };
    _ = try xawait(frames[0]);
    var ready = libcoro.xawaitAsReady(&frames);
    try testing.expectEqual(0, (try ready.next()).?.index);
    ready.deinit();
    _ = try xawait(frames[1]);
    for (frames) |frame| frame.deinit();
    try world.tearDown();
}

test "a group: all are awaited, the first failure cancels the others, no way out leaks a child" {
    const Body = struct {
        fn ok(sum: *u64, ms: u64) !void {
            const slept = try sleepFor(ms); // `sum.* += try ...` would read the sum before it sleeps
            sum.* += slept;
        }
        fn fails(ms: u64) !void {
            try libcoro.sleep(ms);
            return error.Broken;
        }
        fn cleansUp(ended: *u32) !void {
            defer ended.* += 1;
            errdefer libcoro.sleep(5) catch {};
            try libcoro.sleep(1000);
        }
        fn parent(ended: *u32) !void {
            var group: libcoro.Group = .init;
            defer group.deinit();
            for (0..10) |_| try group.spawn(cleansUp, .{ended}, .{});
            try group.wait();
        }
        fn leaver(ended: *u32) !void {
            var group: libcoro.Group = .init;
            defer group.deinit();
            for (0..10) |_| try group.spawn(cleansUp, .{ended}, .{});
            return error.Left;
        }
    };
    var world: World = .{};
    world.setUp();
    var sum: u64 = 0;
    {
        var group: libcoro.Group = .init;
        defer group.deinit();
        for ([_]u64{ 30, 10, 20 }) |ms| try group.spawn(Body.ok, .{ &sum, ms }, .{ .name = "ok" });
        try group.wait();
        try testing.expectEqual(60, sum);
        try testing.expectEqual(0, world.pool.statistics().in_use);
    }
    {
        const start = World.now;
        var ended: u32 = 0;
        var group: libcoro.Group = .init;
        defer group.deinit();
        for (0..10) |_| try group.spawn(Body.cleansUp, .{&ended}, .{});
        try group.spawn(Body.fails, .{10}, .{});
        try testing.expectError(error.Broken, group.wait());
        try testing.expectEqual(10, ended);
        try testing.expectEqual(15 * std.time.ns_per_ms, World.now - start);
        // Later children start cancelled.
        try group.spawn(Body.cleansUp, .{&ended}, .{});
        try testing.expectError(error.Broken, group.wait());
        try testing.expectEqual(11, ended);
    }
    var ended: u32 = 0;
    const parent = try xasync(Body.parent, .{&ended}, null);
    try testing.expectError(error.Cancelled, libcoro.xcancel(parent));
    try testing.expectEqual(10, ended);
    parent.deinit();
    const leaver = try xasync(Body.leaver, .{&ended}, null);
    try testing.expectError(error.Left, xawait(leaver));
    try testing.expectEqual(20, ended);
    leaver.deinit();
    try world.tearDown();
}

test "a mutex is held by one, handed over in order, and knows its holder" {
    const Body = struct {
        fn run(mutex: *libcoro.Mutex, log: *std.ArrayList(u8), letter: u8) !void {
            try mutex.lock();
            defer mutex.unlock();
            try testing.expectError(error.Deadlock, mutex.lock());
            try testing.expect(!mutex.tryLock());
            log.appendAssumeCapacity(letter);
            try libcoro.sleep(1);
            log.appendAssumeCapacity(letter);
        }
    };
    var world: World = .{};
    world.setUp();
    var buffer: [16]u8 = undefined;
    var log: std.ArrayList(u8) = .initBuffer(&buffer);
    var mutex: libcoro.Mutex = .init;
    var frames: [4]libcoro.FrameT(Body.run, .{}) = undefined;
    for (&frames, "abcd") |*frame, letter| frame.* = try xasync(Body.run, .{ &mutex, &log, letter }, null);
    libcoro.requestCancel(frames[2]);
    for (frames) |frame| xawait(frame) catch |err| try testing.expectEqual(error.Cancelled, err);
    try testing.expectEqualStrings("aabbdd", log.items);
    try testing.expect(mutex.tryLock());
    mutex.unlock();
    mutex.deinit();
    for (frames) |frame| frame.deinit();
    try world.tearDown();
}

test "a coroutine that waits can be destroyed where it stands" {
    const Body = struct {
        fn onEvent(event: *Event) !void {
            return event.wait();
        }
        fn onSelect(event: *Event, channel: *libcoro.Channel(u32, .{ .capacity = 0 })) !void {
            _ = try libcoro.select(.{ .event = event.waiting(), .in = channel.receiving(), .out = channel.sending(1), .late = libcoro.after(10) });
        }
    };
    var world: World = .{};
    world.setUp();
    var event: Event = .init;
    var channel: libcoro.Channel(u32, .{ .capacity = 0 }) = .init(null);
    const a = try xasync(Body.onEvent, .{&event}, null);
    const b = try xasync(Body.onSelect, .{ &event, &channel }, null);
    a.deinit();
    b.deinit();
    event.set();
    event.deinit();
    channel.deinit();
    try testing.expectEqual(0, world.pool.statistics().in_use);
    try world.tearDown();
}

test "what others hold of a destroyed coroutine's stack is undone, or the destruction is refused" {
    const Body = struct {
        fn limited(event: *Event) !void {
            return libcoro.withTimeout(10, Event.wait, .{event});
        }
        fn ready(frames: *const [1]libcoro.FrameT(limited, .{})) !void {
            var it = libcoro.xawaitAsReady(frames);
            defer it.deinit();
            _ = try it.next();
        }
    };
    const Misuse = struct {
        var world: World = .{};
        fn parent() void {
            var group: libcoro.Group = .init;
            defer group.deinit();
            group.spawn(sleepFor, .{10}, .{}) catch return;
            group.wait() catch {};
        }
        fn destroysParent() anyerror!void {
            world.setUp();
            (try xasync(parent, .{}, null)).deinit();
        }
    };
    var world: World = .{};
    world.setUp();
    var event: Event = .init;
    const frames = [1]libcoro.FrameT(Body.limited, .{}){try xasync(Body.limited, .{&event}, null)};
    const ready = try xasync(Body.ready, .{&frames}, null);
    ready.deinit();
    frames[0].deinit();
    try world.tearDown();
    var buffer: [1024]u8 = undefined;
    const ended = try child_process.run(Misuse.destroysParent, &buffer);
    try testing.expect(std.mem.find(u8, ended.err, "cannot destroy coroutine \"parent\": a group of its has children") != null);
}

test "memory that runs out is told, and nothing is left behind" {
    const Body = struct {
        fn selects() !void {
            switch (try libcoro.select(.{ .never = libcoro.after(20), .event = event.waiting() })) {
                .never => |slept| try slept,
                .event => {},
            }
        }
        var event: Event = .init;
    };
    var world: World = .{};
    world.setUp();
    var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = 0 });
    world.sleepers.allocator = failing.allocator();
    try testing.expectError(error.OutOfMemory, libcoro.sleep(1));
    try testing.expectError(error.OutOfMemory, libcoro.withTimeout(1, sleepFor, .{1}));
    try testing.expectError(error.OutOfMemory, Body.selects());
    try testing.expect(Body.event.waiters.isEmpty());
    world.sleepers.allocator = testing.allocator;

    world.pool.fault.maps_left = 0;
    var group: libcoro.Group = .init;
    try testing.expectError(error.OutOfMemory, group.spawn(sleepFor, .{1}, .{}));
    try testing.expectError(error.OutOfMemory, xasync(sleepFor, .{1}, null));
    try group.wait();
    group.deinit();
    try testing.expectEqual(0, world.pool.statistics().in_use);
    try testing.expectError(error.StackTooLarge, xasync(sleepFor, .{1}, 1 << 30));
    var small: [128]u8 align(libcoro.stack_alignment) = undefined;
    try testing.expectError(error.StackTooSmall, xasync(sleepFor, .{1}, @as(libcoro.StackT, &small)));
    try world.tearDown();
}

test "callbacks and coroutines share the executor's queue" {
    const Body = struct {
        log: std.ArrayList(u8),
        fn call(userdata: ?*anyopaque) void {
            const self: *@This() = @ptrCast(@alignCast(userdata));
            self.log.appendAssumeCapacity('f');
        }
        fn run(self: *@This()) void {
            libcoro.xsuspend();
            self.log.appendAssumeCapacity('c');
        }
    };
    var world: World = .{};
    world.setUp();
    var buffer: [8]u8 = undefined;
    var self: Body = .{ .log = .initBuffer(&buffer) };
    var func: Executor.Func = .init(Body.call, &self);
    const frame = try xasync(Body.run, .{&self}, null);
    world.executor.runSoon(&func);
    world.executor.runSoon(frame);
    world.executor.runSoon(&func);
    try testing.expect(world.executor.tick());
    world.executor.runSoon(&func);
    try testing.expect(world.executor.tick());
    try testing.expectEqualStrings("fcf", self.log.items);
    frame.deinit();
    try world.tearDown();
}

test "a report says what every coroutine waits for" {
    const Ch = libcoro.Channel(u32, .{ .capacity = 0 });
    const Body = struct {
        fn consume(channel: *Ch) !void {
            _ = channel.recv();
        }
        fn join(frame: libcoro.FrameT(consume, .{})) !void {
            return xawait(frame);
        }
        fn idle() void {
            libcoro.xsuspend();
        }
    };
    var world: World = .{};
    world.setUp();
    var channel: Ch = .init(null);
    channel.name = "jobs";
    const a = try xasync(Body.consume, .{&channel}, null);
    a.frame().setName("worker 3");
    const b = try xasync(Body.join, .{a}, null);
    const c = try xasync(Body.idle, .{}, null);
    var buffer: [512]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&buffer);
    try testing.expectEqual(3, try libcoro.reportIncomplete(&writer));
    try testing.expectEqualStrings(
        \\    "worker 3" waits to receive from channel "jobs"
        \\    "join" waits for the end of "worker 3"
        \\    "idle" is suspended
        \\
    , writer.buffered());
    b.deinit();
    a.deinit();
    c.deinit();
    try world.tearDown();
}

test "a deadlock ends the process with a report" {
    if (sanitizer.isSlow()) return error.SkipZigTest; // a trace
    const Misuse = struct {
        var world: World = .{};
        const Ch = libcoro.Channel(u32, .{ .capacity = 0 });

        fn deadlock() anyerror!void {
            world.setUp();
            var channel: Ch = .init(null);
            channel.name = "jobs";
            const frame = try xasync(consume, .{&channel}, null);
            _ = xawait(frame);
        }
        fn consume(channel: *Ch) void {
            _ = channel.recv();
        }
        fn strangersMutex() anyerror!void {
            world.setUp();
            var mutex: libcoro.Mutex = .init;
            mutex.unlock();
        }
        fn timeless() anyerror!void {
            world.setUp();
            world.executor.sleepers = null;
            try libcoro.sleep(1);
        }
        fn waitInTick() anyerror!void {
            world.setUp();
            const frame = try xasync(suspendBlock, .{}, null);
            world.executor.runSoon(frame);
            _ = world.executor.tick();
        }
        fn suspendBlock() void {
            libcoro.xsuspend();
            libcoro.xsuspendBlock(waitForEver, .{});
        }
        fn waitForEver() void {
            var event: Event = .init;
            event.wait() catch {};
        }
    };
    const expectations = .{
        .{ Misuse.deadlock, "zigcoro: all coroutines are asleep\n    \"root\" waits for the end of \"consume\"\n    \"consume\" waits to receive from channel \"jobs\"\n" },
        .{ Misuse.strangersMutex, "\"root\" cannot unlock a mutex that it has not locked" },
        .{ Misuse.timeless, "\"root\" cannot sleep: its executor knows no time" },
        .{ Misuse.waitInTick, "cannot wait on the thread's own stack inside a tick" },
    };
    inline for (expectations) |expected| {
        var buffer: [1024]u8 = undefined;
        const ended = try child_process.run(expected[0], &buffer);
        errdefer std.debug.print("got {f}\n", .{ended});
        try testing.expectEqual(.ABRT, ended.signal);
        try testing.expect(std.mem.find(u8, ended.err, expected[1]) != null);
    }
}
