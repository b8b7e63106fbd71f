//! Pool: the threads that make calls which may sleep and which no ring takes, and the way back of their results to a loop.
//!
//! One pool for the process: disks do not get faster by more Workers, and threads that belong to no Env need not be joined when one
//! ends. Threads are started as jobs come, at most `max_threads`, and end when they had nothing to do for a while. One that waits
//! for another process (the other end of a FIFO, a terminal) is not counted, so that those do not stop all files. There may be
//! `max_waiting` of them; one more is refused with EAGAIN.
//!
//! A job is `idle -> queued -> running -> done -> idle`. A cancel takes a queued one back. A running one ends by itself, with its
//! result; two kinds may never, and are cancelled: a read or write of a stream is interrupted and has moved nothing, and an open
//! is `abandoned`: its op ends at once, and the job stays where it is until its thread is done with it, closes what it has
//! opened, and has it freed.
//!
//! A loop has a port. Threads leave jobs there and write a byte to its pipe, which the loop waits for only while it has jobs out, so
//! that jobs keep a program alive and nothing else does. It is no eventfd: when the write to one wakes a ring whose own wake is an
//! eventfd, as a parked guest's is, Linux (6.18) puts the second signal off for some milliseconds, and from the second time on
//! forgets it. A port outlives its loop while a thread has an abandoned job of it.
//!
//! One lock guards the queue, the stages of jobs and the ports' lists; nobody holds it in a call that sleeps. Threads are made by
//! the host (thread.zig) and block signals: those are for the host's threads.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const Call = @import("call.zig").Call;
const Loop = @import("../loop.zig").Loop;
const Op = @import("op.zig").Op;
const Watch = @import("../loop.zig").Watch;
const sys = @import("../sys.zig");
const thread = @import("../thread.zig");
const c = sys.c;

const max_threads = 4;
const max_waiting = 60;
const idle_time = 5 * std.time.ns_per_s;

pub const Job = struct {
    op: Op,
    call: Call = .{ .close = -1 },
    /// Its file is a stream: to be told that it can be read or written it may have to wait for ever.
    is_stream: bool = false,
    /// Frees what holds an abandoned job, on any thread, with the allocator of the port.
    freeFn: ?*const fn (*Job, Allocator) void = null,
    stage: Stage = .idle,
    port: *Port = undefined,
    /// Ends the wait of a stream's read or write.
    interrupt: ?sys.Event = null,
    result: i32 = 0,
    next: ?*Job = null,
    prev: ?*Job = null,

    pub const Stage = enum(u8) { idle, queued, running, done, abandoned };

    pub inline fn of(op: *Op) *Job {
        return @fieldParentPtr("op", op);
    }

    /// By the loop, for an op of kind `job` that is `cancelling`.
    pub fn cancel(job: *Job) void {
        lock.acquire();
        defer lock.release();
        switch (job.stage) {
            .queued => {
                queue.remove(job);
                job.stage = .idle;
            },
            .running => {
                if (job.interrupt) |event| event.signal();
                if (job.call != .open) return;
                job.stage = .abandoned;
                job.port.abandoned += 1;
                abandoned += 1;
            },
            .done => return, // the next tick collects it
            .idle, .abandoned => unreachable,
        }
        job.port.ended(job, sys.negative(.CANCELED));
        job.port.restIfIdle();
    }

    /// First in, first out, and out of the middle.
    const List = struct {
        head: ?*Job = null,
        tail: ?*Job = null,
        len: u32 = 0,

        fn push(list: *List, job: *Job) void {
            job.next = null;
            job.prev = list.tail;
            if (list.tail) |tail| tail.next = job else list.head = job;
            list.tail = job;
            list.len += 1;
        }

        fn pop(list: *List) ?*Job {
            const job = list.head orelse return null;
            list.remove(job);
            return job;
        }

        fn remove(list: *List, job: *Job) void {
            if (job.prev) |prev| prev.next = job.next else list.head = job.next;
            if (job.next) |next| next.prev = job.prev else list.tail = job.prev;
            list.len -= 1;
        }
    };
};

