//! Channel: typed messages between coroutines, first in first out, with backpressure.
//!
//! Capacity 0 is a rendezvous: a send is over when a receiver has the value. With capacity n up to n values wait in a
//! buffer. `send` and `recv` make a stackful coroutine wait; `startSend` and `startRecv` never block and know nothing of who waits.
//!
//! Invariants, asserted where it is cheap:
//!  * Senders wait only while the buffer is full (capacity 0: always full); receivers only while it is empty; so never both,
//!    but for a `select` that does both on one channel, which never meets itself.
//!  * A node is decided once: `parked` becomes `ok` or `closed`, and its waiter is woken in that step.
//!  * Values leave in the order in which their sends began.
//!  * Closing decides every waiting node; buffered values can still be received.
//!
//! A channel belongs to one thread. It owns its buffer and none of the values.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const Executor = @import("executor.zig").Executor;
const Waiter = @import("waiter.zig").Waiter;
const parkOn = @import("wait.zig").parkOn;

pub const Outcome = enum(u8) { parked, ok, closed };

pub const Options = struct {
    /// Values that wait without a receiver; null: given to `initCapacity` at run time.
    capacity: ?usize = 1,
};

pub fn Channel(comptime T: type, comptime options: Options) type {
    return struct {
        const Self = @This();

        buffer: Buffer = .{},
        senders: Waiter.List = .{},
        receivers: Waiter.List = .{},
        closed: bool = false,
        /// In reports.
        name: []const u8 = "",

        pub const SendError = error{
            /// It was closed before the value was taken, which is still the sender's.
            Closed,
            /// The buffer could not grow.
            OutOfMemory,
        };

        /// One wait. It lives in whoever waits, and stays in place while `outcome` is `parked`.
        pub const Node = struct {
            waiter: Waiter,
            /// The value to send, or the value received once `outcome` is `ok`.
            value: T = undefined,
            outcome: Outcome = .ok,

            fn of(w: *Waiter) *Node {
                return @fieldParentPtr("waiter", w);
            }

            fn decide(node: *Node, outcome: Outcome) void {
                assert(node.outcome == .parked and outcome != .parked);
                node.outcome = outcome;
                node.waiter.wake();
            }
        };

        const Buffer = if (options.capacity) |n| FixedBuffer(T, n) else GrowingBuffer(T);

        /// For a capacity known at compile time; nothing is allocated. The executor is zigcoro's parameter: who waits here is
        /// woken through its own coroutine's executor, so null will do.
        pub fn init(_: ?*Executor) Self {
            comptime assert(options.capacity != null);
            return .{};
        }

        /// For a capacity known at run time. The buffer grows on demand up to `capacity`, so a large bound costs nothing
        /// until it is used.
        pub fn initCapacity(allocator: Allocator, max: usize) Self {
            comptime assert(options.capacity == null);
            return .{ .buffer = .{ .allocator = allocator, .max = max } };
        }

        /// Sends, waiting while the buffer is full; with capacity 0 until a receiver has the value. After an error nothing was
        /// sent. `error.Cancelled`: the coroutine was cancelled while it waited.
        pub inline fn send(self: *Self, value: T) (SendError || error{Cancelled})!void {
            if (try self.sendNow(value)) |outcome| return Send.resultOf(outcome);
            return parkOn(self.sending(value));
        }

        /// The next value, waiting while there is none. Null: closed and drained, or the coroutine was cancelled; `recvSafe`
        /// tells which.
        pub inline fn recv(self: *Self) ?T {
            return self.recvSafe() catch null;
        }

        /// The same with an error for the cancel. Null: closed and drained.
        pub inline fn recvSafe(self: *Self) error{Cancelled}!?T {
            if (self.recvNow()) |value| return value;
            return if (self.closed) null else parkOn(self.receiving());
        }

        /// The operations of `send` and `recv`, for `select`.
        pub inline fn sending(self: *Self, value: T) Send {
            return .{ .channel = self, .node = .{ .waiter = .{ .wakeFn = undefined }, .value = value } };
        }

        pub inline fn receiving(self: *Self) Recv {
            return .{ .channel = self, .node = .{ .waiter = .{ .wakeFn = undefined } } };
        }

        /// Nobody may wait any more.
        pub fn deinit(self: *Self) void {
            assert(self.senders.isEmpty() and self.receivers.isEmpty());
            self.buffer.deinit();
            self.* = undefined;
        }

        /// Sends at once if it can, otherwise leaves `node` waiting and says `parked`.
        /// `error.OutOfMemory`: the buffer could not grow; nothing was sent.
        pub fn startSend(self: *Self, node: *Node, value: T) error{OutOfMemory}!Outcome {
            if (try self.sendNow(value)) |outcome| return outcome;
            node.value = value;
            self.parkIn(&self.senders, node);
            return .parked;
        }

        /// Receives at once into `node.value` if it can, otherwise leaves `node` waiting and says `parked`.
        /// `closed`: closed and drained.
        pub fn startRecv(self: *Self, node: *Node) Outcome {
            if (self.recvNow()) |value| {
                node.value = value;
                return .ok;
            }
            if (self.closed) return .closed;
            self.parkIn(&self.receivers, node);
            return .parked;
        }

        /// Whether the value was sent; never waits.
        pub fn trySend(self: *Self, value: T) error{ OutOfMemory, Closed }!bool {
            const outcome = try self.sendNow(value) orelse return false;
            return if (outcome == .closed) error.Closed else true;
        }

        /// A value if one is there, otherwise null; never waits. `closed` tells an empty channel from a closed one.
        pub fn tryRecv(self: *Self) ?T {
            return self.recvNow();
        }

        /// Takes a waiting node back: true, then nothing was sent or received. False: it was decided before.
        pub fn cancelSend(self: *Self, node: *Node) bool {
            return takeBack(&self.senders, node);
        }

        pub fn cancelRecv(self: *Self, node: *Node) bool {
            return takeBack(&self.receivers, node);
        }

        /// No more sends. Waiting senders keep their values and learn that it closed; so do waiting receivers; what is
        /// buffered can still be received. Closing twice does nothing.
        pub fn close(self: *Self) void {
            self.closed = true;
            while (self.senders.pop()) |w| Node.of(w).decide(.closed);
            while (self.receivers.pop()) |w| Node.of(w).decide(.closed);
        }

        fn sendNow(self: *Self, value: T) error{OutOfMemory}!?Outcome {
            if (self.closed) return .closed;
            if (self.receivers.pop()) |w| {
                assert(self.buffer.len == 0);
                const receiver = Node.of(w);
                receiver.value = value;
                receiver.decide(.ok);
                return .ok;
            }
            if (self.buffer.isFull()) return null;
            assert(self.senders.isEmpty());
            try self.buffer.push(value);
            return .ok;
        }

        fn recvNow(self: *Self) ?T {
            if (self.buffer.len > 0) {
                const value = self.buffer.pop();
                if (self.senders.pop()) |w| {
                    const sender = Node.of(w);
                    self.buffer.pushReserved(sender.value);
                    sender.decide(.ok);
                }
                return value;
            }
            const sender = Node.of(self.senders.pop() orelse return null);
            const value = sender.value;
            sender.decide(.ok);
            return value;
        }

        /// One send that may wait.
        pub const Send = struct {
            channel: *Self,
            node: Node,

            pub const Result = SendError!void;
            pub const text = "to send to channel";

            pub inline fn poll(op: *Send) ?Result {
                const outcome = op.channel.sendNow(op.node.value) catch |err| return err;
                return resultOf(outcome orelse return null);
            }

            pub fn park(op: *Send) void {
                op.channel.parkIn(&op.channel.senders, &op.node);
            }

            pub fn takeBack(op: *Send) bool {
                return op.channel.cancelSend(&op.node);
            }

            pub fn result(op: *Send) ?Result {
                return resultOf(op.node.outcome);
            }

            fn resultOf(outcome: Outcome) Result {
                return if (outcome == .closed) error.Closed else {};
            }

            pub const subject = InChannel(Send).subject;
            pub const waiterOf = InChannel(Send).waiterOf;
            pub const of = InChannel(Send).of;
        };

        /// One receive that may wait.
        pub const Recv = struct {
            channel: *Self,
            node: Node,

            /// Null: closed and drained.
            pub const Result = ?T;
            pub const text = "to receive from channel";

            pub inline fn poll(op: *Recv) ?Result {
                if (op.channel.recvNow()) |value| return value;
                return if (op.channel.closed) @as(Result, null) else null;
            }

            pub fn park(op: *Recv) void {
                op.channel.parkIn(&op.channel.receivers, &op.node);
            }

            pub fn takeBack(op: *Recv) bool {
                return op.channel.cancelRecv(&op.node);
            }

            pub fn result(op: *Recv) ?Result {
                return if (op.node.outcome == .closed) @as(Result, null) else op.node.value;
            }

            pub const subject = InChannel(Recv).subject;
            pub const waiterOf = InChannel(Recv).waiterOf;
            pub const of = InChannel(Recv).of;
        };

        /// What both operations do alike.
        fn InChannel(comptime Op: type) type {
            return struct {
                fn subject(op: *const Op) []const u8 {
                    return op.channel.name;
                }

                fn waiterOf(op: *Op) *Waiter {
                    return &op.node.waiter;
                }

                fn of(w: *Waiter) *Op {
                    return @alignCast(@fieldParentPtr("node", Node.of(w)));
                }
            };
        }

        fn parkIn(self: *Self, list: *Waiter.List, node: *Node) void {
            assert(!self.closed);
            node.outcome = .parked;
            node.waiter.arm();
            list.push(&node.waiter);
        }

        fn takeBack(list: *Waiter.List, node: *Node) bool {
            if (node.outcome != .parked) return false;
            list.remove(&node.waiter);
            node.waiter.disarm();
            node.outcome = .ok;
            return true;
        }
    };
}

