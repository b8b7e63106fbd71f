//! Coroutines on their own stacks: create, resume, suspend, park, finish. The raw layer is `Coro`; the typed layer is
//! `xasync`, `CoroT` and the other names of zigcoro, which stand on it.
//!
//!     const frame = try xasync(count, .{3}, null);   // runs to the first suspend
//!     xresume(frame);                                // goes on there, until the next
//!     const total = xawait(frame);                   // waits until it has returned
//!     frame.deinit();                                // gives the stack back
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
//!
//! Misuse is an error from `tryResume` and the `Safe` functions, and a panic that names the coroutine from the others.
//! Such panics happen on the thread's own stack, which has room for a trace.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const libcoro_options = @import("libcoro_options");
const arch = @import("arch.zig");
const overflow = @import("overflow.zig");
const stacks = @import("stack.zig");
const Executor = @import("executor.zig").Executor;
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
};

pub const CreateError = stacks.Error || error{
    /// No room for the coroutine's own data.
    StackTooSmall,
    /// No stack was passed, and the Env has neither a pool nor an allocator.
    NoStackSource,
};

// ---------------------------------------------------------------------------------------------------------------------
// The raw layer
// ---------------------------------------------------------------------------------------------------------------------

/// A coroutine of any type. It lies at the top of its own stack.
pub const Coro = struct {
    context: arch.Context,
    /// To who is switched to at the next suspend, in the form that traces follow.
    link: arch.Link = .{},
    thread: *Thread,
    canary: usize,
    stack: stacks.Stack,
    status: Status,
    entry: Entry,
    /// The creator's, see `getStorage`.
    storage: ?*anyopaque,
    /// Where wakes are queued. Null: whoever created it resumes it.
    executor: ?*Executor,
    /// What it waits for inside `park`.
    parked: ?*Waiter = null,
    /// Who waits for it to return.
    joiners: Waiter.List = .{},
    queue: ?*Executor.Queue = null,
    queue_next: ?*Coro = null,
    queue_prev: ?*Coro = null,
    name_len: u8 = 0,
    name_buffer: [max_name_len]u8 = undefined,

    pub const Entry = *const fn (*Coro) void;
    pub const max_name_len = 31;
    /// Bytes that must remain for the body.
    const min_body_size = 512;
    /// Where no page guards the stack; elsewhere the canary is the zero that an untouched page reads as, so that
    /// checking it commits no memory.
    const magic: usize = @truncate(0x7a69_6763_6f72_6f21);

    /// A coroutine that will run `entry` on a stack of at least `size` bytes from `pool`. It runs at the first resume.
    /// `name` is copied and cut at `max_name_len` bytes. Wakes go to the thread's Env's executor; set `executor` to
    /// change that. Given back by `deinit`.
    pub fn init(pool: *stacks.Pool, size: usize, entry: Entry, userdata: ?*anyopaque, name_: []const u8) CreateError!*Coro {
        const stack = try pool.acquire(size);
        errdefer stack.release();
        return place(stack, entry, userdata, name_, 0);
    }

    /// The same on a stack that `deinit` releases to wherever it came from. On an error the stack stays the caller's.
    /// `reserved` bytes right below the Coro, aligned to 16, are kept free of the body's frames.
    pub fn place(stack: stacks.Stack, entry: Entry, userdata: ?*anyopaque, name_: []const u8, reserved: usize) error{StackTooSmall}!*Coro {
        const needed = @sizeOf(Coro) + std.atomic.cache_line + reserved + stack_alignment + arch.frame_size + min_body_size;
        if (stack.memory.len < needed) return error.StackTooSmall;
        const co = atTop(stack.memory);
        const top = std.mem.alignBackward(usize, @intFromPtr(co) - reserved, stack_alignment);
        const thread = Thread.get();
        co.* = .{
            .context = undefined,
            .thread = thread,
            .canary = if (stack.guard == .none) magic else 0,
            .stack = stack,
            .status = .start,
            .entry = entry,
            .storage = userdata,
            .executor = thread.env.executor,
        };
        const low = @intFromPtr(stack.memory.ptr);
        co.context = arch.initContext(.{ .low = low, .top = top, .entry = main, .argument = co, .link = &co.link });
        co.setName(name_);
        // Read first: a write would commit the page.
        if (co.canaryWord().* != co.canary) co.canaryWord().* = co.canary;
        return co;
    }

    /// Gives the stack back and runs nothing. Legal unless it is active, somebody awaits it, or it is parked and its
    /// waiter may still be woken; those panic. `co` is gone after it.
    pub fn deinit(co: *Coro) void {
        if (co.status == .active) fail(.deinit_active, co);
        if (!co.joiners.isEmpty()) fail(.deinit_awaited, co);
        if (co.parked) |w| if (w.state == .armed) fail(.deinit_parked, co);
        if (co.queue) |queue| queue.remove(co);
        const stack = co.stack;
        stack.release();
    }

    /// Runs it until it suspends or returns. Panics when it cannot be resumed.
    pub inline fn @"resume"(co: *Coro) void {
        if (@intFromEnum(co.status) > @intFromEnum(Status.suspended)) fail(.resume_misuse, co);
        co.switchIn();
    }

    /// The same with an error instead of a panic.
    pub fn tryResume(co: *Coro) ResumeError!void {
        switch (co.status) {
            .start, .suspended => co.switchIn(),
            .active => return error.ResumeActive,
            .done => return error.ResumeFinished,
        }
    }

    inline fn switchIn(co: *Coro) void {
        const thread = co.thread;
        if (builtin.mode == .Debug) assert(thread == Thread.get());
        const from = thread.current.?;
        if (co.queue) |queue| queue.remove(co);
        co.link.frame = arch.recordOf(&from.context);
        co.status = .active;
        thread.current = co;
        arch.switchContext(&from.context, &co.context);
        if (thread.after) |after| after.run(thread);
    }

    /// Goes back to the resumer, until resumed again. For the current coroutine only, never the root.
    pub inline fn @"suspend"(co: *Coro) void {
        assert(co == co.thread.current);
        if (co.canaryWord().* != co.canary) fail(.overflow, co);
        co.status = .suspended;
        co.switchOut();
    }

    inline fn switchOut(co: *Coro) void {
        const to = co.resumer();
        co.thread.current = to;
        arch.switchContext(&co.context, &to.context);
    }

    /// Suspends the current coroutine until `w`, armed before, is woken; returns at once when it was woken meanwhile.
    /// The waker's `wakeFn` must end in `co.woken(w)`. A resume by hand does not end the wait. On the root it ticks the
    /// thread's executor instead, and panics when nothing is left that could wake it.
    pub fn park(co: *Coro, w: *Waiter) void {
        assert(w.state != .idle);
        if (co.isRoot()) return co.parkRoot(w);
        while (w.state == .armed) {
            co.parked = w;
            co.@"suspend"();
        }
        co.parked = null;
    }

    fn parkRoot(root: *Coro, w: *Waiter) void {
        while (w.state == .armed) {
            const exec = root.thread.env.executor orelse fail(.asleep, root);
            if (exec.tick()) continue;
            const waitFn = exec.waitFn orelse fail(.asleep, root);
            if (!waitFn(exec) and w.state == .armed and exec.isEmpty()) fail(.asleep, root);
        }
    }

    /// What the `wakeFn` of a waiter does for the coroutine that parks on it: queues it, if it is parked by now.
    pub fn woken(co: *Coro, w: *Waiter) void {
        if (co.parked != w) return;
        co.parked = null;
        if (co.executor) |exec| exec.runSoon(co);
    }

    /// Suspends the current coroutine until `co` has returned.
    pub fn join(co: *Coro) void {
        if (co.status == .done) return;
        const me = co.thread.current.?;
        if (me == co) fail(.await_self, co);
        var wait: Wait = .init(me);
        wait.waiter.arm();
        co.joiners.push(&wait.waiter);
        me.park(&wait.waiter);
    }

    /// A waiter for a coroutine that waits for one thing.
    pub const Wait = struct {
        waiter: Waiter = .{ .wakeFn = wake },
        co: *Coro,

        pub fn init(co: *Coro) Wait {
            return .{ .co = co };
        }

        fn wake(w: *Waiter) void {
            const wait: *Wait = @fieldParentPtr("waiter", w);
            wait.co.woken(w);
        }
    };

    /// First on the new stack.
    fn main(argument: *anyopaque) callconv(.c) noreturn {
        const co: *Coro = @ptrCast(@alignCast(argument));
        co.entry(co);
        co.finish();
    }

    fn finish(co: *Coro) noreturn {
        assert(co == co.thread.current);
        if (co.canaryWord().* != co.canary) fail(.overflow, co);
        co.status = .done;
        // A wake queues; nothing else runs before the switch.
        while (co.joiners.pop()) |w| w.wake();
        if (co.queue) |queue| queue.remove(co);
        co.switchOut();
        unreachable; // a finished coroutine is never resumed
    }

    /// Who resumed it last.
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
    }

    /// The coroutine that its thread runs on `memory` now; null when there is none. `memory` is a pool's stack, in whatever
    /// state. Reads memory only, so it is fit for a signal handler.
    pub fn onStack(memory: stacks.Memory) ?*Coro {
        const co = atTop(memory);
        const has_coro = co.stack.memory.ptr == memory.ptr and co.stack.memory.len == memory.len;
        return if (has_coro and co.status == .active and co.thread.current == co) co else null;
    }

    fn atTop(memory: stacks.Memory) *Coro {
        return @ptrFromInt(std.mem.alignBackward(usize, @intFromPtr(memory.ptr) + memory.len - @sizeOf(Coro), std.atomic.cache_line));
    }

    /// For this module and its tests.
    pub inline fn canaryWord(co: *const Coro) *usize {
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
            .canary = undefined,
            .stack = undefined,
            .status = .active,
            .entry = undefined,
            .storage = null,
            .executor = null,
        };
        thread.root.setName("root");
        thread.current = &thread.root;
    }
};

