//! Group: children that cannot outlive it. `wait` waits for all; the first failure cancels the others; `deinit` cancels and awaits
//! whatever still runs, so that no way out of the function leaks a child.
//!
//!     var group: Group = .init;
//!     defer group.deinit();
//!     for (addresses) |address| try group.spawn(fetch, .{address}, .{ .name = "fetch" });
//!     try group.wait();
//!
//! Invariants: `running` counts the children that have not returned, and each of them is in `children`; a child's stack goes back
//! as soon as it has returned. A group belongs to one thread and allocates nothing itself.

const std = @import("std");
const assert = std.debug.assert;
const Anchor = @import("anchor.zig").Anchor;
const cancel = @import("cancel.zig");
const coro = @import("coro.zig");
const frame = @import("frame.zig");
const Coro = coro.Coro;
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;
const performShielded = @import("wait.zig").performShielded;

pub const Group = struct {
    children: ?*Child = null,
    running: usize = 0,
    /// The first error of a child, but for `error.Cancelled` after a cancel of ours.
    failure: ?anyerror = null,
    is_cancelled: bool = false,
    waiters: Waiter.List = .{},
    anchor: Anchor = .{ .releaseFn = hasNoChild },

    pub const init: Group = .{};

    pub const Options = struct {
        /// Bytes; null: the Env's default.
        stack: ?usize = null,
        /// In messages and reports; null: the function's name.
        name: ?[]const u8 = null,
    };

    /// A child's link; it lies on the child's stack.
    const Child = struct {
        group: *Group,
        co: *Coro,
        next: ?*Child,
        prev: ?*Child = null,
    };

    /// Cancels the children that still run and waits until they have returned, whatever cancels come meanwhile.
    pub fn deinit(group: *Group) void {
        group.cancelAll();
        performShielded(group.ending());
        assert(group.children == null and group.waiters.isEmpty());
        group.anchor.weigh();
        group.* = undefined;
    }

    /// Starts a child and runs it to its first suspend. In a group that was cancelled it starts cancelled. What it returns is dropped
    /// but for an error.
    pub fn spawn(group: *Group, comptime func: anytype, args: anytype, options: Options) coro.CreateError!void {
        const Body = struct {
            fn run(g: *Group, a: @TypeOf(args)) void {
                var child: Child = .{ .group = g, .co = coro.xframe(), .next = g.children };
                g.add(&child);
                defer g.remove(&child);
                const result = @call(.auto, func, a);
                if (@typeInfo(@TypeOf(result)) == .error_union) _ = result catch |err| g.failed(err);
            }
        };
        const child = try frame.CoroT(Body.run, .{ .name = nameOf(func, @TypeOf(args)) }).init(.{ group, args }, options.stack);
        if (options.name) |name| child.co.setName(name);
        child.co.finishedFn = Coro.deinit;
        if (group.is_cancelled) cancel.requestCancel(child);
        group.anchor.drop(coro.xframe());
        child.co.@"resume"();
    }

    fn nameOf(comptime func: anytype, comptime Args: type) []const u8 {
        const is_generic = @typeInfo(@TypeOf(func)).@"fn".is_generic;
        return frame.nameOf(frame.CoroT(func, .{ .ArgsT = if (is_generic) Args else null }));
    }

    /// Waits until all children have returned. The first error of one cancels the others, and is returned once they have ended.
    /// `error.Cancelled`: the caller was cancelled, and with it the children, which have ended.
    pub fn wait(group: *Group) anyerror!void {
        perform(group.ending()) catch {
            group.cancelAll();
            performShielded(group.ending());
            return error.Cancelled;
        };
        if (group.failure) |err| return err;
    }

    /// Asks all children to end, and returns at once.
    pub fn cancelAll(group: *Group) void {
        group.is_cancelled = true;
        var at = group.children;
        while (at) |child| : (at = child.next) cancel.requestCancel(child.co);
    }

    fn add(group: *Group, child: *Child) void {
        if (child.next) |next| next.prev = child;
        group.children = child;
        group.running += 1;
    }

    fn remove(group: *Group, child: *Child) void {
        if (child.prev) |prev| prev.next = child.next else group.children = child.next;
        if (child.next) |next| next.prev = child.prev;
        group.running -= 1;
        if (group.running == 0) while (group.waiters.pop()) |w| w.wake();
    }

    fn hasNoChild(anchor: *Anchor) bool {
        const group: *Group = @alignCast(@fieldParentPtr("anchor", anchor));
        return group.running == 0;
    }

    fn failed(group: *Group, err: anyerror) void {
        if (err == error.Cancelled and group.is_cancelled) return;
        if (group.failure == null) group.failure = err;
        group.cancelAll();
    }

    /// The operation of waiting until no child runs.
    fn ending(group: *Group) Ending {
        return .{ .group = group };
    }

    const Ending = struct {
        group: *Group,
        waiter: Waiter = .{ .wakeFn = undefined },

        pub const Result = void;
        pub const text = "for its group's children";

        pub fn subject(_: *const Ending) []const u8 {
            return "";
        }

        pub fn waiterOf(op: *Ending) *Waiter {
            return &op.waiter;
        }

        pub fn of(w: *Waiter) *Ending {
            return @alignCast(@fieldParentPtr("waiter", w));
        }

        pub fn poll(op: *Ending) ?void {
            return if (op.group.running == 0) {} else null;
        }

        pub fn park(op: *Ending) void {
            op.waiter.arm();
            op.group.waiters.push(&op.waiter);
        }

        pub fn takeBack(op: *Ending) bool {
            op.group.waiters.remove(&op.waiter);
            op.waiter.disarm();
            return true;
        }

        /// Null: a child was spawned between the last one's end and now.
        pub fn result(op: *Ending) ?void {
            return op.poll();
        }
    };
};
