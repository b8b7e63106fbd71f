//! Coroutines on their own stacks: create, resume, suspend, finish. This is the raw layer, which knows no types; `xasync`, `CoroT`
//! and the other names of zigcoro (frame.zig) stand on it, and so does waiting (wait.zig).
//!
//! Resuming is asymmetric: a coroutine suspends to whoever resumed it last. The thread's own stack is the root, a
//! coroutine that cannot suspend. A coroutine belongs to the thread that created it and never leaves it.
//!
//! What a coroutine's stack holds:
//!
//!     top ->  | Coro                         |
//!             | arguments and value (typed)  |
//!             | initial frame (see arch/)    |
//!             | the body's frames            |  grows downwards
//!             | ...                          |
//!     low ->  | canary                       |
//!             | guard page                   |
//!
//! Invariants:
//!  * `active` are exactly the root, the current coroutine and the chain of its resumers; all others are `start`,
//!    `suspended` or `done`.
//!  * Nothing is resumed from inside a wake: a wake queues.
//!  * Every coroutine is in its thread's list of live ones from creation to `deinit`.
//!  * One that has returned and was given back may stay where it is, with its stack, until its pool gives both to another. Then `stack`,
//!    `task`, the initial frame and, if it never suspended, `context` are as they were, and are not written again.
//!
//! What creating and switching costs is stores: processors finish one a cycle, and several of all else. So nothing is stored that is
//! there already, and one word holds the link and the status.
//!
//! Misuse is an error from `tryResume` and the `Safe` functions, and a panic that names the coroutine from the others.
//! Such panics happen on the thread's own stack, which has room for a trace.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const libcoro_options = @import("libcoro_options");
const Anchor = @import("anchor.zig").Anchor;
const arch = @import("arch.zig");
const overflow = @import("overflow.zig");
const sanitizer = @import("sanitizer.zig");
const stacks = @import("stack.zig");
const Executor = @import("executor.zig").Executor;
const Scope = @import("cancel.zig").Scope;
const Wait = @import("wait.zig").Wait;
const Waiter = @import("waiter.zig").Waiter;

pub const stack_alignment = stacks.alignment;
/// Bytes of a stack when nobody says otherwise.
pub const default_stack_size: usize = libcoro_options.default_stack_size;
pub const StackT = stacks.Memory;
pub const Frame = *Coro;

pub const Status = enum(u8) { start, suspended, active, done };

pub const ResumeError = error{
    /// It has returned.
    ResumeFinished,
    /// It is running already: it waits for what it resumed.
    ResumeActive,
};

pub const SuspendError = error{
    /// Only a coroutine can suspend.
    SuspendFromRoot,
    /// The canary at the bottom of the stack is gone; memory below may be damaged.
    StackOverflow,
    /// The coroutine was asked to end (cancel.zig).
    Cancelled,
};

pub const CreateError = stacks.Error || error{
    /// No room for the coroutine's own data.
    StackTooSmall,
    /// No stack was passed, and the Env has neither a pool nor an allocator.
    NoStackSource,
};

