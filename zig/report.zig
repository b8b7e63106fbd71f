//! Report: which coroutines of a thread there are and what each waits for, for people to read. It only reads.

const std = @import("std");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Executor = @import("executor.zig").Executor;
const Thread = coro.Thread;
const Writer = std.Io.Writer;

/// The thread's coroutines that have not returned, the newest first; the root is none of them. Creating or destroying one ends the
/// walk's validity.
pub const Live = struct {
    at: ?*Coro,

    pub fn next(live: *Live) ?*Coro {
        while (live.at) |co| {
            live.at = co.next_live;
            if (co.status() != .done) return co;
        }
        return null;
    }
};

/// The calling thread's.
pub fn liveCoroutines() Live {
    return .{ .at = Thread.get().live };
}

/// Writes one line for each coroutine of the calling thread that has not returned, and for the root if it waits, the oldest first:
///
///     "worker 3" waits to receive from channel "jobs"
///
/// Returns how many coroutines have not returned.
pub fn reportIncomplete(writer: *Writer) Writer.Error!usize {
    const list: List = .{ .thread = Thread.get() };
    try writer.print("{f}", .{list});
    return list.count();
}

/// For `{f}`.
pub const List = struct {
    thread: *Thread,
    /// Only what runs on this one, and not the root; null: all.
    executor: ?*const Executor = null,

    /// Nobody reads more.
    const max_lines = 100;

    pub fn format(list: List, writer: *Writer) Writer.Error!void {
        if (list.executor == null and list.thread.root.parked != null) try writer.print("    {f}\n", .{State{ .co = &list.thread.root }});
        var oldest = list.thread.live orelse return;
        while (oldest.next_live) |older| oldest = older;
        var lines: usize = 0;
        var at: ?*Coro = oldest;
        while (at) |co| : (at = co.prev_live) {
            if (!list.has(co)) continue;
            lines += 1;
            if (lines <= max_lines) try writer.print("    {f}\n", .{State{ .co = co }});
        }
        if (lines > max_lines) try writer.print("    and {d} more\n", .{lines - max_lines});
    }

    /// How many coroutines there are, the root not among them.
    pub fn count(list: List) usize {
        var n: usize = 0;
        var at = list.thread.live;
        while (at) |co| : (at = co.next_live) n += @intFromBool(list.has(co));
        return n;
    }

    fn has(list: List, co: *const Coro) bool {
        return co.status() != .done and (list.executor == null or co.executor == list.executor);
    }
};

/// For `{f}`: what a coroutine does, as in `"worker 3" waits to receive from channel "jobs"`.
pub const State = struct {
    co: *const Coro,

    pub fn format(state: State, writer: *Writer) Writer.Error!void {
        const co = state.co;
        try writer.print("\"{s}\" ", .{co.name()});
        if (co.parked) |wait| {
            try writer.print("waits {s}", .{wait.kind.text});
            if (wait.subject().len > 0) try writer.print(" \"{s}\"", .{wait.subject()});
            if (wait.state == .ending) try writer.writeAll(", cancelled");
            return;
        }
        if (co.task.queue != null) return writer.writeAll("is ready to run");
        try writer.writeAll(switch (co.status()) {
            .start => "has not started",
            .suspended => "is suspended",
            .active => "runs",
            .done => "has finished",
        });
    }
};
