//! Listeners: those who wait for one op together, first come first served. Whoever owns the op decides how many of them its end
//! wakes. One that gives up leaves the list at once; nothing of the kernel's is in its way.

const Loop = @import("../loop.zig").Loop;
const Waiter = @import("../waiter.zig").Waiter;
const IoWait = @import("op.zig").IoWait;
const Op = @import("op.zig").Op;

pub const Listeners = struct {
    waiters: Waiter.List = .{},
    op: *Op,
    loop: *Loop,
    /// The op is cancelled when the last of them has given up.
    for_them_only: bool,

    pub fn add(listeners: *Listeners, wait: *IoWait) void {
        wait.waiter.arm();
        listeners.waiters.push(&wait.waiter);
    }

    /// The wait is over with nothing; its waiter is still armed.
    pub fn remove(listeners: *Listeners, wait: *IoWait) void {
        listeners.waiters.remove(&wait.waiter);
        if (listeners.for_them_only and listeners.waiters.isEmpty()) listeners.loop.cancel(listeners.op);
    }

    /// False: nobody waits.
    pub fn wakeFirst(listeners: *Listeners, result: i32) bool {
        const waiter = listeners.waiters.pop() orelse return false;
        const wait: *IoWait = @fieldParentPtr("waiter", waiter);
        wait.result = result;
        waiter.wake();
        return true;
    }

    pub fn wakeAll(listeners: *Listeners, result: i32) void {
        while (listeners.wakeFirst(result)) {}
    }
};