const Failure = struct {
    kind: Kind,
    co: *Coro,

    const Kind = enum { resume_misuse, deinit_active, deinit_awaited, deinit_parked, overflow, asleep, await_self, suspend_root, no_value, no_result, wrong_type };

    fn report(data: *anyopaque) void {
        const failure: *Failure = @ptrCast(@alignCast(data));
        const co = failure.co;
        const name = co.name();
        switch (failure.kind) {
            .resume_misuse => std.debug.panic("cannot resume coroutine \"{s}\": it {s}", .{
                name,
                if (co.status == .done) "has finished" else "is running",
            }),
            .deinit_active => std.debug.panic("cannot destroy coroutine \"{s}\": it is running", .{name}),
            .deinit_awaited => std.debug.panic("cannot destroy coroutine \"{s}\": another awaits it", .{name}),
            .deinit_parked => std.debug.panic("cannot destroy coroutine \"{s}\": it is parked and may still be woken", .{name}),
            .overflow => overflow.end(name, co.stack.memory.len),
            .asleep => std.debug.panic("\"{s}\" waits and all coroutines are asleep", .{name}),
            .await_self => std.debug.panic("coroutine \"{s}\" cannot await itself", .{name}),
            .suspend_root => std.debug.panic("cannot suspend \"{s}\": only a coroutine can suspend", .{name}),
            .no_value => std.debug.panic("coroutine \"{s}\" has no such value: it {s}", .{
                name,
                if (co.status == .done) "has finished" else "was switched to or from without one",
            }),
            .no_result => std.debug.panic("coroutine \"{s}\" has not returned yet", .{name}),
            .wrong_type => std.debug.panic("xyield of another type in coroutine \"{s}\"", .{name}),
        }
    }
};