pub const Port = struct {
    allocator: Allocator,
    loop: *Loop,
    /// A pipe: the end to read and the end to write. It has a byte in it while `done` has jobs.
    wake: [2]sys.fd_t,
    /// Waits for the byte, in flight while there are jobs.
    op: Op,
    watch: Watch,
    /// Given to the pool and not yet collected, without abandoned ones.
    jobs: u32 = 0,
    done: Job.List = .{},
    /// Abandoned ones that threads have let go of.
    spent: Job.List = .{},
    has_any: std.atomic.Value(bool) = .init(false),
    /// Abandoned jobs that threads still have.
    abandoned: u32 = 0,
    closed: bool = false,

    pub const Error = error{ OutOfMemory, ProcessFdQuotaExceeded };

    /// The port of `loop`, made when there is none.
    pub fn of(loop: *Loop, allocator: Allocator) Error!*Port {
        if (loop.port) |port| return port;
        const port = try allocator.create(Port);
        errdefer allocator.destroy(port);
        var wake: [2]sys.fd_t = undefined;
        if (sys.pipe(&wake, true) < 0) return error.ProcessFdQuotaExceeded;
        errdefer for (wake) |fd| sys.close(fd);
        port.* = .{
            .allocator = allocator,
            .loop = loop,
            .wake = wake,
            .op = .{ .kind = .readable, .fd = wake[0], .doneFn = woken },
            .watch = .{ .ops = undefined },
        };
        port.watch.ops = .{ &port.op, &port.op };
        loop.watch(&port.watch, wake[0]);
        if (port.watch.refuses(&port.op)) return error.OutOfMemory;
        loop.port = port;
        return port;
    }

    /// Everything of the loop has ended, but for what it has abandoned.
    pub fn close(port: *Port) void {
        assert(port.jobs == 0 and port.op.state == .idle);
        port.loop.unwatch(&port.watch, port.wake[0]);
        port.loop.port = null;
        lock.acquire();
        defer lock.release();
        assert(port.done.head == null);
        port.closed = true;
        while (port.spent.pop()) |job| job.freeFn.?(job, port.allocator);
        port.freeIfDone();
    }

    fn freeIfDone(port: *Port) void {
        if (!port.closed or port.abandoned > 0) return;
        for (port.wake) |fd| sys.close(fd);
        port.allocator.destroy(port);
    }

    /// 0, or a negative errno: then the job was not taken.
    pub fn submit(port: *Port, job: *Job) i32 {
        assert(job.stage == .idle);
        if (job.is_stream and (job.call == .read or job.call == .write)) {
            var event: sys.Event = undefined;
            const rc = event.open();
            if (rc < 0) return rc;
            job.interrupt = event;
        }
        job.port = port;
        port.jobs += 1;
        port.listen();
        if (enqueue(job)) return 0;
        port.jobs -= 1;
        port.restIfIdle();
        closeInterrupt(job);
        return sys.negative(.AGAIN);
    }

    fn listen(port: *Port) void {
        while (port.op.state == .idle) {
            _ = port.loop.start(&port.op, &port.watch) orelse return;
            port.collect();
            if (port.jobs == 0) return;
        }
    }

    fn restIfIdle(port: *Port) void {
        if (port.jobs == 0) port.loop.cancel(&port.op);
    }

    fn woken(op: *Op) void {
        const port: *Port = @fieldParentPtr("op", op);
        if (port.jobs > 0) port.listen();
    }

    /// Hands jobs that are done to the loop, which tells their owners.
    pub fn collect(port: *Port) void {
        if (!port.has_any.load(.acquire)) return;
        lock.acquire();
        if (port.done.len > 0) port.takeByte();
        var done = port.done;
        var spent = port.spent;
        port.done = .{};
        port.spent = .{};
        // An op that was not told yet still needs its job.
        var at = spent.head;
        while (at) |job| {
            at = job.next;
            if (job.op.state == .idle) continue;
            spent.remove(job);
            port.spent.push(job);
        }
        port.has_any.store(port.spent.head != null, .monotonic);
        lock.release();
        while (spent.pop()) |job| job.freeFn.?(job, port.allocator);
        while (done.pop()) |job| {
            job.stage = .idle;
            port.ended(job, job.result);
        }
        port.restIfIdle();
    }

    /// The loop is done with `job`, and its owner will be told.
    fn ended(port: *Port, job: *Job, result: i32) void {
        closeInterrupt(job);
        port.jobs -= 1;
        job.op.result = result;
        job.op.state = .finished;
        port.loop.finished.push(&job.op);
    }

    fn closeInterrupt(job: *Job) void {
        // An abandoned job has none, and its thread may be looking.
        const event = job.interrupt orelse return;
        event.close();
        job.interrupt = null;
    }

    /// By a thread that has made the job's call, with the lock.
    fn put(port: *Port, job: *Job, result: i32) void {
        if (job.stage == .abandoned) {
            if (result >= 0) sys.close(result);
            port.abandoned -= 1;
            abandoned -= 1;
            if (port.closed) {
                job.freeFn.?(job, port.allocator);
                return port.freeIfDone();
            }
            port.spent.push(job);
            return port.has_any.store(true, .release);
        }
        assert(job.stage == .running);
        job.stage = .done;
        job.result = result;
        port.done.push(job);
        port.has_any.store(true, .release);
        if (port.done.len == 1) port.putByte();
    }

    // Under the lock, so that the byte is there exactly while `done` has jobs.

    fn putByte(port: *Port) void {
        sys.pipeSignal(port.wake[1]);
    }

    fn takeByte(port: *Port) void {
        sys.pipeClear(port.wake[0]);
    }
};

var lock: Lock = .{};
// With the lock.
var queue: Job.List = .{};
var threads: u32 = 0;
/// Threads that sleep, or were woken and have not taken a job yet.
var idle: u32 = 0;
/// Threads that wait for another process.
var waiting: u32 = 0;
/// Abandoned jobs that threads still have, of all ports.
var abandoned: u32 = 0;
/// Changes with every job that is queued.
var queued: std.atomic.Value(u32) = .init(0);

