//! Tests of notifications on each backend: order of waits, what is kept, close, memory that runs out, other threads, and random use
//! against a model.

const std = @import("std");
const testing = std.testing;
const code = @import("../code.zig");
const notice = @import("../notice.zig");
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const Backend = @import("../loop.zig").Backend;
const backends = @import("../loop.zig").backends;
const Env = @import("../env.zig").Env;
const Notification = @import("notification.zig").Notification;
const NativeFrame = @import("../native.zig").NativeFrame;
const openDescriptors = @import("tcp_test.zig").openDescriptors;

/// Null where the machine refuses the backend.
fn create(backend: Backend) !?*Env {
    return Env.create(testing.allocator, backend) catch |err| if (err == error.Unavailable) null else err;
}

fn open(env: *Env) !*Notification {
    return (try Notification.open(&env.tcp_context, &env.notifications)).notification;
}

fn startWait(env: *Env, n: *Notification, token: u32) !i32 {
    const slot = env.slots.claim(token).?;
    const result = n.start(&slot.io);
    if (result == code.parked) slot.target = .{ .listener = &n.listeners };
    return result;
}

/// The next entry of the ring, waiting for it.
fn next(env: *Env) !@TypeOf(env.ring.entries[0]) {
    const shared = env.ring.shared;
    while (shared.tail == shared.head) try env.tick(true);
    defer shared.head += 1;
    return env.ring.entries[shared.head % env.ring.entries.len];
}

test "a notification ends one wait, the oldest; one that nobody waits for is kept, as one" {
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        const n = try open(env);
        try testing.expect(notice.notify(n.id) and notice.notify(n.id));
        try testing.expectEqual(0, try startWait(env, n, 0));
        for (0..3) |token| try testing.expectEqual(code.parked, try startWait(env, n, @intCast(token)));
        // The second gives up: it takes nothing with it.
        try testing.expect(env.slots.busy(1).?.cancel());
        for ([_]u32{ 0, 2 }) |token| {
            try testing.expect(notice.notify(n.id));
            const entry = try next(env);
            try testing.expectEqual(token, entry.token);
            try testing.expectEqual(0, entry.status);
        }
        try env.tick(false);
        try testing.expectEqual(env.ring.shared.head, env.ring.shared.tail);
        // Nobody waits: nothing is in flight.
        while (env.loop.in_flight > 0) try env.tick(true);
    }
}

test "a wait that gave up last may come back before the kernel has heard of it" {
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        const n = try open(env);
        for ([_]bool{ false, true }) |ticked| {
            try testing.expectEqual(code.parked, try startWait(env, n, 0));
            if (ticked) try env.tick(false);
            try testing.expect(env.slots.busy(0).?.cancel());
            try testing.expectEqual(code.parked, try startWait(env, n, 1));
            try testing.expect(notice.notify(n.id));
            try testing.expectEqual(1, (try next(env)).token);
        }
    }
}

test "a close ends all waits, and its id is refused from then on" {
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        const n = try open(env);
        const id = n.id;
        for (0..3) |token| try testing.expectEqual(code.parked, try startWait(env, n, @intCast(token)));
        try env.tick(false);
        n.close();
        try testing.expect(!notice.notify(id));
        try testing.expectEqual(null, Notification.of(&env.tcp_context, @floatFromInt(id)));
        for (0..3) |token| {
            const entry = try next(env);
            try testing.expectEqual(@as(u32, @intCast(token)), entry.token);
            try testing.expectEqual(sys.negative(.CANCELED), entry.status);
        }
        while (env.loop.in_flight > 0) try env.tick(true);
        try testing.expectEqual(null, env.notifications.head);
    }
}

