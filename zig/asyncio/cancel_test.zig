//! Tests of cancelling, on each backend: every operation that can wait, at every moment of its life; time limits, groups and shields
//! around IO; what runs out on the way.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const backend = @import("backend.zig");
const fixture = @import("fixture.zig");
const libcoro = @import("../libcoro.zig");
const sanitizer = @import("../sanitizer.zig");
const onEach = fixture.onEach;
const World = fixture.World;
const xasync = libcoro.xasync;
const xawait = libcoro.xawait;

const Moment = enum {
    /// The request is there when the operation begins.
    before,
    /// The loop has not ticked since it began.
    started,
    in_flight,
    /// What it waits for has happened, and the loop does not know.
    racing,
    /// It has ended, and the coroutine has not run yet.
    ended,
};

/// Each has one operation that waits until `trigger`, and knows afterwards whether it was done.
fn Scenarios(comptime aio: type) type {
    return struct {
        const all = .{ Accept, Read, Notification } ++
            (if (backend.canPoll(aio.xev)) .{Readable} else .{}) ++
            (if (builtin.os.tag == .linux) .{ Write, Writable, Connect, Receive, Process } else .{});

        const Accept = struct {
            listener: fixture.Listener(aio),
            client: aio.TCP,
            got: ?aio.TCP = null,

            fn init() !@This() {
                return .{ .listener = try .init(null), .client = .init(null, try aio.xev.TCP.init(fixture.loopback)) };
            }
            fn run(s: *@This()) !void {
                s.got = try s.listener.tcp.accept();
            }
            fn trigger(s: *@This()) !void {
                try s.client.connect(s.listener.address);
            }
            fn verify(s: *@This(), _: bool, is_triggered: bool) !void {
                // The connection is not lost.
                if (is_triggered and s.got == null) s.got = try s.listener.tcp.accept();
                if (s.got) |end| try end.close();
                try s.client.close();
                try s.listener.tcp.close();
            }
        };

        const Read = struct {
            ends: [2]aio.TCP,

            fn init() !@This() {
                return .{ .ends = try fixture.connected(aio) };
            }
            fn run(s: *@This()) !void {
                var buffer: [8]u8 = undefined;
                try testing.expectEqual(1, try s.ends[0].read(.{ .slice = &buffer }));
                try testing.expectEqual('x', buffer[0]);
            }
            fn trigger(s: *@This()) !void {
                try testing.expectEqual(1, try s.ends[1].write(.{ .slice = "x" }));
            }
            fn verify(s: *@This(), was_done: bool, is_triggered: bool) !void {
                if (is_triggered and !was_done) try s.run();
                for (s.ends) |end| try end.close();
            }
        };

        const Readable = struct {
            read: Read,

            fn init() !@This() {
                return .{ .read = try .init() };
            }
            fn run(s: *@This()) !void {
                return switch (try libcoro.select(.{ .it = s.read.ends[0].readable() })) {
                    .it => |ready| ready,
                };
            }
            fn trigger(s: *@This()) !void {
                return s.read.trigger();
            }
            fn verify(s: *@This(), _: bool, is_triggered: bool) !void {
                return s.read.verify(false, is_triggered);
            }
        };

        /// Ends whose buffers are full.
        const Full = struct {
            ends: [2]aio.TCP,
            sent: usize = 0,

            const chunk: [64 * 1024]u8 = @splat('x');

            fn init() !@This() {
                var full: @This() = .{ .ends = try fixture.connected(aio) };
                // Of one size, so that full ones stay full.
                for (full.ends) |end| for ([_]u32{ std.posix.SO.SNDBUF, std.posix.SO.RCVBUF }) |option| {
                    try std.posix.setsockopt(backend.fdOf(aio.xev, end.tcp), std.posix.SOL.SOCKET, option, std.mem.asBytes(&@as(c_int, 64 * 1024)));
                };
                while (true) {
                    const n = libcoro.withTimeout(20, aio.TCP.write, .{ full.ends[0], aio.xev.WriteBuffer{ .slice = &chunk } }) catch |err| {
                        if (err == error.Timeout) return full;
                        return err;
                    };
                    full.sent += n;
                }
            }
            fn drain(full: *@This(), to: usize) !void {
                var buffer: [64 * 1024]u8 = undefined;
                var got: usize = 0;
                while (got < to) got += try full.ends[1].read(.{ .slice = buffer[0..@min(buffer.len, to - got)] });
                full.sent -= got;
            }
            fn close(full: *@This()) !void {
                for (full.ends) |end| try end.close();
            }
        };

        const Write = struct {
            full: Full,

            fn init() !@This() {
                return .{ .full = try .init() };
            }
            fn run(s: *@This()) !void {
                const n = try s.full.ends[0].write(.{ .slice = &Full.chunk });
                s.full.sent += n;
            }
            fn trigger(s: *@This()) !void {
                try s.full.drain(s.full.sent);
            }
            fn verify(s: *@This(), _: bool, _: bool) !void {
                // Exactly what was counted arrives, and then the end.
                try s.full.drain(s.full.sent);
                try s.full.ends[0].shutdown();
                var byte: [1]u8 = undefined;
                try testing.expectError(error.EOF, s.full.ends[1].read(.{ .slice = &byte }));
                try s.full.close();
            }
        };

        const Writable = struct {
            full: Full,

            fn init() !@This() {
                return .{ .full = try .init() };
            }
            fn run(s: *@This()) !void {
                return switch (try libcoro.select(.{ .it = s.full.ends[0].writable() })) {
                    .it => |ready| ready,
                };
            }
            fn trigger(s: *@This()) !void {
                try s.full.drain(s.full.sent);
            }
            fn verify(s: *@This(), _: bool, _: bool) !void {
                try s.full.close();
            }
        };

        const Notification = struct {
            notification: aio.AsyncNotification,

            fn init() !@This() {
                return .{ .notification = .init(null, try aio.xev.Async.init()) };
            }
            fn run(s: *@This()) !void {
                return s.notification.wait();
            }
            fn trigger(s: *@This()) !void {
                return s.notification.notify();
            }
            fn verify(s: *@This(), was_done: bool, is_triggered: bool) !void {
                if (is_triggered and !was_done) try s.run();
                s.notification.notif.deinit();
            }
        };

        /// To a socket that takes no more, so that the kernel tries again and again.
        const Connect = struct {
            const linux = std.os.linux;
            const is_never_done = true;

            listener: aio.xev.TCP,
            address: std.Io.net.IpAddress,
            queued: [4]i32,
            client: aio.TCP,

            fn init() !@This() {
                const listener = try aio.xev.TCP.init(fixture.loopback);
                try listener.bind(fixture.loopback);
                try listener.listen(0);
                const address = try fixture.addressOf(aio.xev, listener);
                var queued: [4]i32 = undefined;
                const raw: linux.sockaddr.in = .{ .port = std.mem.nativeToBig(u16, address.ip4.port), .addr = @bitCast(address.ip4.bytes) };
                for (&queued) |*fd| {
                    fd.* = @intCast(linux.socket(linux.AF.INET, linux.SOCK.STREAM | linux.SOCK.NONBLOCK, 0));
                    _ = linux.connect(fd.*, &raw, @sizeOf(@TypeOf(raw)));
                }
                return .{ .listener = listener, .address = address, .queued = queued, .client = .init(null, try aio.xev.TCP.init(fixture.loopback)) };
            }
            fn run(s: *@This()) !void {
                return s.client.connect(s.address);
            }
            fn verify(s: *@This(), was_done: bool, _: bool) !void {
                try testing.expect(!was_done);
                for (s.queued) |fd| _ = linux.close(fd);
                try s.client.close();
                try aio.TCP.init(null, s.listener).close();
            }
        };

        const Receive = struct {
            server: aio.UDP,
            client: aio.UDP,
            to: std.Io.net.IpAddress,

            fn init() !@This() {
                const server = try aio.xev.UDP.init(fixture.loopback);
                try server.bind(fixture.loopback);
                return .{
                    .server = .init(null, server),
                    .client = .init(null, try aio.xev.UDP.init(fixture.loopback)),
                    .to = try fixture.addressOf(aio.xev, server),
                };
            }
            fn run(s: *@This()) !void {
                var buffer: [8]u8 = undefined;
                try testing.expectEqual(2, try s.server.read(.{ .slice = &buffer }));
            }
            fn trigger(s: *@This()) !void {
                try testing.expectEqual(2, try s.client.write(s.to, .{ .slice = "xy" }));
            }
            fn verify(s: *@This(), was_done: bool, is_triggered: bool) !void {
                if (is_triggered and !was_done) try s.run();
                try s.server.close();
                try s.client.close();
            }
        };

        const Process = struct {
            const linux = std.os.linux;

            p: aio.Process,
            pipe: i32,

            fn init() !@This() {
                var pipe: [2]i32 = undefined;
                try testing.expectEqual(.SUCCESS, linux.errno(linux.pipe2(&pipe, .{ .CLOEXEC = true })));
                const pid: isize = if (builtin.link_libc) std.c.fork() else @bitCast(linux.fork());
                if (pid == 0) {
                    _ = linux.close(pipe[1]);
                    var byte: [1]u8 = undefined;
                    _ = linux.read(pipe[0], &byte, 1);
                    linux.exit_group(5);
                }
                _ = linux.close(pipe[0]);
                return .{ .p = .init(null, try aio.xev.Process.init(@intCast(pid))), .pipe = pipe[1] };
            }
            fn run(s: *@This()) !void {
                try testing.expectEqual(5, try s.p.wait());
            }
            fn trigger(s: *@This()) !void {
                _ = linux.close(s.pipe);
            }
            fn verify(s: *@This(), was_done: bool, is_triggered: bool) !void {
                if (!is_triggered) try s.trigger();
                if (!was_done) try s.run();
                s.p.p.deinit();
            }
        };
    };
}

