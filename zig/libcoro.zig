//! libcoro: stackful asymmetric coroutines for Zig. The root of the module; it only names what the files hold.

pub const arch = @import("arch.zig");
pub const stack = @import("stack.zig");
pub const coro = @import("coro.zig");
const cancel = @import("cancel.zig");
const frame = @import("frame.zig");
const report = @import("report.zig");

pub const AsReady = @import("ready.zig").AsReady;
pub const Channel = @import("channel.zig").Channel;
pub const Coro = coro.Coro;
pub const CoroOptions = frame.CoroOptions;
pub const CoroT = frame.CoroT;
pub const CreateError = coro.CreateError;
pub const Env = coro.Env;
pub const Event = @import("event.zig").Event;
pub const Executor = @import("executor.zig").Executor;
pub const Frame = coro.Frame;
pub const FrameT = frame.FrameT;
pub const Group = @import("group.zig").Group;
pub const Mutex = @import("mutex.zig").Mutex;
pub const ResumeError = coro.ResumeError;
pub const Semaphore = @import("semaphore.zig").Semaphore;
pub const StackPool = stack.Pool;
pub const StackT = coro.StackT;
pub const Status = coro.Status;
pub const SuspendError = coro.SuspendError;
/// Makes asyncio on another face of libxev than the platform's best backend.
pub const Asyncio = @import("asyncio.zig").Asyncio;
pub const after = @import("sleep.zig").after;
pub const asyncio = Asyncio(xev);
pub const checkCancel = cancel.checkCancel;
pub const default_stack_size = coro.default_stack_size;
pub const getEnv = coro.getEnv;
pub const inCoro = coro.inCoro;
pub const initEnv = coro.initEnv;
pub const isCancelled = cancel.isCancelled;
pub const liveCoroutines = report.liveCoroutines;
pub const panic = @import("panic.zig").panic;
pub const remainingStackSize = frame.remainingStackSize;
pub const reportIncomplete = report.reportIncomplete;
pub const requestCancel = cancel.requestCancel;
pub const select = @import("select.zig").select;
pub const shield = cancel.shield;
pub const sleep = @import("sleep.zig").sleep;
pub const stackAlloc = frame.stackAlloc;
pub const stack_alignment = coro.stack_alignment;
pub const withTimeout = cancel.withTimeout;
/// libxev, as `asyncio` takes its loops and watchers.
pub const xev = @import("xev");
pub const xasync = frame.xasync;
pub const xawait = frame.xawait;
pub const xawaitAsReady = @import("ready.zig").xawaitAsReady;
pub const xawaitSafe = frame.xawaitSafe;
pub const xcancel = frame.xcancel;
pub const xframe = coro.xframe;
pub const xresume = frame.xresume;
pub const xresumeSafe = frame.xresumeSafe;
pub const xsuspend = frame.xsuspend;
pub const xsuspendBlock = frame.xsuspendBlock;
pub const xsuspendSafe = frame.xsuspendSafe;

test {
    _ = arch;
    _ = stack;
    _ = coro;
    _ = @import("overflow.zig");
    _ = @import("panic.zig");
    _ = @import("sanitizer.zig");
    _ = @import("executor.zig");
    _ = @import("waiter.zig");
    _ = @import("wait_test.zig");
    _ = @import("cancel_test.zig");
    _ = @import("select_test.zig");
    _ = @import("schedule_test.zig");
    _ = @import("channel.zig");
    _ = @import("timer.zig");
    _ = @import("clock.zig");
    // Event loops of our own are written for Linux so far, and libxev's epoll does not compile for arm.
    const builtin = @import("builtin");
    if (builtin.cpu.arch != .arm) _ = @import("asyncio/asyncio_test.zig");
    if (builtin.os.tag == .linux and builtin.cpu.arch != .arm) _ = @import("loop.zig");
}
