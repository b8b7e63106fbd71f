//! Tests of files on each backend: memory that runs out at every point, closes with operations in flight, streams, Envs that end,
//! and random use against a model in memory.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const buffer = @import("../buffer.zig");
const Backend = @import("../loop.zig").Backend;
const Env = @import("../env.zig").Env;
const file = @import("file.zig");
const File = file.File;
const IoWait = @import("op.zig").IoWait;
const Loop = @import("../loop.zig").Loop;
const openDescriptors = @import("tcp_test.zig").openDescriptors;
const parked = @import("tcp.zig").parked;
const pool = @import("pool.zig");
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const Waiter = @import("../waiter.zig").Waiter;

pub const backends = @import("../loop.zig").backends;

/// A loop and what files need of it, in place, and a file's path.
pub const World = struct {
    loop: Loop,
    buffers: buffer.Pool,
    files: file.Context,
    descriptors: u32,
    tmp: testing.TmpDir,
    path_bytes: [256]u8,
    path: [:0]const u8,

    /// Null where the machine refuses the backend.
    pub fn init(world: *World, backend: Backend, allocator: std.mem.Allocator) !?void {
        world.tmp = testing.tmpDir(.{});
        world.path = try std.fmt.bufPrintZ(&world.path_bytes, ".zig-cache/tmp/{s}/file", .{&world.tmp.sub_path});
        world.descriptors = openDescriptors();
        world.loop = Loop.init(backend) catch |err| {
            world.tmp.cleanup();
            return if (err == error.Unavailable) null else err;
        };
        world.buffers = .{ .memory = allocator };
        world.files = .{ .allocator = allocator, .loop = &world.loop, .buffers = &world.buffers };
    }

    /// Every file was closed. Afterwards nothing may be left.
    pub fn deinit(world: *World) !void {
        while (world.loop.in_flight > 0) try world.turn(true);
        world.files.deinit();
        try testing.expectEqual(0, world.buffers.borrowed);
        world.buffers.deinit();
        world.loop.deinit();
        try testing.expectEqual(world.descriptors, openDescriptors());
        world.tmp.cleanup();
    }

    pub fn turn(world: *World, wait: bool) !void {
        try world.loop.tick(wait);
        world.loop.deliver();
    }

    /// The result that an operation gave, now or when `wait` is told.
    pub fn ended(world: *World, result: i32, wait: *IoWait) !i32 {
        if (result != parked) return result;
        while (wait.waiter.state == .armed) try world.turn(true);
        return wait.result;
    }

    pub fn open(world: *World, path: []const u8, flags: c.O) !*File {
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        const opened = try File.open(&world.files, path, @bitCast(flags), 0o600, &wait);
        try testing.expectEqual(0, try world.ended(parked, &wait));
        try testing.expectEqual(opened, world.files.files.get(@intFromFloat(wait.value)).?);
        return opened;
    }

    /// What a read that parked and ended with `wait` has brought.
    pub fn take(world: *World, wait: *const IoWait, destination: []u8) usize {
        return world.files.kept(@intFromFloat(wait.value)).?.take(destination);
    }
};

const openFile = @import("tcp_test.zig").openFile;

pub fn nothing(_: *Waiter) void {}

const create: c.O = .{ .ACCMODE = .RDWR, .CREAT = true };

test "memory that runs out anywhere leaks neither memory nor descriptors" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
            var world: World = undefined;
            try world.init(backend, failing.allocator()) orelse break;
            var waits: [6]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
            const outcome = useAll(&world, &waits);
            try world.deinit();
            outcome catch |err| {
                try testing.expectEqual(error.OutOfMemory, err);
                continue;
            };
            break;
        }
        // The file, its path and its handle, requests and their list, buffers.
        try testing.expect(fail_index >= 7 or backend == .io_uring);
    }
}

