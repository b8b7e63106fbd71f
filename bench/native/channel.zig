//! What a message costs from one coroutine to another through a channel, both on one executor.

const std = @import("std");
const libcoro = @import("libcoro");
const Bench = @import("bench.zig").Bench;
const Case = @import("bench.zig").Case;
const Watch = @import("bench.zig").Watch;
const out_of_line = @import("out_of_line.zig");
const wait_queue = @import("wait_queue.zig");

pub fn run(bench: *Bench) !void {
    try compare(bench, 1, 2_000_000, &.{.{ .at_most = 1.0 / 3.0, .peer = peer_name }});
    try compare(bench, 1024, 20_000_000, &.{.{ .at_most = 4 }});
}

const peer_name = "wait queues, switched out of line";

fn compare(bench: *Bench, comptime capacity: usize, messages: usize, goals: []const @import("bench.zig").Goal) !void {
    const own = [_]Case{.{ .name = "Channel", .count = messages, .measure = .{ .function = Ours(capacity).run } }};
    const classic = if (out_of_line.supported) [_]Case{
        .{ .name = peer_name, .count = messages, .measure = .{ .function = Peer(capacity).run } },
    } else .{};
    const question = std.fmt.comptimePrint("channel-{d}", .{capacity});
    const programs = [_]Case{.{ .name = "Go", .count = messages / 4, .measure = .{ .program = .{ .which = .go, .question = question } } }};
    try bench.compare(.{
        .title = std.fmt.comptimePrint("A message (u64) through a channel of capacity {d}", .{capacity}),
        .cases = &(own ++ classic ++ programs),
        .goals = goals,
        .with_rate = true,
    });
    if (!out_of_line.supported) try bench.print("  {s}\n", .{out_of_line.why_not});
}

fn Ours(comptime capacity: usize) type {
    return struct {
        const Channel = libcoro.Channel(u64, .{ .capacity = capacity });

        fn send(channel: *Channel, count: usize) !void {
            for (0..count) |i| try channel.send(i);
            channel.close();
        }

        fn receive(channel: *Channel) u64 {
            var sum: u64 = 0;
            while (channel.recv()) |value| sum +%= value;
            return sum;
        }

        fn run(io: std.Io, count: usize) !f64 {
            var pool: libcoro.StackPool = .{};
            defer pool.deinit();
            var executor: libcoro.Executor = .init();
            libcoro.initEnv(.{ .pool = &pool, .executor = &executor });
            var channel: Channel = .init(null);
            const watch: Watch = .begin(io);
            const receiver = try libcoro.xasync(receive, .{&channel}, null);
            defer receiver.deinit();
            const sender = try libcoro.xasync(send, .{ &channel, count }, null);
            defer sender.deinit();
            const sum = libcoro.xawait(receiver);
            try libcoro.xawait(sender);
            const each = watch.each(io, count);
            return if (sum == count * (count - 1) / 2) each else error.LostMessage;
        }
    };
}

fn Peer(comptime capacity: usize) type {
    return struct {
        const Channel = wait_queue.Channel(u64, capacity);
        const Coroutine = out_of_line.Coroutine;

        threadlocal var channel: Channel = undefined;
        threadlocal var to_send: usize = 0;
        threadlocal var sum: u64 = 0;

        fn send() void {
            for (0..to_send) |i| channel.send(i) catch unreachable;
            channel.close();
        }

        fn receive() void {
            while (channel.recv()) |value| sum +%= value;
        }

        fn run(io: std.Io, count: usize) !f64 {
            var stacks: [2][16 * 1024]u8 align(out_of_line.stack_alignment) = undefined;
            var executor: wait_queue.Executor = .{};
            channel = .init(&executor);
            to_send = count;
            sum = 0;
            const watch: Watch = .begin(io);
            const receiver: *Coroutine = .init(&stacks[0], receive);
            const sender: *Coroutine = .init(&stacks[1], send);
            receiver.@"resume"();
            sender.@"resume"();
            while (!receiver.finished or !sender.finished) if (!executor.tick()) return error.Asleep;
            const each = watch.each(io, count);
            return if (sum == count * (count - 1) / 2) each else error.LostMessage;
        }
    };
}
