//! Tests of the pool: jobs that are taken back while all threads are busy, the number of threads, and a loop that is idle when its jobs
//! are done.

const std = @import("std");
const testing = std.testing;
const Call = @import("call.zig").Call;
const Loop = @import("../loop.zig").Loop;
const Op = @import("op.zig").Op;
const openDescriptors = @import("tcp_test.zig").openDescriptors;
const pool = @import("pool.zig");
const Job = pool.Job;
const backends = @import("file_test.zig").backends;
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const c = sys.c;

/// A job and how often it was told.
const Task = struct {
    job: Job = .{ .op = .{ .doneFn = done } },
    told: u32 = 0,

    fn done(op: *Op) void {
        const task: *Task = @fieldParentPtr("job", Job.of(op));
        task.told += 1;
    }
};

fn untilIdle(loop: *Loop) !void {
    while (loop.in_flight > 0) {
        try loop.tick(true);
        loop.deliver();
    }
}

test "while all threads are busy others wait, and can be taken back; busy ones end with their result" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        const descriptors = openDescriptors();
        var loop = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        var pipe: [2]sys.fd_t = undefined;
        try testing.expectEqual(0, sys.pipe(&pipe, false));
        // Those that a test before has left over end by themselves.
        while (pool.load().threads > 4) std.Thread.yield() catch {};
        // A descriptor that blocks, and nobody said so: it holds its thread.
        var byte: [1]u8 = undefined;
        var busy: [4]Task = @splat(.{});
        var later: [20]Task = @splat(.{});
        for (&busy) |*task| startInPool(&loop, task, .{ .read = .{ .fd = pipe[0], .bytes = &byte, .at = Call.no_position } });
        while (pool.load().queued > 0) std.Thread.yield() catch {};
        for (&later) |*task| startInPool(&loop, task, .{ .data_sync = pipe[0] });
        try testing.expectEqual(4, pool.load().threads);
        try testing.expectEqual(later.len, pool.load().queued);
        for (&later, 0..) |*task, i| if (i % 2 == 0) loop.cancel(&task.job.op);
        loop.cancel(&busy[0].job.op);
        try testing.expectEqual(later.len / 2, pool.load().queued);
        try testing.expectEqual(4, sys.result(c.write(pipe[1], "four", 4)));
        try untilIdle(&loop);
        for (&later, 0..) |*task, i| {
            try testing.expectEqual(1, task.told);
            try testing.expectEqual(sys.negative(if (i % 2 == 0) .CANCELED else .INVAL), task.job.op.result);
        }
        for (&busy) |*task| {
            try testing.expectEqual(1, task.told);
            try testing.expectEqual(1, task.job.op.result);
        }
        for (pipe) |fd| sys.close(fd);
        loop.deinit();
        try testing.expectEqual(descriptors, openDescriptors());
    }
}

/// As on epoll, whatever the loop's backend.
fn startInPool(loop: *Loop, task: *Task, call: Call) void {
    const op = &task.job.op;
    task.job.call = call;
    op.kind = .job;
    op.state = .in_flight;
    op.cancelled = false;
    loop.in_flight += 1;
    const port = pool.Port.of(loop, testing.allocator) catch unreachable;
    testing.expectEqual(0, port.submit(&task.job)) catch unreachable;
}

test "random jobs and cancels of two loops end once each" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    const seed: u64 = 0x70_6f_6f_6c;
    errdefer std.debug.print("seed {x}\n", .{seed});
    for (backends) |backend| {
        var prng = std.Random.DefaultPrng.init(seed);
        const random = prng.random();
        var loops: [2]Loop = undefined;
        loops[0] = Loop.init(backend) catch |err| switch (err) {
            error.Unavailable => continue,
            else => return err,
        };
        loops[1] = try Loop.init(backend);
        const fd = @import("tcp_test.zig").emptyFile();
        var tasks: [2][32]Task = @splat(@splat(.{}));
        var started: usize = 0;
        for (0..20_000) |_| {
            const which = random.uintLessThan(usize, 2);
            const loop = &loops[which];
            const task = &tasks[which][random.uintLessThan(usize, 32)];
            switch (task.job.op.state) {
                .idle => {
                    startInPool(loop, task, .{ .truncate = .{ .fd = fd, .length = 1 } });
                    started += 1;
                },
                else => if (random.uintLessThan(u8, 4) == 0) loop.cancel(&task.job.op),
            }
            if (random.uintLessThan(u8, 4) == 0) {
                try loop.tick(false);
                loop.deliver();
            }
        }
        var told: usize = 0;
        for (&loops, &tasks) |*loop, *own| {
            try untilIdle(loop);
            loop.deinit();
            for (own) |*task| told += task.told;
        }
        try testing.expectEqual(started, told);
        try testing.expect(pool.load().threads <= 4);
        sys.close(fd);
    }
}
