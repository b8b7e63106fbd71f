//! Workers over channels, with a group, a select and a time limit.

const std = @import("std");
const libcoro = @import("libcoro");
const asyncio = libcoro.asyncio;

/// A panic in a coroutine prints its whole trace, through to the resumer.
pub const panic = libcoro.panic;

const Jobs = libcoro.Channel(u64, .{ .capacity = 2 });
const Results = libcoro.Channel(u64, .{ .capacity = 0 });

fn worker(jobs: *Jobs, results: *Results) !void {
    while (jobs.recv()) |job| { //            null once closed and drained
        try libcoro.sleep(job); //            suspends this coroutine, at any depth of calls
        try results.send(job * 2); //         waits until somebody takes it
    }
}

fn produce(jobs: *Jobs) !void {
    defer jobs.close();
    for (1..5) |n| try jobs.send(n); //       waits while the channel is full
}

fn pipeline() !u64 {
    var jobs: Jobs = .init(null);
    var results: Results = .init(null);
    var group: libcoro.Group = .init; //      its children cannot outlive it
    defer group.deinit();
    for (0..2) |_| try group.spawn(worker, .{ &jobs, &results }, .{});
    try group.spawn(produce, .{&jobs}, .{});

    var sum: u64 = 0;
    for (1..5) |_| switch (try libcoro.select(.{ .result = results.receiving(), .late = libcoro.after(10_000) })) {
        .result => |result| sum += result.?,
        .late => return error.Late,
    };
    try group.wait(); //                      the first failure of a child would come out here
    return sum;
}

/// Runs it on the platform's event loop.
fn run() !u64 {
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    var loop = try libcoro.xev.Loop.init(.{});
    defer loop.deinit();
    var executor: asyncio.Executor = .init(&loop);
    defer executor.deinit();
    asyncio.initEnv(.{ .executor = &executor, .pool = &pool, .default_stack_size = 64 * 1024 });
    return asyncio.run(null, pipeline, .{}, null);
}

pub fn main() !void {
    std.debug.print("the workers made {d}\n", .{try run()});
}

test "the workers double what they are given" {
    try std.testing.expectEqual(20, try run());
}
