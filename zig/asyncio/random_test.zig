//! Random use of loopback connections on each backend, against a model that knows for each direction how many bytes were sent and how
//! many received: reads, writes, waits for readiness, time limits, cancels at any time, shutdowns, closes.
//!
//! A byte's value follows from its place in the stream, so that a lost, doubled or torn one shows. An operation that ended as
//! cancelled has changed nothing, one that ended with a result has done what it says.

const std = @import("std");
const testing = std.testing;
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const sanitizer = @import("../sanitizer.zig");
const World = fixture.World;

const seed = 0x7a69_6763_6f72_6f04;

fn byteAt(place: u64) u8 {
    return @truncate((place *% 0x9e37_79b9_7f4a_7c15) >> 56);
}

fn Model(comptime aio: type) type {
    return struct {
        const Self = @This();

        const Kind = enum { read, write, readable, writable };

        /// One operation at a time for each end and way.
        const Action = struct {
            kind: Kind,
            end: aio.TCP,
            buffer: [24 * 1024]u8 = undefined,
            len: usize,
            limit_ms: ?u64,
            frame: libcoro.FrameT(run, .{}) = undefined,
            result: usize = 0,

            fn run(action: *Action) anyerror!void {
                if (action.limit_ms) |limit| try libcoro.withTimeout(limit, perform, .{action}) else try action.perform();
            }

            fn perform(action: *Action) anyerror!void {
                action.result = switch (action.kind) {
                    .read => try action.end.read(.{ .slice = action.buffer[0..action.len] }),
                    .write => try action.end.write(.{ .slice = action.buffer[0..action.len] }),
                    .readable, .writable => result: {
                        switch (try libcoro.select(.{ .in = action.end.readable(), .out = action.end.writable() })) {
                            inline else => |ready| try ready,
                        }
                        break :result 0;
                    },
                };
            }
        };

        /// From one end to the other.
        const Way = struct {
            from: aio.TCP,
            to: aio.TCP,
            sent: u64 = 0,
            received: u64 = 0,
            is_shut: bool = false,
            has_ended: bool = false,
            writing: ?*Action = null,
            reading: ?*Action = null,
        };

        world: *World(aio),
        random: std.Random,
        allocator: std.mem.Allocator = testing.allocator,
        ways: [8]Way = undefined,
        done: u64 = 0,
        cancelled: u64 = 0,

        fn open(self: *Self, pair: usize) !void {
            const ends = try fixture.connected(aio);
            // Small, so that writes wait, too.
            for (ends) |end| for ([_]u32{ std.posix.SO.SNDBUF, std.posix.SO.RCVBUF }) |option| {
                const fd = @import("backend.zig").fdOf(aio.xev, end.tcp);
                try std.posix.setsockopt(fd, std.posix.SOL.SOCKET, option, std.mem.asBytes(&@as(c_int, 64 * 1024)));
            };
            self.ways[pair * 2] = .{ .from = ends[0], .to = ends[1] };
            self.ways[pair * 2 + 1] = .{ .from = ends[1], .to = ends[0] };
        }

        fn step(self: *Self) !void {
            const random = self.random;
            const way = &self.ways[random.uintLessThan(usize, self.ways.len)];
            switch (random.uintLessThan(u32, 100)) {
                0...29 => if (way.reading == null and !way.has_ended) {
                    way.reading = try self.start(way, if (random.uintLessThan(u32, 5) == 0) .readable else .read);
                },
                30...49 => if (way.writing == null and !way.is_shut) {
                    way.writing = try self.start(way, if (random.uintLessThan(u32, 5) == 0) .writable else .write);
                },
                50...64 => if (way.reading) |action| libcoro.requestCancel(action.frame),
                65...79 => if (way.writing) |action| libcoro.requestCancel(action.frame),
                80...96 => try self.tick(),
                97 => if (way.writing == null and !way.is_shut and random.uintLessThan(u32, 10) == 0) {
                    try way.from.shutdown();
                    way.is_shut = true;
                },
                98 => if (random.uintLessThan(u32, 20) == 0) {
                    const pair = random.uintLessThan(usize, self.ways.len / 2);
                    try self.close(pair, random.uintLessThan(u32, 5) == 0);
                    try self.open(pair);
                },
                else => try aio.sleep(null, 0),
            }
            try self.reapAll();
        }

        fn tick(self: *Self) !void {
            const exec = &self.world.exec;
            _ = exec.source.pollFn(&exec.source, false);
            try testing.expectEqual(null, exec.source.failure);
            // Sometimes what has ended is not told at once, so that a cancel comes between.
            if (self.random.boolean()) _ = exec.exec.tick();
        }

        fn start(self: *Self, way: *Way, kind: Kind) !*Action {
            const action = try self.allocator.create(Action);
            action.* = .{
                .kind = kind,
                .end = if (kind == .write or kind == .writable) way.from else way.to,
                .len = self.random.intRangeAtMost(usize, 1, 24 * 1024),
                .limit_ms = if (self.random.uintLessThan(u32, 10) == 0) self.random.uintLessThan(u64, 2) else null,
            };
            if (kind == .write) for (action.buffer[0..action.len], 0..) |*byte, at| {
                byte.* = byteAt(way.sent + at);
            };
            action.frame = try libcoro.xasync(Action.run, .{action}, 32 * 1024);
            return action;
        }

        fn reapAll(self: *Self) !void {
            for (&self.ways) |*way| {
                if (way.writing) |action| if (action.frame.status() == .done) try self.reap(way, &way.writing);
                if (way.reading) |action| if (action.frame.status() == .done) try self.reap(way, &way.reading);
            }
        }

        fn reap(self: *Self, way: *Way, place: *?*Action) !void {
            const action = place.*.?;
            place.* = null;
            defer self.allocator.destroy(action);
            defer action.frame.deinit();
            action.frame.xreturned() catch |err| switch (err) {
                error.Cancelled, error.Timeout => {
                    self.cancelled += 1;
                    return;
                },
                error.EOF => {
                    try testing.expect(way.is_shut and action.kind == .read);
                    try testing.expectEqual(way.sent, way.received);
                    way.has_ended = true;
                    return;
                },
                else => return err,
            };
            self.done += 1;
            switch (action.kind) {
                .write => way.sent += action.result,
                .read => {
                    try testing.expect(action.result > 0);
                    for (action.buffer[0..action.result], 0..) |byte, at| try testing.expectEqual(byteAt(way.received + at), byte);
                    way.received += action.result;
                    // What a write that has not been reaped yet has sent is received, too.
                    const in_flight: u64 = if (way.writing) |w| w.len else 0;
                    try testing.expect(way.received <= way.sent + in_flight);
                },
                .readable, .writable => {},
            }
        }

        /// Ends what is under way; with `drain` reads all that was sent first, so that nothing may be missing.
        fn close(self: *Self, pair: usize, drain: bool) !void {
            for (self.ways[pair * 2 ..][0..2]) |*way| {
                if (way.writing) |action| {
                    libcoro.requestCancel(action.frame);
                    libcoro.xawait(action.frame) catch {};
                    try self.reap(way, &way.writing);
                }
                if (way.reading) |action| {
                    libcoro.requestCancel(action.frame);
                    libcoro.xawait(action.frame) catch {};
                    try self.reap(way, &way.reading);
                }
                if (drain) while (way.received < way.sent) {
                    way.reading = try self.start(way, .read);
                    libcoro.xawait(way.reading.?.frame) catch {};
                    try self.reap(way, &way.reading);
                };
            }
            try self.ways[pair * 2].from.close();
            try self.ways[pair * 2].to.close();
        }
    };
}

test "random reads, writes, cancels, limits, shutdowns and closes against a model" {
    errdefer std.debug.print("seed {x}\n", .{seed});
    try fixture.onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            var prng = std.Random.DefaultPrng.init(seed);
            var model: Model(aio) = .{ .world = world, .random = prng.random() };
            for (0..model.ways.len / 2) |pair| try model.open(pair);
            const steps = sanitizer.bearable(if (aio.xev.dynamic) 20_000 else 100_000);
            for (0..steps) |at| {
                errdefer std.debug.print("step {d}\n", .{at});
                try model.step();
            }
            for (0..model.ways.len / 2) |pair| try model.close(pair, true);
            errdefer std.debug.print("{d} done, {d} cancelled\n", .{ model.done, model.cancelled });
            // All of it happened, and often.
            try testing.expect(model.done > steps / 20);
            try testing.expect(model.cancelled > steps / 400);
        }
    }.body);
}