fn FixedBuffer(comptime T: type, comptime n: usize) type {
    return struct {
        items: [n]T = undefined,
        head: usize = 0,
        len: usize = 0,

        const Self = @This();

        fn deinit(_: *Self) void {}

        inline fn isFull(self: *const Self) bool {
            return self.len == n;
        }

        inline fn push(self: *Self, value: T) error{OutOfMemory}!void {
            self.pushReserved(value);
        }

        inline fn pushReserved(self: *Self, value: T) void {
            assert(self.len < n);
            if (n == 0) unreachable;
            var at = self.head + self.len;
            if (at >= n) at -= n;
            self.items[at] = value;
            self.len += 1;
        }

        inline fn pop(self: *Self) T {
            assert(self.len > 0);
            if (n == 0) unreachable;
            const value = self.items[self.head];
            self.head += 1;
            if (self.head == n) self.head = 0;
            self.len -= 1;
            return value;
        }
    };
}

fn GrowingBuffer(comptime T: type) type {
    return struct {
        allocator: Allocator = undefined,
        /// The channel's capacity; `items.len` is what is allocated so far, zero or a power of two.
        max: usize = 0,
        items: []T = &.{},
        head: usize = 0,
        len: usize = 0,

        const Self = @This();
        const first_len = 8;

        fn deinit(self: *Self) void {
            self.allocator.free(self.items);
        }

        inline fn isFull(self: *const Self) bool {
            return self.len >= self.max;
        }

        inline fn push(self: *Self, value: T) error{OutOfMemory}!void {
            if (self.len == self.items.len) try self.grow();
            self.pushReserved(value);
        }

        inline fn pushReserved(self: *Self, value: T) void {
            assert(self.len < self.items.len);
            self.items[(self.head + self.len) & (self.items.len - 1)] = value;
            self.len += 1;
        }

        inline fn pop(self: *Self) T {
            assert(self.len > 0);
            const value = self.items[self.head];
            self.head = (self.head + 1) & (self.items.len - 1);
            self.len -= 1;
            return value;
        }

        fn grow(self: *Self) error{OutOfMemory}!void {
            const items = try self.allocator.alloc(T, @max(first_len, self.items.len * 2));
            const until_end = @min(self.len, self.items.len - self.head);
            @memcpy(items[0..until_end], self.items[self.head..][0..until_end]);
            @memcpy(items[until_end..self.len], self.items[0 .. self.len - until_end]);
            self.allocator.free(self.items);
            self.items = items;
            self.head = 0;
        }
    };
}

