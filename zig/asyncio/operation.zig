//! Operation: one libxev operation as something to wait for (wait.zig), whatever it does. It embeds the completion, so it stays in
//! place until libxev has let go of it.
//!
//! What it does is told by a `Request`. One that completes something:
//!
//!     pub const Result                                   errors in here are libxev's
//!     pub const text                                     after "waits", for reports
//!     pub fn attempt(request) ?Result                    optional: does it without libxev, if that can be
//!     pub fn begin(request, api, loop) ?Result           optional: before it starts; not null: it failed
//!     pub fn operation(request, api) api.Sys.Operation
//!     pub fn started(request, api, loop, c) void         optional
//!     pub fn withdraw(request, api, c) void              optional: before a cancel
//!     pub fn finish(request, api, c, result) ?Result        in the loop's callback; null: it was for nothing, again
//!     pub fn canCancel(api) bool                         optional: false when nothing but itself can end it
//!
//! One that waits until a descriptor is ready, and consumes nothing before it is asked for its result, so that `select` may have it:
//!
//!     pub const Result, text
//!     pub const event: backend.Event
//!     pub fn descriptor(request) Fd
//!     pub fn attempt(request) ?Result                    null: not ready
//!
//! The states: `idle -> started -> ended -> told`, or `-> idle` by a cancel of what can be ended on the spot. A cancel of what only
//! the kernel can end starts a second completion; it has ended when libxev holds neither. Between `ended` and `told`, which is the
//! rest of the loop's tick, it is in the executor's list.

const std = @import("std");
const assert = std.debug.assert;
const backend = @import("backend.zig");
const Waiter = @import("../waiter.zig").Waiter;

pub fn Operation(comptime Aio: type, comptime Request: type) type {
    const xev = Aio.xev;
    const is_readiness = @hasDecl(Request, "event");
    if (is_readiness and !backend.canPoll(xev)) @compileError("this backend of libxev cannot wait until a descriptor is ready");

    return struct {
        /// Null: that of the coroutine. Known once it is parked.
        exec: ?*Aio.Executor,
        request: Request,
        waiter: Waiter = .{ .wakeFn = undefined },
        completion: xev.Completion = .{},
        canceller: xev.Completion = .{},
        is_held: bool = false,
        is_canceller_held: bool = false,
        is_cancelled: bool = false,
        value: Value = undefined,

        const Self = @This();
        const Value = if (is_readiness) xev.PollError!void else Result;
        pub const Result = Request.Result;
        pub const text = Request.text;
        pub const is_unselectable = !is_readiness;

        pub fn subject(_: *const Self) []const u8 {
            return "";
        }

        pub fn waiterOf(op: *Self) *Waiter {
            return &op.waiter;
        }

        pub fn of(w: *Waiter) *Self {
            return @alignCast(@fieldParentPtr("waiter", w));
        }

        pub fn poll(op: *Self) ?Result {
            return if (@hasDecl(Request, "attempt")) op.request.attempt() else null;
        }

        pub fn park(op: *Self) void {
            op.exec = Aio.Executor.of(op.exec);
            op.waiter.arm();
            backend.with(xev, void, start, .{op});
        }

        fn start(comptime api: type, op: *Self) void {
            const loop = backend.loopOf(api, op.exec.?.loop);
            if (@hasDecl(Request, "begin")) if (op.request.begin(api, loop)) |value| return op.endAtOnce(value);
            const c = backend.completionOf(api, &op.completion);
            const operation = if (is_readiness)
                backend.pollOperation(api, op.request.descriptor(), Request.event)
            else
                op.request.operation(api);
            c.* = .{ .op = operation, .userdata = op, .callback = On(api).ended };
            if (backend.add(api, loop, c)) |raw| return op.endAtOnce(op.finish(api, c, raw).?);
            op.is_held = true;
            op.exec.?.in_flight += 1;
            if (@hasDecl(Request, "started")) op.request.started(api, loop, c);
        }

        fn endAtOnce(op: *Self, value: Value) void {
            op.value = value;
            op.waiter.wake();
        }

        pub fn takeBack(op: *Self) bool {
            if (op.is_cancelled) return false;
            if (!op.is_held and !op.is_canceller_held) {
                // Ended in this tick, and to be told next.
                if (!is_readiness) return false;
                op.exec.?.ended.remove(&op.waiter);
                op.waiter.disarm();
                return true;
            }
            return backend.with(xev, bool, cancel, .{op});
        }

        fn cancel(comptime api: type, op: *Self) bool {
            if (@hasDecl(Request, "canCancel") and !Request.canCancel(api)) return false;
            const loop = backend.loopOf(api, op.exec.?.loop);
            const c = backend.completionOf(api, &op.completion);
            if (@hasDecl(Request, "withdraw")) op.request.withdraw(api, c);
            const canceller = backend.completionOf(api, &op.canceller);
            canceller.* = .{ .userdata = op, .callback = On(api).cancelled };
            switch (backend.cancel(api, loop, c, canceller)) {
                .gone => {
                    op.is_held = false;
                    op.exec.?.in_flight -= 1;
                    op.waiter.disarm();
                    return true;
                },
                .dropped => {
                    op.is_cancelled = true;
                    op.value = if (comptime knowsCanceled()) error.Canceled else error.Unexpected;
                    op.is_held = false;
                    op.release();
                },
                .asked => {
                    op.is_cancelled = true;
                    op.is_canceller_held = true;
                },
                .impossible => {},
            }
            return false;
        }

        fn On(comptime api: type) type {
            return struct {
                fn ended(userdata: ?*anyopaque, _: *api.Loop, c: *api.Completion, raw: api.Result) api.CallbackAction {
                    const op: *Self = @ptrCast(@alignCast(userdata.?));
                    assert(op.is_held);
                    op.value = op.finish(api, c, raw) orelse return .rearm;
                    op.is_held = false;
                    op.release();
                    return .disarm;
                }

                fn cancelled(userdata: ?*anyopaque, _: *api.Loop, _: *api.Completion, raw: api.Result) api.CallbackAction {
                    const op: *Self = @ptrCast(@alignCast(userdata.?));
                    assert(op.is_canceller_held);
                    if (op.is_held and backend.wasUnknown(api, raw)) return .rearm;
                    op.is_canceller_held = false;
                    op.release();
                    return .disarm;
                }
            };
        }

        fn finish(op: *Self, comptime api: type, c: *api.Completion, raw: api.Result) ?Value {
            if (!is_readiness) return op.request.finish(api, c, raw);
            return backend.pollResult(api, raw);
        }

        fn release(op: *Self) void {
            if (op.is_held or op.is_canceller_held) return;
            const exec = op.exec.?;
            exec.in_flight -= 1;
            exec.ended.push(&op.waiter);
        }

        /// Whether a cancel ended it. libxev tells a call that was interrupted for that as unexpected.
        pub fn wasCancelled(op: *Self) bool {
            if (!op.is_cancelled) return false;
            _ = op.value catch |err| return @as(anyerror, err) == error.Canceled or @as(anyerror, err) == error.Unexpected;
            return false;
        }

        pub fn result(op: *Self) ?Result {
            if (!is_readiness) return op.value;
            op.value catch |err| return err;
            return op.request.attempt();
        }

        fn knowsCanceled() bool {
            const set = @typeInfo(@typeInfo(Value).error_union.error_set).error_set.?;
            for (set) |err| if (std.mem.eql(u8, err.name, "Canceled")) return true;
            return false;
        }
    };
}
