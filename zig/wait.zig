//! Wait: how a coroutine waits for something, whatever that is. The thing waited for sees a `Waiter` only; the coroutine, who
//! cancels it and who asks what it waits for see a `Wait`.
//!
//! What can be waited for is an *operation*: a struct with
//!
//!     pub const Result                       what it gives; errors in here are its own
//!     pub const text                         after "waits", for reports: "to receive from channel"
//!     pub fn subject(*const op) []const u8   the name of the thing, or ""
//!     pub fn waiterOf(op) *Waiter            and its inverse
//!     pub fn of(waiter) *Op
//!     pub fn poll(op) ?Result                does it now, if that can be done without waiting
//!     pub fn park(op) void                   arms the waiter and leaves it where it will be woken; only after `poll` gave null
//!     pub fn takeBack(op) bool               true: it is over, nothing happened and no wake comes (the waiter is idle again);
//!                                            false: it was asked to end, and a wake comes
//!     pub fn result(op) ?Result              after the wake; null: it was for nothing, poll again
//!
//! Operations live in whoever waits and stay in place while parked. `perform` runs one, `select` (select.zig) one of several.
//!
//! The states of a wait: `waiting -> over`, by a wake; `waiting -> taken_back`, by a cancel that took the operation back;
//! `waiting -> ending -> over`, by a cancel of what only the kernel can end. Invariants:
//!  * A wake queues the coroutine and runs nothing.
//!  * `co.parked` is its wait exactly while the coroutine is suspended in it and has not been woken.
//!  * A cancel that comes after the wake changes nothing: the result is delivered, the cancel stays for the next wait.

const std = @import("std");
const assert = std.debug.assert;
const cancel = @import("cancel.zig");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Executor = @import("executor.zig").Executor;
const Waiter = @import("waiter.zig").Waiter;

pub const Wait = struct {
    co: *Coro,
    waiter: *Waiter,
    kind: *const Kind,
    state: State = .waiting,
    /// A cancel does not reach it.
    is_shielded: bool = false,

    pub const State = enum(u8) { waiting, ending, taken_back };

    pub const Kind = struct {
        /// After "waits ".
        text: []const u8,
        /// As an operation's `takeBack`.
        takeBackFn: *const fn (*Wait) bool,
        /// As an operation's `subject`; null: it has none.
        subjectFn: ?*const fn (*const Wait) []const u8 = null,
    };

    /// The name of what it waits for, or "".
    pub fn subject(wait: *const Wait) []const u8 {
        return if (wait.kind.subjectFn) |subjectFn| subjectFn(wait) else "";
    }

    /// Suspends the coroutine until the waiter, armed before, is woken; at once when it was woken meanwhile. On the root it
    /// runs the executor instead, and ends the process with a report when nothing is left that could wake it.
    ///
    /// `error.Cancelled`: a cancel took the operation back; nothing happened. A resume by hand does not end the wait.
    ///
    /// Inlined, so that no `ret` follows the switch: the processor would predict it to lead into the other coroutine.
    pub inline fn park(wait: *Wait) error{Cancelled}!void {
        const co = wait.co;
        assert(co == co.thread.current);
        if (cancel.isPending(co)) wait.interrupt();
        if (co.isRoot()) {
            if (wait.waiter.state == .armed) wait.parkRoot();
        } else {
            while (wait.waiter.state == .armed) {
                co.parked = wait;
                co.@"suspend"();
            }
            co.parked = null;
        }
        if (wait.state != .taken_back) return;
        cancel.deliver(co);
        return error.Cancelled;
    }

    noinline fn parkRoot(wait: *Wait) void {
        const root = wait.co;
        root.parked = wait;
        defer root.parked = null;
        const exec = root.thread.env.executor orelse coro.fail(.asleep, root);
        if (exec.ticking) coro.fail(.wait_in_tick, root);
        if (exec.runUntil(wait, isOver)) return;
        const has_failed = if (exec.source) |source| source.failure != null else false;
        coro.fail(if (has_failed) .loop_failed else .asleep, root);
    }

    fn isOver(wait: *Wait) bool {
        return wait.waiter.state != .armed;
    }

    /// What the `wakeFn` of the waiter does.
    pub inline fn woken(wait: *Wait) void {
        const co = wait.co;
        if (co.parked != wait) return;
        co.parked = null;
        if (co.executor) |exec| exec.runSoon(co);
    }

    /// A cancel has come.
    pub fn interrupt(wait: *Wait) void {
        if (wait.state != .waiting or wait.is_shielded or wait.waiter.state != .armed) return;
        if (!wait.kind.takeBackFn(wait)) {
            wait.state = .ending;
            return;
        }
        assert(wait.waiter.state != .armed);
        wait.state = .taken_back;
        wait.woken();
    }

    /// For a coroutine that is destroyed where it stands. False: only the kernel can end the operation.
    pub fn abandon(wait: *Wait) bool {
        return wait.waiter.state != .armed or (wait.state == .waiting and wait.kind.takeBackFn(wait));
    }
};

