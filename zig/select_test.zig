//! Tests of select.zig: one of several is done and nothing of the others, and none is starved.

const std = @import("std");
const testing = std.testing;
const libcoro = @import("libcoro.zig");
const Event = libcoro.Event;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;
const World = @import("wait_test.zig").World;
const sleepFor = @import("wait_test.zig").sleepFor;

test "select does the first that can be done and nothing of the others" {
    const Ch = libcoro.Channel(u32, .{ .capacity = 0 });
    const Body = struct {
        fn run(a: *Ch, b: *Ch, event: *Event) !u32 {
            return switch (try libcoro.select(.{ .a = a.receiving(), .b = b.sending(9), .event = event.waiting(), .late = libcoro.after(50) })) {
                .a => |value| value orelse 1000,
                .b => |sent| if (sent) 2000 else |err| err,
                .event => 3000,
                .late => |slept| if (slept) 4000 else |err| err,
            };
        }
    };
    var world: World = .{};
    world.setUp();
    var a: Ch = .init(null);
    var b: Ch = .init(null);
    var event: Event = .init;
    for (0..6) |round| {
        const frame = try xasync(Body.run, .{ &a, &b, &event }, null);
        const expected: anyerror!u32 = switch (round) {
            0 => expected: {
                try testing.expect(try a.trySend(5));
                break :expected 5;
            },
            1 => expected: {
                try testing.expectEqual(9, b.tryRecv());
                break :expected 2000;
            },
            2 => expected: {
                event.set();
                break :expected 3000;
            },
            3 => 4000,
            4 => expected: {
                b.close();
                b = .init(null);
                break :expected error.Closed;
            },
            else => expected: {
                libcoro.requestCancel(frame);
                break :expected error.Cancelled;
            },
        };
        try testing.expectEqual(expected, @as(anyerror!u32, xawait(frame)));
        try testing.expect(a.receivers.isEmpty() and b.senders.isEmpty() and event.waiters.isEmpty());
        event.reset();
        frame.deinit();
    }
    try world.tearDown();
}

test "select never meets itself, two selects meet, and none is starved" {
    const Ch = libcoro.Channel(u32, .{ .capacity = 0 });
    const Body = struct {
        fn both(channel: *Ch) !u32 {
            return switch (try libcoro.select(.{ .in = channel.receiving(), .out = channel.sending(1) })) {
                .in => |value| value.?,
                .out => 0,
            };
        }
    };
    var world: World = .{};
    world.setUp();
    var channel: Ch = .init(null);
    const one = try xasync(Body.both, .{&channel}, null);
    try testing.expectEqual(.suspended, one.status());
    const two = try xasync(Body.both, .{&channel}, null);
    try testing.expectEqual(.done, two.status());
    try testing.expectEqual(1, try xawait(one) + try xawait(two));
    one.deinit();
    two.deinit();

    var set: [3]Event = @splat(.{ .is_set = true });
    var times: [3]u32 = @splat(0);
    for (0..30) |_| switch (try libcoro.select(.{ .a = set[0].waiting(), .b = set[1].waiting(), .c = set[2].waiting() })) {
        inline else => |_, tag| times[@intFromEnum(tag)] += 1,
    };
    try testing.expectEqual([_]u32{ 10, 10, 10 }, times);
    try world.tearDown();
}

test "select awaits frames" {
    const Body = struct {
        fn run() !u64 {
            const slow = try xasync(sleepFor, .{20}, null);
            defer slow.deinit();
            const fast = try xasync(sleepFor, .{10}, null);
            defer fast.deinit();
            const first = switch (try libcoro.select(.{ .slow = slow.awaiting(), .fast = fast.awaiting() })) {
                inline else => |value| try value,
            };
            _ = libcoro.xcancel(slow) catch {};
            return first;
        }
    };
    var world: World = .{};
    world.setUp();
    const frame = try xasync(Body.run, .{}, null);
    try testing.expectEqual(10, try xawait(frame));
    frame.deinit();
    try world.tearDown();
}
