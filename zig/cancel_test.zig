//! Tests of cancel.zig on a clock that the tests move: requests, what is deferred, time limits.

const std = @import("std");
const testing = std.testing;
const wait = @import("wait.zig");
const libcoro = @import("libcoro.zig");
const Event = libcoro.Event;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const xframe = libcoro.xframe;
const World = @import("wait_test.zig").World;
const sleepFor = @import("wait_test.zig").sleepFor;

test "a cancel ends a wait with an error, once, and nothing of what was waited for happens" {
    const Body = struct {
        event: Event = .init,
        channel: libcoro.Channel(u32, .{ .capacity = 0 }) = .init(null),
        semaphore: libcoro.Semaphore = .init(0),

        fn onEvent(self: *@This()) !void {
            return self.event.wait();
        }
        fn onSend(self: *@This()) !void {
            return self.channel.send(1);
        }
        fn onRecv(self: *@This()) !void {
            _ = try self.channel.recvSafe();
        }
        fn onPermit(self: *@This()) !void {
            return self.semaphore.acquire();
        }
        fn onSleep(_: *@This()) !void {
            return libcoro.sleep(1000);
        }
        fn onSuspend(_: *@This()) !void {
            return libcoro.xsuspendSafe();
        }
        fn onJoin(self: *@This()) !void {
            const frame = try xasync(onEvent, .{self}, null);
            defer frame.deinit();
            return libcoro.xawaitSafe(frame) catch |err| {
                self.event.set();
                return err;
            };
        }
    };
    var world: World = .{};
    world.setUp();
    var self: Body = .{};
    inline for (.{ Body.onEvent, Body.onSend, Body.onRecv, Body.onPermit, Body.onSleep, Body.onSuspend }) |func| {
        const frame = try xasync(func, .{&self}, null);
        try testing.expectEqual(.suspended, frame.status());
        libcoro.requestCancel(frame);
        libcoro.requestCancel(frame);
        try testing.expect(libcoro.isCancelled(frame));
        try testing.expectError(error.Cancelled, xawait(frame));
        frame.deinit();
        try testing.expect(self.event.waiters.isEmpty() and self.channel.senders.isEmpty() and self.channel.receivers.isEmpty());
        try testing.expect(self.semaphore.waiters.isEmpty());
    }
    try world.tearDown();
}

test "a cancel that comes before a wait is kept for it; afterwards the coroutine can wait again" {
    const Body = struct {
        fn run(log: *std.ArrayList(u8)) !void {
            libcoro.requestCancel(xframe());
            defer {
                libcoro.sleep(5) catch log.appendAssumeCapacity('x');
                log.appendAssumeCapacity('c');
            }
            // What can be done at once is done.
            var event: Event = .{ .is_set = true };
            try event.wait();
            log.appendAssumeCapacity('a');
            try libcoro.sleep(10);
            log.appendAssumeCapacity('b');
        }
    };
    var world: World = .{};
    world.setUp();
    var buffer: [8]u8 = undefined;
    var log: std.ArrayList(u8) = .initBuffer(&buffer);
    const frame = try xasync(Body.run, .{&log}, null);
    try testing.expectError(error.Cancelled, xawait(frame));
    try testing.expectEqualStrings("ac", log.items);
    frame.deinit();
    try world.tearDown();
}

test "xcancel gives a result that came all the same; shield defers a cancel" {
    const Body = struct {
        fn stubborn() !u32 {
            libcoro.sleep(10) catch {};
            try libcoro.sleep(10);
            return 7;
        }
        fn shielded(got: *bool) !void {
            try libcoro.shield(libcoro.sleep, .{10});
            got.* = true;
            try libcoro.sleep(10);
        }
    };
    var world: World = .{};
    world.setUp();
    const stubborn = try xasync(Body.stubborn, .{}, null);
    try testing.expectEqual(7, try libcoro.xcancel(stubborn));
    stubborn.deinit();
    var got = false;
    const shielded = try xasync(Body.shielded, .{&got}, null);
    try testing.expectError(error.Cancelled, libcoro.xcancel(shielded));
    try testing.expect(got);
    shielded.deinit();
    try world.tearDown();
}

test "time limits end what they limit, nest, and leave alone what is in time" {
    const Body = struct {
        fn nested(inner: u64) !u64 {
            return libcoro.withTimeout(inner, sleepFor, .{100});
        }
        fn swallows() error{Timeout}!u64 {
            _ = libcoro.withTimeout(10, sleepFor, .{100}) catch return 1;
            return 2;
        }
        fn ignores() u32 {
            libcoro.sleep(100) catch {};
            return 3;
        }
        fn cleansUp() !void {
            defer libcoro.sleep(50) catch unreachable;
            return libcoro.sleep(100);
        }
    };
    var world: World = .{};
    world.setUp();
    const start = World.now;
    try testing.expectEqual(5, try libcoro.withTimeout(10, sleepFor, .{5}));
    try testing.expectError(error.Timeout, libcoro.withTimeout(10, sleepFor, .{100}));
    try testing.expectEqual(15 * std.time.ns_per_ms, World.now - start);
    // The inner limit is told by the inner, the outer by the outer, whichever is first; of two at once the outer.
    try testing.expectError(error.Timeout, libcoro.withTimeout(50, Body.nested, .{10}));
    try testing.expectError(error.Timeout, libcoro.withTimeout(10, Body.nested, .{50}));
    try testing.expectError(error.Timeout, libcoro.withTimeout(10, Body.nested, .{10}));
    try testing.expectEqual(1, try libcoro.withTimeout(50, Body.swallows, .{}));
    try testing.expectEqual(3, try libcoro.withTimeout(10, Body.ignores, .{}));
    try testing.expectError(error.Timeout, libcoro.withTimeout(10, Body.cleansUp, .{}));
    try world.tearDown();
}

test "a cancel of the coroutine inside a time limit is no timeout" {
    const Body = struct {
        fn run(seen: *anyerror) !void {
            libcoro.withTimeout(100, libcoro.sleep, .{1000}) catch |err| {
                seen.* = err;
                return err;
            };
        }
    };
    var world: World = .{};
    world.setUp();
    var seen: anyerror = error.None;
    const frame = try xasync(Body.run, .{&seen}, null);
    try testing.expectError(error.Cancelled, libcoro.xcancel(frame));
    try testing.expectEqual(error.Cancelled, seen);
    frame.deinit();
    try world.tearDown();
}
