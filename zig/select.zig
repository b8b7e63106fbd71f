//! Select: waits for several operations and does exactly one of them; for the others it is as if they had never begun.
//!
//!     switch (try select(.{ .message = inbox.receiving(), .idle = after(30_000), .done = child.awaiting() })) {
//!         .message => |message| ...,     // ?Message: null when the inbox is closed
//!         .idle => ...,
//!         .done => |value| ...,
//!     }
//!
//! First all are polled, beginning with another one each time, so that none starves; if one can be done at once it is. Otherwise all
//! park, and the first to be woken is the one. In the same step, before anything else can happen, it takes the others back.
//! An operation that only the kernel can end is waited for.
//!
//! The states: `parking -> undecided -> decided`, or `-> cancelled`. Invariants:
//!  * `parked` counts the operations that a wake may still come from.
//!  * The coroutine is woken when it is decided or cancelled and `parked` is 0.

const std = @import("std");
const assert = std.debug.assert;
const cancel = @import("cancel.zig");
const coro = @import("coro.zig");
const Wait = @import("wait.zig").Wait;
const Waiter = @import("waiter.zig").Waiter;

/// What `select` of the operations `Ops`, a struct with a field for each, gives: one of them by its name, with its result.
pub fn Selected(comptime Ops: type) type {
    const fields = @typeInfo(Ops).@"struct".fields;
    var names: [fields.len][]const u8 = undefined;
    var types: [fields.len]type = undefined;
    for (fields, &names, &types) |field, *name, *T| {
        name.* = field.name;
        T.* = field.type.Result;
    }
    return @Union(.auto, std.meta.FieldEnum(Ops), &names, &types, &@splat(.{}));
}

/// Does one of `operations`, a struct whose fields are operations: the first that can be done. `error.Cancelled`: the coroutine was
/// cancelled while it waited, and none was done.
pub fn select(operations: anytype) error{Cancelled}!Selected(@TypeOf(operations)) {
    return Select(@TypeOf(operations)).run(operations);
}

fn Select(comptime Ops: type) type {
    const fields = @typeInfo(Ops).@"struct".fields;
    for (fields) |field| if (@hasDecl(field.type, "is_unselectable") and field.type.is_unselectable) {
        @compileError("select: " ++ field.name ++ " cannot be undone when another operation comes first; wait for readiness instead");
    };

    return struct {
        ops: Ops,
        wait: Wait,
        waiter: Waiter = .{ .wakeFn = wake },
        state: State = .parking,
        decided: usize = undefined,
        parked: usize = 0,
        is_parked: [fields.len]bool = @splat(false),

        const Self = @This();
        const State = enum { parking, undecided, decided, cancelled };
        const kind: Wait.Kind = .{ .text = "for one of several operations", .takeBackFn = cancelWait };

        fn run(operations: Ops) error{Cancelled}!Selected(Ops) {
            const co = coro.xframe();
            var self: Self = .{ .ops = operations, .wait = .{ .co = co, .waiter = undefined, .kind = &kind } };
            self.wait.waiter = &self.waiter;
            while (true) {
                if (self.pollAll(nextStart())) |selected| return selected;
                self.state = .parking;
                self.wait.state = .waiting;
                self.waiter.arm();
                self.parkAll();
                try self.wait.park();
                if (self.state == .cancelled) {
                    cancel.deliver(co);
                    return error.Cancelled;
                }
                assert(self.state == .decided and self.parked == 0);
                if (self.take()) |selected| return selected;
            }
        }

        /// Another one for each select of the thread.
        fn nextStart() usize {
            const thread = coro.Thread.get();
            thread.select_turn +%= 1;
            return thread.select_turn % fields.len;
        }

        fn pollAll(self: *Self, start: usize) ?Selected(Ops) {
            for (0..fields.len) |n| {
                const turn = (start + n) % fields.len;
                inline for (fields, 0..) |field, i| if (i == turn) {
                    if (@field(self.ops, field.name).poll()) |result| return @unionInit(Selected(Ops), field.name, result);
                };
            }
            return null;
        }

        fn parkAll(self: *Self) void {
            inline for (fields, 0..) |field, i| {
                if (self.state == .parking) {
                    const op = &@field(self.ops, field.name);
                    op.waiterOf().wakeFn = Branch(i).wake;
                    self.is_parked[i] = true;
                    self.parked += 1;
                    op.park();
                }
            }
            if (self.state == .parking) self.state = .undecided;
        }

        fn Branch(comptime i: usize) type {
            return struct {
                fn wake(w: *Waiter) void {
                    const op = fields[i].type.of(w);
                    const ops: *Ops = @alignCast(@fieldParentPtr(fields[i].name, op));
                    const self: *Self = @alignCast(@fieldParentPtr("ops", ops));
                    self.ended(i);
                }
            };
        }

        fn ended(self: *Self, i: usize) void {
            assert(self.is_parked[i]);
            self.is_parked[i] = false;
            self.parked -= 1;
            if (self.state == .parking or self.state == .undecided) {
                self.state = .decided;
                self.decided = i;
                self.takeBackAll();
            }
            if (self.parked == 0 and self.waiter.state == .armed) self.waiter.wake();
        }

        fn takeBackAll(self: *Self) void {
            inline for (fields, 0..) |field, i| {
                if (self.is_parked[i] and @field(self.ops, field.name).takeBack()) {
                    self.is_parked[i] = false;
                    self.parked -= 1;
                }
            }
        }

        fn take(self: *Self) ?Selected(Ops) {
            inline for (fields, 0..) |field, i| if (i == self.decided) {
                const result = @field(self.ops, field.name).result() orelse return null;
                return @unionInit(Selected(Ops), field.name, result);
            };
            unreachable;
        }

        fn wake(w: *Waiter) void {
            const self: *Self = @alignCast(@fieldParentPtr("waiter", w));
            self.wait.woken();
        }

        fn cancelWait(wait: *Wait) bool {
            const self: *Self = @alignCast(@fieldParentPtr("wait", wait));
            // Decided, and waiting for the others to end: what was done is done.
            if (self.state == .decided) return false;
            self.state = .cancelled;
            self.takeBackAll();
            if (self.parked > 0) return false;
            self.waiter.disarm();
            return true;
        }
    };
}