/// False: there is no thread for it, and none can be made.
fn enqueue(job: *Job) bool {
    lock.acquire();
    defer lock.release();
    queue.push(job);
    job.stage = .queued;
    callThread();
    if (threads > 0) return true;
    queue.remove(job);
    job.stage = .idle;
    return false;
}

/// Sees to it that a thread looks at the queue.
fn callThread() void {
    if (queue.len > idle and threads - waiting < max_threads and startThread()) threads += 1;
    _ = queued.fetchAdd(1, .monotonic);
    if (idle > 0) sys.wakeOne(&queued.raw);
}

fn main(_: ?*anyopaque) callconv(.c) ?*anyopaque {
    lock.acquire();
    defer lock.release();
    defer threads -= 1;
    while (threads - waiting <= max_threads) {
        const job = queue.pop() orelse if (sleep()) continue else break;
        job.stage = .running;
        lock.release();
        const result = make(job);
        lock.acquire();
        job.port.put(job, result);
    }
    return null;
}

/// False: nothing came for a while.
fn sleep() bool {
    const seen = queued.load(.monotonic);
    idle += 1;
    lock.release();
    const was_woken = sys.waitWhile(&queued.raw, seen, idle_time);
    lock.acquire();
    idle -= 1;
    return queue.head != null or was_woken;
}

fn make(job: *Job) i32 {
    if (job.interrupt) |event| return makeStream(job, event);
    const may_wait = sys.is_posix and job.call == .open and opensForOthers(job.call.open.path);
    if (may_wait and !startWaiting()) return sys.negative(.AGAIN);
    defer if (may_wait) endWaiting();
    return job.call.make();
}

/// A read or write of a non-blocking descriptor, tried until it moves something or is interrupted.
fn makeStream(job: *Job, interrupt: sys.Event) i32 {
    const fd, const events: i16 = switch (job.call) {
        .read => |r| .{ r.fd, c.POLL.IN },
        .write => |w| .{ w.fd, c.POLL.OUT },
        else => unreachable,
    };
    var fds = [_]c.pollfd{
        .{ .fd = interrupt.fd, .events = c.POLL.IN, .revents = 0 },
        .{ .fd = fd, .events = events, .revents = 0 },
    };
    var is_waiting = false;
    defer if (is_waiting) endWaiting();
    while (true) {
        const result = job.call.make();
        if (result != sys.negative(.AGAIN)) return result;
        if (!is_waiting and !startWaiting()) return sys.negative(.AGAIN);
        is_waiting = true;
        _ = sys.poll(&fds, -1);
        if (fds[0].revents != 0) return sys.negative(.CANCELED);
    }
}

/// Whether to open it may mean to wait for somebody else: a FIFO, a terminal line.
fn opensForOthers(path: [*:0]const u8) bool {
    const found = sys.typeOfPath(path);
    return found == c.S.IFIFO or found == c.S.IFCHR;
}

/// This thread is not counted until `endWaiting`. False: there are too many of those.
fn startWaiting() bool {
    lock.acquire();
    defer lock.release();
    if (waiting == max_waiting) return false;
    waiting += 1;
    if (queue.head != null) callThread();
    return true;
}

fn endWaiting() void {
    lock.acquire();
    defer lock.release();
    waiting -= 1;
}

fn startThread() bool {
    if (!sys.is_posix) {
        thread.detach(thread.start(main, null) catch return false);
        return true;
    }
    // The new thread has this one's mask from its first instruction on.
    var blocked: sys.SignalSet = .all;
    for (sys.unblocked_signals) |internal| blocked.remove(@enumFromInt(internal));
    const before = sys.setMask(&blocked);
    defer _ = sys.setMask(&before);
    thread.detach(thread.start(main, null) catch return false);
    return true;
}

/// A lock for threads that may not be Zig's: Drepper's, "Futexes Are Tricky", mutex 2.
const Lock = struct {
    state: std.atomic.Value(State) = .init(.free),

    const State = enum(u32) { free, held, awaited };

    fn acquire(l: *Lock) void {
        if (l.state.cmpxchgWeak(.free, .held, .acquire, .monotonic) == null) return;
        while (l.state.swap(.awaited, .acquire) != .free) {
            _ = sys.waitWhile(@ptrCast(&l.state.raw), @intFromEnum(State.awaited), null);
        }
    }

    fn release(l: *Lock) void {
        if (l.state.swap(.free, .release) == .awaited) sys.wakeOne(@ptrCast(&l.state.raw));
    }
};

/// Threads that there are, jobs that wait for one, and abandoned jobs that one still has. For tests.
pub fn load() struct { threads: u32, waiting: u32, queued: u32, abandoned: u32 } {
    lock.acquire();
    defer lock.release();
    return .{ .threads = threads, .waiting = waiting, .queued = queue.len, .abandoned = abandoned };
}
