//! What a switch costs: one coroutine, resumed and suspended.

const libcoro = @import("libcoro");
const Io = @import("std").Io;
const Bench = @import("bench.zig").Bench;
const Watch = @import("bench.zig").Watch;
const out_of_line = @import("out_of_line.zig");

const pairs = 20_000_000;

pub fn run(bench: *Bench) !void {
    const own = [_]@import("bench.zig").Case{
        .{ .name = "xresume / xsuspend", .count = pairs, .measure = .{ .function = typed } },
        .{ .name = "Coro.resume / Coro.suspend", .count = pairs, .measure = .{ .function = raw } },
        .{ .name = "bare switch, inlined", .count = pairs, .measure = .{ .function = inlined } },
    };
    const classic = if (out_of_line.supported) [_]@import("bench.zig").Case{
        .{ .name = "bare switch, out of line", .count = pairs / 5, .measure = .{ .function = outOfLine } },
    } else .{};
    const programs = [_]@import("bench.zig").Case{
        .{ .name = "corosensei", .count = pairs, .measure = .{ .program = .{ .which = .corosensei, .question = "switch" } } },
        .{ .name = "Go, runtime.Gosched", .count = pairs / 20, .measure = .{ .program = .{ .which = .go, .question = "gosched" } } },
        .{ .name = "Go, unbuffered channel", .count = pairs / 20, .measure = .{ .program = .{ .which = .go, .question = "pingpong" } } },
    };
    try bench.compare(.{
        .title = "A switch, of 20,000,000 resume/suspend pairs on one stack",
        .cases = &(own ++ classic ++ programs),
        .goals = &.{.{ .at_most = 1, .peer = "corosensei" }},
    });
    if (!out_of_line.supported) try bench.print("  {s}\n", .{out_of_line.why_not});
}

fn typed(io: Io, count: usize) !f64 {
    const Body = struct {
        fn forever() void {
            while (true) libcoro.xsuspend();
        }
    };
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    libcoro.initEnv(.{ .pool = &pool });
    const frame = try libcoro.xasync(Body.forever, .{}, null);
    defer frame.deinit();
    const watch: Watch = .begin(io);
    for (0..count) |_| libcoro.xresume(frame);
    return watch.each(io, 2 * count);
}

fn raw(io: Io, count: usize) !f64 {
    const Body = struct {
        fn forever(co: *libcoro.Coro) void {
            while (true) co.@"suspend"();
        }
    };
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    const co: *libcoro.Coro = try .init(&pool, libcoro.default_stack_size, Body.forever, null, "bench");
    defer co.deinit();
    const watch: Watch = .begin(io);
    for (0..count) |_| co.@"resume"();
    return watch.each(io, 2 * count);
}

fn inlined(io: Io, count: usize) !f64 {
    const Pair = struct {
        outside: libcoro.arch.Context = undefined,
        inside: libcoro.arch.Context = undefined,

        fn forever(argument: *anyopaque) callconv(.c) noreturn {
            const pair: *@This() = @ptrCast(@alignCast(argument));
            while (true) libcoro.arch.switchContext(&pair.inside, &pair.outside);
        }
    };
    var stack: [4096]u8 align(libcoro.stack_alignment) = undefined;
    var pair: Pair = .{};
    var link: libcoro.arch.Link = .{};
    const low = @intFromPtr(&stack);
    pair.inside = libcoro.arch.initContext(.{ .low = low, .top = low + stack.len, .entry = Pair.forever, .argument = &pair, .link = &link });
    const watch: Watch = .begin(io);
    for (0..count) |_| libcoro.arch.switchContext(&pair.outside, &pair.inside);
    return watch.each(io, 2 * count);
}

fn outOfLine(io: Io, count: usize) !f64 {
    const Pair = struct {
        var outside: out_of_line.Context = undefined;
        var inside: out_of_line.Context = undefined;

        fn forever() callconv(.c) noreturn {
            while (true) out_of_line.swap(&inside, &outside);
        }
    };
    var stack: [4096]u8 align(16) = undefined;
    Pair.inside = .init(&stack, Pair.forever);
    const watch: Watch = .begin(io);
    for (0..count) |_| out_of_line.swap(&Pair.outside, &Pair.inside);
    return watch.each(io, 2 * count);
}
