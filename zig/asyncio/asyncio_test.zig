//! Tests of asyncio as a whole, on each backend: sleeping, running, the executor and its loop, misuse. Each kind of watcher has its own.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const backend = @import("backend.zig");
const child_process = @import("../child.zig");
const clock = @import("../clock.zig");
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const sanitizer = @import("../sanitizer.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const ms = std.time.ns_per_ms;

test {
    _ = @import("errno.zig");
    _ = @import("tcp_test.zig");
    _ = @import("cancel_test.zig");
    _ = @import("udp_test.zig");
    _ = @import("signal_test.zig");
    if (builtin.os.tag != .linux) return;
    _ = @import("file_test.zig");
    _ = @import("random_test.zig");
}

test "all of it compiles" {
    @setEvalBranchQuota(10_000);
    inline for (fixture.faces) |face| {
        const aio = libcoro.Asyncio(face);
        inline for (.{ aio, aio.Executor, aio.File, aio.AsyncNotification }) |T| testing.refAllDecls(T);
        inline for (.{ aio.TCP, aio.UDP }) |T| inline for (@typeInfo(T).@"struct".decls) |decl| {
            const waits = comptime std.mem.endsWith(u8, decl.name, "able");
            if (!waits or comptime backend.canPoll(face)) _ = &@field(T, decl.name);
        };
        if (builtin.os.tag != .windows) testing.refAllDecls(aio.Process);
    }
}

/// Bodies of coroutines that sleep.
fn Sleeping(comptime aio: type) type {
    return struct {
        fn once(exec: ?*aio.Executor, for_ms: u64) !u64 {
            try aio.sleep(exec, for_ms);
            try testing.expect(libcoro.remainingStackSize() > 1024 * 2);
            return clock.now();
        }

        fn two(exec: ?*aio.Executor) !void {
            const slow = try aio.xasync(once, .{ exec, 20 }, null);
            defer slow.deinit();
            const fast = try aio.xasync(once, .{ exec, 10 }, null);
            defer fast.deinit();
            const at_fast = try aio.xawait(fast);
            const at_slow = try aio.xawait(slow);
            try testing.expect(at_slow > at_fast);
        }

        const Count = struct { slow: u32 = 0, fast: u32 = 0 };

        fn often(count: *Count, times: *u32, of_ms: u64) !void {
            for (0..10) |i| {
                try aio.sleep(null, of_ms);
                times.* += 1;
                // Whoever sleeps twice as long has not overtaken.
                if (times == &count.slow) try testing.expect(count.fast > i);
            }
        }

        fn timers() !void {
            var count: Count = .{};
            const fast = try aio.xasync(often, .{ &count, &count.fast, 2 }, 32 * 1024);
            defer fast.deinit();
            const slow = try aio.xasync(often, .{ &count, &count.slow, 4 }, 32 * 1024);
            defer slow.deinit();
            try aio.xawait(fast);
            try aio.xawait(slow);
            try testing.expectEqual(Count{ .slow = 10, .fast = 10 }, count);
        }
    };
}

test "sleep, on the thread's own stack and in coroutines, with the Env's executor and a given one, is never early" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            const S = Sleeping(aio);
            var start = clock.now();
            try aio.sleep(&world.exec, 10);
            try aio.sleep(null, 10);
            try testing.expect(clock.now() - start >= 20 * ms);
            inline for (.{ &world.exec, null }) |exec| {
                start = clock.now();
                const end = try aio.run(exec, S.once, .{ exec, 10 }, null);
                try testing.expect(end - start >= 10 * ms);
                start = clock.now();
                try aio.run(exec, S.two, .{exec}, null);
                try testing.expect(clock.now() - start >= 20 * ms);
            }
            try aio.run(null, S.timers, .{}, null);
        }
    }.body);
}

test "a sleep of nothing and one beyond all time" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            try aio.sleep(null, 0);
            const S = Sleeping(aio);
            const long = try xasync(S.once, .{ null, std.math.maxInt(u64) }, null);
            try fixture.waitBriefly(aio);
            try testing.expectEqual(.suspended, long.status());
            try testing.expectError(error.Cancelled, libcoro.xcancel(long));
            long.deinit();
        }
    }.body);
}

test "a stack of one's own" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            const stack = try libcoro.stackAlloc(testing.allocator, 64 * 1024);
            defer testing.allocator.free(stack);
            _ = try aio.run(&world.exec, Sleeping(aio).once, .{ null, 1 }, stack);
            aio.initEnv(.{ .executor = &world.exec, .stack_allocator = testing.allocator, .default_stack_size = 64 * 1024 });
            try aio.run(null, Sleeping(aio).two, .{null}, null);
        }
    }.body);
}