/// Opens, writes, reads, and closes with operations in flight.
fn useAll(world: *World, waits: *[6]IoWait) !void {
    const f = File.open(&world.files, world.path, @bitCast(create), 0o600, &waits[0]) catch |err| return err;
    const opened = try world.ended(parked, &waits[0]);
    // The pool's port may have found no memory.
    if (opened == sys.negative(.NOMEM)) return error.OutOfMemory;
    try testing.expectEqual(0, opened);
    defer f.close(null);
    f.can_write_now = false;
    f.can_read_now = false;
    const written = try world.ended(try f.write(&waits[1], "hello", 0), &waits[1]);
    if (written == sys.negative(.NOMEM)) return error.OutOfMemory;
    try testing.expectEqual(5, written);
    _ = try f.read(&waits[2], @constCast(&[1]u8{0} ** 100), 0);
    _ = try f.stat(&waits[3]);
    _ = try f.truncate(&waits[4], 3);
    _ = try f.sync(&waits[5], true);
}

test "a close ends what is in flight, each once, and then the descriptor; a wait for the close is told last" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const f = try world.open(world.path, create);
        f.can_write_now = false;
        var waits: [40]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
        for (&waits, 0..) |*wait, i| try testing.expectEqual(parked, try f.write(wait, "0123456789", @intCast(10 * i)));
        var close_wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        const handle = f.handle;
        f.close(&close_wait);
        try testing.expectEqual(null, world.files.files.get(handle));
        try testing.expectEqual(0, try world.ended(parked, &close_wait));
        var written: usize = 0;
        for (&waits) |*wait| {
            try testing.expectEqual(.woken, wait.waiter.state);
            if (wait.result == 10) written += 1 else try testing.expectEqual(sys.negative(.CANCELED), wait.result);
        }
        const again = try world.open(world.path, .{});
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        try testing.expectEqual(0, try world.ended(try again.stat(&wait), &wait));
        const stat = world.files.kept(@intFromFloat(wait.value)).?;
        try testing.expect(stat.stat.values().size <= 400 and stat.stat.values().size >= 10 * written);
        stat.release();
        again.close(null);
        try world.deinit();
    }
}

test "a close that failed has closed the descriptor, and leaves alone who got its number" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const f = try world.open(world.path, create);
        const fd = f.fd;
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        f.close(&wait);
        while (f.own.op.state != .finished) try world.loop.tick(true);
        // As file systems of user programs may answer.
        f.own.op.result = sys.negative(.NOMEM);
        try testing.expectEqual(fd, @import("tcp_test.zig").emptyFile());
        world.loop.deliver();
        try testing.expectEqual(sys.negative(.NOMEM), wait.result);
        try testing.expect(sys.flagsOf(fd) != null);
        sys.close(fd);
        try world.deinit();
    }
}

test "what is in the page cache is read in the call; what is not asked of it waits" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        const f = try world.open(world.path, create);
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        try testing.expectEqual(6, try world.ended(try f.write(&wait, "cached", 0), &wait));
        var bytes: [10]u8 = undefined;
        const now = try f.read(&wait, &bytes, 0);
        try testing.expectEqual(6, try world.ended(now, &wait));
        // Kernels and file systems that cannot tell let it wait.
        if (f.can_read_now) try testing.expectEqual(6, now);
        if (now == parked) try testing.expectEqual(6, world.take(&wait, &bytes));
        try testing.expectEqualStrings("cached", bytes[0..6]);
        try testing.expectEqual(0, try world.ended(try f.read(&wait, &bytes, 6), &wait));
        f.can_read_now = false;
        @memset(&bytes, 0);
        try testing.expectEqual(parked, try f.read(&wait, &bytes, 2));
        try testing.expectEqual(4, try world.ended(parked, &wait));
        try testing.expectEqual(4, world.take(&wait, &bytes));
        try testing.expectEqualStrings("ched", bytes[0..4]);
        try testing.expectEqual(null, world.files.kept(@intFromFloat(wait.value)));
        try testing.expectEqual(0, world.buffers.borrowed);
        f.close(null);
        try world.deinit();
    }
}