/// What `perform` returns: the operation's errors and its value, with `error.Cancelled` among them.
pub fn Outcome(comptime Op: type) type {
    return switch (@typeInfo(Op.Result)) {
        .error_union => |u| (u.error_set || error{Cancelled})!u.payload,
        else => error{Cancelled}!Op.Result,
    };
}

/// Does an operation for the current coroutine: at once if that can be, otherwise it waits. `error.Cancelled`: the coroutine, or
/// the time limit it is in, was cancelled while it waited or before; nothing happened.
pub fn perform(operation: anytype) Outcome(@TypeOf(operation)) {
    var parked: Parked(@TypeOf(operation)) = .{ .op = operation };
    if (parked.op.poll()) |result| return result;
    return parked.run(false);
}

/// The same for one that was polled in vain.
pub inline fn parkOn(operation: anytype) Outcome(@TypeOf(operation)) {
    var parked: Parked(@TypeOf(operation)) = .{ .op = operation };
    return parked.run(false);
}

/// The same for an operation that must be waited for whatever happens: a cancel stays for the next wait.
pub fn performShielded(operation: anytype) @TypeOf(operation).Result {
    const Op = @TypeOf(operation);
    var parked: Parked(Op) = .{ .op = operation };
    if (parked.op.poll()) |result| return result;
    return parked.run(true) catch |err| {
        assert(err != error.Cancelled);
        if (@typeInfo(Op.Result) != .error_union) unreachable;
        return @errorCast(err);
    };
}

/// One operation in place, and the wait for it.
fn Parked(comptime Op: type) type {
    return struct {
        op: Op,
        wait: Wait = undefined,

        const Self = @This();
        const kind: Wait.Kind = .{ .text = Op.text, .takeBackFn = takeBack, .subjectFn = subject };

        inline fn run(parked: *Self, is_shielded: bool) Outcome(Op) {
            const co = coro.xframe();
            const waiter = parked.op.waiterOf();
            waiter.wakeFn = wake;
            while (true) {
                parked.wait = .{ .co = co, .waiter = waiter, .kind = &kind, .is_shielded = is_shielded };
                parked.op.park();
                try parked.wait.park();
                if (parked.wait.state == .ending and @hasDecl(Op, "wasCancelled") and parked.op.wasCancelled()) {
                    cancel.deliver(co);
                    return error.Cancelled;
                }
                if (parked.op.result()) |result| return result;
                if (parked.op.poll()) |result| return result;
            }
        }

        fn wake(w: *Waiter) void {
            const parked: *Self = @alignCast(@fieldParentPtr("op", Op.of(w)));
            parked.wait.woken();
        }

        fn takeBack(wait: *Wait) bool {
            const parked: *Self = @alignCast(@fieldParentPtr("wait", wait));
            return parked.op.takeBack();
        }

        fn subject(wait: *const Wait) []const u8 {
            const parked: *const Self = @alignCast(@fieldParentPtr("wait", wait));
            return parked.op.subject();
        }
    };
}