/// Panics about `co` on the thread's own stack: a coroutine's stack may be too small to print from, or be broken.
noinline fn fail(kind: Failure.Kind, co: *Coro) noreturn {
    @branchHint(.cold);
    const thread = co.thread;
    const current = thread.current.?;
    thread.failure = .{ .kind = kind, .co = co };
    if (!current.isRoot()) {
        // The root waits in `switchIn` and runs this next.
        thread.after = .{ .func = Failure.report, .data = &thread.failure };
        thread.current = &thread.root;
        arch.switchContext(&current.context, &thread.root.context);
    }
    Failure.report(&thread.failure);
    unreachable;
}

// ---------------------------------------------------------------------------------------------------------------------
// The typed layer
// ---------------------------------------------------------------------------------------------------------------------

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

/// Memory for a stack, the default size when `size` is null. The caller frees it after the coroutine is destroyed.
pub fn stackAlloc(allocator: std.mem.Allocator, size: ?usize) error{OutOfMemory}!StackT {
    return allocator.alignedAlloc(u8, .fromByteUnits(stack_alignment), size orelse default_stack_size);
}

/// Bytes left below the caller on the stack it runs on, be that a coroutine's or the thread's own; 0 when it is used up
/// or, for the thread's own, when the system does not tell.
pub noinline fn remainingStackSize() usize {
    const here = @frameAddress();
    const thread = Thread.get();
    const co = thread.current.?;
    if (!co.isRoot()) return here -| @intFromPtr(co.stack.memory.ptr);
    if (thread.root_bottom == null) thread.root_bottom = stacks.threadStackBottom() orelse return 0;
    return here -| thread.root_bottom.?;
}