const TestNode = Channel(u32, .{ .capacity = null }).Node;

fn testWake(_: *Waiter) void {}

fn testNode() TestNode {
    return .{ .waiter = .{ .wakeFn = testWake } };
}

test "rendezvous hands over in order, either side first" {
    var ch: Channel(u32, .{ .capacity = null }) = .initCapacity(std.testing.allocator, 0);
    defer ch.deinit();
    var a = testNode();
    var b = testNode();
    try std.testing.expectEqual(.parked, try ch.startSend(&a, 1));
    try std.testing.expectEqual(.parked, try ch.startSend(&b, 2));
    try std.testing.expectEqual(1, ch.tryRecv());
    try std.testing.expectEqual(.ok, a.outcome);
    try std.testing.expectEqual(.parked, b.outcome);
    try std.testing.expectEqual(2, ch.tryRecv());
    try std.testing.expectEqual(null, ch.tryRecv());
    try std.testing.expectEqual(.parked, ch.startRecv(&a));
    try std.testing.expect(try ch.trySend(3));
    try std.testing.expectEqual(3, a.value);
    try std.testing.expect(!try ch.trySend(4));
}

test "close wakes everyone, buffered values still arrive" {
    var ch: Channel(u32, .{ .capacity = null }) = .initCapacity(std.testing.allocator, 1);
    defer ch.deinit();
    var sender = testNode();
    try std.testing.expect(try ch.trySend(1));
    try std.testing.expectEqual(.parked, try ch.startSend(&sender, 2));
    ch.close();
    try std.testing.expectEqual(.closed, sender.outcome);
    try std.testing.expectError(error.Closed, ch.trySend(3));
    var receiver = testNode();
    try std.testing.expectEqual(.ok, ch.startRecv(&receiver));
    try std.testing.expectEqual(1, receiver.value);
    try std.testing.expectEqual(.closed, ch.startRecv(&receiver));
    ch.close();
}

