//! Executor: the queue of coroutines that are ready to run. Resuming happens here, from the queue, and nowhere inside
//! an event's callback.
//!
//! Invariants:
//!  * A coroutine is in at most one queue, once. Queueing it again changes nothing.
//!  * `tick` runs what was ready when it began, each once; what becomes ready meanwhile runs in the next tick.
//!  * Ticks do not nest, and run on the thread's own stack.
//!  * Resuming a queued coroutine by hand, or destroying it, takes it out of the queue.
//!
//! An executor belongs to one thread and owns nothing. It must stay in place while coroutines refer to it.

const std = @import("std");
const assert = std.debug.assert;
const Coro = @import("coro.zig").Coro;

pub const Executor = struct {
    ready: Queue = .{},
    /// What the running tick has still to run.
    batch: Queue = .{},
    ticking: bool = false,
    /// Called by `Coro.park` on the thread's own stack when nothing is ready: waits for an event, queues what it woke
    /// and says whether anything can still happen. Null: nothing can.
    waitFn: ?*const fn (*Executor) bool = null,

    pub fn init() Executor {
        return .{};
    }

    /// Resumes `co` in the next tick. A running coroutine may queue itself and then suspend: that lets others run.
    pub fn runSoon(exec: *Executor, co: *Coro) void {
        assert(co.status != .done);
        if (co.queue != null) return;
        exec.ready.push(co);
    }

    /// Runs each coroutine that is ready now, once. False: none was. Inside a tick it does nothing.
    pub fn tick(exec: *Executor) bool {
        if (exec.ticking or exec.ready.head == null) return false;
        exec.ticking = true;
        defer exec.ticking = false;
        assert(exec.batch.head == null);
        exec.batch = exec.ready;
        exec.ready = .{};
        var at = exec.batch.head;
        while (at) |co| : (at = co.queue_next) co.queue = &exec.batch;
        while (exec.batch.head) |co| {
            exec.batch.remove(co);
            co.@"resume"();
        }
        return true;
    }

    /// Whether a tick would run nothing.
    pub fn isEmpty(exec: *const Executor) bool {
        return exec.ready.head == null;
    }

    /// Intrusive, first in first out; the links are the coroutine's `queue` fields.
    pub const Queue = struct {
        head: ?*Coro = null,
        tail: ?*Coro = null,

        fn push(queue: *Queue, co: *Coro) void {
            assert(co.queue == null);
            co.queue = queue;
            co.queue_next = null;
            co.queue_prev = queue.tail;
            if (queue.tail) |tail| tail.queue_next = co else queue.head = co;
            queue.tail = co;
        }

        pub noinline fn remove(queue: *Queue, co: *Coro) void {
            assert(co.queue == queue);
            if (co.queue_prev) |prev| prev.queue_next = co.queue_next else queue.head = co.queue_next;
            if (co.queue_next) |next| next.queue_prev = co.queue_prev else queue.tail = co.queue_prev;
            co.queue = null;
        }
    };
};
