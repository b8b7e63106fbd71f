//! Anchor: what a coroutine has on its stack and others point to, apart from what it waits for: a time limit's timer, a group that has
//! children, waiters in other coroutines' lists. A coroutine that is destroyed where it stands runs no `defer`; its anchors tell
//! what must be undone before its stack goes.
//!
//! An anchor is in the list of the coroutine on whose stack it lies, or in none.

const Coro = @import("coro.zig").Coro;

pub const Anchor = struct {
    /// Undoes it. False: that cannot be done now.
    releaseFn: *const fn (*Anchor) bool,
    co: ?*Coro = null,
    next: ?*Anchor = null,
    prev: ?*Anchor = null,

    /// Ties it to `co` if it lies on its stack; elsewhere its owner sees to it. Once more changes nothing.
    pub fn drop(anchor: *Anchor, co: *Coro) void {
        if (anchor.co != null or co.isRoot()) return;
        if (@intFromPtr(anchor) -% @intFromPtr(co.stack.memory.ptr) >= co.stack.memory.len) return;
        anchor.co = co;
        anchor.next = co.anchors;
        if (co.anchors) |next| next.prev = anchor;
        co.anchors = anchor;
    }

    pub fn weigh(anchor: *Anchor) void {
        const co = anchor.co orelse return;
        if (anchor.prev) |prev| prev.next = anchor.next else co.anchors = anchor.next;
        if (anchor.next) |next| next.prev = anchor.prev;
        anchor.* = .{ .releaseFn = anchor.releaseFn };
    }

    /// For a coroutine that is destroyed. False: one of them cannot be undone.
    pub fn releaseAll(co: *Coro) bool {
        var at = co.anchors;
        while (at) |anchor| : (at = anchor.next) if (!anchor.releaseFn(anchor)) return false;
        return true;
    }
};