test "a failed growth loses nothing" {
    var failing = std.testing.FailingAllocator.init(std.testing.allocator, .{ .fail_index = 1 });
    var ch: Channel(u32, .{ .capacity = null }) = .initCapacity(failing.allocator(), 100);
    defer ch.deinit();
    for (0..8) |i| try std.testing.expect(try ch.trySend(@intCast(i)));
    try std.testing.expectError(error.OutOfMemory, ch.trySend(8));
    for (0..8) |i| try std.testing.expectEqual(@as(u32, @intCast(i)), ch.tryRecv().?);
}

/// A plain model: values in one queue; the first `capacity` of them (and those of decided sends) can be taken.
fn modelRun(comptime options: Options, capacity: usize, seed: u64, steps: usize) !void {
    errdefer std.debug.print("seed {x} capacity {d}\n", .{ seed, capacity });
    const Ch = Channel(u32, options);
    const allocator = std.testing.allocator;
    var prng = std.Random.DefaultPrng.init(seed);
    const random = prng.random();
    var ch: Ch = if (options.capacity == null) .initCapacity(allocator, capacity) else .init(null);
    defer ch.deinit();
    defer ch.close();

    const Wait = struct { node: Ch.Node, busy: enum { no, send, recv } = .no };
    var waits: [8]Wait = @splat(.{ .node = .{ .waiter = .{ .wakeFn = testWake } } });
    var sent: std.ArrayList(u32) = .empty; // values in the channel or in waiting senders, in order
    defer sent.deinit(allocator);
    var waiting_receivers: std.ArrayList(usize) = .empty;
    defer waiting_receivers.deinit(allocator);
    var next: u32 = 0;

    for (0..steps) |_| {
        const i = random.uintLessThan(usize, waits.len);
        const w = &waits[i];
        if (w.busy != .no and w.node.outcome == .ok) w.busy = .no;
        if (w.busy == .no) {
            if (random.boolean()) {
                next += 1;
                const was_waiting = waiting_receivers.items.len;
                const outcome = try ch.startSend(&w.node, next);
                if (was_waiting > 0) {
                    const first = waiting_receivers.orderedRemove(0);
                    try std.testing.expectEqual(.ok, outcome);
                    try std.testing.expectEqual(next, waits[first].node.value);
                } else {
                    try sent.append(allocator, next);
                    try std.testing.expectEqual(if (sent.items.len > capacity) Outcome.parked else .ok, outcome);
                    if (outcome == .parked) w.busy = .send;
                }
            } else {
                const outcome = ch.startRecv(&w.node);
                if (sent.items.len > 0) {
                    try std.testing.expectEqual(.ok, outcome);
                    try std.testing.expectEqual(sent.orderedRemove(0), w.node.value);
                } else {
                    try std.testing.expectEqual(.parked, outcome);
                    w.busy = .recv;
                    try waiting_receivers.append(allocator, i);
                }
            }
        } else if (w.busy == .send) {
            try std.testing.expect(ch.cancelSend(&w.node));
            const at = std.mem.indexOfScalar(u32, sent.items, w.node.value).?;
            try std.testing.expect(at >= capacity);
            _ = sent.orderedRemove(at);
            w.busy = .no;
        } else {
            try std.testing.expect(ch.cancelRecv(&w.node));
            _ = waiting_receivers.orderedRemove(std.mem.indexOfScalar(usize, waiting_receivers.items, i).?);
            w.busy = .no;
        }
    }
}

test "random sends, receives and cancels against a model" {
    for (0..20) |round| {
        try modelRun(.{ .capacity = null }, 0, round, 5_000);
        try modelRun(.{ .capacity = null }, 1, 100 + round, 5_000);
        try modelRun(.{ .capacity = null }, 100, 200 + round, 5_000);
        try modelRun(.{ .capacity = 0 }, 0, 300 + round, 5_000);
        try modelRun(.{ .capacity = 3 }, 3, 400 + round, 5_000);
    }
}
