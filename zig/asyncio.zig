//! asyncio: IO for coroutines, by zigcoro's names: thin wrappers over libxev. A call suspends the coroutine that makes it; on the
//! thread's own stack it runs the loop until it is done.
//!
//!     var loop = try xev.Loop.init(.{});
//!     var exec: asyncio.Executor = .init(&loop);
//!     asyncio.initEnv(.{ .executor = &exec, .pool = &pool });
//!     try asyncio.run(null, main, .{}, null);
//!
//! Every operation can be cancelled at any moment, be limited by `withTimeout`, and run in a `Group`. It has ended when the kernel is
//! done with it: a cancel waits for that, and a result that comes all the same is returned. `select` has those that consume
//! nothing: `readable`, `writable`, `waiting`.
//!
//! Errors are libxev's, with `error.Cancelled` among them; on io_uring it tells most error numbers as `error.Unexpected`.

const std = @import("std");
const core = @import("executor.zig");
const coro = @import("coro.zig");
const frame = @import("frame.zig");
const sleep_ = @import("sleep.zig");
const stacks = @import("stack.zig");
const wait = @import("wait.zig");
const Operation = @import("asyncio/operation.zig").Operation;

/// asyncio on `xev_`: libxev itself (the platform's best backend), one of its backends (`xev.Epoll`), or `xev.Dynamic`, which
/// chooses when `xev.Dynamic.detect()` is called.
pub fn Asyncio(comptime xev_: type) type {
    return struct {
        const Aio = @This();
        pub const xev = xev_;
        pub const Executor = @import("asyncio/executor.zig").Executor(xev);
        pub const TCP = @import("asyncio/tcp.zig").TCP(Aio);
        pub const UDP = @import("asyncio/udp.zig").UDP(Aio);
        pub const File = @import("asyncio/file.zig").File(Aio);
        pub const Process = @import("asyncio/process.zig").Process(Aio);
        pub const AsyncNotification = @import("asyncio/notification.zig").AsyncNotification(Aio);
        pub const xasync = frame.xasync;
        pub const xawait = frame.xawait;

        pub const EnvArg = struct {
            executor: ?*Executor = null,
            /// Where stacks come from when there is no pool. Such stacks have a canary and no guard page.
            stack_allocator: ?std.mem.Allocator = null,
            /// Where stacks come from; it must outlive the coroutines.
            pool: ?*stacks.Pool = null,
            /// Bytes; null: the build's default.
            default_stack_size: ?usize = null,
        };

        /// Sets the calling thread's Env. Coroutines that exist keep what they got.
        pub fn initEnv(env: EnvArg) void {
            if (env.executor) |exec| exec.attach();
            coro.initEnv(.{
                .executor = if (env.executor) |exec| &exec.exec else null,
                .stack_allocator = env.stack_allocator,
                .pool = env.pool,
                .default_stack_size = env.default_stack_size,
            });
        }

        /// Runs `func` with `args` as a coroutine and gives what it returns. `exec` null: the Env's; `stack` as for `xasync`.
        pub fn run(exec: ?*Executor, comptime func: anytype, args: anytype, stack: anytype) (coro.CreateError || ErrorOf(func, @TypeOf(args)))!PayloadOf(func, @TypeOf(args)) {
            const entered: Entered = .init(exec);
            defer entered.deinit();
            const started = try frame.xasync(func, args, stack);
            defer started.deinit();
            return frame.xawait(started);
        }

        /// Sleeps for `ms` milliseconds, never less.
        pub fn sleep(exec: ?*Executor, ms: u64) wait.Outcome(sleep_.Sleep) {
            const entered: Entered = .init(exec);
            defer entered.deinit();
            _ = Executor.of(exec);
            return wait.perform(sleep_.after(ms));
        }

        /// The errors of `perform`.
        pub fn Error(comptime Request: type) type {
            return @typeInfo(wait.Outcome(Request)).error_union.error_set;
        }

        pub fn perform(exec: ?*Executor, request: anytype) wait.Outcome(@TypeOf(request)) {
            const entered: Entered = .init(exec);
            defer entered.deinit();
            return wait.perform(Operation(Aio, @TypeOf(request)){ .exec = exec, .request = request });
        }

        pub fn performShielded(exec: ?*Executor, request: anytype) @TypeOf(request).Result {
            const entered: Entered = .init(exec);
            defer entered.deinit();
            return wait.performShielded(Operation(Aio, @TypeOf(request)){ .exec = exec, .request = request });
        }

        /// While the thread's own stack is in a call with an executor of its own, that is the Env's.
        const Entered = struct {
            outer: ?*core.Executor = null,
            is_other: bool = false,

            fn init(exec: ?*Executor) Entered {
                const given = exec orelse return .{};
                if (coro.inCoro()) return .{};
                given.attach();
                const env = coro.getEnv();
                if (env.executor == &given.exec) return .{};
                defer env.executor = &given.exec;
                return .{ .outer = env.executor, .is_other = true };
            }

            fn deinit(entered: Entered) void {
                if (entered.is_other) coro.getEnv().executor = entered.outer;
            }
        };
    };
}

fn ReturnOf(comptime func: anytype, comptime Args: type) type {
    return @TypeOf(@call(.auto, func, @as(Args, undefined)));
}

fn PayloadOf(comptime func: anytype, comptime Args: type) type {
    const R = ReturnOf(func, Args);
    return if (@typeInfo(R) == .error_union) @typeInfo(R).error_union.payload else R;
}

fn ErrorOf(comptime func: anytype, comptime Args: type) type {
    const R = ReturnOf(func, Args);
    return if (@typeInfo(R) == .error_union) @typeInfo(R).error_union.error_set else error{};
}