test "an executor that is given needs no Env, and two take turns on a thread" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            libcoro.initEnv(.{ .pool = &world.pool, .default_stack_size = 64 * 1024 });
            try aio.sleep(&world.exec, 1);
            var loop = try aio.xev.Loop.init(.{});
            defer loop.deinit();
            var other: aio.Executor = .init(&loop);
            defer other.deinit();
            const S = Sleeping(aio);
            for (0..2) |_| {
                try aio.run(&world.exec, S.two, .{&world.exec}, null);
                try aio.run(&other, S.two, .{null}, null);
                try aio.sleep(&other, 1);
            }
            try testing.expectEqual(null, libcoro.getEnv().executor);
        }
    }.body);
}

test "ten thousand sleeps at once" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn run(order: u64, woken: *u64) !void {
                    try aio.sleep(null, 5 + order % 10);
                    woken.* += 1;
                }
            };
            var woken: u64 = 0;
            var group: libcoro.Group = .init;
            defer group.deinit();
            const count = sanitizer.bearable(10_000);
            for (0..count) |i| try group.spawn(Body.run, .{ i, &woken }, .{ .stack = 16 * 1024 });
            try group.wait();
            try testing.expectEqual(count, woken);
        }
    }.body);
}

test "channels and sleeps" {
    const Ch = libcoro.Channel(usize, .{ .capacity = 10 });
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn send(channel: *Ch, count: usize) !void {
                    defer channel.close();
                    for (0..count) |i| {
                        try channel.send(i);
                        try aio.sleep(null, 1);
                    }
                }
                fn receive(channel: *Ch) usize {
                    var sum: usize = 0;
                    while (channel.recv()) |value| sum += value;
                    return sum;
                }
                fn main() !usize {
                    var channel: Ch = .init(null);
                    defer channel.deinit();
                    const sender = try xasync(send, .{ &channel, 6 }, null);
                    defer sender.deinit();
                    const receiver = try xasync(receive, .{&channel}, null);
                    defer receiver.deinit();
                    try xawait(sender);
                    return xawait(receiver);
                }
            };
            try testing.expectEqual(15, try aio.run(null, Body.main, .{}, null));
        }
    }.body);
}

test "ready work does not wait behind a tick that waits" {
    const Ch = libcoro.Channel(u32, .{ .capacity = 1 });
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn read(end: aio.TCP) !void {
                    var byte: [1]u8 = undefined;
                    _ = try end.read(.{ .slice = &byte });
                }
                fn send(channel: *Ch) !void {
                    for (0..1000) |i| try channel.send(@intCast(i));
                    channel.close();
                }
                fn receive(channel: *Ch) !void {
                    while (channel.recv()) |_| {}
                }
            };
            const ends = try fixture.connected(aio);
            const reader = try xasync(Body.read, .{ends[0]}, null);
            var channel: Ch = .init(null);
            const sender = try xasync(Body.send, .{&channel}, null);
            const receiver = try xasync(Body.receive, .{&channel}, null);
            // Nothing ever comes for the reader: a tick that waited for it would never end.
            try xawait(receiver);
            try xawait(sender);
            if (builtin.os.tag != .windows) {
                // What ends as it is started is ready at once, too.
                const nobody = try fixture.Listener(aio).init(null);
                try nobody.tcp.close();
                const lost: aio.TCP = .init(null, try aio.xev.TCP.init(fixture.loopback));
                try testing.expectError(error.ConnectionRefused, lost.connect(nobody.address));
                try lost.close();
            }
            try testing.expectError(error.Cancelled, libcoro.xcancel(reader));
            reader.deinit();
            sender.deinit();
            receiver.deinit();
            channel.deinit();
            for (ends) |end| try end.close();
        }
    }.body);
}

test "the loop's other users get their callbacks, and are waited for" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            const xev = aio.xev;
            const Other = struct {
                fn rang(event: ?*libcoro.Event, _: *xev.Loop, _: *xev.Completion, result: xev.Timer.RunError!void) xev.CallbackAction {
                    result catch unreachable;
                    event.?.set();
                    return .disarm;
                }
            };
            var event: libcoro.Event = .init;
            const timer = try xev.Timer.init();
            var completion: xev.Completion = .{};
            timer.run(&world.loop, &completion, 5, libcoro.Event, &event, Other.rang);
            try event.wait();
        }
    }.body);
}

