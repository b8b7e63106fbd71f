//! What the switches have in common: the initial frame, what a coroutine starts from, and the link that traces follow.

const std = @import("std");
const assert = std.debug.assert;
const fp_control = @import("fp_control.zig");

/// What runs first on a new stack; it must never return.
pub const Entry = *const fn (argument: *anyopaque) callconv(.c) noreturn;

/// How a walk over stack frames gets from a coroutine to whoever resumed it: a frame record as the machine's frame pointers
/// chain them. The walk finds it below the first frame of the coroutine, and through it the record that is the frame pointer
/// and the program counter in the resumer's `Context`. Whoever switches to the coroutine sets `frame` to
/// `recordOf(&resumer_context)` before.
pub const Link = extern struct {
    frame: usize = 0,
    /// In `start`: the frame between the two.
    return_address: usize = 0,
};

pub const Start = struct {
    /// The lowest address of the stack.
    low: usize,
    /// Where the initial frame ends, aligned to `stack_alignment`.
    top: usize,
    entry: Entry,
    argument: *anyopaque,
    /// Lives as long as the coroutine.
    link: *Link,
};

/// A coroutine that is not running: where to go on. Everywhere but on Windows.
pub const Context = extern struct {
    sp: usize,
    fp: usize,
    pc: usize,
    control: fp_control.Words,
};

/// Where the control words are in it.
pub const control_offset = 3 * @sizeOf(usize);

/// What `initContext` puts at the top of a stack. Everywhere but on Windows.
pub const Frame = extern struct {
    argument: *anyopaque,
    entry: Entry,
    link: *Link,
    unused: usize = 0,
};

// What the assembly of every machine relies on.
comptime {
    const word = @sizeOf(usize);
    assert(@offsetOf(Context, "sp") == 0);
    assert(@offsetOf(Context, "fp") == 1 * word);
    assert(@offsetOf(Context, "pc") == 2 * word);
    assert(@offsetOf(Context, "control") == control_offset);
    assert(@sizeOf(Context) == 3 * word + @sizeOf(fp_control.Words));
    assert(@offsetOf(Frame, "argument") == 0);
    assert(@offsetOf(Frame, "entry") == 1 * word);
    assert(@offsetOf(Frame, "link") == 2 * word);
    assert(@sizeOf(Frame) == 4 * word);
    assert(@offsetOf(Link, "frame") == 0); // what a frame pointer points to
    assert(@offsetOf(Link, "return_address") == 1 * word);
    assert(@sizeOf(Link) == 2 * word);
}

/// Builds the initial frame for `start`, which reads it. The first frame pointer leads to the link.
/// `record_end`: whether a frame pointer points to the end of its record, as on RISC-V, or to its beginning.
pub fn initContext(from: Start, start: *const anyopaque, comptime record_end: bool) Context {
    const frame: *Frame = @ptrFromInt(from.top - @sizeOf(Frame));
    frame.* = .{ .entry = from.entry, .argument = from.argument, .link = from.link };
    from.link.* = .{ .return_address = @intFromPtr(start) + 1 }; // a walk looks up the byte before
    return .{
        .sp = @intFromPtr(frame),
        .fp = @intFromPtr(from.link) + if (record_end) @sizeOf(Link) else 0,
        .pc = @intFromPtr(start),
        .control = fp_control.now(),
    };
}
