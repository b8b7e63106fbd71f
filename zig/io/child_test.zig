//! Tests of children on each backend: many who wait, ends before and after, signals, other processes, an Env that ends first, memory
//! that runs out, and descriptors.

const std = @import("std");
const testing = std.testing;
const code = @import("../code.zig");
const process = @import("../abi/process.zig");
const spawn = @import("../spawn.zig");
const sys = @import("../sys.zig");
const Backend = @import("../loop.zig").Backend;
const backends = @import("../loop.zig").backends;
const Child = @import("child.zig").Child;
const Env = @import("../env.zig").Env;
const isChild = @import("../spawn_test.zig").isChild;
const isEmulated = @import("../spawn_test.zig").isEmulated;
const openDescriptors = @import("tcp_test.zig").openDescriptors;
const zc = process.exports;

/// Null where the machine refuses the backend.
fn create(backend: Backend) !?*Env {
    return Env.create(testing.allocator, backend) catch |err| if (err == error.Unavailable) null else err;
}

fn shell(env: *Env, comptime script: []const u8, plan: *process.Plan) u32 {
    const text = "/bin/sh\x00sh\x00-c\x00" ++ script ++ "\x00";
    const variables = "PATH=/bin\x00";
    plan.paths = 1;
    plan.arguments = 3;
    plan.variables = 1;
    plan.folders = 0;
    plan.leads_session = 0;
    return zc.process_spawn(env, std.mem.asBytes(plan), text, text.len, variables, variables.len);
}

fn quiet() process.Plan {
    var plan: process.Plan = std.mem.zeroes(process.Plan);
    plan.stdio = @splat(.{ .kind = 0, .value = 0 });
    return plan;
}

fn next(env: *Env) !@TypeOf(env.ring.entries[0]) {
    const shared = env.ring.shared;
    while (shared.tail == shared.head) try env.tick(true);
    defer shared.head += 1;
    return env.ring.entries[shared.head % env.ring.entries.len];
}

test "all who wait are told how it ended, and who asks later, too" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        const before = openDescriptors();
        const env = try create(backend) orelse continue;
        var plan = quiet();
        plan.stdio[0].kind = @intFromEnum(process.Plan.Kind.pipe);
        const handle = shell(env, "read line; exit 42", &plan);
        try testing.expect(handle != 0 and plan.pid > 0);
        for (0..3) |token| try testing.expectEqual(code.parked, zc.op_process_wait(env, handle, @intCast(token)));
        try testing.expect(env.slots.busy(1).?.cancel());
        try testing.expectEqual(0, @import("../abi/tcp.zig").exports.tcp_close(env, plan.streams[0]));
        for ([_]u32{ 0, 2 }) |token| {
            const entry = try next(env);
            try testing.expectEqual(token, entry.token);
            try testing.expectEqual(42, entry.status);
        }
        try testing.expectEqual(42, zc.op_process_wait(env, handle, 5));
        try testing.expectEqual(sys.negative(.SRCH), zc.process_kill(env, handle, 15));
        try testing.expectEqual(0, env.loop.in_flight);
        try testing.expectEqual(0, zc.process_leave(env, handle));
        try testing.expectEqual(code.bad_handle, zc.op_process_wait(env, handle, 5));
        try testing.expectEqual(code.bad_handle, zc.process_leave(env, handle));
        env.destroy();
        try testing.expectEqual(before, openDescriptors());
    }
}

test "a signal that ends it is told; what nobody waits for is reaped all the same" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        var plan = quiet();
        const handle = shell(env, "sleep 100", &plan);
        try testing.expectEqual(code.parked, zc.op_process_wait(env, handle, 0));
        try testing.expectEqual(0, zc.process_kill(env, handle, 0));
        try testing.expectEqual(0, zc.process_kill(env, handle, 9));
        try testing.expectEqual(256 + 9, (try next(env)).status);
        const left = shell(env, "exit 1", &plan);
        try testing.expectEqual(0, zc.process_leave(env, left));
        while (env.loop.in_flight > 0) try env.tick(true);
        try testing.expectEqual(1, env.children.live);
        try testing.expect(!isChild(plan.pid));
    }
}

