//! A peer that is a program of its own, under `bench/peers/`. It is built at its first use, when its compiler is
//! installed, and runs until the benchmark ends. It is asked on its standard input, a line "question count" a sample, and
//! answers with a line: the nanoseconds that one operation took. So its samples take turns with ours.

const std = @import("std");
const Io = std.Io;
const Bench = @import("bench.zig").Bench;

pub const Program = union(enum) {
    untried,
    /// It was said why.
    missing,
    running: *Running,

    pub const Which = enum { corosensei, go };

    const Running = struct {
        child: std.process.Child,
        to: Io.File.Writer,
        from: Io.File.Reader,
        to_buffer: [256]u8 = undefined,
        from_buffer: [256]u8 = undefined,
    };

    /// Files are named from the checkout's folder, where the build runs us.
    const Recipe = struct {
        name: []const u8,
        build: []const []const u8,
        /// Where `build` runs.
        folder: []const u8,
        executable: []const u8,
    };

    fn recipe(which: Which) Recipe {
        return switch (which) {
            .corosensei => .{
                .name = "corosensei",
                .build = &.{
                    "cargo",                                   "build",
                    "--release",                               "--locked",
                    "--quiet",                                 "--config",
                    "net.retry=0",                             "--config",
                    "build.rustflags=['-Ctarget-cpu=native']", "--target-dir",
                    "../../../.zig-cache/peers",
                },
                .folder = "bench/peers/corosensei",
                .executable = ".zig-cache/peers/release/peer",
            },
            .go => .{
                .name = "Go",
                .build = &.{ "go", "build", "-buildvcs=false", "-o", "../../../.zig-cache/peers/go", "." },
                .folder = "bench/peers/go",
                .executable = ".zig-cache/peers/go",
            },
        };
    }

    /// Builds and starts it unless that was tried before. False: it cannot be had here, which is said once.
    pub fn start(program: *Program, which: Which, bench: *Bench) !bool {
        if (program.* != .untried) return program.* == .running;
        program.* = .missing;
        const with = recipe(which);
        if (try whyNotBuilt(with, bench)) |reason| {
            try bench.print("{s} is left out: {s}\n", .{ with.name, reason });
            return false;
        }
        const running = try bench.arena.create(Running);
        const child = std.process.spawn(bench.io, .{ .argv = &.{with.executable}, .stdin = .pipe, .stdout = .pipe }) catch |err| {
            try bench.print("{s} is left out: {s} does not start ({t})\n", .{ with.name, with.executable, err });
            return false;
        };
        running.* = .{ .child = child, .to = undefined, .from = undefined };
        running.to = child.stdin.?.writerStreaming(bench.io, &running.to_buffer);
        running.from = child.stdout.?.readerStreaming(bench.io, &running.from_buffer);
        program.* = .{ .running = running };
        return true;
    }

    fn whyNotBuilt(with: Recipe, bench: *Bench) !?[]const u8 {
        const result = std.process.run(bench.arena, bench.io, .{ .argv = with.build, .cwd = .{ .path = with.folder } }) catch |err| switch (err) {
            error.FileNotFound => return try std.fmt.allocPrint(bench.arena, "there is no {s} on PATH, or no {s} here", .{ with.build[0], with.folder }),
            else => return try std.fmt.allocPrint(bench.arena, "{s} does not run ({t})", .{ with.build[0], err }),
        };
        if (result.term == .exited and result.term.exited == 0) return null;
        var lines = std.mem.tokenizeAny(u8, result.stderr, "\r\n");
        var reason: []const u8 = lines.peek() orelse "it does not say why";
        while (lines.next()) |line| if (std.mem.find(u8, line, "error") != null) {
            reason = line;
            break;
        };
        return try std.fmt.allocPrint(bench.arena, "{s} could not build it ({s})", .{ with.build[0], reason });
    }

    /// `start` was true.
    pub fn ask(program: *Program, question: []const u8, count: usize) !f64 {
        const running = program.running;
        try running.to.interface.print("{s} {d}\n", .{ question, count });
        try running.to.interface.flush();
        const line = try running.from.interface.takeDelimiter('\n') orelse return error.PeerEnded;
        return std.fmt.parseFloat(f64, std.mem.trim(u8, line, " \r"));
    }

    pub fn stop(program: *Program, io: Io) void {
        if (program.* == .running) program.running.child.kill(io);
        program.* = .untried;
    }
};
