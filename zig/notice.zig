//! Notice: what any thread of the process can notify, by a number that may outlive it. A process-wide table of pipes.
//!
//! An entry is open or not, notified or not, and has users: who owns it, and every thread that is just notifying it. Invariants:
//!  * The pipe is open as long as there are users, and only users touch it; the last one to leave closes it. So a notification never
//!    reaches a descriptor that has got the same number, and never finds a pipe that nobody reads.
//!  * The generation grows with each opening. A number of an older one, or of a closed one, is refused.
//!  * Notified and not taken: the pipe is readable, or who notified is about to make it so. Of several notifications
//!    before a `take` the first writes, the others only see that it did: they are one.
//!
//! It is a pipe and not an eventfd because of a ring that signals an eventfd of its own when it has something, as a parked Env's does: what happens
//! inside of the write of another eventfd the kernel tells later, once, and then never again (seen on Linux 6.18), so the Env slept for ever.
//!
//! `notify` takes no lock, allocates nothing and never waits, so that signal handlers may call it. Entries are never freed: a late
//! `notify` must find one to be refused by.

const std = @import("std");
const assert = std.debug.assert;
const sanitizer = @import("sanitizer.zig");
const sys = @import("sys.zig");

/// `generation << index_bits | index`: an integer that a double holds exactly. Never 0.
pub const Id = u53;

const index_bits = 21;
const block_len = 256;
const max_entries = 1 << index_bits;
const Index = @Int(.unsigned, index_bits);

const State = packed struct(u64) {
    users: u30 = 0,
    notified: bool = false,
    open: bool = false,
    generation: u32 = 0,
};

const Entry = struct {
    state: std.atomic.Value(u64) = .init(0),
    /// Changed only while nobody uses the entry.
    pipe: [2]sys.fd_t = @splat(-1),
    /// What the owner keeps here; only the thread that `key` says may look.
    owner: ?*anyopaque = null,
    key: std.atomic.Value(usize) = .init(0),
    next_free: u32 = none,
};

const none = std.math.maxInt(u32);

var blocks: [max_entries / block_len]std.atomic.Value(?*[block_len]Entry) = @splat(.init(null));
/// Entries made so far. Changed under `lock`.
var count: u32 = 0;
/// Free entries, linked by `next_free`. Anyone pushes; only who has `lock` pops, so that no entry comes back meanwhile.
var free: std.atomic.Value(u32) = .init(none);
var lock: std.atomic.Value(bool) = .init(false);

pub const Opened = union(enum) { id: Id, errno: i32 };

/// A new entry, with its owner as its one user. `key` is whatever only the owner's thread knows as its own.
pub fn open(owner: *anyopaque, key: usize) Opened {
    var ends: [2]sys.fd_t = undefined;
    const made = sys.pipe(&ends, true);
    if (made < 0) return .{ .errno = made };
    const index = claim() orelse {
        for (ends) |end| sys.close(end);
        return .{ .errno = sys.negative(.NOMEM) };
    };
    const entry = at(index).?;
    const before: State = @bitCast(entry.state.load(.monotonic));
    assert(before.users == 0 and !before.open);
    entry.pipe = ends;
    entry.owner = owner;
    entry.key.store(key, .monotonic);
    const generation = @max(1, before.generation +% 1);
    entry.state.store(@bitCast(State{ .users = 1, .open = true, .generation = generation }), .release);
    return .{ .id = @as(Id, generation) << index_bits | index };
}

/// Refuses everyone from now on.
pub fn refuse(id: Id) void {
    const entry = at(indexOf(id)).?;
    var state: State = @bitCast(entry.state.load(.monotonic));
    while (true) {
        assert(state.open and state.generation == generationOf(id));
        var closed = state;
        closed.open = false;
        state = @bitCast(entry.state.cmpxchgWeak(@bitCast(state), @bitCast(closed), .acq_rel, .monotonic) orelse return);
    }
}

/// The owner's last call, after `refuse`: the pipe is its no more.
pub fn release(id: Id) void {
    leave(at(indexOf(id)).?, indexOf(id));
}

/// False: `id` names nothing that is open. What the caller wrote before is seen by who takes the notification.
pub fn notify(id: Id) bool {
    const entry = at(indexOf(id)) orelse return false;
    var state: State = @bitCast(entry.state.load(.monotonic));
    while (true) {
        if (!state.open or state.generation != generationOf(id)) return false;
        var entered = state;
        if (!state.notified) {
            entered.notified = true;
            entered.users += 1;
        }
        // Also when it was notified already: who takes that must see what this caller wrote.
        state = @bitCast(entry.state.cmpxchgWeak(@bitCast(state), @bitCast(entered), .acq_rel, .monotonic) orelse {
            if (state.notified) return true;
            // Never full: nobody writes who finds it notified.
            sys.pipeSignal(entry.pipe[1]);
            leave(entry, indexOf(id));
            return true;
        });
    }
}

/// Whether it was notified since the last time; for the owner.
pub fn take(id: Id) bool {
    const entry = at(indexOf(id)).?;
    // What is written after this, or left by many who were slow, only wakes for nothing.
    sys.pipeClear(entry.pipe[0]);
    const bit: u64 = @bitCast(State{ .notified = true });
    return entry.state.fetchAnd(~bit, .acq_rel) & bit != 0;
}