fn Body(comptime aio: type, comptime Scenario: type) type {
    return struct {
        fn run(scenario: *Scenario, moment: Moment, was_done: *bool) !void {
            if (moment == .before) libcoro.requestCancel(libcoro.xframe());
            try scenario.run();
            was_done.* = true;
            // What was done is not undone, and the request is still there.
            try aio.sleep(null, 1_000_000);
        }

        fn at(world: *World(aio), moment: Moment) !void {
            errdefer std.debug.print("{s}, {t}\n", .{ @typeName(Scenario), moment });
            var scenario = try Scenario.init();
            const source = &world.exec.source;
            var was_done = false;
            const is_triggered = moment == .racing or moment == .ended;
            const frame = try xasync(run, .{ &scenario, moment, &was_done }, null);
            defer frame.deinit();
            if (moment != .before) try testing.expectEqual(.suspended, frame.status());
            if (moment != .before and moment != .started) for (0..3) |_| {
                try testing.expect(source.pollFn(source, false));
                try testing.expect(world.exec.exec.isEmpty());
            };
            if (is_triggered) {
                try triggerUnseen(&scenario);
                const task = &frame.frame().task;
                if (moment == .ended) while (task.queue == null) {
                    _ = source.pollFn(source, true);
                };
            }
            libcoro.requestCancel(frame);
            try testing.expectError(error.Cancelled, xawait(frame));
            switch (moment) {
                .before, .started, .in_flight => try testing.expect(!was_done),
                .racing => {},
                .ended => try testing.expect(was_done),
            }
            try scenario.verify(was_done, is_triggered);
        }

        /// By another loop, so that this one does not tick.
        fn triggerUnseen(scenario: *Scenario) !void {
            var loop = try aio.xev.Loop.init(.{});
            defer loop.deinit();
            var other: aio.Executor = .init(&loop);
            defer other.deinit();
            other.attach();
            const env = libcoro.getEnv();
            const outer = env.executor;
            env.executor = &other.exec;
            defer env.executor = outer;
            try scenario.trigger();
        }
    };
}

