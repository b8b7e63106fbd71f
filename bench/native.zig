//! What native coroutines cost, beside other ways to do the same, measured in one run on one machine.
//!
//!     zig build benchmark -- --context_switch    20,000,000 resume/suspend pairs on one stack
//!     zig build benchmark -- --ncoros 1_000_000  that many coroutines, resumed in turn for 1,000 rounds
//!     zig build benchmark -- --spawn             create, run to the end and destroy
//!     zig build benchmark -- --channel           messages from one coroutine to another
//!     zig build benchmark -- --all               all of these, with 100,000 and 1,000,000 coroutines
//!     zig build benchmark -- --smoke             all with tiny counts and no peer programs: shows that they run, measures nothing
//!
//! Figures are nanoseconds of wall time. Rows of one table are measured in turns, so that what else the machine does falls on
//! all of them alike. Peers that are programs of their own (corosensei, Go) are built and run when their compilers are
//! installed; see `native/program.zig`.

const std = @import("std");
const Bench = @import("native/bench.zig").Bench;
const contextSwitch = @import("native/switch.zig").run;
const manyCoroutines = @import("native/ncoros.zig").run;
const spawn = @import("native/spawn.zig").run;
const channel = @import("native/channel.zig").run;

const usage =
    \\usage: benchmark [--context_switch] [--ncoros [N]] [--spawn] [--channel] [--all] [--smoke]
    \\
;

const max_coroutines = 10_000_000;

pub fn main(init: std.process.Init) !void {
    const args = try init.minimal.args.toSlice(init.arena.allocator());
    var buffer: [4096]u8 = undefined;
    var stdout = std.Io.File.stdout().writerStreaming(init.io, &buffer);
    var bench: Bench = .{ .io = init.io, .gpa = init.gpa, .arena = init.arena.allocator(), .out = &stdout.interface };
    defer bench.deinit();

    if (args.len == 1) try contextSwitch(&bench);
    var i: usize = 1;
    while (i < args.len) : (i += 1) {
        const arg = args[i];
        if (std.mem.eql(u8, arg, "--context_switch")) {
            try contextSwitch(&bench);
        } else if (std.mem.eql(u8, arg, "--ncoros")) {
            const given = i + 1 < args.len and !std.mem.startsWith(u8, args[i + 1], "-");
            if (given) i += 1;
            const count = if (given) std.fmt.parseInt(usize, args[i], 10) catch 0 else 100_000;
            if (count == 0 or count > max_coroutines)
                return bench.refuse("--ncoros takes a number from 1 to {d}, not \"{s}\"\n", .{ max_coroutines, args[i] });
            try manyCoroutines(&bench, count);
        } else if (std.mem.eql(u8, arg, "--spawn")) {
            try spawn(&bench);
        } else if (std.mem.eql(u8, arg, "--channel")) {
            try channel(&bench);
        } else if (std.mem.eql(u8, arg, "--all")) {
            try all(&bench, &.{ 100_000, 1_000_000 });
        } else if (std.mem.eql(u8, arg, "--smoke")) {
            bench.smoke = true;
            try all(&bench, &.{100});
        } else return bench.refuse(usage, .{});
    }
}

fn all(bench: *Bench, coroutine_counts: []const usize) !void {
    try contextSwitch(bench);
    try spawn(bench);
    try channel(bench);
    for (coroutine_counts) |count| try manyCoroutines(bench, count);
}
