//! Report: which coroutines of a thread there are and what each waits for, for people to read. It only reads.

const std = @import("std");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Thread = coro.Thread;
const Writer = std.Io.Writer;

/// The thread's coroutines that have not returned, the newest first; the root is none of them. Creating or destroying one ends the
/// walk's validity.
pub const Live = struct {
    at: ?*Coro,

    pub fn next(live: *Live) ?*Coro {
        while (live.at) |co| {
            live.at = co.next_live;
            if (co.status != .done) return co;
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
    const thread = Thread.get();
    try writer.print("{f}", .{List{ .thread = thread }});
    var live = liveCoroutines();
    var count: usize = 0;
    while (live.next()) |_| count += 1;
    return count;
}

/// For `{f}`.
pub const List = struct {
    thread: *Thread,

    /// Nobody reads more.
    const max_lines = 100;

    pub fn format(list: List, writer: *Writer) Writer.Error!void {
        if (list.thread.root.parked != null) try writer.print("    {f}\n", .{State{ .co = &list.thread.root }});
        var oldest = list.thread.live orelse return;
        while (oldest.next_live) |older| oldest = older;
        var lines: usize = 0;
        var at: ?*Coro = oldest;
        while (at) |co| : (at = co.prev_live) {
            if (co.status == .done) continue;
            lines += 1;
            if (lines <= max_lines) try writer.print("    {f}\n", .{State{ .co = co }});
        }
        if (lines > max_lines) try writer.print("    and {d} more\n", .{lines - max_lines});
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
        try writer.writeAll(switch (co.status) {
            .start => "has not started",
            .suspended => "is suspended",
            .active => "runs",
            .done => "has finished",
        });
    }
};