/// A coroutine of any type. It lies at the top of its own stack.
pub const Coro = struct {
    // What a switch touches comes first, in two lines of the cache beside the body's first frame. Where Coros are placed sees to that; for
    // the compiler it is so on Linux only, since others align thread-local variables, such as a thread's root, to 16 at most.
    context: arch.Context align(if (builtin.os.tag == .linux) stacks.Stack.line else stack_alignment),
    /// To who is switched to at the next suspend, in the form that traces follow; while it is not active, its status.
    link: arch.Link,
    thread: *Thread,
    stack: stacks.Stack,
    task: Executor.Task = .{ .kind = .coro },
    entry: Entry,
    /// The creator's, see `getStorage`.
    storage: ?*anyopaque,
    /// Where wakes are queued. Null: whoever created it resumes it.
    executor: ?*Executor,
    /// The thread's live coroutines.
    next_live: ?*Coro,
    scope: Scope = .{},
    fiber: sanitizer.Fiber,
    // What follows begins as zeros, a line of the cache on most machines, which the compiler clears in few stores.
    prev_live: ?*Coro = null,
    /// What it is suspended in, when that is a wait.
    parked: ?*Wait = null,
    /// Who waits for it to return.
    joiners: Waiter.List = .{},
    /// Called once on the resumer's stack after it has returned; may destroy it.
    finishedFn: ?*const fn (*Coro) void = null,
    /// What must be undone before its stack goes.
    anchors: ?*Anchor = null,
    /// Requests to end early: its own, and those of the parts it is in, innermost first (cancel.zig).
    scopes: ?*Scope = null,
    /// Whose request was delivered last.
    cancelled_by: ?*Scope = null,
    name_len: u8 = 0,
    name_buffer: [max_name_len]u8 = undefined,

    /// In `link.frame`, where no record is. A walk over stack frames ends at each, and what can be resumed is least.
    const suspended = 0;
    const start = 1;
    const done = 3;

    pub const Entry = *const fn (*Coro) void;
    pub const max_name_len = 31;
    /// Bytes that must remain for the body.
    const min_body_size = 512;
    /// At the bottom of a stack that no page guards.
    const magic: usize = @truncate(0x7a69_6763_6f72_6f21);

    /// A coroutine that will run `entry` on a stack of at least `size` bytes from `pool`. It runs at the first resume.
    /// `name` is copied and cut at `max_name_len` bytes. Wakes go to the thread's Env's executor; set `executor` to
    /// change that. Given back by `deinit`.
    pub fn init(pool: *stacks.Pool, size: usize, entry: Entry, userdata: ?*anyopaque, name_: []const u8) callconv(stacks.inlined) CreateError!*Coro {
        return create(pool, size, entry, userdata, name_, 0);
    }

    /// The same with `reserved` bytes right below the Coro, aligned to 16, that are kept free of the body's frames.
    pub fn create(pool: *stacks.Pool, size: usize, entry: Entry, userdata: ?*anyopaque, name_: []const u8, reserved: usize) callconv(stacks.inlined) CreateError!*Coro {
        const kept = pool.takeKept(size) orelse return createFresh(pool, size, entry, userdata, name_, reserved);
        const co: *Coro = @alignCast(@fieldParentPtr("stack", kept));
        if (@intFromPtr(co) - @intFromPtr(kept.memory.ptr) < reserved + stack_alignment + arch.frame_size + min_body_size) {
            @branchHint(.cold);
            co.releaseStack();
            return error.StackTooSmall;
        }
        co.begin(entry, userdata, name_, reserved, true);
        return co;
    }

    noinline fn createFresh(pool: *stacks.Pool, size: usize, entry: Entry, userdata: ?*anyopaque, name_: []const u8, reserved: usize) CreateError!*Coro {
        const stack = try pool.acquire(size);
        errdefer stack.release();
        return place(stack, entry, userdata, name_, reserved);
    }

    /// The same on a stack that `deinit` releases to wherever it came from. On an error the stack stays the caller's.
    pub fn place(stack: stacks.Stack, entry: Entry, userdata: ?*anyopaque, name_: []const u8, reserved: usize) callconv(stacks.inlined) error{StackTooSmall}!*Coro {
        if (!hasRoom(&stack, reserved)) return error.StackTooSmall;
        const co = atTop(&stack);
        co.stack = stack;
        co.task = .{ .kind = .coro };
        co.scope = .{};
        if (stack.guard == .none) co.canaryWord().* = magic;
        co.begin(entry, userdata, name_, reserved, false);
        return co;
    }

    fn hasRoom(stack: *const stacks.Stack, reserved: usize) callconv(stacks.inlined) bool {
        const needed = @sizeOf(Coro) + stacks.Stack.line + reserved + stack_alignment + arch.frame_size + min_body_size;
        return stack.top() - @intFromPtr(stack.memory.ptr) >= needed;
    }

    /// Sets all but `stack`, `task` and `scope.outer`, which one that has returned has left as they begin.
    fn begin(co: *Coro, entry: Entry, userdata: ?*anyopaque, name_: []const u8, reserved: usize, comptime is_kept: bool) callconv(stacks.inlined) void {
        const thread = Thread.get();
        // A store that changes nothing costs more than a look.
        if (!is_kept or co.thread != thread) co.thread = thread;
        co.entry = entry;
        co.storage = userdata;
        co.executor = thread.env.executor;
        co.fiber = .init(co.stack.memory);
        co.prev_live = null;
        co.parked = null;
        co.joiners = .{};
        co.finishedFn = null;
        co.anchors = null;
        co.scopes = null;
        co.cancelled_by = null;
        co.scope.state = .quiet;
        co.setName(name_);
        const top = std.mem.alignBackward(usize, @intFromPtr(co) - reserved, stack_alignment);
        if (!is_kept or !arch.isInitial(&co.context, top)) co.context = arch.initContext(.{
            .low = @intFromPtr(co.stack.memory.ptr),
            .top = top,
            .entry = main,
            .argument = co,
            .link = &co.link,
        });
        co.link.frame = start;
        co.next_live = thread.live;
        if (thread.live) |first| first.prev_live = co;
        thread.live = co;
    }

    /// Gives the stack back and runs nothing of the body, no `defer` either; what it waits for is taken back, and its time limits
    /// end. Panics when it is active, when somebody awaits it, when it waits for what only the kernel can end, or when a group on its
    /// stack has children: cancel and await it first. `co` is gone after it.
    pub fn deinit(co: *Coro) void {
        if (co.link.frame != done) return co.destroyUnfinished();
        co.unlink();
        co.fiber.deinit(co.stack.memory, true);
        if (!co.stack.keep()) co.releaseStack();
    }

    noinline fn destroyUnfinished(co: *Coro) void {
        co.abandon();
        co.unlink();
        co.fiber.deinit(co.stack.memory, co.link.frame != start);
        co.releaseStack();
    }

    noinline fn releaseStack(co: *Coro) void {
        const stack = co.stack;
        stack.release();
    }

    inline fn unlink(co: *Coro) void {
        if (co.prev_live) |prev| prev.next_live = co.next_live else co.thread.live = co.next_live;
        if (co.next_live) |next| next.prev_live = co.prev_live;
    }

    /// What finishing would have done; one that has returned waits for nothing and nobody waits for it.
    fn abandon(co: *Coro) void {
        if (co.status() == .active) fail(.deinit_active, co);
        if (!co.joiners.isEmpty()) fail(.deinit_awaited, co);
        if (co.parked) |wait| if (!wait.abandon()) fail(.deinit_parked, co);
        if (!Anchor.releaseAll(co)) fail(.deinit_parent, co);
        if (co.task.queue) |queue| queue.remove(&co.task);
    }

    /// Runs it until it suspends or returns. Panics when it cannot be resumed.
    pub inline fn @"resume"(co: *Coro) void {
        if (!co.canResume()) fail(.resume_misuse, co);
        co.switchIn();
    }

    /// The same with an error instead of a panic.
    pub fn tryResume(co: *Coro) ResumeError!void {
        switch (co.status()) {
            .start, .suspended => co.switchIn(),
            .active => return error.ResumeActive,
            .done => return error.ResumeFinished,
        }
    }

    /// For the executor, which has taken it out of the queue.
    pub inline fn resumeDequeued(co: *Coro) void {
        if (!co.canResume()) fail(.resume_misuse, co);
        co.switchTo();
    }

    inline fn switchIn(co: *Coro) void {
        if (co.task.queue) |queue| {
            @branchHint(.unlikely);
            queue.remove(&co.task);
        }
        co.switchTo();
    }

    inline fn switchTo(co: *Coro) void {
        const thread = co.thread;
        if (builtin.mode == .Debug) assert(thread == Thread.get());
        const from = thread.current.?;
        co.link.frame = arch.recordOf(&from.context);
        thread.current = co;
        from.fiber.leave(&co.fiber, false);
        arch.switchContext(&from.context, &co.context);
        from.fiber.arrive(null);
        // By way of `co`, which the caller mostly has at hand: a store less before the switch than `thread`.
        if (co.thread.after) |after| {
            @branchHint(.unlikely);
            after.run(co.thread);
        }
    }

    /// Goes back to the resumer, until resumed again. For the current coroutine only, never the root.
    pub inline fn @"suspend"(co: *Coro) void {
        assert(co == co.thread.current);
        if (co.hasOverflowed()) fail(.overflow, co);
        const to = co.handOver(suspended);
        arch.switchContext(&co.context, &to.context);
        co.fiber.arrive(&co.resumer().fiber);
    }

    /// To whom to switch next.
    inline fn handOver(co: *Coro, comptime state: usize) *Coro {
        const to = co.resumer();
        co.link.frame = state;
        co.thread.current = to;
        co.fiber.leave(&to.fiber, state == done);
        return to;
    }

    /// First on the new stack.
    fn main(argument: *anyopaque) callconv(.c) noreturn {
        const co: *Coro = @ptrCast(@alignCast(argument));
        co.fiber.arrive(&co.resumer().fiber);
        co.entry(co);
        co.finish();
    }

    inline fn finish(co: *Coro) noreturn {
        assert(co == co.thread.current);
        if (co.hasOverflowed()) fail(.overflow, co);
        // A wake queues; nothing else runs before the switch.
        while (co.joiners.pop()) |w| w.wake();
        if (co.task.queue) |queue| queue.remove(&co.task);
        if (co.finishedFn) |func| co.thread.after = .{ .func = @ptrCast(func), .data = co };
        arch.jumpTo(&co.handOver(done).context);
    }

    inline fn canResume(co: *const Coro) bool {
        return co.link.frame <= start;
    }

    pub inline fn status(co: *const Coro) Status {
        return switch (co.link.frame) {
            suspended => .suspended,
            start => .start,
            done => .done,
            else => .active,
        };
    }

    /// Who resumed an active one.
    pub inline fn resumer(co: *const Coro) *Coro {
        return @alignCast(@fieldParentPtr("context", arch.contextOf(co.link.frame)));
    }

    pub inline fn frame(co: *Coro) Frame {
        return co;
    }

    /// The storage pointer given at creation.
    pub inline fn getStorage(co: *Coro, comptime T: type) *T {
        return @ptrCast(@alignCast(co.storage));
    }

    pub fn isRoot(co: *const Coro) bool {
        return co == &co.thread.root;
    }

    pub fn name(co: *const Coro) []const u8 {
        return co.name_buffer[0..co.name_len];
    }

    /// Copied, and cut at `max_name_len` bytes.
    pub fn setName(co: *Coro, new: []const u8) void {
        co.name_len = @intCast(@min(new.len, max_name_len));
        @memcpy(co.name_buffer[0..co.name_len], new[0..co.name_len]);
        co.fiber.setName(co.name());
    }

    /// The coroutine that its thread runs on `stack` now; null when there is none. `stack` is a pool's, in whatever state. Reads
    /// memory only, so it is fit for a signal handler.
    pub fn onStack(stack: *const stacks.Stack) ?*Coro {
        const co = atTop(stack);
        const has_coro = co.stack.memory.ptr == stack.memory.ptr and co.stack.memory.len == stack.memory.len;
        return if (has_coro and co.status() == .active and co.thread.current == co) co else null;
    }

    fn atTop(stack: *const stacks.Stack) callconv(stacks.inlined) *Coro {
        return @ptrFromInt(std.mem.alignBackward(usize, stack.top() - @sizeOf(Coro), stacks.Stack.line));
    }

    /// The current coroutine: whether it runs below its stack, having jumped the guard, or has overwritten the canary where there is none.
    pub inline fn hasOverflowed(co: *const Coro) bool {
        if (co.stack.guard == .none) {
            @branchHint(.unlikely);
            return co.canaryWord().* != magic;
        }
        return arch.stackPointer() < @intFromPtr(co.stack.memory.ptr);
    }

    /// How many bytes of its stack were used at most, its own data at the top included; 0 for the root. In other modes than Debug
    /// others that had the stack before it count too, unless it is new. Costs a system call and a read of what is in memory.
    pub fn highWater(co: *const Coro) usize {
        return if (co.isRoot()) 0 else stacks.highWater(co.stack.memory);
    }

    /// How many coroutines are active below an active one: who resumed it, and so on, the root not counted. Reads memory only.
    pub fn depth(co: *const Coro) usize {
        var n: usize = 0;
        var at = co.resumer();
        while (!at.isRoot()) : (at = at.resumer()) n += 1;
        return n;
    }

    fn canaryWord(co: *const Coro) *usize {
        return @ptrCast(@alignCast(co.stack.memory.ptr));
    }
};

