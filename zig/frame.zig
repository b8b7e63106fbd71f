//! Frames: coroutines with types, by zigcoro's names. `xasync` starts one, `xawait` waits for what it returns, `CoroT` also passes
//! values in and out at each switch.
//!
//!     const frame = try xasync(count, .{3}, null);   // runs to the first suspend
//!     xresume(frame);                                // goes on there, until the next
//!     const total = xawait(frame);                   // waits until it has returned
//!     frame.deinit();                                // gives the stack back
//!
//! A frame is a handle: copy it freely. It owns nothing; the coroutine owns its stack until `deinit`.

const std = @import("std");
const cancel = @import("cancel.zig");
const coro = @import("coro.zig");
const stacks = @import("stack.zig");
const wait = @import("wait.zig");
const Coro = coro.Coro;
const CreateError = coro.CreateError;
const Frame = coro.Frame;
const ResumeError = coro.ResumeError;
const StackT = coro.StackT;
const Status = coro.Status;
const SuspendError = coro.SuspendError;
const Wait = wait.Wait;
const Waiter = @import("waiter.zig").Waiter;
const fail = coro.fail;
const xframe = coro.xframe;

/// Memory for a stack, the default size when `size` is null. The caller frees it after the coroutine is destroyed.
pub fn stackAlloc(allocator: std.mem.Allocator, size: ?usize) error{OutOfMemory}!StackT {
    return allocator.alignedAlloc(u8, .fromByteUnits(coro.stack_alignment), size orelse coro.default_stack_size);
}

