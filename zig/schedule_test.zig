//! Random schedules: coroutines that send, receive, select, lock, sleep, limit and get cancelled in an order that a seed decides,
//! against a plain model of what must hold whatever the order:
//!  * a message whose send succeeded arrives once, and one whose send failed never (their order is tested in channel.zig: here a
//!    receiver that was handed one may run after another that came later);
//!  * a mutex has one holder, permits are neither lost nor made, nobody wakes early;
//!  * a coroutine that was cancelled is told so at most once, and only if it was;
//!  * at the end nobody waits and nothing is left.

const std = @import("std");
const testing = std.testing;
const libcoro = @import("libcoro.zig");
const sanitizer = @import("sanitizer.zig");
const World = @import("wait_test.zig").World;

const Message = struct { channel: u8, number: u32 };
const Channel = libcoro.Channel(Message, .{ .capacity = null });

const Model = struct {
    world: World = .{},
    random: std.Random,
    channels: [4]Channel,
    mutex: libcoro.Mutex = .init,
    semaphore: libcoro.Semaphore = .init(3),
    event: libcoro.Event = .init,

    /// The next message's number by channel.
    numbers: [4]u32 = @splat(0),
    /// What was sent and has not arrived, and what arrived before its sender knew: empty in the end. By channel and number.
    sent: std.AutoHashMapUnmanaged(Message, void) = .empty,
    early: std.AutoHashMapUnmanaged(Message, void) = .empty,
    lockers: u32 = 0,
    permits: u32 = 3,
    steps: u64 = 0,
    /// Told apart from a failed expectation, which would be lost inside a coroutine.
    broken: ?[]const u8 = null,

    fn expect(model: *Model, ok: bool, what: []const u8) void {
        if (!ok and model.broken == null) model.broken = what;
    }

    fn message(model: *Model, channel: usize) Message {
        model.numbers[channel] += 1;
        return .{ .channel = @intCast(channel), .number = model.numbers[channel] };
    }

    fn wasSent(model: *Model, m: Message) void {
        if (model.early.remove(m)) return;
        model.sent.put(testing.allocator, m, {}) catch @panic("out of memory");
    }

    fn received(model: *Model, channel: usize, m: Message) void {
        model.expect(m.channel == channel, "a message came through another channel");
        if (model.sent.remove(m)) return;
        model.expect(!model.early.contains(m), "a message came twice");
        model.early.put(testing.allocator, m, {}) catch @panic("out of memory");
    }

    fn pick(model: *Model) usize {
        return model.random.uintLessThan(usize, model.channels.len);
    }
};

const Actor = struct {
    model: *Model,
    steps: u32,
    was_asked: bool = false,
    was_told: bool = false,

    fn run(actor: *Actor) void {
        while (actor.steps > 0) {
            actor.steps -= 1;
            actor.model.steps += 1;
            actor.step() catch |err| switch (@as(anyerror, err)) {
                error.Cancelled => {
                    actor.model.expect(actor.was_asked, "cancelled without being asked");
                    actor.model.expect(!actor.was_told, "cancelled twice");
                    actor.was_told = true;
                },
                error.Timeout, error.Closed => {},
                else => actor.model.expect(false, @errorName(err)),
            };
        }
    }

    fn step(actor: *Actor) anyerror!void {
        const model = actor.model;
        switch (model.random.uintLessThan(u8, 16)) {
            0, 1, 2 => try send(model, model.pick()),
            3, 4, 5 => try recv(model, model.pick()),
            6 => try selectOne(model),
            7 => try libcoro.withTimeout(model.random.uintLessThan(u64, 3), selectOne, .{model}),
            8 => try libcoro.withTimeout(model.random.uintLessThan(u64, 3), recv, .{ model, model.pick() }),
            9 => try libcoro.shield(nap, .{ model, 1 }),
            10 => try lock(model),
            11 => try useAPermit(model),
            12 => try nap(model, model.random.uintLessThan(u64, 4)),
            13 => try libcoro.withTimeout(1, libcoro.Event.wait, .{&model.event}),
            14 => if (model.random.boolean()) model.event.set() else model.event.reset(),
            else => yield(),
        }
    }

    fn yield() void {
        const me = libcoro.xframe();
        me.executor.?.runSoon(me);
        libcoro.xsuspend();
    }

    fn send(model: *Model, channel: usize) !void {
        const m = model.message(channel);
        try model.channels[channel].send(m);
        model.wasSent(m);
    }

    fn recv(model: *Model, channel: usize) !void {
        model.received(channel, try model.channels[channel].recvSafe() orelse return);
    }

    fn selectOne(model: *Model) !void {
        const a = model.pick();
        const b = model.pick();
        const m = model.message(b);
        switch (try libcoro.select(.{
            .in = model.channels[a].receiving(),
            .out = model.channels[b].sending(m),
            .permit = model.semaphore.acquiring(),
            .late = libcoro.after(model.random.uintLessThan(u64, 3)),
        })) {
            .in => |got| if (got) |other| model.received(a, other),
            .out => |result| {
                try result;
                model.wasSent(m);
            },
            .permit => {
                model.permits -= 1;
                defer release(model);
                yield();
            },
            .late => |result| try result,
        }
    }

    fn lock(model: *Model) !void {
        try model.mutex.lock();
        defer model.mutex.unlock();
        model.lockers += 1;
        defer model.lockers -= 1;
        model.expect(model.lockers == 1, "two hold the mutex");
        if (model.random.boolean()) yield() else try nap(model, 1);
    }

    fn useAPermit(model: *Model) !void {
        try model.semaphore.acquire();
        model.expect(model.permits > 0, "more permits than there are");
        model.permits -= 1;
        defer release(model);
        yield();
    }

    fn release(model: *Model) void {
        model.permits += 1;
        model.semaphore.release();
    }

    fn nap(model: *Model, ms: u64) !void {
        const due = World.now + ms * std.time.ns_per_ms;
        try libcoro.sleep(ms);
        model.expect(World.now >= due, "woken early");
    }
};

