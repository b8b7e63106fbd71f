//! Waiter: the one protocol by which anything waits for anything.
//!
//! A waiter is embedded in whoever waits: a coroutine on its own stack, a slot of the operation table on behalf of
//! TypeScript, a branch of a select. A channel, timer, join or socket knows only this type, so it need not know who
//! waits.
//!
//! Invariants:
//!  * `idle -> armed -> woken -> idle`; a wake happens exactly once per arm.
//!  * `wakeFn` queues the owner and returns; it never resumes the owner on the spot.
//!  * A wake between `arm` and the owner's park is kept: the owner sees `woken` and does not park.
//!  * While a waiter is linked into a list, it is armed.
//!
//! This file touches nothing else. Lists are intrusive: no memory is allocated.

const std = @import("std");
const assert = std.debug.assert;

pub const Waiter = struct {
    /// Queues the owner to run. Called once per arm.
    wakeFn: *const fn (*Waiter) void,
    state: State = .idle,
    next: ?*Waiter = null,
    prev: ?*Waiter = null,

    pub const State = enum(u8) { idle, armed, woken };

    /// Before the waiter is handed to anything that may wake it.
    pub inline fn arm(w: *Waiter) void {
        assert(w.state != .armed);
        w.state = .armed;
    }

    pub inline fn wake(w: *Waiter) void {
        assert(w.state == .armed);
        w.state = .woken;
        w.wakeFn(w);
    }

    /// Takes an armed waiter back unwoken, for a cancelled wait. It must be in no list any more.
    pub inline fn disarm(w: *Waiter) void {
        assert(w.state == .armed);
        w.state = .idle;
    }

    /// First in, first out; removal from the middle in O(1).
    pub const List = struct {
        head: ?*Waiter = null,
        tail: ?*Waiter = null,

        pub inline fn isEmpty(list: *const List) bool {
            return list.head == null;
        }

        pub fn push(list: *List, w: *Waiter) void {
            assert(w.state == .armed);
            w.next = null;
            w.prev = list.tail;
            if (list.tail) |tail| tail.next = w else list.head = w;
            list.tail = w;
        }

        pub fn pop(list: *List) ?*Waiter {
            const w = list.head orelse return null;
            list.remove(w);
            return w;
        }

        pub fn remove(list: *List, w: *Waiter) void {
            assert(w.prev != null or list.head == w);
            assert(w.next != null or list.tail == w);
            if (w.prev) |prev| prev.next = w.next else list.head = w.next;
            if (w.next) |next| next.prev = w.prev else list.tail = w.prev;
            w.next = null;
            w.prev = null;
        }

        pub fn len(list: *const List) usize {
            var n: usize = 0;
            var at = list.head;
            while (at) |w| : (at = w.next) n += 1;
            return n;
        }
    };
};

test "list keeps order and removes from anywhere" {
    const noop = struct {
        fn f(_: *Waiter) void {}
    }.f;
    var ws: [5]Waiter = @splat(.{ .wakeFn = noop });
    var list: Waiter.List = .{};
    for (&ws) |*w| {
        w.arm();
        list.push(w);
    }
    list.remove(&ws[2]);
    list.remove(&ws[0]);
    list.remove(&ws[4]);
    try std.testing.expectEqual(2, list.len());
    try std.testing.expectEqual(&ws[1], list.pop().?);
    try std.testing.expectEqual(&ws[3], list.pop().?);
    try std.testing.expectEqual(null, list.pop());
}

test "a wake before the park is kept" {
    const Owner = struct {
        waiter: Waiter = .{ .wakeFn = wake },
        queued: u32 = 0,
        fn wake(w: *Waiter) void {
            const self: *@This() = @fieldParentPtr("waiter", w);
            self.queued += 1;
        }
    };
    var owner: Owner = .{};
    owner.waiter.arm();
    owner.waiter.wake();
    try std.testing.expectEqual(.woken, owner.waiter.state);
    try std.testing.expectEqual(1, owner.queued);
}