/// True in a coroutine, false on the thread's own stack.
pub fn inCoro() bool {
    return !xframe().isRoot();
}

/// The current coroutine; the root's when in none.
pub inline fn xframe() Frame {
    return Thread.get().current.?;
}

/// Runs `frame`, a Frame or FrameT, until it suspends or returns. Resuming oneself returns at once. Panics when it has
/// finished or waits for what it resumed itself.
pub inline fn xresume(frame: anytype) void {
    const co: *Coro = frame.frame();
    if (co == co.thread.current) return;
    co.@"resume"();
}

/// The same with an error instead of a panic.
pub fn xresumeSafe(frame: anytype) ResumeError!void {
    const co: *Coro = frame.frame();
    if (co == co.thread.current) return;
    return co.tryResume();
}

/// Goes back to the resumer of the current coroutine, until resumed again. Panics outside a coroutine.
pub inline fn xsuspend() void {
    const co = xframe();
    if (co.isRoot()) fail(.suspend_root, co);
    co.@"suspend"();
}

/// The same with an error instead of a panic.
pub fn xsuspendSafe() SuspendError!void {
    const co = xframe();
    if (co.isRoot()) return error.SuspendFromRoot;
    if (co.canaryWord().* != co.canary) return error.StackOverflow;
    co.@"suspend"();
}

/// Suspends and then calls `func` with `args` on the resumer's stack, where it may hand the suspended coroutine to
/// whoever will resume it, or resume it at once.
pub fn xsuspendBlock(comptime func: anytype, args: anytype) void {
    const Block = struct {
        args: @TypeOf(args),

        fn run(data: *anyopaque) void {
            const block: *@This() = @ptrCast(@alignCast(data));
            @call(.auto, func, block.args);
        }
    };
    const co = xframe();
    if (co.isRoot()) fail(.suspend_root, co);
    var block: Block = .{ .args = args };
    co.thread.after = .{ .func = Block.run, .data = &block };
    co.@"suspend"();
}

/// Creates a coroutine and runs it to its first suspend. `stack` is null (the Env's default size), a size in bytes, or
/// memory that stays the caller's. The result is destroyed with `deinit`, whether it has finished or not.
pub fn xasync(comptime func: anytype, args: anytype, stack: anytype) CreateError!FrameT(func, asyncOptions(func, @TypeOf(args))) {
    const frame = try FrameT(func, asyncOptions(func, @TypeOf(args))).init(args, stack);
    xresume(frame);
    return frame;
}

/// A generic function has no argument types but those of the call.
fn asyncOptions(comptime func: anytype, comptime Args: type) CoroOptions {
    return .{ .ArgsT = if (@typeInfo(@TypeOf(func)).@"fn".is_generic) Args else null };
}

/// Waits until `frame` has returned and gives what it returned; any number may await the same frame. In a coroutine it
/// suspends. On the thread's own stack it ticks the Env's executor, and panics when nothing is left to run.
pub fn xawait(frame: anytype) @TypeOf(frame).ReturnT {
    frame.frame().join();
    return frame.xreturned();
}

/// The type of a coroutine that runs `func`; see `CoroT`.
pub const FrameT = CoroT;

