//! Mutex: one holder at a time, across suspends. Who waits gets it first come, first served. It knows its holder, so that unlocking
//! somebody else's, and locking one's own again, is told instead of hanging.

const std = @import("std");
const coro = @import("coro.zig");
const Coro = coro.Coro;
const Semaphore = @import("semaphore.zig").Semaphore;
const Waiter = @import("waiter.zig").Waiter;
const perform = @import("wait.zig").perform;

pub const Mutex = struct {
    semaphore: Semaphore = .init(1),
    holder: ?*Coro = null,
    /// In reports.
    name: []const u8 = "",

    pub const init: Mutex = .{};

    /// Nobody may hold it or wait for it.
    pub fn deinit(self: *Mutex) void {
        std.debug.assert(self.holder == null);
        self.semaphore.deinit();
        self.* = undefined;
    }

    /// `error.Deadlock`: the caller holds it already.
    pub fn lock(self: *Mutex) error{ Cancelled, Deadlock }!void {
        if (self.holder == coro.xframe()) return error.Deadlock;
        return perform(self.locking());
    }

    /// Whether it was free; never waits.
    pub fn tryLock(self: *Mutex) bool {
        if (!self.semaphore.tryAcquire()) return false;
        self.holder = coro.xframe();
        return true;
    }

    /// Panics when the caller does not hold it.
    pub fn unlock(self: *Mutex) void {
        const me = coro.xframe();
        if (self.holder != me) coro.fail(.not_owner, me);
        self.holder = null;
        self.semaphore.release();
    }

    /// The operation of `lock`, for `select`.
    pub fn locking(self: *Mutex) Lock {
        return .{ .mutex = self, .me = coro.xframe(), .acquire = self.semaphore.acquiring() };
    }

    pub const Lock = struct {
        mutex: *Mutex,
        me: *Coro,
        acquire: Semaphore.Acquire,

        pub const Result = void;
        pub const text = "for mutex";

        pub fn subject(op: *const Lock) []const u8 {
            return op.mutex.name;
        }

        pub fn waiterOf(op: *Lock) *Waiter {
            return &op.acquire.waiter;
        }

        pub fn of(w: *Waiter) *Lock {
            return @alignCast(@fieldParentPtr("acquire", Semaphore.Acquire.of(w)));
        }

        pub fn poll(op: *Lock) ?void {
            return if (op.acquire.poll() == null) null else op.result();
        }

        pub fn park(op: *Lock) void {
            op.acquire.park();
        }

        pub fn takeBack(op: *Lock) bool {
            return op.acquire.takeBack();
        }

        pub fn result(op: *Lock) ?void {
            op.mutex.holder = op.me;
        }
    };
};
