//! What a coroutine costs from its creation to its end, when its stack was used before.

const std = @import("std");
const libcoro = @import("libcoro");
const Bench = @import("bench.zig").Bench;
const Case = @import("bench.zig").Case;
const Watch = @import("bench.zig").Watch;

const count = 2_000_000;

pub fn run(bench: *Bench) !void {
    try bench.compare(.{
        .title = "Create a coroutine, run it to its end, destroy it",
        .cases = &[_]Case{
            .{ .name = "Coro, pooled stack", .count = count, .measure = .{ .function = raw } },
            .{ .name = "xasync / xreturned, pooled stack", .count = count, .measure = .{ .function = typed } },
            .{ .name = "corosensei, reused stack", .count = count, .measure = .{ .program = .{ .which = .corosensei, .question = "spawn-reused" } } },
            .{ .name = "corosensei, stack mapped each time", .count = count / 200, .measure = .{ .program = .{ .which = .corosensei, .question = "spawn" } } },
            .{ .name = "Go", .count = count / 5, .measure = .{ .program = .{ .which = .go, .question = "spawn" } } },
        },
        .goals = &.{
            .{ .at_most = 10 },
            .{ .row = "xasync / xreturned, pooled stack", .at_most = 10 },
        },
    });
}

fn raw(io: std.Io, times: usize) !f64 {
    const Body = struct {
        fn once(co: *libcoro.Coro) void {
            co.getStorage(usize).* += 1;
        }
    };
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    var ended: usize = 0;
    (try libcoro.Coro.init(&pool, libcoro.default_stack_size, Body.once, null, "first")).deinit(); // maps the stack
    const watch: Watch = .begin(io);
    for (0..times) |_| {
        const co: *libcoro.Coro = try .init(&pool, libcoro.default_stack_size, Body.once, &ended, "bench");
        co.@"resume"();
        co.deinit();
    }
    const each = watch.each(io, times);
    if (ended != times) return error.LostCoroutine;
    return each;
}

fn typed(io: std.Io, times: usize) !f64 {
    const Body = struct {
        fn once(value: usize) usize {
            return value;
        }
    };
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    libcoro.initEnv(.{ .pool = &pool });
    var sum: usize = 0;
    (try libcoro.FrameT(Body.once, .{}).init(.{0}, null)).deinit(); // maps the stack
    const watch: Watch = .begin(io);
    for (0..times) |i| {
        const frame = try libcoro.xasync(Body.once, .{i}, null);
        sum +%= frame.xreturned();
        frame.deinit();
    }
    const each = watch.each(io, times);
    if (sum != times * (times - 1) / 2) return error.LostCoroutine;
    return each;
}