test "another process is waited for and not reaped; nothing is in flight once nobody waits" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        const other = @import("../spawn_test.zig").shell("read line; exit 7", .{ spawn.ignored, spawn.ignored, spawn.ignored }).child;
        defer sys.close(other.fd);
        const handle = zc.process_watch(env, other.pid);
        for (0..2) |_| {
            const result = zc.op_process_wait(env, handle, 0);
            if (result != code.parked) break;
            try testing.expect(env.slots.busy(0).?.cancel());
            while (env.loop.in_flight > 0) try env.tick(true);
        }
        const result = zc.op_process_wait(env, handle, 0);
        try testing.expectEqual(7, if (result == code.parked) (try next(env)).status else result);
        // Its parent gets to know as well.
        try testing.expectEqual(7, other.reap().?);
        try testing.expectEqual(0, zc.process_leave(env, handle));
        try testing.expectEqual(0, zc.process_watch(env, other.pid));
        try testing.expectEqual(sys.negative(.SRCH), env.ring.shared.errno);
    }
}

test "an Env that ends leaves a running child alone, and it is reaped later" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        for ([_]bool{ false, true }) |left| {
            const before = openDescriptors();
            const env = try create(backend) orelse continue;
            var plan = quiet();
            plan.stdio[0] = .{ .kind = @intFromEnum(process.Plan.Kind.pipe), .value = 0 };
            const handle = shell(env, "read line", &plan);
            try testing.expectEqual(code.parked, zc.op_process_wait(env, handle, 0));
            if (left) {
                try testing.expect(env.slots.busy(0).?.cancel());
                try testing.expectEqual(0, zc.process_leave(env, handle));
            }
            var process_: spawn.Process = undefined;
            try testing.expectEqual(0, process_.watch(plan.pid));
            // The pipe's end goes with the Env, and the child reads the end of its input.
            env.destroy();
            while (!sys.isReadable(process_.fd)) sys.pollReadable(&.{process_.fd}, -1);
            sys.close(process_.fd);
            spawn.reapOrphans();
            try testing.expectEqual(before, openDescriptors());
        }
    }
}

test "memory that runs out, or a program that is not there, leaves nothing behind" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        const env = try create(backend) orelse continue;
        defer env.destroy();
        // The handle tables and the stacks' pool have grown.
        var plan = quiet();
        for (&plan.stdio) |*stdio| stdio.kind = @intFromEnum(process.Plan.Kind.pipe);
        const tcp = @import("../abi/tcp.zig").exports;
        const first = shell(env, "exit 0", &plan);
        for (plan.streams) |stream| _ = tcp.tcp_close(env, stream);
        while (env.loop.in_flight > 0) try env.tick(true);
        _ = zc.process_leave(env, first);
        const before = openDescriptors();
        var fail_index: usize = 0;
        while (true) : (fail_index += 1) {
            var failing = testing.FailingAllocator.init(testing.allocator, .{ .fail_index = fail_index });
            env.allocator = failing.allocator();
            env.tcp_context.allocator = failing.allocator();
            const handle = shell(env, "exit 0", &plan);
            env.allocator = testing.allocator;
            env.tcp_context.allocator = testing.allocator;
            if (handle != 0) {
                for (plan.streams) |stream| _ = tcp.tcp_close(env, stream);
                while (env.loop.in_flight > 0) try env.tick(true);
                _ = zc.process_leave(env, handle);
                break;
            }
            try testing.expectEqual(sys.negative(.NOMEM), env.ring.shared.errno);
            while (env.loop.in_flight > 0) try env.tick(true);
            try testing.expectEqual(before, openDescriptors());
            try testing.expectEqual(0, env.children.live);
        }
        try testing.expect(fail_index >= 4);
        try testing.expectEqual(before, openDescriptors());
        plan.paths = 0;
        plan.arguments = 1;
        plan.variables = 0;
        try testing.expectEqual(0, zc.process_spawn(env, std.mem.asBytes(&plan), "x\x00", 2, "", 0));
        try testing.expectEqual(sys.negative(.NOENT), env.ring.shared.errno);
        while (env.loop.in_flight > 0) try env.tick(true);
        try testing.expectEqual(before, openDescriptors());
        try testing.expectEqual(0, env.children.live);
    }
}

