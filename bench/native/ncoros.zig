//! Many coroutines, resumed in turn: what a switch costs when the next stack is in no cache, and what memory one takes.

const std = @import("std");
const builtin = @import("builtin");
const libcoro = @import("libcoro");
const Bench = @import("bench.zig").Bench;
const Case = @import("bench.zig").Case;
const Watch = @import("bench.zig").Watch;
const out_of_line = @import("out_of_line.zig");

/// Each round resumes every coroutine once. Beyond 100,000 coroutines there is one round a sample.
const rounds = 1_000;
const full_rounds_up_to = 100_000;
const samples = 20;

/// Of both kinds together, with the pages that the system spends on each: what one coroutine commits, generously.
const bytes_a_coroutine = 12 * 1024;

pub fn run(bench: *Bench, count: usize) !void {
    if (std.process.totalSystemMemory() catch null) |total| if (total / 10 * 9 < count * bytes_a_coroutine) {
        return bench.print("\n{d} coroutines are left out: they and their peers take up to {d} MB, more than this machine has to spare\n", .{ count, count * bytes_a_coroutine / 1_000_000 });
    };
    var ours: Ours = try .init(bench, count);
    defer ours.deinit(bench.gpa);
    const all_rounds: usize = if (count <= full_rounds_up_to) rounds else samples;
    const own = [_]Case{
        .{ .name = "resume in turn", .count = all_rounds, .measure = .{ .method = .{ .self = &ours, .function = Ours.byHand } } },
        .{ .name = "through the executor", .count = all_rounds, .measure = .{ .method = .{ .self = &ours, .function = Ours.queued } } },
    };
    if (!out_of_line.supported) {
        try compare(bench, count, all_rounds, &own);
        try bench.print("  {s}\n", .{out_of_line.why_not});
        return ours.creation.print(bench, "ours");
    }
    var peer: Peer = try .init(bench, count);
    defer peer.deinit(bench.gpa);
    try compare(bench, count, all_rounds, &(own ++ .{
        Case{ .name = peer_name, .count = all_rounds, .measure = .{ .method = .{ .self = &peer, .function = Peer.byHand } } },
    }));
    try ours.creation.print(bench, "ours");
    try peer.creation.print(bench, "peer");
}

const peer_name = "out of line, on contiguous stacks of 4 KiB";

fn compare(bench: *Bench, count: usize, all_rounds: usize, cases: []const Case) !void {
    var title: [100]u8 = undefined;
    try bench.compare(.{
        .title = try std.fmt.bufPrint(&title, "{d} coroutines, a switch, of {d} rounds", .{ count, all_rounds }),
        .cases = cases,
        .samples = samples,
        .goals = if (count >= 1_000_000) &.{.{ .at_most = 0.5, .peer = peer_name }} else &.{},
    });
}

/// What bringing up a coroutine to its first suspend took.
const Creation = struct {
    nanoseconds: f64,
    resident: ?usize,

    fn print(creation: Creation, bench: *Bench, who: []const u8) !void {
        try bench.print("  {s}: {d:.0} ns to create one and run it to its first suspend", .{ who, creation.nanoseconds });
        if (creation.resident) |bytes| try bench.print(", {d} bytes resident", .{bytes});
        try bench.print("\n", .{});
    }
};

/// On stacks of the default size from a pool, each above its guard.
const Ours = struct {
    pool: *libcoro.StackPool,
    executor: libcoro.Executor = .init(),
    frames: []*libcoro.Coro,
    creation: Creation = undefined,

    fn init(bench: *Bench, count: usize) !Ours {
        const pool = try bench.gpa.create(libcoro.StackPool);
        pool.* = .{};
        const frames = try bench.gpa.alloc(*libcoro.Coro, count);
        @memset(frames, undefined); // its pages are no coroutine's
        const before = residentBytes(bench);
        const watch: Watch = .begin(bench.io);
        for (frames) |*frame| frame.* = try .init(pool, libcoro.default_stack_size, forever, null, "bench");
        for (frames) |frame| frame.@"resume"();
        return .{ .pool = pool, .frames = frames, .creation = .{
            .nanoseconds = watch.each(bench.io, count),
            .resident = growth(before, residentBytes(bench), count),
        } };
    }

    fn deinit(ours: *Ours, gpa: std.mem.Allocator) void {
        for (ours.frames) |frame| frame.deinit();
        gpa.free(ours.frames);
        ours.pool.deinit();
        gpa.destroy(ours.pool);
    }

    fn forever(co: *libcoro.Coro) void {
        while (true) co.@"suspend"();
    }

    fn byHand(self: *anyopaque, io: std.Io, count: usize) !f64 {
        const ours: *Ours = @ptrCast(@alignCast(self));
        const watch: Watch = .begin(io);
        for (0..count) |_| for (ours.frames) |frame| frame.@"resume"();
        return watch.each(io, 2 * count * ours.frames.len);
    }

    fn queued(self: *anyopaque, io: std.Io, count: usize) !f64 {
        const ours: *Ours = @ptrCast(@alignCast(self));
        const watch: Watch = .begin(io);
        for (0..count) |_| {
            for (ours.frames) |frame| ours.executor.runSoon(frame);
            _ = ours.executor.tick();
        }
        return watch.each(io, 2 * count * ours.frames.len);
    }
};

/// All in one allocation, no guards.
const Peer = struct {
    memory: []align(page) u8,
    frames: []*out_of_line.Coroutine,
    creation: Creation = undefined,

    const page = std.heap.page_size_min;
    const stack_size = 4096;

    fn init(bench: *Bench, count: usize) !Peer {
        const frames = try bench.gpa.alloc(*out_of_line.Coroutine, count);
        @memset(frames, undefined);
        const memory = try std.heap.page_allocator.alignedAlloc(u8, .fromByteUnits(page), count * stack_size);
        const before = residentBytes(bench);
        const watch: Watch = .begin(bench.io);
        for (frames, 0..) |*frame, i| frame.* = .init(@alignCast(memory[i * stack_size ..][0..stack_size]), forever);
        for (frames) |frame| frame.@"resume"();
        return .{ .memory = memory, .frames = frames, .creation = .{
            .nanoseconds = watch.each(bench.io, count),
            .resident = growth(before, residentBytes(bench), count),
        } };
    }

    fn deinit(peer: *Peer, gpa: std.mem.Allocator) void {
        std.heap.page_allocator.free(peer.memory);
        gpa.free(peer.frames);
    }

    fn forever() void {
        const co = out_of_line.Coroutine.running();
        while (true) co.@"suspend"();
    }

    fn byHand(self: *anyopaque, io: std.Io, count: usize) !f64 {
        const peer: *Peer = @ptrCast(@alignCast(self));
        const watch: Watch = .begin(io);
        for (0..count) |_| for (peer.frames) |frame| frame.@"resume"();
        return watch.each(io, 2 * count * peer.frames.len);
    }
};

/// Bytes of this process that are in memory; null where the system does not tell.
fn residentBytes(bench: *Bench) ?usize {
    if (builtin.os.tag != .linux) return null;
    var buffer: [200]u8 = undefined;
    const text = std.Io.Dir.cwd().readFile(bench.io, "/proc/self/statm", &buffer) catch return null;
    var fields = std.mem.tokenizeScalar(u8, text, ' ');
    _ = fields.next();
    const pages = std.fmt.parseInt(usize, fields.next() orelse return null, 10) catch return null;
    return pages * std.heap.pageSize();
}

fn growth(before: ?usize, after: ?usize, count: usize) ?usize {
    return ((after orelse return null) -| (before orelse return null)) / count;
}
