//! Tests of lookups on each backend: what is found, memory that runs out, cancels and Envs that end while the resolver does not answer.

const std = @import("std");
const testing = std.testing;
const Env = @import("../env.zig").Env;
const lookup = @import("lookup.zig");
const Lookup = lookup.Lookup;
const pool = @import("pool.zig");
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const c = sys.c;
const IoWait = @import("op.zig").IoWait;
const backends = @import("file_test.zig").backends;
const nothing = @import("file_test.zig").nothing;
const openDescriptors = @import("tcp_test.zig").openDescriptors;

/// Null where the machine refuses the backend.
fn envOn(backend: @TypeOf(backends[0]), allocator: std.mem.Allocator) !?*Env {
    return Env.create(allocator, backend) catch |err| if (err == error.Unavailable) null else err;
}

fn ended(env: *Env, wait: *IoWait) !i32 {
    while (wait.waiter.state == .armed) try env.tick(true);
    return wait.result;
}

test "a name's addresses are kept until they are taken; one that stands for none is ENOENT" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        const env = try envOn(backend, testing.allocator) orelse continue;
        defer env.destroy();
        var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
        // As inet_aton reads it, so that no server is asked.
        _ = try Lookup.start(&env.lookups, "127.1", .any, &wait);
        try testing.expectEqual(1, try ended(env, &wait));
        const found = env.lookups.kept(@intFromFloat(wait.value)).?;
        try testing.expectEqual(@as(u32, @bitCast([4]u8{ 127, 0, 0, 1 })), found.addresses[0].in.addr);
        found.release();
        try testing.expectEqual(null, env.lookups.kept(@intFromFloat(wait.value)));
        _ = try Lookup.start(&env.lookups, "::1", .ip6, &wait);
        try testing.expectEqual(1, try ended(env, &wait));
        try testing.expectEqual(c.AF.INET6, env.lookups.kept(@intFromFloat(wait.value)).?.addresses[0].any.family);
        // That one is left to the Env.
        _ = try Lookup.start(&env.lookups, "127.1", .ip6, &wait);
        try testing.expectEqual(sys.negative(.NOENT), try ended(env, &wait));
    }
}

test "memory that runs out anywhere in a lookup leaks neither memory nor descriptors" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        const before = openDescriptors();
        const env = try envOn(backend, testing.allocator) orelse continue;
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
            env.lookups.allocator = failing.allocator();
            defer env.lookups.allocator = testing.allocator;
            var wait: IoWait = .{ .waiter = .{ .wakeFn = nothing } };
            _ = Lookup.start(&env.lookups, "127.1", .any, &wait) catch continue;
            const result = try ended(env, &wait);
            if (result == sys.negative(.NOMEM)) continue;
            try testing.expectEqual(1, result);
            env.lookups.kept(@intFromFloat(wait.value)).?.release();
            break;
        }
        // The lookup, its handle, the loop's port.
        try testing.expect(fail_index >= 3);
        env.destroy();
        try testing.expectEqual(before, openDescriptors());
    }
}

/// A resolver that does not answer before it is let.
const Silent = struct {
    var asked: std.atomic.Value(u32) = .init(0);
    var lets: std.atomic.Value(bool) = .init(false);
    var before: @TypeOf(lookup.test_resolver) = undefined;

    fn ask(_: [*:0]const u8, _: ?[*:0]const u8, _: *const lookup.AddressInfo, _: *?*lookup.AddressInfo) callconv(.c) c_int {
        _ = asked.fetchAdd(1, .release);
        while (!lets.load(.acquire)) std.Thread.yield() catch {};
        return -2;
    }

    fn begin() void {
        asked.store(0, .monotonic);
        lets.store(false, .monotonic);
        before = lookup.test_resolver;
        lookup.test_resolver = ask;
    }

    fn end() void {
        lets.store(true, .release);
        // What they hold is freed when they have put their jobs down.
        while (pool.load().abandoned > 0) std.Thread.yield() catch {};
        lookup.test_resolver = before;
    }
};

test "a lookup that nobody answers is cancelled at once, whatever it is in, and stops no other" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        for ([_]bool{ false, true }) |is_asked| {
            const env = try envOn(backend, testing.allocator) orelse continue;
            Silent.begin();
            var waits: [12]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
            var lookups: [12]*Lookup = undefined;
            for (&waits, &lookups) |*wait, *one| one.* = try Lookup.start(&env.lookups, "nowhere", .any, wait);
            // More than the pool has threads for files.
            while (is_asked and Silent.asked.load(.acquire) < waits.len) std.Thread.yield() catch {};
            for (lookups) |one| env.loop.cancel(&one.job.op);
            for (&waits) |*wait| try testing.expectEqual(sys.negative(.CANCELED), try ended(env, wait));
            Silent.end();
            env.destroy();
        }
    }
}

test "an Env ends while the resolver does not answer" {
    if (!sanitizer.wakesSleepers()) return error.SkipZigTest;
    for (backends) |backend| {
        const before = openDescriptors();
        const env = try envOn(backend, testing.allocator) orelse continue;
        Silent.begin();
        var waits: [3]IoWait = @splat(.{ .waiter = .{ .wakeFn = nothing } });
        for (&waits) |*wait| _ = try Lookup.start(&env.lookups, "nowhere", .any, wait);
        while (Silent.asked.load(.acquire) < waits.len) std.Thread.yield() catch {};
        env.destroy();
        for (waits) |wait| try testing.expectEqual(sys.negative(.CANCELED), wait.result);
        Silent.end();
        try testing.expectEqual(before, openDescriptors());
    }
}