test "every operation can be cancelled at any moment, and is done or not done" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            @setEvalBranchQuota(10_000);
            inline for (Scenarios(aio).all) |Scenario| {
                for (std.enums.values(Moment)) |moment| {
                    if (@hasDecl(Scenario, "is_never_done")) {
                        if (moment == .racing or moment == .ended) continue;
                        try Body(aio, struct {
                            inner: Scenario,
                            fn init() !@This() {
                                return .{ .inner = try .init() };
                            }
                            fn run(s: *@This()) !void {
                                return s.inner.run();
                            }
                            fn trigger(_: *@This()) !void {}
                            fn verify(s: *@This(), was_done: bool, is_triggered: bool) !void {
                                return s.inner.verify(was_done, is_triggered);
                            }
                        }).at(world, moment);
                    } else try Body(aio, Scenario).at(world, moment);
                }
            }
        }
    }.body);
}

test "a close is done whatever cancels come, and the cancel stays" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Closing = struct {
                fn run(end: aio.TCP) !void {
                    libcoro.requestCancel(libcoro.xframe());
                    try end.close();
                    try aio.sleep(null, 1_000_000);
                }
            };
            for (try fixture.connected(aio)) |end| {
                const frame = try xasync(Closing.run, .{end}, null);
                defer frame.deinit();
                try testing.expectError(error.Cancelled, xawait(frame));
            }
        }
    }.body);
}

