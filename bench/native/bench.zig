//! What the native benchmarks share: samples taken in turns, tables, goals. It touches the clock and standard output.

const std = @import("std");
const Io = std.Io;
const Program = @import("program.zig").Program;

/// One row of a table.
pub const Case = struct {
    name: []const u8,
    measure: Measure,
    /// Operations of all samples together; a slow peer needs fewer for a steady figure.
    count: usize,

    /// Does `count` operations and gives the nanoseconds that one took.
    pub const Measure = union(enum) {
        function: *const fn (io: Io, count: usize) anyerror!f64,
        /// The same on something that lives longer than a sample.
        method: struct { self: *anyopaque, function: *const fn (self: *anyopaque, io: Io, count: usize) anyerror!f64 },
        /// Another program does; the row is left out when that cannot be built here.
        program: struct { which: Program.Which, question: []const u8 },
    };
};

pub const Table = struct {
    title: []const u8,
    /// The first row is what the others are compared to.
    cases: []const Case,
    goals: []const Goal = &.{},
    /// How often each case is measured. Many short samples: some of them find the machine quiet.
    samples: usize = 40,
    /// Whether operations a second are worth a column.
    with_rate: bool = false,
};

/// What the first row, or the one named, should reach.
pub const Goal = struct {
    row: ?[]const u8 = null,
    /// A ratio when there is a `peer`, else nanoseconds.
    at_most: f64,
    peer: ?[]const u8 = null,
};

pub const Bench = struct {
    io: Io,
    gpa: std.mem.Allocator,
    /// For what lives as long as the run.
    arena: std.mem.Allocator,
    out: *Io.Writer,
    smoke: bool = false,
    programs: std.EnumArray(Program.Which, Program) = .initFill(.untried),

    const max_samples = 40;

    pub fn deinit(bench: *Bench) void {
        for (&bench.programs.values) |*program| program.stop(bench.io);
    }

    /// For arguments that cannot be used.
    pub fn refuse(bench: *Bench, comptime message: []const u8, args: anytype) !void {
        try bench.print(message, args);
        std.process.exit(2);
    }

    pub fn print(bench: *Bench, comptime message: []const u8, args: anytype) !void {
        try bench.out.print(message, args);
        try bench.out.flush();
    }

    /// Measures all cases in turns, after one turn to warm up, and prints what came of it.
    pub fn compare(bench: *Bench, table: Table) !void {
        const samples: usize = if (bench.smoke) 1 else table.samples;
        var rows: std.ArrayList(Row) = .empty;
        defer rows.deinit(bench.gpa);
        try bench.print("\n", .{});
        for (table.cases) |*case| {
            const there = switch (case.measure) {
                .program => |program| !bench.smoke and try bench.programs.getPtr(program.which).start(program.which, bench),
                else => true,
            };
            if (there) try rows.append(bench.gpa, .{ .case = case });
        }
        // In another order each turn: what else the machine does may go in step with us.
        var shuffler: std.Random.DefaultPrng = .init(0);
        for (0..samples + 1) |turn| {
            shuffler.random().shuffle(Row, rows.items);
            for (rows.items) |*row| {
                // Who has slept gets the processor for a while; peer programs sleep until they are asked.
                if (!bench.smoke) try bench.io.sleep(.fromMilliseconds(5), .awake);
                const ns = try bench.sample(row.case, @max(1, row.case.count / table.samples));
                if (turn > 0) row.times[turn - 1] = ns;
            }
        }
        std.mem.sort(Row, rows.items, {}, Row.isBefore);
        for (rows.items) |*row| row.summarise(samples);
        try bench.printTable(table, rows.items, samples);
    }

    const Row = struct {
        case: *const Case,
        times: [max_samples]f64 = undefined,
        median: f64 = undefined,
        min: f64 = undefined,

        fn isBefore(_: void, a: Row, b: Row) bool {
            return @intFromPtr(a.case) < @intFromPtr(b.case);
        }

        fn summarise(row: *Row, count: usize) void {
            const times = row.times[0..count];
            std.mem.sort(f64, times, {}, std.sort.asc(f64));
            row.median = (times[count / 2] + times[(count - 1) / 2]) / 2;
            row.min = times[0];
        }
    };

    fn sample(bench: *Bench, case: *const Case, full: usize) !f64 {
        const count = if (bench.smoke) @min(full, 1_000) else full;
        return switch (case.measure) {
            .function => |function| function(bench.io, count),
            .method => |method| method.function(method.self, bench.io, count),
            .program => |program| bench.programs.getPtr(program.which).ask(program.question, count),
        };
    }

    fn printTable(bench: *Bench, table: Table, rows: []const Row, samples: usize) !void {
        try bench.out.print("{s}; {d} {s}\n", .{ table.title, samples, if (samples == 1) "sample" else "samples in turns" });
        try bench.out.print("  {s:<44} {s:>9} {s:>9} {s:>9}", .{ "", "median ns", "min ns", "ratio" });
        if (table.with_rate) try bench.out.print(" {s:>9}", .{"M/s"});
        try bench.out.writeByte('\n');
        for (rows) |row| {
            try bench.out.print("  {s:<44} {d:>9.2} {d:>9.2} {d:>8.2}x", .{ row.case.name, row.median, row.min, row.median / rows[0].median });
            if (table.with_rate) try bench.out.print(" {d:>9.1}", .{1000 / row.median});
            try bench.out.writeByte('\n');
        }
        // Tiny counts measure nothing that could reach a goal.
        if (!bench.smoke) for (table.goals) |goal| try bench.printGoal(goal, rows);
        try bench.out.flush();
    }

    fn printGoal(bench: *Bench, goal: Goal, rows: []const Row) !void {
        const row = find(rows, goal.row orelse rows[0].case.name) orelse return;
        const verdict = struct {
            fn of(value: f64, limit: f64) []const u8 {
                return if (value <= limit) "met" else "missed";
            }
        }.of;
        if (goal.peer) |name| {
            const peer = find(rows, name) orelse return;
            const ratio = row.median / peer.median;
            try bench.out.print("  goal: {s} at most {d:.2}x of {s}: {d:.2}x (minima {d:.2}x), {s}\n", .{
                row.case.name, goal.at_most, name, ratio, row.min / peer.min, verdict(ratio, goal.at_most),
            });
        } else {
            try bench.out.print("  goal: {s} at most {d:.2} ns: {d:.2} ns (minimum {d:.2}), {s}\n", .{
                row.case.name, goal.at_most, row.median, row.min, verdict(row.median, goal.at_most),
            });
        }
    }

    fn find(rows: []const Row, name: []const u8) ?*const Row {
        for (rows) |*row| if (std.mem.eql(u8, row.case.name, name)) return row;
        return null;
    }
};

/// Measures a stretch of time.
pub const Watch = struct {
    start: Io.Timestamp,

    pub fn begin(io: Io) Watch {
        return .{ .start = Io.Clock.awake.now(io) };
    }

    /// Nanoseconds an operation, when there were `operations` since `begin`.
    pub fn each(watch: Watch, io: Io, operations: usize) f64 {
        const elapsed: f64 = @floatFromInt(watch.start.durationTo(Io.Clock.awake.now(io)).nanoseconds);
        return elapsed / @as(f64, @floatFromInt(operations));
    }
};
