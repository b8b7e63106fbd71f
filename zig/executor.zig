//! Executor: the queue of what is ready to run: coroutines, and callbacks as zigcoro has them. Resuming happens here, from
//! the queue, and nowhere inside an event's callback.
//!
//! Invariants:
//!  * A coroutine is in at most one queue, once. Queueing it again changes nothing.
//!  * `tick` runs what was ready when it began, each once; what becomes ready meanwhile runs in the next tick. `last` is the end
//!    of what the running tick has still to run, null once that is over.
//!  * Ticks do not nest, and run on the thread's own stack.
//!  * Resuming a queued coroutine by hand, or destroying it, takes it out of the queue.
//!
//! An executor belongs to one thread and owns nothing. It must stay in place while coroutines refer to it.

const std = @import("std");
const assert = std.debug.assert;
const Coro = @import("coro.zig").Coro;
const Sleepers = @import("sleep.zig").Sleepers;

pub const Executor = struct {
    ready: Queue = .{},
    ticking: bool = false,
    /// Whose events it lives on; null: nothing but its own queue.
    source: ?*Source = null,
    /// Where sleeps and time limits wait; null: nothing here knows the time.
    sleepers: ?*Sleepers = null,

    /// An event loop, as its executor sees it.
    pub const Source = struct {
        /// Collects events and queues what they woke. With `wait` it sleeps until there is one. False: nothing is in flight,
        /// or the loop cannot go on, so none can ever come.
        pollFn: *const fn (*Source, wait: bool) bool,
        /// Why the loop cannot go on.
        failure: ?anyerror = null,
    };

    pub fn init() Executor {
        return .{};
    }

    /// Runs `it` in the next tick: a Frame or a FrameT is resumed, a `*Func` is called. A running coroutine may queue itself
    /// and then suspend: that lets others run.
    pub fn runSoon(exec: *Executor, it: anytype) void {
        if (@TypeOf(it) == *Func) return exec.ready.pushNew(&it.task);
        const co: *Coro = it.frame();
        assert(co.status() != .done and !co.isRoot());
        exec.ready.pushNew(&co.task);
    }

    /// Runs each task that is ready now, once. False: none was. Inside a tick it does nothing.
    pub fn tick(exec: *Executor) bool {
        const queue = &exec.ready;
        if (exec.ticking or queue.head == null) return false;
        exec.ticking = true;
        defer exec.ticking = false;
        queue.last = queue.tail;
        while (queue.last) |last| {
            const task = queue.popHead();
            if (task == last) queue.last = null;
            task.run();
        }
        return true;
    }

    /// Whether a tick would run nothing.
    pub fn isEmpty(exec: *const Executor) bool {
        return exec.ready.head == null;
    }

    /// Runs what is ready until `isOver(context)`, sleeping for events where nothing is. False: it is not over, nothing is
    /// ready and nothing in flight, so nothing can ever happen. Only on the thread's own stack, outside ticks.
    pub fn runUntil(exec: *Executor, context: anytype, comptime isOver: fn (@TypeOf(context)) bool) bool {
        assert(!exec.ticking);
        var ticks: u32 = 0;
        while (!isOver(context)) {
            if (exec.tick()) {
                ticks += 1;
                // Who is always ready must not starve who waits for an event.
                if (ticks % ticks_per_poll == 0) if (exec.source) |source| {
                    _ = source.pollFn(source, false);
                };
                continue;
            }
            const source = exec.source orelse return false;
            if (!source.pollFn(source, true) and exec.isEmpty()) return isOver(context);
        }
        return true;
    }

    const ticks_per_poll = 64;

    /// A callback to queue, as zigcoro has it. It stays in place until it has run, and may be queued again then.
    pub const Func = struct {
        task: Task = .{ .kind = .func },
        func: *const fn (userdata: ?*anyopaque) void,
        userdata: ?*anyopaque = null,

        pub fn init(func: *const fn (userdata: ?*anyopaque) void, userdata: ?*anyopaque) Func {
            return .{ .func = func, .userdata = userdata };
        }
    };

    /// A place in a queue, embedded in what is queued.
    pub const Task = struct {
        queue: ?*Queue = null,
        next: ?*Task = null,
        prev: ?*Task = null,
        kind: enum(u8) { coro, func },

        inline fn run(task: *Task) void {
            switch (task.kind) {
                .coro => @as(*Coro, @alignCast(@fieldParentPtr("task", task))).resumeDequeued(),
                .func => {
                    const func: *Func = @alignCast(@fieldParentPtr("task", task));
                    func.func(func.userdata);
                },
            }
        }
    };

    /// Intrusive, first in first out.
    pub const Queue = struct {
        head: ?*Task = null,
        tail: ?*Task = null,
        /// The last one that the running tick runs.
        last: ?*Task = null,

        inline fn pushNew(queue: *Queue, task: *Task) void {
            if (task.queue != null) return;
            task.queue = queue;
            task.next = null;
            task.prev = queue.tail;
            if (queue.tail) |tail| tail.next = task else queue.head = task;
            queue.tail = task;
        }

        inline fn popHead(queue: *Queue) *Task {
            const task = queue.head.?;
            assert(task.queue == queue and task.prev == null);
            queue.head = task.next;
            if (task.next) |next| next.prev = null else queue.tail = null;
            task.queue = null;
            return task;
        }

        pub noinline fn remove(queue: *Queue, task: *Task) void {
            assert(task.queue == queue);
            // What was queued before it is still of the tick; nothing was, if it is the first.
            if (queue.last == task) queue.last = task.prev;
            if (task.prev) |prev| prev.next = task.next else queue.head = task.next;
            if (task.next) |next| next.prev = task.prev else queue.tail = task.prev;
            task.queue = null;
        }
    };
};