/// What a thread has. Read once per entry from outside: in a shared library the access alone costs more than a switch.
pub const Thread = struct {
    /// Null until first used.
    current: ?*Coro = null,
    /// To do on the resumer's stack once the running coroutine has suspended.
    after: ?After = null,
    env: Env = .{},
    root: Coro = undefined,
    failure: Failure = undefined,
    root_bottom: ?usize = null,
    /// The coroutines that exist here, the newest first, without the root. Not beside `env`: both are copied into a new coroutine,
    /// and one wide load of a field just stored and its neighbour would wait until the store is in the cache.
    live: ?*Coro = null,
    /// Where the last select began (select.zig).
    select_turn: usize = 0,

    const After = struct {
        func: *const fn (*anyopaque) void,
        data: *anyopaque,

        noinline fn run(after: After, thread: *Thread) void {
            thread.after = null;
            after.func(after.data);
        }
    };

    threadlocal var state: Thread = .{};

    pub inline fn get() *Thread {
        const thread = &state;
        if (thread.current == null) thread.setUp();
        return thread;
    }

    noinline fn setUp(thread: *Thread) void {
        thread.root = .{
            .context = undefined,
            .thread = thread,
            .stack = undefined,
            .link = .{ .frame = std.math.maxInt(usize) },
            .entry = undefined,
            .storage = null,
            .executor = null,
            .next_live = null,
            .fiber = .{},
        };
        thread.root.setName("root");
        thread.current = &thread.root;
    }
};