test "time limits, groups and shields around IO" {
    try onEach(struct {
        fn body(comptime aio: type, _: *World(aio)) !void {
            const Bodies = struct {
                fn read(end: aio.TCP) !usize {
                    var buffer: [8]u8 = undefined;
                    return end.read(.{ .slice = &buffer });
                }
                fn fail() !void {
                    try aio.sleep(null, 2);
                    return error.Broken;
                }
                fn group(end: aio.TCP) !void {
                    var children: libcoro.Group = .init;
                    defer children.deinit();
                    for (0..5) |_| try children.spawn(read, .{end}, .{});
                    try children.spawn(fail, .{}, .{});
                    try children.wait();
                }
                fn shielded(end: aio.TCP, got: *usize) !void {
                    got.* = try libcoro.shield(read, .{end});
                    try aio.sleep(null, 1_000_000);
                }
            };
            const ends = try fixture.connected(aio);
            // On the thread's own stack and in a coroutine.
            try testing.expectError(error.Timeout, libcoro.withTimeout(2, Bodies.read, .{ends[0]}));
            const limited = struct {
                fn run(end: aio.TCP) !usize {
                    return libcoro.withTimeout(2, Bodies.read, .{end});
                }
            };
            try testing.expectError(error.Timeout, aio.run(null, limited.run, .{ends[0]}, null));
            try testing.expectError(error.Broken, aio.run(null, Bodies.group, .{ends[0]}, null));
            var got: usize = 0;
            const frame = try xasync(Bodies.shielded, .{ ends[0], &got }, null);
            libcoro.requestCancel(frame);
            try aio.sleep(null, 2);
            try testing.expectEqual(.suspended, frame.status());
            _ = try ends[1].write(.{ .slice = "abc" });
            try testing.expectError(error.Cancelled, xawait(frame));
            frame.deinit();
            try testing.expectEqual(3, got);
            // Nothing of the reads that were given up is still there to take bytes away.
            _ = try ends[1].write(.{ .slice = "de" });
            try testing.expectEqual(2, try Bodies.read(ends[0]));
            for (ends) |end| try end.close();
        }
    }.body);
}

test "ten thousand reads begin and are cancelled in one tick" {
    try onEach(struct {
        fn body(comptime aio: type, world: *World(aio)) !void {
            const is_epoll = @intFromEnum(aio.xev.backend) == @intFromEnum(libcoro.xev.Backend.epoll);
            const Reading = struct {
                fn read(end: aio.TCP) !void {
                    var byte: [1]u8 = undefined;
                    _ = try end.read(.{ .slice = &byte });
                }
            };
            const ends = try fixture.connected(aio);
            var group: libcoro.Group = .init;
            // Each has a descriptor of its own on epoll.
            for (0..if (is_epoll) 500 else sanitizer.bearable(10_000)) |_| try group.spawn(Reading.read, .{ends[0]}, .{ .stack = 16 * 1024 });
            group.deinit();
            try testing.expectEqual(0, world.exec.in_flight);
            for (ends) |end| try end.close();
        }
    }.body);
}

