//! A zigcoro program, moved: the import stays, Zig 0.16 wants the rest (docs/from-zigcoro.md).

const std = @import("std");
const libcoro = @import("libcoro");

fn sender(channel: anytype, count: usize) !void {
    defer channel.close();
    for (0..count) |i| try channel.send(i);
}

fn receiver(channel: anytype) usize {
    var sum: usize = 0;
    while (channel.recv()) |value| sum += value;
    return sum;
}

fn run(allocator: std.mem.Allocator) !usize {
    var executor = libcoro.Executor.init();
    libcoro.initEnv(.{ .stack_allocator = allocator, .executor = &executor });
    var channel = libcoro.Channel(usize, .{ .capacity = 1 }).init(null);
    const from = try libcoro.xasync(sender, .{ &channel, 6 }, 64 * 1024);
    defer from.deinit();
    const to = try libcoro.xasync(receiver, .{&channel}, 64 * 1024);
    defer to.deinit();
    while (executor.tick()) {}
    try libcoro.xawait(from);
    return libcoro.xawait(to);
}

pub fn main() !void {
    std.debug.print("received {d} in all\n", .{try run(std.heap.page_allocator)});
}

test "six numbers through a channel of capacity 1" {
    try std.testing.expectEqual(15, try run(std.testing.allocator));
}
