//! What a coroutine starts from, on every architecture.

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
