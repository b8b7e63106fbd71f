//! A channel in the classic way, as a peer: whoever must wait joins a condition's queue and suspends; whoever changes
//! something signals the condition, which hands the first of the queue to an executor; what was woken looks again. Values lie in
//! a ring whose indices are taken modulo its size.

const Coroutine = @import("out_of_line.zig").Coroutine;

/// Something to call later.
const Task = struct {
    function: *const fn (*Task) void,
    next: ?*Task = null,

    const Queue = struct {
        head: ?*Task = null,
        tail: ?*Task = null,

        fn push(queue: *Queue, task: *Task) void {
            task.next = null;
            if (queue.tail) |tail| tail.next = task else queue.head = task;
            queue.tail = task;
        }

        fn pop(queue: *Queue) ?*Task {
            const task = queue.head orelse return null;
            queue.head = task.next;
            if (queue.head == null) queue.tail = null;
            return task;
        }
    };
};

pub const Executor = struct {
    ready: Task.Queue = .{},

    /// Calls what is ready now. False: nothing was.
    pub fn tick(executor: *Executor) bool {
        var batch = executor.ready;
        executor.ready = .{};
        var any = false;
        while (batch.pop()) |task| : (any = true) task.function(task);
        return any;
    }
};

const Condition = struct {
    executor: *Executor,
    waiting: Task.Queue = .{},

    const Wait = struct {
        task: Task = .{ .function = wake },
        coroutine: *Coroutine,

        fn wake(task: *Task) void {
            const entry: *Wait = @fieldParentPtr("task", task);
            entry.coroutine.@"resume"();
        }
    };

    fn wait(condition: *Condition) void {
        var entry: Wait = .{ .coroutine = Coroutine.running() };
        condition.waiting.push(&entry.task);
        entry.coroutine.@"suspend"();
    }

    fn signal(condition: *Condition) void {
        if (condition.waiting.pop()) |task| condition.executor.ready.push(task);
    }
};

pub fn Channel(comptime T: type, comptime capacity: usize) type {
    return struct {
        items: [capacity]T = undefined,
        head: usize = 0,
        len: usize = 0,
        closed: bool = false,
        space: Condition,
        values: Condition,

        const Self = @This();

        pub fn init(executor: *Executor) Self {
            return .{ .space = .{ .executor = executor }, .values = .{ .executor = executor } };
        }

        pub fn send(self: *Self, value: T) error{Closed}!void {
            if (self.closed) return error.Closed;
            while (self.len == capacity) self.space.wait();
            self.items[(self.head + self.len) % capacity] = value;
            self.len += 1;
            self.values.signal();
        }

        pub fn recv(self: *Self) ?T {
            while (self.len == 0) {
                if (self.closed) return null;
                self.values.wait();
            }
            const value = self.items[self.head];
            self.head = (self.head + 1) % capacity;
            self.len -= 1;
            self.space.signal();
            return value;
        }

        pub fn close(self: *Self) void {
            self.closed = true;
            self.values.signal();
        }
    };
}