/// The type of a coroutine that runs `func`, with the types of the values that it yields and that are injected into it.
/// A value of this type is a handle: copy it freely.
///
/// Outside:  init -> xnextStart -> xnext ... -> xnextEnd -> xreturned -> deinit
/// Inside:   injected = xyield(yielded)
pub fn CoroT(comptime func: anytype, comptime options: CoroOptions) type {
    return struct {
        co: Frame,

        const Self = @This();
        pub const YieldT = options.YieldT;
        pub const InjectT = options.InjectT;
        pub const ArgsT = options.ArgsT orelse std.meta.ArgsTuple(@TypeOf(func));
        pub const ReturnT = @TypeOf(@call(.auto, func, @as(ArgsT, undefined)));

        const Storage = struct {
            args: ArgsT,
            value: Value = .none,

            const Value = union(enum) {
                none,
                yielded: YieldT,
                injected: InjectT,
                returned: ReturnT,
            };
        };

        /// A coroutine that has not started. `stack` as for `xasync`.
        pub fn init(args: anytype, stack: anytype) CreateError!Self {
            const from = try getStack(stack);
            errdefer from.release();
            const co = try Coro.place(from, run, null, options.name, @sizeOf(Storage) + @alignOf(Storage));
            const storage = storageOf(co);
            storage.* = .{ .args = undefined };
            inline for (&storage.args, args) |*to, arg| if (@TypeOf(to.*) != comptime_int) {
                to.* = arg;
            };
            return .{ .co = co };
        }

        /// The handle of a coroutine that was created with this type.
        pub fn wrap(co: Frame) Self {
            if (co.entry != &run) fail(.wrong_type, co);
            return .{ .co = co };
        }

        /// Gives the stack back, started or not, finished or not. Runs nothing.
        pub fn deinit(self: Self) void {
            self.co.deinit();
        }

        pub fn status(self: Self) Status {
            return self.co.status;
        }

        pub inline fn frame(self: Self) Frame {
            return self.co;
        }

        /// Runs to the first yield and gives the value yielded.
        pub fn xnextStart(self: Self) YieldT {
            self.co.@"resume"();
            return self.taken(.yielded);
        }

        /// Injects a value, runs to the next yield and gives the value yielded.
        pub fn xnext(self: Self, value: InjectT) YieldT {
            storageOf(self.co).value = .{ .injected = value };
            self.co.@"resume"();
            return self.taken(.yielded);
        }

        /// Injects a value, runs to the end and gives the value returned.
        pub fn xnextEnd(self: Self, value: InjectT) ReturnT {
            storageOf(self.co).value = .{ .injected = value };
            self.co.@"resume"();
            return self.xreturned();
        }

        /// Inside the coroutine: suspends with a value for the resumer and gives the value injected.
        pub fn xyield(value: YieldT) InjectT {
            const co = xframe();
            if (co.isRoot()) fail(.suspend_root, co);
            if (co.entry != &run) fail(.wrong_type, co);
            const storage = storageOf(co);
            storage.value = .{ .yielded = value };
            co.@"suspend"();
            return (Self{ .co = co }).taken(.injected);
        }

        /// What it returned. It must have finished.
        pub fn xreturned(self: Self) ReturnT {
            if (self.co.status != .done) fail(.no_result, self.co);
            return storageOf(self.co).value.returned;
        }

        fn taken(self: Self, comptime tag: std.meta.Tag(Storage.Value)) @FieldType(Storage.Value, @tagName(tag)) {
            const value = &storageOf(self.co).value;
            if (@FieldType(Storage.Value, @tagName(tag)) == void) return;
            if (value.* != tag) fail(.no_value, self.co);
            return @field(value, @tagName(tag));
        }

        fn storageOf(co: *Coro) *Storage {
            return @ptrFromInt(std.mem.alignBackward(usize, @intFromPtr(co) - @sizeOf(Storage), @alignOf(Storage)));
        }

        fn run(co: *Coro) void {
            const storage = storageOf(co);
            const result = @call(.auto, func, storage.args);
            storage.value = .{ .returned = result };
        }
    };
}

pub const CoroOptions = struct {
    /// What `xyield` hands to the resumer.
    YieldT: type = void,
    /// What the resumer hands to `xyield`.
    InjectT: type = void,
    /// A tuple; null: the function's own parameters.
    ArgsT: ?type = null,
    /// In messages and traces.
    name: []const u8 = "coroutine",
};

/// A stack from what `xasync` accepts.
fn getStack(stack: anytype) CreateError!stacks.Stack {
    const T = @TypeOf(stack);
    return switch (@typeInfo(T)) {
        .null => defaultStack(null),
        .int, .comptime_int => defaultStack(stack),
        .optional => if (stack) |given| getStack(given) else defaultStack(null),
        else => .fromMemory(stack),
    };
}

fn defaultStack(size: ?usize) CreateError!stacks.Stack {
    const env = getEnv();
    const bytes = size orelse env.default_stack_size orelse default_stack_size;
    if (env.pool) |pool| return pool.acquire(bytes);
    if (env.stack_allocator) |allocator| return .fromAllocator(allocator, bytes);
    return error.NoStackSource;
}

test {
    _ = @import("coro_test.zig");
}