/// A child as the test knows it: how it will end, and who waits for that.
const Model = struct {
    handle: u32,
    pid: i32,
    expected: ?i32,
    left: bool = false,
};

test "random starts, waits, cancels, kills and farewells: each wait is told once, and rightly" {
    if (isEmulated()) return error.SkipZigTest;
    for (backends) |backend| {
        for (0..6) |seed| {
            errdefer std.debug.print("seed {d} on {t}\n", .{ seed, backend });
            try runSeed(backend, seed);
        }
    }
}

fn runSeed(backend: Backend, seed: u64) !void {
    const before = openDescriptors();
    const env = try create(backend) orelse return;
    var children: std.ArrayList(Model) = .empty;
    defer children.deinit(testing.allocator);
    // By token: which child it waits for.
    var waits: [16]?usize = @splat(null);
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    for (0..120) |_| {
        const which = if (children.items.len > 0) random.uintLessThan(usize, children.items.len) else 0;
        const token = random.uintLessThan(u32, waits.len);
        switch (random.uintLessThan(u32, 6)) {
            0 => {
                var plan = quiet();
                const sleeps = random.boolean();
                const handle = if (sleeps) shell(env, "exec sleep 100", &plan) else shell(env, "exit 4", &plan);
                try children.append(testing.allocator, .{ .handle = handle, .pid = plan.pid, .expected = if (sleeps) null else 4 });
            },
            1, 2 => if (which < children.items.len and waits[token] == null and !children.items[which].left) {
                const result = zc.op_process_wait(env, children.items[which].handle, token);
                if (result == code.parked) waits[token] = which else try testing.expectEqual(children.items[which].expected, result);
            },
            3 => if (waits[token] != null) {
                // Not there any more: told, and in the ring.
                const slot = env.slots.busy(token) orelse continue;
                try testing.expect(slot.cancel());
                waits[token] = null;
            },
            4 => if (which < children.items.len and !children.items[which].left and children.items[which].expected == null) {
                try testing.expectEqual(0, zc.process_kill(env, children.items[which].handle, 9));
                children.items[which].expected = 256 + 9;
            },
            else => if (which < children.items.len and children.items[which].expected != null) {
                const waited = for (waits) |wait| {
                    if (wait == which) break true;
                } else children.items[which].left;
                if (waited) continue;
                try testing.expectEqual(0, zc.process_leave(env, children.items[which].handle));
                children.items[which].left = true;
            },
        }
        if (random.boolean()) try env.tick(false);
        try drain(env, children.items, &waits);
    }
    for (children.items) |*child| if (child.expected == null) {
        _ = zc.process_kill(env, child.handle, 9);
        child.expected = 256 + 9;
    };
    while (env.loop.in_flight > 0) {
        try env.tick(true);
        try drain(env, children.items, &waits);
    }
    for (waits) |wait| try testing.expectEqual(null, wait);
    env.destroy();
    try testing.expectEqual(before, openDescriptors());
    try testing.expect(!isChild(-1));
}

fn drain(env: *Env, children: []const Model, waits: []?usize) !void {
    const shared = env.ring.shared;
    while (shared.tail != shared.head) : (shared.head += 1) {
        const entry = env.ring.entries[shared.head % env.ring.entries.len];
        const which = waits[entry.token] orelse return error.ToldTwice;
        try testing.expectEqual(children[which].expected, entry.status);
        waits[entry.token] = null;
    }
}
