//! Signal: signals of the process as notifications. A source is a set of signals and a notice (notice.zig) that tells of them.
//!
//! Others in the process, Bun above all, handle signals too. Where a source wants one, the handler here stands before the one that was there,
//! tells every source, and then calls that. With the last source that wants it, what was there is back, unless somebody has put another
//! handler in place meanwhile: that is left alone.
//!
//! Invariants: a signal that has a source has our handler; `pending` of a source has only signals that have come since they were last taken;
//! whoever sets a bit of it notifies afterwards. Standard signals of the same kind are one until they are taken, as in the kernel.
//!
//! The handler runs on any thread, at any instruction: it reads and writes atomics and calls `notify`, which takes no lock. What it finds
//! of a source that is just being closed, or of one that takes its place, is at most a signal that this one does not want, and `take` drops it.

const std = @import("std");
const assert = std.debug.assert;
const notice = @import("notice.zig");
const sys = @import("sys.zig");
const c = sys.c;

/// Bit `signal - 1`.
pub const Set = u64;

pub const max_sources = 64;

const Source = struct {
    /// 0: nobody's.
    id: std.atomic.Value(u64) = .init(0),
    wanted: std.atomic.Value(Set) = .init(0),
    pending: std.atomic.Value(Set) = .init(0),
};

const Former = struct {
    handler: std.atomic.Value(usize) = .init(0),
    /// As it was, to be put back. Under `lock`.
    action: c.Sigaction = undefined,
    /// Sources that want the signal. Under `lock`.
    sources: u32 = 0,
};

var sources: [max_sources]Source = @splat(.{});
/// By signal.
var formers: [65]Former = @splat(.{});
/// Taken by those who open and close sources, never by the handler.
var lock: std.atomic.Value(bool) = .init(false);

/// Those that nobody may handle: the system's own, and those by which C libraries talk to their threads.
const unhandled = unhandled: {
    var set = bitOf(@intFromEnum(c.SIG.KILL)) | bitOf(@intFromEnum(c.SIG.STOP));
    for (sys.internal_signals) |internal| set |= bitOf(internal);
    break :unhandled set;
};

/// A source that notifies `id`: its index, or a negative errno.
pub fn open(id: notice.Id, wanted: Set) i32 {
    if (wanted & unhandled != 0) return sys.negative(.INVAL);
    acquire();
    defer lock.store(false, .release);
    const index = for (&sources, 0..) |*source, i| {
        if (source.id.load(.monotonic) == 0) break i;
    } else return sys.negative(.MFILE);
    const source = &sources[index];
    source.pending.store(0, .monotonic);
    source.wanted.store(wanted, .monotonic);
    source.id.store(id, .release);
    var rest = wanted;
    while (rest != 0) : (rest &= rest - 1) {
        const signal: u32 = @ctz(rest) + 1;
        const rc = watch(signal);
        if (rc == 0) continue;
        source.wanted.store(wanted & ~rest, .monotonic);
        closeLocked(source);
        return rc;
    }
    return @intCast(index);
}

pub fn close(index: u32) void {
    acquire();
    defer lock.store(false, .release);
    closeLocked(&sources[index]);
}

/// The next signal that has come; 0 when there is none.
pub fn take(index: u32) u32 {
    const source = &sources[index];
    var pending = source.pending.load(.acquire);
    while (pending != 0) {
        const bit = pending & (~pending + 1);
        const before = source.pending.fetchAnd(~bit, .acq_rel);
        if (before & bit & source.wanted.load(.monotonic) != 0) {
            // Of those that came together each ends a wait.
            if (before & ~bit != 0) _ = notice.notify(@intCast(source.id.load(.monotonic)));
            return @ctz(bit) + 1;
        }
        pending = source.pending.load(.acquire);
    }
    return 0;
}

/// One that was taken and is not wanted after all.
pub fn putBack(index: u32, signal: u32) void {
    tell(&sources[index], signal);
}

fn closeLocked(source: *Source) void {
    var rest = source.wanted.swap(0, .monotonic);
    while (rest != 0) : (rest &= rest - 1) unwatch(@ctz(rest) + 1);
    source.id.store(0, .release);
}

/// 0 or a negative errno.
fn watch(signal: u32) i32 {
    const former = &formers[signal];
    if (former.sources == 0) {
        var before: c.Sigaction = undefined;
        const rc = sys.sigaction(@enumFromInt(signal), null, &before);
        if (rc < 0) return rc;
        if (!isOurs(&before)) {
            former.action = before;
            former.handler.store(@intFromPtr(before.handler.sigaction), .release);
            const ours: c.Sigaction = .{
                .handler = .{ .sigaction = handle },
                .mask = before.mask,
                .flags = c.SA.SIGINFO | c.SA.ONSTACK | c.SA.RESTART,
            };
            const put = sys.sigaction(@enumFromInt(signal), &ours, null);
            if (put < 0) return put;
        }
    }
    former.sources += 1;
    return 0;
}

fn unwatch(signal: u32) void {
    const former = &formers[signal];
    assert(former.sources > 0);
    former.sources -= 1;
    if (former.sources > 0) return;
    var now: c.Sigaction = undefined;
    _ = sys.sigaction(@enumFromInt(signal), null, &now);
    if (isOurs(&now)) _ = sys.sigaction(@enumFromInt(signal), &former.action, null);
}

