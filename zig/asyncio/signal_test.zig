//! Tests of what tells a coroutine that something has happened elsewhere, on each backend: processes and notifications.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const linux = std.os.linux;
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;

/// A child that ends when it is told to, with an exit code or by a signal.
fn Child(comptime aio: type) type {
    return struct {
        p: aio.Process,
        pipe: i32,

        const How = union(enum) { exit: u8, signal: std.posix.SIG };

        fn start(how: How) !@This() {
            var pipe: [2]i32 = undefined;
            try testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&pipe, .{ .CLOEXEC = true })));
            const pid: isize = if (builtin.link_libc) std.c.fork() else @bitCast(linux.fork());
            try testing.expect(pid >= 0);
            if (pid == 0) {
                _ = linux.close(pipe[1]);
                var byte: [1]u8 = undefined;
                _ = linux.read(pipe[0], &byte, 1);
                switch (how) {
                    .exit => |code| linux.exit_group(code),
                    .signal => |signal| while (true) {
                        _ = linux.kill(linux.getpid(), signal);
                    },
                }
            }
            _ = linux.close(pipe[0]);
            return .{ .p = .init(null, try aio.xev.Process.init(@intCast(pid))), .pipe = pipe[1] };
        }

        fn end(child: @This()) void {
            _ = linux.close(child.pipe);
        }
    };
}

test "a process's status: its exit code, or 128 and its signal" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn wait(p: aio.Process) !u32 {
                    return p.wait();
                }
            };
            const C = Child(aio);
            inline for (.{
                .{ C.How{ .exit = 0 }, 0 },
                .{ C.How{ .exit = 9 }, 9 },
                .{ C.How{ .exit = 255 }, 255 },
                .{ C.How{ .signal = .KILL }, 128 + 9 },
                .{ C.How{ .signal = .TERM }, 128 + 15 },
            }) |case| {
                var child = try C.start(case[0]);
                const waiter = try xasync(Body.wait, .{child.p}, null);
                defer waiter.deinit();
                try aio.sleep(null, 1);
                try testing.expectEqual(.suspended, waiter.status());
                child.end();
                try testing.expectEqual(case[1], try xawait(waiter));
                // It can be taken once.
                try testing.expectError(error.InvalidChild, child.p.wait());
                child.p.p.deinit();
            }
        }
    }.body);
}

test "select leaves a process's status to who takes it" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn run(p: aio.Process, event: *libcoro.Event) !u32 {
                    return switch (try libcoro.select(.{ .ended = p.waiting(), .event = event.waiting() })) {
                        .ended => |status| status,
                        .event => 1000,
                    };
                }
            };
            var child = try Child(aio).start(.{ .exit = 3 });
            var event: libcoro.Event = .init;
            const waiter = try xasync(Body.run, .{ child.p, &event }, null);
            try aio.sleep(null, 1);
            // Both in the same tick.
            child.end();
            event.set();
            try testing.expectEqual(1000, try xawait(waiter));
            waiter.deinit();
            event.reset();
            try testing.expectEqual(3, try aio.run(null, Body.run, .{ child.p, &event }, null));
            child.p.p.deinit();
        }
    }.body);
}

fn Notified(comptime aio: type) type {
    return struct {
        fn wait(notification: *aio.AsyncNotification, count: *u32) !void {
            try notification.wait();
            count.* += 1;
        }

        fn notify(notification: *aio.AsyncNotification) void {
            notification.notify() catch unreachable;
        }

        fn sleep(called: *bool) !void {
            try aio.sleep(null, 1);
            called.* = true;
        }

        /// As deep as coroutines go: one that waits for a thread, in it another that sleeps.
        fn recurse(notification: *aio.AsyncNotification) !void {
            var called = false;
            const sleeper = try aio.xasync(sleep, .{&called}, null);
            defer sleeper.deinit();
            const thread = try std.Thread.spawn(.{}, notify, .{notification});
            defer thread.join();
            try notification.wait();
            try libcoro.xawait(sleeper);
            try testing.expect(called);
        }
    };
}

test "a notification wakes from another thread, and is kept until it is waited for" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const N = Notified(aio);
            var notification: aio.AsyncNotification = .init(null, try aio.xev.Async.init());
            defer notification.notif.deinit();
            var count: u32 = 0;
            for (0..3) |_| try notification.notify();
            try N.wait(&notification, &count);
            const waiter = try xasync(N.wait, .{ &notification, &count }, null);
            defer waiter.deinit();
            // The three were one.
            try aio.sleep(null, 1);
            try testing.expectEqual(.suspended, waiter.status());
            const thread = try std.Thread.spawn(.{}, N.notify, .{&notification});
            try xawait(waiter);
            thread.join();
            try testing.expectEqual(2, count);
            for (0..20) |_| try aio.run(null, N.recurse, .{&notification}, null);
        }
    }.body);
}

test "of several that wait for a notification one is woken by each" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const N = Notified(aio);
            var notification: aio.AsyncNotification = .init(null, try aio.xev.Async.init());
            defer notification.notif.deinit();
            var count: u32 = 0;
            var group: libcoro.Group = .init;
            defer group.deinit();
            for (0..3) |_| try group.spawn(N.wait, .{ &notification, &count }, .{});
            for (1..4) |expected| {
                try notification.notify();
                try aio.sleep(null, 2);
                try testing.expectEqual(expected, count);
            }
            try group.wait();
        }
    }.body);
}

test "select leaves a notification to who takes it" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Body = struct {
                fn run(notification: *const aio.AsyncNotification, event: *libcoro.Event) !u32 {
                    return switch (try libcoro.select(.{ .notified = notification.waiting(), .event = event.waiting() })) {
                        .notified => |notified| if (notified) 1 else |err| err,
                        .event => 2,
                    };
                }
            };
            var notification: aio.AsyncNotification = .init(null, try aio.xev.Async.init());
            defer notification.notif.deinit();
            var event: libcoro.Event = .init;
            const waiter = try xasync(Body.run, .{ &notification, &event }, null);
            try aio.sleep(null, 1);
            try notification.notify();
            event.set();
            try testing.expectEqual(2, try xawait(waiter));
            waiter.deinit();
            event.reset();
            try testing.expectEqual(1, try aio.run(null, Body.run, .{ &notification, &event }, null));
        }
    }.body);
}