test "a guest does not park on what a tick has not submitted" {
    if (backends[0] != .io_uring or !sanitizer.wakesSleepers()) return error.SkipZigTest;
    var world: World = undefined;
    try world.init(.io_uring, testing.allocator) orelse return;
    try makeFifo(world.path);
    const both = try world.open(world.path, .{ .ACCMODE = .RDWR });
    const ring = &world.loop.impl.io_uring;
    var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
    var byte: [1]u8 = undefined;
    try testing.expectEqual(parked, try both.read(&wait, &byte, 0));
    try testing.expect(ring.hasWork());
    try world.turn(false);
    try testing.expect(!ring.hasWork());
    both.close(null);
    try testing.expect(ring.hasWork());
    try world.deinit();
}

fn makeFifo(path: [:0]const u8) !void {
    const made = if (builtin.os.tag == .linux) c.mknodat(c.AT.FDCWD, path, c.S.IFIFO | 0o600, 0) else mkfifo(path, 0o600);
    try testing.expectEqual(0, sys.result(made));
}

extern "c" fn mkfifo(path: [*:0]const u8, mode: c_uint) c_int;

test "a read and a write of a stream wait, are cancelled having moved nothing, and go on" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        try makeFifo(world.path);
        const both = try world.open(world.path, .{ .ACCMODE = .RDWR });
        try testing.expect(both.is_stream);
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        var bytes: [10]u8 = undefined;
        for (0..2) |_| {
            try testing.expectEqual(parked, try both.read(&wait, &bytes, 0));
            try world.turn(false);
            world.loop.cancel(&both.first.?.job.op);
            try testing.expectEqual(sys.negative(.CANCELED), try world.ended(parked, &wait));
        }
        var write_wait = wait;
        try testing.expectEqual(parked, try both.read(&wait, &bytes, 0));
        try world.turn(false);
        try testing.expectEqual(5, try world.ended(try both.write(&write_wait, "bytes", 0), &write_wait));
        try testing.expectEqual(5, try world.ended(parked, &wait));
        try testing.expectEqual(5, world.take(&wait, &bytes));
        try testing.expectEqualStrings("bytes", bytes[0..5]);
        // Until the pipe is full.
        const large: [256 * 1024]u8 = @splat('x');
        while (true) {
            const result = try both.write(&write_wait, &large, 0);
            if (result == parked) break;
        }
        try world.turn(false);
        both.close(null);
        try testing.expect(try world.ended(parked, &write_wait) != 0);
        try world.deinit();
    }
}

var pipe_signals: std.atomic.Value(u32) = .init(0);

fn countSignal(_: c.SIG) callconv(.c) void {
    _ = pipe_signals.fetchAdd(1, .monotonic);
}

test "a write to a FIFO that nobody reads any more fails, and raises no signal" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    const counting: c.Sigaction = .{ .handler = .{ .handler = countSignal }, .mask = sys.SignalSet.none.set, .flags = 0 };
    var before: c.Sigaction = undefined;
    _ = sys.sigaction(.PIPE, &counting, &before);
    defer _ = sys.sigaction(.PIPE, &before, null);
    pipe_signals.store(0, .monotonic);
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        try makeFifo(world.path);
        const reader = openFile(world.path, .{ .NONBLOCK = true });
        const f = try world.open(world.path, .{ .ACCMODE = .WRONLY });
        sys.close(reader);
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        for ([_]bool{ true, false }) |now| {
            f.can_write_now = now;
            try testing.expectEqual(sys.negative(.PIPE), try world.ended(try f.write(&wait, "lost", 0), &wait));
        }
        f.close(null);
        try world.deinit();
    }
    try testing.expectEqual(0, pipe_signals.load(.monotonic));
}