const Failure = struct {
    kind: Kind,
    co: *Coro,

    const Kind = enum {
        resume_misuse,
        deinit_active,
        deinit_awaited,
        deinit_parked,
        deinit_parent,
        overflow,
        asleep,
        loop_failed,
        no_loop,
        loop_moved,
        other_executor,
        wait_in_tick,
        await_self,
        suspend_root,
        no_clock,
        no_value,
        no_result,
        wrong_type,
        not_owner,
    };

    fn report(data: *anyopaque) void {
        const failure: *Failure = @ptrCast(@alignCast(data));
        const co = failure.co;
        const name = co.name();
        switch (failure.kind) {
            .resume_misuse => std.debug.panic("cannot resume coroutine \"{s}\": it {s}", .{
                name,
                if (co.status() == .done) "has finished" else "is running",
            }),
            .deinit_active => std.debug.panic("cannot destroy coroutine \"{s}\": it is running", .{name}),
            .deinit_awaited => std.debug.panic("cannot destroy coroutine \"{s}\": another awaits it", .{name}),
            .deinit_parked => std.debug.panic("cannot destroy coroutine \"{s}\": the kernel has not finished what it waits for; cancel and await it first", .{name}),
            .deinit_parent => std.debug.panic("cannot destroy coroutine \"{s}\": a group of its has children; cancel and await it first", .{name}),
            .overflow => overflow.end(co, co.context.sp),
            .asleep => {
                std.debug.print("zigcoro: all coroutines are asleep\n{f}", .{@import("report.zig").List{ .thread = co.thread }});
                std.debug.panic("all coroutines are asleep, and \"{s}\" waits", .{name});
            },
            .loop_failed => {
                const reason = co.thread.env.executor.?.source.?.failure.?;
                std.debug.print("zigcoro: the event loop cannot go on: {t}\n{f}", .{ reason, @import("report.zig").List{ .thread = co.thread } });
                std.debug.panic("the event loop cannot go on ({t}), and \"{s}\" waits", .{ reason, name });
            },
            .no_loop => std.debug.panic("\"{s}\" has no event loop: pass an asyncio.Executor, or set one with asyncio.initEnv", .{name}),
            .loop_moved => std.debug.panic("\"{s}\" uses an asyncio.Executor that was moved or copied after its first use", .{name}),
            .other_executor => std.debug.panic("\"{s}\" cannot use this asyncio.Executor: it runs on another", .{name}),
            .wait_in_tick => std.debug.panic("cannot wait on the thread's own stack inside a tick: only a coroutine can, or a function that no tick calls", .{}),
            .await_self => std.debug.panic("coroutine \"{s}\" cannot await itself", .{name}),
            .suspend_root => std.debug.panic("cannot suspend \"{s}\": only a coroutine can suspend", .{name}),
            .no_clock => std.debug.panic("\"{s}\" cannot sleep: its executor knows no time; asyncio.Executor's does", .{name}),
            .no_value => std.debug.panic("coroutine \"{s}\" has no such value: it {s}", .{
                name,
                if (co.status() == .done) "has finished" else "was switched to or from without one",
            }),
            .no_result => std.debug.panic("coroutine \"{s}\" has not returned yet", .{name}),
            .wrong_type => std.debug.panic("xyield of another type in coroutine \"{s}\"", .{name}),
            .not_owner => std.debug.panic("\"{s}\" cannot unlock a mutex that it has not locked", .{name}),
        }
    }
};