test "what runs out is an error, and leaves nothing behind" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    try onEach(struct {
        const linux = std.os.linux;

        fn body(comptime aio: type, world: *World(aio)) !void {
            const is_epoll = @intFromEnum(aio.xev.backend) == @intFromEnum(libcoro.xev.Backend.epoll);
            // Memory for sleepers.
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = 0 });
            const outer = world.exec.sleepers.allocator;
            world.exec.sleepers.deinit();
            world.exec.sleepers.heap = .{};
            world.exec.sleepers.allocator = failing.allocator();
            try testing.expectError(error.OutOfMemory, aio.sleep(null, 1));
            try testing.expectError(error.OutOfMemory, libcoro.withTimeout(1, libcoro.sleep, .{1}));
            world.exec.sleepers.allocator = outer;
            if (!is_epoll) return; // io_uring takes no descriptors, and libxev tells none of its errors

            const Accepting = struct {
                fn run(listener: aio.TCP) !aio.TCP {
                    return listener.accept();
                }
            };
            const ends = try fixture.connected(aio);
            const listener = try fixture.Listener(aio).init(null);
            const client: aio.TCP = .init(null, try aio.xev.TCP.init(fixture.loopback));
            const acceptor = try xasync(Accepting.run, .{listener.tcp}, null);
            var tmp = testing.tmpDir(.{});
            defer tmp.cleanup();
            const plain = try tmp.dir.createFile(testing.io, "file", .{ .read = true });
            const file: aio.File = .init(null, try aio.xev.File.init(plain));
            var byte: [1]u8 = undefined;
            {
                const limit = try forbidDescriptors();
                defer setLimit(limit) catch unreachable;
                try testing.expectError(error.DupFailed, ends[0].read(.{ .slice = &byte }));
                try testing.expectError(error.DupFailed, ends[0].write(.{ .slice = "x" }));
                try testing.expectError(error.DupFailed, listener.tcp.accept());
                const ready = try libcoro.select(.{ .it = ends[0].readable() });
                try testing.expectError(error.DupFailed, ready.it);
                try testing.expectError(error.SystemResources, file.read(.{ .slice = &byte }));
                const raw: linux.sockaddr.in = .{ .port = std.mem.nativeToBig(u16, listener.address.ip4.port), .addr = @bitCast(listener.address.ip4.bytes) };
                _ = linux.connect(backend.fdOf(aio.xev, client.tcp), &raw, @sizeOf(@TypeOf(raw)));
                try testing.expectError(error.ProcessFdQuotaExceeded, xawait(acceptor));
            }
            acceptor.deinit();
            try testing.expectEqual(0, world.exec.in_flight);
            const accepted = try listener.tcp.accept();
            // epoll refuses what is no socket.
            const no_socket: aio.TCP = .init(null, aio.xev.TCP.initFd(plain.handle));
            try testing.expectError(error.FileDescriptorIncompatibleWithEpoll, no_socket.read(.{ .slice = &byte }));
            try file.close();
            for (ends ++ .{ client, listener.tcp, accepted }) |socket| try socket.close();
        }

        /// From now on there is no new one. Gives the limit that was.
        fn forbidDescriptors() !linux.rlimit {
            var limit: linux.rlimit = undefined;
            try testing.expectEqual(.SUCCESS, linux.errno(linux.getrlimit(.NOFILE, &limit)));
            const lowest = linux.dup(0);
            try testing.expectEqual(.SUCCESS, linux.errno(lowest));
            _ = linux.close(@intCast(lowest));
            try setLimit(.{ .cur = lowest, .max = limit.max });
            return limit;
        }

        fn setLimit(limit: linux.rlimit) !void {
            try testing.expectEqual(.SUCCESS, linux.errno(linux.setrlimit(.NOFILE, &limit)));
        }
    }.body);
}
