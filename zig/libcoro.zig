//! libcoro: stackful asymmetric coroutines for Zig. The root of the module; it only names what the files hold.

pub const arch = @import("arch.zig");
pub const stack = @import("stack.zig");
pub const coro = @import("coro.zig");

pub const Coro = coro.Coro;
pub const CoroOptions = coro.CoroOptions;
pub const Channel = @import("channel.zig").Channel;
pub const CoroT = coro.CoroT;
pub const CreateError = coro.CreateError;
pub const Env = coro.Env;
pub const Executor = @import("executor.zig").Executor;
pub const Frame = coro.Frame;
pub const FrameT = coro.FrameT;
pub const ResumeError = coro.ResumeError;
pub const StackPool = stack.Pool;
pub const StackT = coro.StackT;
pub const Status = coro.Status;
pub const SuspendError = coro.SuspendError;
pub const default_stack_size = coro.default_stack_size;
pub const getEnv = coro.getEnv;
pub const inCoro = coro.inCoro;
pub const initEnv = coro.initEnv;
pub const panic = @import("panic.zig").panic;
pub const remainingStackSize = coro.remainingStackSize;
pub const stackAlloc = coro.stackAlloc;
pub const stack_alignment = coro.stack_alignment;
pub const xasync = coro.xasync;
pub const xawait = coro.xawait;
pub const xframe = coro.xframe;
pub const xresume = coro.xresume;
pub const xresumeSafe = coro.xresumeSafe;
pub const xsuspend = coro.xsuspend;
pub const xsuspendBlock = coro.xsuspendBlock;
pub const xsuspendSafe = coro.xsuspendSafe;

test {
    _ = arch;
    _ = stack;
    _ = coro;
    _ = @import("overflow.zig");
    _ = @import("panic.zig");
    _ = @import("executor.zig");
    _ = @import("waiter.zig");
    _ = @import("channel.zig");
    _ = @import("timer.zig");
    // Event loops are written for Linux so far.
    if (@import("builtin").os.tag == .linux) _ = @import("loop.zig");
}