/// The owner that `open` was given with the same `key`; null when `id` names nothing open, or another thread's.
pub fn ownerOf(id: Id, key: usize) ?*anyopaque {
    const entry = at(indexOf(id)) orelse return null;
    const state: State = @bitCast(entry.state.load(.acquire));
    if (!state.open or state.generation != generationOf(id)) return null;
    return if (entry.key.load(.monotonic) == key) entry.owner else null;
}

/// What becomes readable; the owner's to watch.
pub fn descriptorOf(id: Id) sys.fd_t {
    return at(indexOf(id)).?.pipe[0];
}

/// The id that a number of the C ABI stands for; null when it can be none.
pub fn idFrom(number: f64) ?Id {
    if (!(number >= 1 and number <= std.math.maxInt(Id)) or @floor(number) != number) return null;
    return @intFromFloat(number);
}

fn leave(entry: *Entry, index: u32) void {
    const one: u64 = @bitCast(State{ .users = 1 });
    const before: State = @bitCast(entry.state.fetchSub(one, .acq_rel));
    assert(before.users > 0);
    if (before.users > 1) return;
    assert(!before.open);
    for (&entry.pipe) |*end| {
        sys.close(end.*);
        end.* = -1;
    }
    var head = free.load(.monotonic);
    while (true) {
        entry.next_free = head;
        head = free.cmpxchgWeak(head, index, .release, .monotonic) orelse return;
    }
}

/// An entry without users; null when there is no memory for one more.
fn claim() ?u32 {
    while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    defer lock.store(false, .release);
    var head = free.load(.acquire);
    while (head != none) {
        head = free.cmpxchgWeak(head, at(head).?.next_free, .acquire, .acquire) orelse return head;
    }
    if (count == max_entries) return null;
    const block = &blocks[count / block_len];
    if (block.load(.monotonic) == null) {
        const made = std.heap.page_allocator.create([block_len]Entry) catch return null;
        made.* = @splat(.{});
        block.store(made, .release);
    }
    count += 1;
    return count - 1;
}

fn at(index: u32) ?*Entry {
    const block = blocks[index / block_len].load(.acquire) orelse return null;
    return &block[index % block_len];
}

fn indexOf(id: Id) u32 {
    return @as(Index, @truncate(id));
}

fn generationOf(id: Id) u32 {
    return @intCast(id >> index_bits);
}

const testing = std.testing;

test "notifications before a take are one; a closed number is refused, its successor's too" {
    var owner: u8 = 0;
    const id = open(&owner, 7).id;
    const fd = descriptorOf(id);
    try testing.expect(!take(id));
    try testing.expect(notify(id) and notify(id) and notify(id));
    try testing.expect(sys.isReadable(fd));
    try testing.expect(take(id));
    try testing.expect(!take(id) and !sys.isReadable(fd));
    try testing.expectEqual(@as(?*anyopaque, &owner), ownerOf(id, 7));
    try testing.expectEqual(null, ownerOf(id, 8));
    refuse(id);
    try testing.expect(!notify(id));
    try testing.expectEqual(null, ownerOf(id, 7));
    release(id);
    const next = open(&owner, 7).id;
    try testing.expectEqual(indexOf(id), indexOf(next));
    try testing.expect(id != next and !notify(id) and !take(next));
    refuse(next);
    release(next);
    for ([_]f64{ 0, -1, 0.5, 1e300, std.math.nan(f64), std.math.inf(f64) }) |number| try testing.expectEqual(null, idFrom(number));
    // Of an entry that was never made.
    try testing.expect(!notify((1 << index_bits) | (max_entries - 1)));
    try testing.expectEqual(id, idFrom(@floatFromInt(id)).?);
}

test "threads that notify what is closed and opened again under them reach only what is open" {
    const Shared = struct {
        ids: [4]std.atomic.Value(u64) = @splat(.init(0)),
        stop: std.atomic.Value(bool) = .init(false),
        told: std.atomic.Value(u32) = .init(0),

        fn run(s: *@This()) void {
            var i: usize = 0;
            while (!s.stop.load(.monotonic)) : (i += 1) {
                const id: Id = @intCast(s.ids[i % s.ids.len].load(.monotonic));
                if (id != 0 and notify(id)) _ = s.told.fetchAdd(1, .monotonic);
            }
        }
    };
    const openDescriptors = @import("io/tcp_test.zig").openDescriptors;
    const before = openDescriptors();
    var shared: Shared = .{};
    var threads: [3]std.Thread = undefined;
    for (&threads) |*thread| thread.* = try .spawn(.{}, Shared.run, .{&shared});
    var owner: u8 = 0;
    var taken: u32 = 0;
    // Windows takes long to make a pipe. Under Valgrind each call of ours waits for the turns of all who spin.
    for (0..if (sys.is_posix) sanitizer.bearable(20_000) else 200) |i| {
        const id = open(&owner, 1).id;
        shared.ids[i % shared.ids.len].store(id, .monotonic);
        for (0..i % 7) |_| taken += @intFromBool(take(id));
        refuse(id);
        // The pipe of one who notifies late stays this one's: nobody else gets its numbers meanwhile.
        release(id);
    }
    shared.stop.store(true, .monotonic);
    for (threads) |thread| thread.join();
    try testing.expect(taken <= shared.told.load(.monotonic));
    try testing.expectEqual(before, openDescriptors());
}