/// Bytes left below the caller on the stack it runs on, be that a coroutine's or the thread's own; 0 when it is used up
/// or, for the thread's own, when the system does not tell.
pub noinline fn remainingStackSize() usize {
    const here = @frameAddress();
    const thread = coro.Thread.get();
    const co = thread.current.?;
    if (!co.isRoot()) return here -| @intFromPtr(co.stack.memory.ptr);
    if (thread.root_bottom == null) thread.root_bottom = @import("thread_stack.zig").bottom() orelse return 0;
    return here -| thread.root_bottom.?;
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

/// The same with an error instead of a panic, and with an end when the coroutine is cancelled: it is then resumed by its executor
/// and gets `error.Cancelled`. Plain `xsuspend` goes on only when somebody resumes it.
pub fn xsuspendSafe() SuspendError!void {
    const co = xframe();
    if (co.isRoot()) return error.SuspendFromRoot;
    if (co.hasOverflowed()) return error.StackOverflow;
    try cancel.checkCancel();
    var waiter: Waiter = .{ .wakeFn = Suspension.neverWoken };
    waiter.arm();
    var suspension: Wait = .{ .co = co, .waiter = &waiter, .kind = &Suspension.kind };
    co.parked = &suspension;
    co.@"suspend"();
    co.parked = null;
    if (suspension.state != .taken_back) return;
    cancel.deliver(co);
    return error.Cancelled;
}

/// A suspend that a cancel may end.
const Suspension = struct {
    const kind: Wait.Kind = .{ .text = "to be resumed", .takeBackFn = takeBack };

    fn neverWoken(_: *Waiter) void {
        unreachable; // in no list
    }

    fn takeBack(suspension: *Wait) bool {
        suspension.waiter.disarm();
        return true;
    }
};

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

/// Waits until `frame` has returned and gives what it returned; any number may await the same frame, from anywhere on its thread. In a
/// coroutine it suspends. On the thread's own stack it runs the Env's executor, and ends the process with a report when nothing
/// is left that could happen. A cancel of the awaiter waits until then; `xawaitSafe` ends early.
pub fn xawait(frame: anytype) @TypeOf(frame).ReturnT {
    wait.performShielded(joining(frame.frame()));
    return frame.xreturned();
}

/// The same, but a cancel of the awaiter ends it with `error.Cancelled`. What `frame` runs goes on.
pub fn xawaitSafe(frame: anytype) error{Cancelled}!@TypeOf(frame).ReturnT {
    try wait.perform(joining(frame.frame()));
    return frame.xreturned();
}

/// Asks `frame` to end and waits until it has. Gives what it returned: `error.Cancelled` if it passed that on, or a result that it
/// had all the same.
pub fn xcancel(frame: anytype) @TypeOf(frame).ReturnT {
    cancel.requestCancel(frame);
    return xawait(frame);
}

fn joining(co: *Coro) Join {
    if (co == xframe()) fail(.await_self, co);
    return .{ .co = co };
}

/// The operation of waiting until a coroutine has returned.
const Join = struct {
    co: *Coro,
    waiter: Waiter = .{ .wakeFn = undefined },

    pub const Result = void;
    pub const text = "for the end of";

    pub fn subject(op: *const Join) []const u8 {
        return op.co.name();
    }

    pub fn waiterOf(op: *Join) *Waiter {
        return &op.waiter;
    }

    pub fn of(w: *Waiter) *Join {
        return @alignCast(@fieldParentPtr("waiter", w));
    }

    pub fn poll(op: *Join) ?void {
        return if (op.co.status() == .done) {} else null;
    }

    pub fn park(op: *Join) void {
        op.waiter.arm();
        op.co.joiners.push(&op.waiter);
    }

    pub fn takeBack(op: *Join) bool {
        op.co.joiners.remove(&op.waiter);
        op.waiter.disarm();
        return true;
    }

    pub fn result(_: *Join) ?void {
        return {};
    }
};

/// The operation of awaiting one frame, for `select` and `xawaitAsReady`.
pub fn Awaiting(comptime F: type) type {
    return struct {
        join: Join,

        const Self = @This();
        pub const Result = F.ReturnT;
        pub const text = Join.text;

        pub fn subject(op: *const Self) []const u8 {
            return op.join.subject();
        }

        pub fn waiterOf(op: *Self) *Waiter {
            return &op.join.waiter;
        }

        pub fn of(w: *Waiter) *Self {
            return @alignCast(@fieldParentPtr("join", Join.of(w)));
        }

        pub fn poll(op: *Self) ?Result {
            return if (op.join.poll() == null) null else op.value();
        }

        pub fn park(op: *Self) void {
            op.join.park();
        }

        pub fn takeBack(op: *Self) bool {
            return op.join.takeBack();
        }

        pub fn result(op: *Self) ?Result {
            return op.value();
        }

        fn value(op: *Self) Result {
            return (F{ .co = op.join.co }).xreturned();
        }
    };
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
            const co = try place(stack, run, comptime (options.name orelse nameOf(Self)), @sizeOf(Storage) + @alignOf(Storage));
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
            return self.co.status();
        }

        pub inline fn frame(self: Self) Frame {
            return self.co;
        }

        /// The operation of waiting for what it returns, for `select`.
        pub fn awaiting(self: Self) Awaiting(Self) {
            return .{ .join = joining(self.co) };
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
            if (self.co.status() != .done) fail(.no_result, self.co);
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
    /// In messages and reports; null: the function's. `frame.frame().setName` changes one coroutine's.
    name: ?[]const u8 = null,
};

/// The function's name, which Zig tells only as part of the type's: `frame.CoroT((function 'name'),.{...})`.
pub fn nameOf(comptime F: type) []const u8 {
    const whole = @typeName(F);
    const mark = "(function '";
    const start = (std.mem.find(u8, whole, mark) orelse return "coroutine") + mark.len;
    return whole[start .. std.mem.findScalarPos(u8, whole, start, '\'') orelse whole.len];
}

/// A coroutine on what `xasync` accepts as a stack.
fn place(stack: anytype, entry: Coro.Entry, name: []const u8, reserved: usize) callconv(stacks.inlined) CreateError!*Coro {
    return switch (@typeInfo(@TypeOf(stack))) {
        .null => placeSized(defaultSize(), entry, name, reserved),
        .int, .comptime_int => placeSized(stack, entry, name, reserved),
        .optional => if (stack) |given| place(given, entry, name, reserved) else placeSized(defaultSize(), entry, name, reserved),
        else => Coro.place(.fromMemory(stack), entry, null, name, reserved),
    };
}

fn defaultSize() usize {
    return coro.getEnv().default_stack_size orelse coro.default_stack_size;
}

fn placeSized(bytes: usize, entry: Coro.Entry, name: []const u8, reserved: usize) callconv(stacks.inlined) CreateError!*Coro {
    const env = coro.getEnv();
    if (env.pool) |pool| return Coro.create(pool, bytes, entry, null, name, reserved);
    return placeOn(env.stack_allocator orelse return error.NoStackSource, bytes, entry, name, reserved);
}

noinline fn placeOn(allocator: std.mem.Allocator, bytes: usize, entry: Coro.Entry, name: []const u8, reserved: usize) CreateError!*Coro {
    const stack: stacks.Stack = try .fromAllocator(allocator, bytes);
    errdefer stack.release();
    return Coro.place(stack, entry, null, name, reserved);
}
