//! Op: one operation that may be in flight with the kernel. A socket embeds one for each direction, so nothing is
//! allocated per operation.
//!
//! `idle -> in_flight -> finished -> idle`, with `cancelling` beside `in_flight`. The kernel may use `buffer` and `address`
//! exactly while the state is `in_flight` or `cancelling`; they are native memory owned by the socket.
//! The loop moves an op to `finished` and queues it; its owner is told after the tick, never inside a libxev callback.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const descriptor = @import("descriptor.zig");
const sys = @import("../sys.zig");
const Waiter = @import("../waiter.zig").Waiter;

/// Who waits for an op, and where its result is left: in memory of the waiter's, for the socket may be gone by the time
/// that the waiter runs.
pub const IoWait = struct {
    waiter: Waiter,
    /// >= 0, or a negative errno.
    result: i32 = 0,
    /// What came with it: the number of something that the waiter fetches.
    value: f64 = 0,
};

pub const Op = struct {
    kind: Kind = .recv,
    /// read, write: how they are kept from waiting.
    way: descriptor.Way = .socket,
    state: State = .idle,
    fd: sys.fd_t = -1,
    /// recv, read: where bytes go; send, write: what is still to be sent.
    buffer: []u8 = &.{},
    address: sys.Address = undefined,
    /// Once finished: >= 0, or a negative errno.
    result: i32 = 0,
    /// A cancel was asked for since it was started, whatever it ended with.
    cancelled: bool = false,
    /// Told after the tick, with the op idle again and `result` set.
    doneFn: *const fn (*Op) void,
    /// Link of the one list that it is in: finished, or cancelling without the kernel knowing yet.
    next: ?*Op = null,
    completion: Completion = if (Completion == void) {} else .{},
    /// What the kernel is asked about it on Windows.
    poll: if (builtin.os.tag == .windows) @import("iocp.zig").Poll else void = undefined,

    /// io_uring's, or the completion port's.
    const Completion = switch (builtin.os.tag) {
        .linux => @import("xev").IO_Uring.Completion,
        .windows => @import("xev").IOCP.Completion,
        else => void,
    };

    pub const Kind = enum(u8) {
        accept,
        connect,
        recv,
        send,
        /// Waits until the descriptor can be read, or has an error; the result is 0.
        readable,
        /// The same until it can be written.
        writable,
        /// On what is no socket. The ring only waits until these can be done; the loop makes the call.
        read,
        write,
        /// A job (pool.zig) that the ring does.
        entry,
        /// A job that a thread of the pool does.
        job,
    };
    pub const State = enum(u8) { idle, in_flight, cancelling, finished };

    pub fn isActive(op: *const Op) bool {
        return op.state == .in_flight or op.state == .cancelling;
    }

    /// Makes the call without waiting: a result >= 0, or a negative errno, -EAGAIN when it would have to wait.
    pub fn attempt(op: *Op) i32 {
        return switch (op.kind) {
            .accept => sys.accept(op.fd, true),
            .recv => sys.recv(op.fd, op.buffer),
            // Its way may have changed since it began.
            .send => if (sys.sends_without_waiting or op.way == .socket) sys.send(op.fd, op.buffer) else descriptor.write(&op.way, op.fd, op.buffer),
            .connect => connected(op.fd),
            .read => descriptor.read(&op.way, op.fd, op.buffer),
            .write => descriptor.write(&op.way, op.fd, op.buffer),
            .readable => if (sys.isReadable(op.fd)) 0 else sys.negative(.AGAIN),
            .writable => if (sys.isWritable(op.fd)) 0 else sys.negative(.AGAIN),
            .entry, .job => unreachable, // they need no readiness
        };
    }

    fn connected(fd: sys.fd_t) i32 {
        if (!sys.isWritable(fd)) return sys.negative(.AGAIN);
        return sys.socketError(fd);
    }

    /// First in, first out.
    pub const Queue = struct {
        head: ?*Op = null,
        tail: ?*Op = null,

        pub fn push(q: *Queue, op: *Op) void {
            assert(op.state == .finished);
            op.next = null;
            if (q.tail) |tail| tail.next = op else q.head = op;
            q.tail = op;
        }

        pub fn pop(q: *Queue) ?*Op {
            const op = q.head orelse return null;
            q.head = op.next;
            if (q.head == null) q.tail = null;
            return op;
        }
    };
};