fn Misuse(comptime aio: type) type {
    return struct {
        var world: World(aio) = undefined;

        fn asleep() anyerror!void {
            try world.setUp();
            // A timer that nobody waits for any more is no hope.
            const sleeper = try xasync(Sleeping(aio).once, .{ null, 1 << 40 }, null);
            try fixture.waitBriefly(aio);
            _ = libcoro.xcancel(sleeper) catch {};
            const waiter = try xasync(waitOnEvent, .{}, null);
            waiter.frame().setName("sleepyhead");
            try xawait(waiter);
        }

        fn waitOnEvent() !void {
            var event: libcoro.Event = .init;
            event.name = "dawn";
            try event.wait();
        }

        fn noLoop() anyerror!void {
            libcoro.initEnv(.{});
            try aio.sleep(null, 1);
        }

        fn moved() anyerror!void {
            try world.setUp();
            var copy = world.exec;
            try aio.sleep(&copy, 1);
        }

        fn otherExecutor() anyerror!void {
            try world.setUp();
            var other: aio.Executor = .init(&world.loop);
            const frame = try xasync(Sleeping(aio).once, .{ &other, 1 }, null);
            _ = try xawait(frame);
        }

        fn stopped() anyerror!void {
            try world.setUp();
            world.loop.stop();
            try aio.sleep(null, 1);
        }

        fn nested() anyerror!void {
            try world.setUp();
            const timer = try aio.xev.Timer.init();
            var completion: aio.xev.Completion = .{};
            timer.run(&world.loop, &completion, 1, void, null, struct {
                fn rang(_: ?*void, _: *aio.xev.Loop, _: *aio.xev.Completion, _: aio.xev.Timer.RunError!void) aio.xev.CallbackAction {
                    aio.sleep(null, 1) catch {};
                    return .disarm;
                }
            }.rang);
            try aio.sleep(null, 100);
        }

        fn destroyed() anyerror!void {
            try world.setUp();
            const ends = try fixture.connected(aio);
            const frame = try xasync(read, .{ends[0]}, null);
            frame.frame().setName("victim");
            frame.deinit();
        }

        fn read(end: aio.TCP) !void {
            var byte: [1]u8 = undefined;
            _ = try end.read(.{ .slice = &byte });
        }

        fn incomplete() anyerror!void {
            try world.setUp();
            const ends = try fixture.connected(aio);
            const frame = try xasync(read, .{ends[0]}, null);
            frame.frame().setName("worker 3");
            world.exec.deinit();
        }
    };
}

test "misuse ends the process, or is reported, by name" {
    if (builtin.os.tag != .linux or sanitizer.isSlow()) return error.SkipZigTest; // a trace each
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            if (aio.xev.dynamic) return; // it is one of the others
            const M = Misuse(aio);
            const expectations = .{
                .{ M.asleep, "zigcoro: all coroutines are asleep\n    \"root\" waits for the end of \"sleepyhead\"\n    \"sleepyhead\" waits for event \"dawn\"\n" },
                .{ M.noLoop, "\"root\" has no event loop: pass an asyncio.Executor, or set one with asyncio.initEnv" },
                .{ M.moved, "\"root\" uses an asyncio.Executor that was moved or copied after its first use" },
                .{ M.otherExecutor, "\"once\" cannot use this asyncio.Executor: it runs on another" },
                .{ M.stopped, "the event loop cannot go on (LoopStopped), and \"root\" waits" },
                .{ M.nested, "the event loop cannot go on (NestedRunsNotAllowed), and \"root\" waits" },
            };
            inline for (expectations) |expected| try expectEnd(expected[0], .ABRT, expected[1]);
            // On epoll nothing but the library itself holds an operation, so one can be taken back on the spot.
            const is_epoll = @as(libcoro.xev.Backend, @enumFromInt(@intFromEnum(aio.xev.backend))) == .epoll;
            if (is_epoll) try expectEnd(M.destroyed, null, "") else try expectEnd(M.destroyed, .ABRT, "cannot destroy coroutine \"victim\": the kernel has not finished what it waits for");
            try expectEnd(M.incomplete, null, "zigcoro: incomplete coroutines, 1\n    \"worker 3\" waits to read from a socket\n");
        }
    }.body);
}

fn expectEnd(comptime func: fn () anyerror!void, signal: ?std.posix.SIG, text: []const u8) !void {
    var buffer: [2048]u8 = undefined;
    const ended = try child_process.run(func, &buffer);
    errdefer std.debug.print("got {f}\n", .{ended});
    try testing.expectEqual(signal, ended.signal);
    if (signal == null) try testing.expectEqual(0, ended.code);
    try testing.expect(std.mem.find(u8, ended.err, text) != null);
}