test "an Env that ends closes its notifications; memory that runs out leaves nothing" {
    for (backends) |backend| {
        const before = openDescriptors();
        const env = try create(backend) orelse continue;
        const id = (try open(env)).id;
        try testing.expectEqual(code.parked, try startWait(env, try open(env), 0));
        const inside = openDescriptors();
        env.tcp_context.allocator = testing.failing_allocator;
        try testing.expectError(error.OutOfMemory, open(env));
        try testing.expectEqual(inside, openDescriptors());
        env.tcp_context.allocator = testing.allocator;
        env.destroy();
        try testing.expect(!notice.notify(id));
        try testing.expectEqual(before, openDescriptors());
    }
}

test "threads notify while the Env sleeps; what they wrote before is seen" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    const Shared = struct {
        ids: [2]notice.Id,
        written: [2]std.atomic.Value(u32) = @splat(.init(0)),

        const total = 5000;

        fn run(s: *@This(), which: usize) void {
            for (0..total) |i| {
                s.written[which].store(@intCast(i + 1), .monotonic);
                if (!notice.notify(s.ids[which])) return;
            }
        }
    };
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        const ns = [_]*Notification{ try open(env), try open(env) };
        var shared: Shared = .{ .ids = .{ ns[0].id, ns[1].id } };
        var threads: [2]std.Thread = undefined;
        for (&threads, 0..) |*thread, i| thread.* = try .spawn(.{}, Shared.run, .{ &shared, i });
        defer for (threads) |thread| thread.join();
        for (ns, 0..) |n, i| {
            while (shared.written[i].load(.monotonic) < Shared.total) {
                if (try startWait(env, n, @intCast(i)) == code.parked) _ = try next(env);
            }
        }
    }
}

/// Who waits, in order, and whether a notification is kept.
const Model = struct {
    waiting: std.ArrayList(u32) = .empty,
    kept: bool = false,
};

test "random waits, notifications and cancels do as a plain list does" {
    for (backends) |backend| {
        for (0..40) |seed| {
            errdefer std.debug.print("seed {d} on {t}\n", .{ seed, backend });
            try runSeed(backend, seed);
        }
    }
}

fn runSeed(backend: Backend, seed: u64) !void {
    const env = try create(backend) orelse return;
    defer env.destroy();
    const n = try open(env);
    var model: Model = .{};
    defer model.waiting.deinit(testing.allocator);
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    for (0..200) |_| {
        const token = random.uintLessThan(u32, 8);
        const place = std.mem.indexOfScalar(u32, model.waiting.items, token);
        switch (random.uintLessThan(u32, 4)) {
            0, 1 => if (place == null) {
                const result = try startWait(env, n, token);
                const at_once = model.kept and model.waiting.items.len == 0;
                try testing.expectEqual(if (at_once) 0 else code.parked, result);
                if (at_once) model.kept = false else try model.waiting.append(testing.allocator, token);
            },
            2 => if (place) |i| {
                try testing.expect(env.slots.busy(token).?.cancel());
                _ = model.waiting.orderedRemove(i);
            },
            else => {
                try testing.expect(notice.notify(n.id));
                if (model.waiting.items.len == 0) {
                    model.kept = true;
                    continue;
                }
                const entry = try next(env);
                try testing.expectEqual(model.waiting.orderedRemove(0), entry.token);
                try testing.expectEqual(0, entry.status);
            },
        }
        if (random.boolean()) try env.tick(false);
        try testing.expectEqual(env.ring.shared.head, env.ring.shared.tail);
    }
}

test "a native body that waits when its Env ends is let go of" {
    const Body = struct {
        fn wait(frame: *NativeFrame) callconv(.c) f64 {
            return @floatFromInt(frame.notificationWaitBody(frame.arguments[0]));
        }
    };
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        const n = try open(env);
        const id: f64 = @floatFromInt(n.id);
        for (0..2) |token| {
            const frame = try NativeFrame.create(env, Body.wait, &.{id}, .{ .size = 64 * 1024 }, "body", env.slots.claim(@intCast(token)).?);
            try testing.expectEqual(code.suspended, frame.run());
        }
        env.destroy();
    }
}