test "an open that waits for its FIFO's other end is cancelled at once, and closes what it may open later" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        try makeFifo(world.path);
        var waits: [12]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
        var opening: [12]*File = undefined;
        for (&waits, &opening) |*wait, *f| f.* = try File.open(&world.files, world.path, @bitCast(c.O{}), 0, wait);
        // They stop nobody else.
        var other_path: [300]u8 = undefined;
        const other = try world.open(try std.fmt.bufPrint(&other_path, "{s}.other", .{world.path}), create);
        other.close(null);
        for (&waits, opening) |*wait, f| {
            if (wait.waiter.state == .armed) world.loop.cancel(&f.own.op);
        }
        for (&waits) |*wait| try testing.expectEqual(sys.negative(.CANCELED), try world.ended(parked, wait));
        try releaseOpens(world.path);
        try world.deinit();
    }
}

/// Lets threads that are in an open of the FIFO, or about to be, go on, and waits until they have put their jobs down: that, and not the
/// end of the open, is when what those hold is freed.
fn releaseOpens(path: [:0]const u8) !void {
    const fd = openFile(path, .{ .ACCMODE = .RDWR, .NONBLOCK = true });
    try testing.expect(fd >= 0);
    while (pool.load().abandoned > 0) std.Thread.yield() catch {};
    sys.close(fd);
}

test "an Env ends with files open, calls in flight and an open that waits for ever" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        for ([_]bool{ false, true }) |ticked| {
            var world: World = undefined;
            try world.init(backend, testing.allocator) orelse continue;
            try makeFifo(world.path);
            const env = try Env.create(testing.allocator, backend);
            const opening = env.slots.claim(0).?;
            opening.target = .{ .plain = &(try File.open(&env.files, world.path, @bitCast(c.O{}), 0, &opening.io)).own.op };
            var other_path: [300]u8 = undefined;
            const other = try std.fmt.bufPrint(&other_path, "{s}.other", .{world.path});
            const creating = env.slots.claim(1).?;
            const f = try File.open(&env.files, other, @bitCast(create), 0o600, &creating.io);
            creating.target = .{ .plain = &f.own.op };
            if (ticked) {
                while (creating.target != .idle) try env.tick(true);
                f.can_write_now = false;
                for (2..50) |i| {
                    const slot = env.slots.claim(@intCast(i)).?;
                    try testing.expectEqual(parked, try f.write(&slot.io, "bytes", @intCast(i)));
                    slot.target = .{ .plain = &f.first.?.job.op };
                }
                try env.tick(false);
            }
            env.destroy();
            try releaseOpens(world.path);
            try world.deinit();
        }
    }
}

const max_size = 300_000;

/// The file as it must be. An operation has its part of it to itself as long as it is in flight.
const Model = struct {
    bytes: [max_size]u8 = @splat(0),
    size: usize = 0,

    fn write(m: *Model, at: usize, bytes: []const u8) void {
        @memcpy(m.bytes[at..][0..bytes.len], bytes);
        m.size = @max(m.size, at + bytes.len);
    }

    fn truncate(m: *Model, size: usize) void {
        if (size < m.size) @memset(m.bytes[size..m.size], 0);
        m.size = size;
    }

    fn read(m: *const Model, at: usize, len: usize) []const u8 {
        return m.bytes[@min(at, m.size)..@min(at + len, m.size)];
    }
};

/// One operation that may be in flight.
const Actor = struct {
    wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } },
    what: enum { idle, read, write, truncate } = .idle,
    at: usize = 0,
    len: usize = 0,
    request: ?*file.Request = null,
    bytes: [9000]u8 = undefined,

    fn touches(a: *const Actor, at: usize, len: usize) bool {
        return a.what != .idle and a.at < at + len and at < a.at + a.len;
    }

    fn end(a: *Actor, world: *World, model: *Model, result: i32) !void {
        const what = a.what;
        const waited = a.request != null;
        a.what = .idle;
        a.request = null;
        if (waited and result == sys.negative(.CANCELED)) return;
        try testing.expect(result >= 0);
        const n: usize = @intCast(result);
        switch (what) {
            .idle => unreachable,
            .write => {
                try testing.expect(n > 0 and n <= a.len);
                model.write(a.at, a.bytes[0..n]);
            },
            .truncate => model.truncate(a.at),
            .read => {
                if (waited and n > 0) try testing.expectEqual(n, world.take(&a.wait, a.bytes[0..a.len]));
                try testing.expectEqualSlices(u8, model.read(a.at, n), a.bytes[0..n]);
                if (n == 0) try testing.expect(a.at >= model.size);
            },
        }
    }
};

