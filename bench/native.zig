//! What a switch between native coroutines costs, beside other ways to switch, measured in one run on one machine.
//!
//!     zig build benchmark -- --context_switch    20,000,000 resume/suspend pairs on one stack
//!     zig build benchmark -- --ncoros 100000     that many coroutines, 1,000 rounds
//!     zig build benchmark -- --smoke             both with tiny counts: shows that they run, measures nothing
//!
//! Figures are nanoseconds of wall time a switch, the median of five runs; a resume/suspend pair is two switches.

const std = @import("std");
const builtin = @import("builtin");
const libcoro = @import("libcoro");

const usage =
    \\usage: benchmark [--context_switch] [--ncoros N] [--smoke]
    \\
;

const samples = 5;

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    var buffer: [4096]u8 = undefined;
    var stdout = std.Io.File.stdout().writerStreaming(init.io, &buffer);
    const bench: Bench = .{ .io = init.io, .gpa = init.gpa, .out = &stdout.interface };

    var i: usize = 1;
    while (i < args.len) : (i += 1) {
        const arg = args[i];
        if (std.mem.eql(u8, arg, "--context_switch")) {
            try bench.contextSwitch(20_000_000);
        } else if (std.mem.eql(u8, arg, "--smoke")) {
            try bench.contextSwitch(1_000);
            try bench.manyCoroutines(100, 20);
        } else if (std.mem.eql(u8, arg, "--ncoros") and i + 1 < args.len) {
            i += 1;
            const count = std.fmt.parseInt(usize, args[i], 10) catch 0;
            if (count == 0 or count > 10_000_000) return bench.fail("--ncoros takes a number from 1 to 10000000\n");
            try bench.manyCoroutines(count, 1_000);
        } else return bench.fail(usage);
    }
    if (args.len == 1) return bench.fail(usage);
}

const Bench = struct {
    io: std.Io,
    gpa: std.mem.Allocator,
    out: *std.Io.Writer,

    fn fail(bench: Bench, message: []const u8) !void {
        try bench.out.writeAll(message);
        try bench.out.flush();
        std.process.exit(2);
    }

    const Row = struct {
        name: []const u8,
        measure: *const fn (pairs: usize) anyerror!void,
    };

    fn contextSwitch(bench: Bench, pairs: usize) !void {
        const rows = [_]Row{
            .{ .name = "xresume / xsuspend", .measure = typed },
            .{ .name = "Coro.resume / Coro.suspend", .measure = raw },
            .{ .name = "bare switch, inlined (arch)", .measure = inlined },
            .{ .name = "bare switch, out of line with ret (peer)", .measure = outOfLine },
        };
        try bench.out.print("\nContext switch: {d} resume/suspend pairs, median of {d}\n", .{ pairs, samples });
        try bench.header();
        var first: f64 = 0;
        for (rows) |row| {
            try row.measure(@min(pairs, 100_000)); // warm up
            var times: [samples]f64 = undefined;
            for (&times) |*time| {
                const start = std.Io.Clock.awake.now(bench.io);
                try row.measure(pairs);
                time.* = nanosecondsSince(bench.io, start) / @as(f64, @floatFromInt(2 * pairs));
            }
            if (first == 0) first = median(&times);
            try bench.line(row.name, median(&times), first);
        }
    }

    fn manyCoroutines(bench: Bench, count: usize, rounds: usize) !void {
        var pool: libcoro.StackPool = .{};
        defer pool.deinit();
        const frames = try bench.gpa.alloc(*libcoro.Coro, count);
        defer bench.gpa.free(frames);

        const start = std.Io.Clock.awake.now(bench.io);
        for (frames) |*frame| frame.* = try .init(&pool, libcoro.default_stack_size, Body.forever, null, "bench");
        defer for (frames) |frame| frame.deinit();
        for (frames) |frame| frame.@"resume"();
        const creation = nanosecondsSince(bench.io, start) / @as(f64, @floatFromInt(count));

        // The samples share the rounds.
        const rounds_each = @max(1, rounds / samples);
        var by_hand: [samples]f64 = undefined;
        for (&by_hand) |*time| {
            const at = std.Io.Clock.awake.now(bench.io);
            for (0..rounds_each) |_| for (frames) |frame| frame.@"resume"();
            time.* = nanosecondsSince(bench.io, at) / @as(f64, @floatFromInt(2 * rounds_each * count));
        }
        var executor: libcoro.Executor = .init();
        var queued: [samples]f64 = undefined;
        for (&queued) |*time| {
            const at = std.Io.Clock.awake.now(bench.io);
            for (0..rounds_each) |_| {
                for (frames) |frame| executor.runSoon(frame);
                _ = executor.tick();
            }
            time.* = nanosecondsSince(bench.io, at) / @as(f64, @floatFromInt(2 * rounds_each * count));
        }

        try bench.out.print("\n{d} coroutines, {d} rounds, median of {d}\n", .{ count, rounds_each * samples, samples });
        try bench.header();
        const first = median(&by_hand);
        try bench.line("resume in turn, a switch", first, first);
        try bench.line("through the executor, a switch", median(&queued), first);
        try bench.line("create and first resume", creation, first);
    }

    fn header(bench: Bench) !void {
        try bench.out.print("  {s:<42} {s:>9} {s:>8}\n", .{ "", "ns", "ratio" });
    }

    fn line(bench: Bench, name: []const u8, ns: f64, first: f64) !void {
        try bench.out.print("  {s:<42} {d:>9.2} {d:>7.2}x\n", .{ name, ns, ns / first });
        try bench.out.flush();
    }
};