/// Panics about `co` on the thread's own stack: a coroutine's stack may be too small to print from, or be broken.
pub noinline fn fail(kind: Failure.Kind, co: *Coro) noreturn {
    @branchHint(.cold);
    const thread = co.thread;
    const current = thread.current.?;
    thread.failure = .{ .kind = kind, .co = co };
    if (!current.isRoot()) {
        // The root waits in `switchIn` and runs this next.
        thread.after = .{ .func = Failure.report, .data = &thread.failure };
        thread.current = &thread.root;
        current.fiber.leave(&thread.root.fiber, false);
        arch.switchContext(&current.context, &thread.root.context);
    }
    Failure.report(&thread.failure);
    unreachable;
}

/// What coroutines of this thread get when they do not say otherwise.
pub const Env = struct {
    /// Where stacks come from; it must outlive the coroutines.
    pool: ?*stacks.Pool = null,
    /// Where they come from when there is no pool. Such stacks have a canary and no guard page.
    stack_allocator: ?std.mem.Allocator = null,
    /// Bytes; null: the build's default.
    default_stack_size: ?usize = null,
    /// Where wakes are queued, and what the root ticks while it awaits.
    executor: ?*Executor = null,
};

/// Sets the calling thread's Env. Coroutines that exist keep what they got.
pub fn initEnv(env: Env) void {
    Thread.get().env = env;
}

/// The calling thread's Env.
pub fn getEnv() *Env {
    return &Thread.get().env;
}

/// True in a coroutine, false on the thread's own stack.
pub fn inCoro() bool {
    return !xframe().isRoot();
}

/// The current coroutine; the root's when in none.
pub inline fn xframe() Frame {
    return Thread.get().current.?;
}

test {
    _ = @import("coro_test.zig");
    _ = @import("misuse_test.zig");
    _ = @import("reuse_test.zig");
}