fn isOurs(action: *const c.Sigaction) bool {
    return action.handler.sigaction == &handle;
}

fn handle(signal: c.SIG, info: *const c.siginfo_t, context: ?*anyopaque) callconv(.c) void {
    const number: u32 = @intCast(@intFromEnum(signal));
    for (&sources) |*source| if (source.wanted.load(.monotonic) & bitOf(number) != 0) tell(source, number);
    const former = &formers[number];
    const next = former.handler.load(.acquire);
    // The default, or to be ignored: that somebody waits for it stands in for either.
    if (next <= 1) return;
    // One that takes the number only leaves the rest alone, as with the kernel's own call.
    const call: *const fn (c.SIG, *const c.siginfo_t, ?*anyopaque) callconv(.c) void = @ptrFromInt(next);
    call(signal, info, context);
}

fn tell(source: *Source, signal: u32) void {
    _ = source.pending.fetchOr(bitOf(signal), .acq_rel);
    const id = source.id.load(.acquire);
    if (id != 0) _ = notice.notify(@intCast(id));
}

fn bitOf(signal: u32) Set {
    return @as(Set, 1) << @intCast(signal - 1);
}

fn acquire() void {
    while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
}

const testing = std.testing;

var chained: std.atomic.Value(u32) = .init(0);

fn countChained(_: c.SIG) callconv(.c) void {
    _ = chained.fetchAdd(1, .monotonic);
}

test "each source is told, the former handler, too, and it is back in the end" {
    var before: c.Sigaction = undefined;
    const counting: c.Sigaction = .{ .handler = .{ .handler = countChained }, .mask = sys.SignalSet.none.set, .flags = 0 };
    _ = sys.sigaction(.USR2, &counting, &before);
    defer _ = sys.sigaction(.USR2, &before, null);
    chained.store(0, .monotonic);
    var owner: u8 = 0;
    const ids = [_]notice.Id{ notice.open(&owner, 1).id, notice.open(&owner, 1).id };
    const usr2 = bitOf(@intFromEnum(c.SIG.USR2));
    const winch = bitOf(@intFromEnum(c.SIG.WINCH));
    const a: u32 = @intCast(open(ids[0], usr2));
    const b: u32 = @intCast(open(ids[1], usr2 | winch));
    sys.raise(.USR2);
    sys.raise(.USR2);
    sys.raise(.WINCH);
    try testing.expectEqual(2, chained.load(.monotonic));
    try testing.expect(notice.take(ids[0]) and notice.take(ids[1]));
    try testing.expectEqual(@intFromEnum(c.SIG.USR2), take(a));
    try testing.expectEqual(0, take(a));
    try testing.expectEqual(@intFromEnum(c.SIG.USR2), take(b));
    // One more is there: another wait is to end.
    try testing.expect(notice.take(ids[1]));
    try testing.expectEqual(@intFromEnum(c.SIG.WINCH), take(b));
    putBack(b, @intFromEnum(c.SIG.WINCH));
    try testing.expect(notice.take(ids[1]));
    try testing.expectEqual(@intFromEnum(c.SIG.WINCH), take(b));
    close(a);
    sys.raise(.USR2);
    try testing.expectEqual(3, chained.load(.monotonic));
    try testing.expectEqual(@intFromEnum(c.SIG.USR2), take(b));
    close(b);
    var now: c.Sigaction = undefined;
    _ = sys.sigaction(.USR2, null, &now);
    try testing.expectEqual(&countChained, now.handler.handler.?);
    for (ids) |id| {
        notice.refuse(id);
        notice.release(id);
    }
}

test "a signal that cannot be handled, and one source too many, leave all as it was" {
    var owner: u8 = 0;
    const id = notice.open(&owner, 1).id;
    defer notice.release(id);
    defer notice.refuse(id);
    const usr2 = bitOf(@intFromEnum(c.SIG.USR2));
    for ([_]u6{ 9, 19, 32, 33 }) |signal| try testing.expectEqual(sys.negative(.INVAL), open(id, usr2 | bitOf(signal)));
    for (0..max_sources) |i| try testing.expectEqual(@as(i32, @intCast(i)), open(id, usr2));
    try testing.expectEqual(sys.negative(.MFILE), open(id, usr2));
    for (0..max_sources) |i| close(@intCast(i));
    var now: c.Sigaction = undefined;
    _ = sys.sigaction(.USR2, null, &now);
    try testing.expect(!isOurs(&now));
}

test "sources come and go while signals rain on other threads" {
    // qemu-user looks at a handler twice, and calls address 0 when it has become the default between.
    if (@import("spawn_test.zig").isEmulated()) return error.SkipZigTest;
    const Rain = struct {
        stop: std.atomic.Value(bool) = .init(false),

        fn run(s: *@This()) void {
            while (!s.stop.load(.monotonic)) sys.raise(.WINCH);
        }
    };
    var rain: Rain = .{};
    var threads: [2]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try .spawn(.{}, Rain.run, .{&rain});
    var owner: u8 = 0;
    for (0..2000) |_| {
        const id = notice.open(&owner, 1).id;
        const source: u32 = @intCast(open(id, bitOf(@intFromEnum(c.SIG.WINCH))));
        _ = take(source);
        close(source);
        notice.refuse(id);
        notice.release(id);
    }
    rain.stop.store(true, .monotonic);
    for (threads) |thread| thread.join();
}