test "random reads, writes, truncates, cancels and reopens match a model" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    const seed: u64 = 0x66_69_6c_65;
    errdefer std.debug.print("seed {x}\n", .{seed});
    for (backends) |backend| {
        var prng = std.Random.DefaultPrng.init(seed);
        const random = prng.random();
        var world: World = undefined;
        try world.init(backend, testing.allocator) orelse continue;
        var model: Model = .{};
        var actors: [8]Actor = @splat(.{});
        var f = try world.open(world.path, create);
        var cancelled: usize = 0;
        for (0..6000) |step| {
            // What the file system can do without waiting is its business: both ways are tried.
            f.can_read_now = random.boolean();
            f.can_write_now = random.boolean();
            try act(&actors, random, f, &world, &model);
            if (random.uintLessThan(u8, 6) == 0) {
                const victim = &actors[random.uintLessThan(usize, actors.len)];
                if (victim.request) |request| world.loop.cancel(&request.job.op);
            }
            if (random.boolean()) try world.turn(false);
            if (step % 1000 == 999) {
                f.close(null);
                for (&actors) |*a| while (a.wait.waiter.state == .armed) try world.turn(true);
            }
            for (&actors) |*a| {
                if (a.request == null or a.wait.waiter.state == .armed) continue;
                if (a.wait.result == sys.negative(.CANCELED)) cancelled += 1;
                try a.end(&world, &model, a.wait.result);
            }
            if (step % 1000 == 999) f = try world.open(world.path, .{ .ACCMODE = .RDWR });
        }
        for (&actors) |*a| if (a.request != null) try a.end(&world, &model, try world.ended(parked, &a.wait));
        var whole: Actor = .{ .what = .read };
        while (whole.at < max_size) : (whole.at += whole.bytes.len) {
            whole.what = .read;
            whole.len = whole.bytes.len;
            f.can_read_now = false;
            try testing.expectEqual(parked, try f.read(&whole.wait, &whole.bytes, @intCast(whole.at)));
            whole.request = f.first;
            const result = try world.ended(parked, &whole.wait);
            try testing.expectEqual(model.read(whole.at, whole.len).len, @as(usize, @intCast(result)));
            try whole.end(&world, &model, result);
        }
        f.close(null);
        try world.deinit();
        try testing.expect(cancelled > 0);
    }
}

/// Starts something with an idle actor, where nobody else is.
fn act(actors: []Actor, random: std.Random, f: *File, world: *World, model: *Model) !void {
    const a = &actors[random.uintLessThan(usize, actors.len)];
    if (a.what != .idle) return;
    const at = random.uintLessThan(usize, max_size - a.bytes.len);
    const len = random.intRangeAtMost(usize, 1, a.bytes.len);
    const kind = random.uintLessThan(u8, 16);
    for (actors) |*other| {
        if (other.touches(at, len)) return;
        // A truncate moves the end, which reads look at.
        if (other.what == .truncate or (kind == 0 and other.what != .idle)) return;
        if (kind >= 9 and other.what == .write) return;
        if (kind < 9 and other.what == .read) return;
    }
    a.at = at;
    a.len = len;
    const result = switch (kind) {
        0 => result: {
            a.what = .truncate;
            break :result try f.truncate(&a.wait, @intCast(at));
        },
        1...8 => result: {
            a.what = .write;
            random.bytes(a.bytes[0..len]);
            break :result try f.write(&a.wait, a.bytes[0..len], @intCast(at));
        },
        else => result: {
            a.what = .read;
            break :result try f.read(&a.wait, a.bytes[0..len], @intCast(at));
        },
    };
    if (result == parked) a.request = f.first else try a.end(world, model, result);
}