fn nanosecondsSince(io: std.Io, start: std.Io.Timestamp) f64 {
    return @floatFromInt(start.durationTo(std.Io.Clock.awake.now(io)).nanoseconds);
}

fn median(values: *[samples]f64) f64 {
    std.mem.sort(f64, values, {}, std.sort.asc(f64));
    return values[samples / 2];
}

const Body = struct {
    fn forever(co: *libcoro.Coro) void {
        while (true) co.@"suspend"();
    }

    fn foreverTyped() void {
        while (true) libcoro.xsuspend();
    }
};

fn typed(pairs: usize) !void {
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    libcoro.initEnv(.{ .pool = &pool });
    const frame = try libcoro.xasync(Body.foreverTyped, .{}, null);
    defer frame.deinit();
    for (0..pairs) |_| libcoro.xresume(frame);
}

fn raw(pairs: usize) !void {
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    const co: *libcoro.Coro = try .init(&pool, libcoro.default_stack_size, Body.forever, null, "bench");
    defer co.deinit();
    for (0..pairs) |_| co.@"resume"();
}

fn inlined(pairs: usize) !void {
    const Pair = struct {
        outside: libcoro.arch.Context = undefined,
        inside: libcoro.arch.Context = undefined,

        fn run(argument: *anyopaque) callconv(.c) noreturn {
            const pair: *@This() = @ptrCast(@alignCast(argument));
            while (true) libcoro.arch.switchContext(&pair.inside, &pair.outside);
        }
    };
    var stack: [4096]u8 align(libcoro.stack_alignment) = undefined;
    var pair: Pair = .{};
    var link: libcoro.arch.Link = .{};
    const low = @intFromPtr(&stack);
    pair.inside = libcoro.arch.initContext(.{ .low = low, .top = low + stack.len, .entry = Pair.run, .argument = &pair, .link = &link });
    for (0..pairs) |_| libcoro.arch.switchContext(&pair.outside, &pair.inside);
}

/// The classic: a function that pushes what its caller expects to find again, swaps the stack pointers and returns.
const Peer = struct {
    var outside: usize = 0;
    var inside: usize = 0;

    const saved_words = switch (builtin.cpu.arch) {
        .x86_64 => 6,
        .aarch64 => 20,
        else => @compileError("no peer for this architecture"),
    };

    noinline fn swap(_: *usize, _: *const usize) callconv(.naked) void {
        switch (builtin.cpu.arch) {
            .x86_64 => asm volatile (
                \\ pushq %%rbp
                \\ pushq %%rbx
                \\ pushq %%r12
                \\ pushq %%r13
                \\ pushq %%r14
                \\ pushq %%r15
                \\ movq %%rsp, (%%rdi)
                \\ movq (%%rsi), %%rsp
                \\ popq %%r15
                \\ popq %%r14
                \\ popq %%r13
                \\ popq %%r12
                \\ popq %%rbx
                \\ popq %%rbp
                \\ retq
                ::: .{ .memory = true }),
            .aarch64 => asm volatile (
                \\ sub sp, sp, #160
                \\ stp d8, d9, [sp, #0]
                \\ stp d10, d11, [sp, #16]
                \\ stp d12, d13, [sp, #32]
                \\ stp d14, d15, [sp, #48]
                \\ stp x19, x20, [sp, #64]
                \\ stp x21, x22, [sp, #80]
                \\ stp x23, x24, [sp, #96]
                \\ stp x25, x26, [sp, #112]
                \\ stp x27, x28, [sp, #128]
                \\ stp x29, x30, [sp, #144]
                \\ mov x9, sp
                \\ str x9, [x0]
                \\ ldr x9, [x1]
                \\ mov sp, x9
                \\ ldp d8, d9, [sp, #0]
                \\ ldp d10, d11, [sp, #16]
                \\ ldp d12, d13, [sp, #32]
                \\ ldp d14, d15, [sp, #48]
                \\ ldp x19, x20, [sp, #64]
                \\ ldp x21, x22, [sp, #80]
                \\ ldp x23, x24, [sp, #96]
                \\ ldp x25, x26, [sp, #112]
                \\ ldp x27, x28, [sp, #128]
                \\ ldp x29, x30, [sp, #144]
                \\ add sp, sp, #160
                \\ ret
                ::: .{ .memory = true }),
            else => comptime unreachable,
        }
    }

    const swapC: *const fn (*usize, *const usize) callconv(.c) void = @ptrCast(&swap);

    fn run() callconv(.c) noreturn {
        while (true) swapC(&inside, &outside);
    }
};

fn outOfLine(pairs: usize) !void {
    var stack: [4096]u8 align(16) = undefined;
    const words: []usize = @ptrCast(&stack);
    // The lowest of the saved words is on top of the stack; `ret` (x86_64) or x30 (aarch64) leads to `run`.
    const top = words.len - 2;
    @memset(words[top - Peer.saved_words ..], 0);
    words[if (builtin.cpu.arch == .x86_64) top else top - 1] = @intFromPtr(&Peer.run);
    Peer.inside = @intFromPtr(&words[top - Peer.saved_words]);
    for (0..pairs) |_| Peer.swapC(&Peer.outside, &Peer.inside);
}
