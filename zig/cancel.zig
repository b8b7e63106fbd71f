//! Cancel: asks coroutines, and parts of them, to end early.
//!
//! A request is for a *scope*: a whole coroutine, or the part of one that runs in `withTimeout`. Scopes nest, the coroutine's own
//! is the outermost. A request is
//!  * cooperative: it is delivered as `error.Cancelled` from the wait that it finds, or the next one that begins. Whatever
//!    can be done without waiting is still done;
//!  * delivered once: afterwards the coroutine can wait again, so that `defer` and `errdefer` blocks may close things;
//!  * finished only when the operation is: what the kernel holds is waited for. A result that comes all the same is returned, and
//!    the request stays for the next wait;
//!  * deferred while the coroutine is inside `shield`.
//! Of several requests the outermost is delivered first.
//!
//! Each scope goes `quiet -> requested -> delivered` and never back. This file touches a coroutine's `scope`, `scopes` and
//! `cancelled_by`, and interrupts what it waits for.

const std = @import("std");
const assert = std.debug.assert;
const Anchor = @import("anchor.zig").Anchor;
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Frame = coro.Frame;
const sleep = @import("sleep.zig");
const Timer = @import("timer.zig").Timer;

pub const Scope = struct {
    outer: ?*Scope = null,
    state: State = .quiet,
    /// Requests for scopes further out are not delivered here.
    is_shield: bool = false,

    pub const State = enum(u8) { quiet, requested, delivered };
};

/// Asks `frame`, a Frame or FrameT, to end, and returns at once. Asking twice, or one that has finished, changes nothing.
/// `xcancel` also waits for the end.
pub fn requestCancel(frame: anytype) void {
    const co: *Coro = frame.frame();
    if (co.status() == .done or co.scope.state != .quiet) return;
    co.scope.state = .requested;
    interrupt(co);
}

/// Whether `requestCancel` was called for `frame`, delivered or not.
pub fn isCancelled(frame: anytype) bool {
    const co: *Coro = frame.frame();
    return co.scope.state != .quiet;
}

/// For a coroutine that computes for long: `error.Cancelled` when a request is pending, which is thereby delivered.
pub fn checkCancel() error{Cancelled}!void {
    const co = coro.xframe();
    if (!isPending(co)) return;
    deliver(co);
    return error.Cancelled;
}

/// The error set of `func` with `E` added, and what it returns otherwise.
fn With(comptime E: type, comptime func: anytype, comptime Args: type) type {
    const R = @TypeOf(@call(.auto, func, @as(Args, undefined)));
    return switch (@typeInfo(R)) {
        .error_union => |u| (u.error_set || E)!u.payload,
        else => E!R,
    };
}

/// Calls `func` with `args`, in this coroutine, for at most `ms` milliseconds: then what it waits for is cancelled, and so is its next
/// wait if it was waiting for nothing. `error.Timeout`: that ended it. A result that it returns all the same is returned. Limits
/// nest. It needs an executor that knows the time, as `asyncio.Executor` does.
pub fn withTimeout(ms: u64, comptime func: anytype, args: anytype) With(error{ Timeout, OutOfMemory }, func, @TypeOf(args)) {
    var limit: Limit = .init(coro.xframe());
    try limit.enter(ms);
    const result = @call(.auto, func, args);
    limit.leave();
    if (@typeInfo(@TypeOf(result)) != .error_union) return result;
    return result catch |err| {
        const was_it = @as(anyerror, err) == error.Cancelled and limit.co.cancelled_by == &limit.scope;
        return if (was_it) error.Timeout else err;
    };
}

/// Calls `func` with `args`, in this coroutine, and delivers no request for it meanwhile, only those of limits inside. What was
/// asked is delivered by the next wait after it.
pub fn shield(comptime func: anytype, args: anytype) @TypeOf(@call(.auto, func, args)) {
    const co = coro.xframe();
    var scope: Scope = .{ .outer = co.scopes, .is_shield = true };
    co.scopes = &scope;
    defer co.scopes = scope.outer;
    return @call(.auto, func, args);
}

const Limit = struct {
    co: *Coro,
    scope: Scope = .{},
    sleeper: sleep.Sleeper,
    anchor: Anchor = .{ .releaseFn = release },

    fn init(co: *Coro) Limit {
        return .{ .co = co, .sleeper = .{ .timer = .{ .fireFn = fire }, .sleepers = sleep.of(co) } };
    }

    fn enter(limit: *Limit, ms: u64) error{OutOfMemory}!void {
        const sleepers = limit.sleeper.sleepers;
        try sleepers.add(&limit.sleeper, sleepers.in(ms));
        limit.scope.outer = limit.co.scopes;
        limit.co.scopes = &limit.scope;
        limit.anchor.drop(limit.co);
    }

    fn leave(limit: *Limit) void {
        assert(limit.co.scopes == &limit.scope);
        limit.co.scopes = limit.scope.outer;
        limit.anchor.weigh();
        _ = release(&limit.anchor);
    }

    fn release(anchor: *Anchor) bool {
        const limit: *Limit = @alignCast(@fieldParentPtr("anchor", anchor));
        if (limit.sleeper.timer.isSet()) limit.sleeper.sleepers.remove(&limit.sleeper);
        return true;
    }

    fn fire(timer: *Timer) void {
        const sleeper: *sleep.Sleeper = @fieldParentPtr("timer", timer);
        const limit: *Limit = @alignCast(@fieldParentPtr("sleeper", sleeper));
        limit.scope.state = .requested;
        interrupt(limit.co);
    }
};

fn interrupt(co: *Coro) void {
    const wait = co.parked orelse return;
    if (isPending(co)) wait.interrupt();
}

/// Whether the next wait of `co` would be cancelled.
pub inline fn isPending(co: *Coro) bool {
    if (co.scopes == null) return co.scope.state == .requested;
    return pending(co) != null;
}

/// The outermost scope whose request is to be delivered.
fn pending(co: *Coro) ?*Scope {
    var found: ?*Scope = null;
    var at = co.scopes;
    while (at) |scope| : (at = scope.outer) {
        if (scope.state == .requested) found = scope;
        if (scope.is_shield) return found;
    }
    return if (co.scope.state == .requested) &co.scope else found;
}

/// Whoever returns `error.Cancelled` to the coroutine says so here.
pub fn deliver(co: *Coro) void {
    const scope = pending(co).?;
    scope.state = .delivered;
    co.cancelled_by = scope;
}