/// Runs `steps` steps in all.
fn runSchedule(seed: u64, steps: u64) !void {
    var prng: std.Random.DefaultPrng = .init(seed);
    var model: Model = .{ .random = prng.random(), .channels = undefined };
    for (&model.channels, [_]usize{ 0, 1, 3, 100 }) |*channel, capacity| channel.* = .initCapacity(testing.allocator, capacity);
    model.world.setUp();

    var actors: [16]Actor = undefined;
    var frames: [16]libcoro.FrameT(Actor.run, .{}) = undefined;
    var rounds: u64 = 0;
    while (model.steps < steps and model.broken == null) : (rounds += 1) {
        for (&actors, &frames) |*actor, *frame| {
            actor.* = .{ .model = &model, .steps = 1 + model.random.uintLessThan(u32, 200) };
            frame.* = try libcoro.xasync(Actor.run, .{actor}, null);
        }
        try finishRound(&model, &actors, &frames);
        for (frames) |frame| frame.deinit();
        for (&model.channels, 0..) |*channel, i| {
            while (channel.tryRecv()) |got| model.received(i, got);
            model.expect(channel.senders.isEmpty() and channel.receivers.isEmpty(), "somebody waits who is gone");
        }
        model.expect(model.sent.count() == 0, "a message was lost");
        model.expect(model.early.count() == 0, "a message came whose send failed");
        model.expect(model.permits == 3 and model.semaphore.permits == 3 and model.lockers == 0, "a permit or a lock was lost");
    }
    if (model.broken) |what| {
        std.debug.print("round {d}: {s}\n", .{ rounds, what });
        return error.ModelBroken;
    }
    for (&model.channels) |*channel| channel.deinit();
    model.sent.deinit(testing.allocator);
    model.early.deinit(testing.allocator);
    model.mutex.deinit();
    model.semaphore.deinit();
    try model.world.tearDown();
}

/// Ticks, moves time and cancels at random until all have returned. Who waits for ever is asked to end, once; then the channels
/// are drained and fed until nobody waits.
fn finishRound(model: *Model, actors: *[16]Actor, frames: *[16]libcoro.FrameT(Actor.run, .{})) !void {
    const exec = &model.world.executor;
    while (true) {
        if (model.random.uintLessThan(u8, 20) == 0) {
            const i = model.random.uintLessThan(usize, actors.len);
            if (frames[i].status() != .done) actors[i].was_asked = true;
            libcoro.requestCancel(frames[i]);
        }
        if (exec.tick()) continue;
        if (model.world.source.pollFn(&model.world.source, true)) continue;
        if (!exec.isEmpty()) continue;
        const stuck = for (frames) |frame| {
            if (frame.status() != .done) break true;
        } else false;
        if (!stuck) return;
        // Nothing but the outside can help now.
        model.event.set();
        const i = model.pick();
        const channel = &model.channels[i];
        if (channel.receivers.isEmpty()) {
            if (channel.tryRecv()) |got| model.received(i, got);
        } else {
            const m = model.message(i);
            if (try channel.trySend(m)) model.wasSent(m);
        }
    }
}

test "a million random steps agree with a plain model" {
    var seed: u64 = testing.random_seed;
    for (0..20) |_| {
        runSchedule(seed, sanitizer.bearable(50_000)) catch |err| {
            std.debug.print("failing seed: {d}\n", .{seed});
            return err;
        };
        seed +%= 1;
    }
}
