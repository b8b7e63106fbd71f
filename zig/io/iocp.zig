//! The IOCP half of the loop layer, for Windows: libxev's completion port and completions, with a tick of our own.
//!
//! Every operation is tried first. One that has to wait asks the sockets' driver, AFD, to be told once when trying again pays, as libuv does
//! and so Bun itself; the answer comes as a packet of the port. So the kernel has no memory of an operation but its question, and a
//! cancelled read or write has moved no bytes; of an overlapped WSASend nobody could say how many.
//!
//! What libxev's own operations would cost us beside that: they turn most errors into `Unexpected` and an aborted connection into a cancel,
//! their connect stops the thread, and their callbacks run in the middle of the tick.
//!
//! Every question ends by exactly one packet, also when it is answered at once and when it is cancelled, and its memory is the kernel's
//! until that packet has come. A packet without an op only ends a sleep.

const std = @import("std");
const assert = std.debug.assert;
const windows = std.os.windows;
const xev = @import("xev").IOCP;
const sys = @import("../sys.zig");
const os = @import("../sys_windows.zig");
const win32 = @import("../win32.zig");
const Job = @import("pool.zig").Job;
const Op = @import("op.zig").Op;
const Watch = @import("readiness.zig").Watch;

/// The question of one op.
pub const Poll = extern struct {
    timeout: i64 = std.math.maxInt(i64),
    count: u32 = 1,
    exclusive: u32 = 0,
    socket: win32.SOCKET,
    events: u32,
    status: i32 = 0,

    const receive = 0x1;
    const send = 0x4;
    const disconnect = 0x8;
    const abort = 0x10;
    const local_close = 0x20;
    const accept = 0x80;
    const connect_fail = 0x100;
};

pub const Iocp = struct {
    loop: xev.Loop,
    /// The driver, asked through this handle.
    afd: win32.HANDLE,
    /// When the next waiting tick ends at the latest.
    deadline: ?u64 = null,

    /// A parked guest's waker sits at the port beside its owner, and neither is to wait until the other sleeps.
    const max_threads = 64;

    /// Milliseconds. No signal ends a sleep on Windows, so that a Worker that is terminated while it waits here must look by itself.
    const longest_sleep = 50;

    /// Ops are tried before they wait, so sockets must be non-blocking; all are.
    pub const tries_first = true;
    pub const gathers = false;

    pub fn init() error{SystemResources}!Iocp {
        if (!os.startSockets()) return error.SystemResources;
        const port = win32.CreateIoCompletionPort(windows.INVALID_HANDLE_VALUE, null, 0, max_threads) orelse
            return error.SystemResources;
        errdefer _ = win32.CloseHandle(port);
        const afd = openDriver() orelse return error.SystemResources;
        errdefer _ = win32.CloseHandle(afd);
        if (win32.CreateIoCompletionPort(afd, port, 0, 0) == null) return error.SystemResources;
        return .{ .loop = .{ .iocp_handle = port, .cached_now = 0, .qpc_duration = 1 }, .afd = afd };
    }

    pub fn deinit(self: *Iocp) void {
        _ = win32.CloseHandle(self.afd);
        self.loop.deinit();
    }

    fn openDriver() ?win32.HANDLE {
        const name = std.unicode.utf8ToUtf16LeStringLiteral("\\Device\\Afd\\zigcoro");
        var string: win32.UnicodeString = .{ .bytes = 2 * name.len, .capacity = 2 * name.len, .text = name };
        const attributes: win32.ObjectAttributes = .{ .name = &string };
        var status: [2]usize = undefined;
        var handle: win32.HANDLE = undefined;
        const synchronize = 0x0010_0000;
        const share_all = 7;
        const open = 1;
        return if (win32.NtCreateFile(&handle, synchronize, &attributes, &status, null, 0, share_all, open, 0, null, 0) == 0) handle else null;
    }

    /// A parked guest's waker does.
    pub const wakes_itself = false;

    /// Nothing is registered, so nothing is refused.
    pub fn watch(_: *Iocp, _: *Watch, _: sys.fd_t) void {}
    pub fn unwatch(_: *Iocp, _: *Watch, _: sys.fd_t) void {}

    pub fn flush(_: *Iocp) void {}

    /// Of an op that was tried.
    pub fn submit(self: *Iocp, op: *Op, finished: *Op.Queue) void {
        assert(op.state == .in_flight);
        op.completion = .{};
        op.poll = .{ .socket = os.baseOf(op.fd), .events = eventsOf(op.kind) };
        const overlapped = &op.completion.overlapped;
        const size = @sizeOf(Poll);
        const ioctl_afd_poll = 0x0001_2024;
        const status = win32.NtDeviceIoControlFile(self.afd, null, null, overlapped, overlapped, ioctl_afd_poll, &op.poll, size, &op.poll, size);
        if (status >= 0) {
            self.loop.active += 1;
            return;
        }
        op.result = os.failure(win32.RtlNtStatusToDosError(status));
        op.state = .finished;
        finished.push(op);
    }

    fn eventsOf(kind: Op.Kind) u32 {
        const ends = Poll.abort | Poll.local_close;
        return ends | @as(u32, switch (kind) {
            .accept => Poll.accept,
            .recv, .read, .readable => Poll.receive | Poll.disconnect | Poll.accept,
            .send, .write, .writable => Poll.send,
            .connect => Poll.send | Poll.connect_fail,
            .entry, .job => unreachable, // made by threads
        });
    }

    /// Takes the question back; its packet still comes, and may bring an answer.
    pub fn cancel(self: *Iocp, op: *Op, _: *Op.Queue) void {
        assert(op.state == .cancelling);
        self.lookAgain(op);
    }

    /// What is not cancelled is tried again when the packet has come. The driver says nothing to a read whose side is shut down here.
    pub fn lookAgain(self: *Iocp, op: *Op) void {
        // It fails when the packet is on its way already.
        _ = win32.CancelIoEx(self.afd, &op.completion.overlapped);
    }

    /// Jobs are for the pool.
    pub fn kindOf(_: *Job) Op.Kind {
        return .job;
    }

    /// Whether an op that has ended still needs its call to be made: no, `tick` has made it.
    pub fn leavesCall(_: *const Op) bool {
        return false;
    }

    /// For the next tick only.
    pub fn armTimer(self: *Iocp, deadline: u64, _: *Op.Queue) void {
        self.deadline = deadline;
    }

    /// Queues what has finished. With `wait`, sleeps until there is something, or the armed time has come, or for a moment.
    pub fn tick(self: *Iocp, wait: bool, finished: *Op.Queue) error{SystemResources}!void {
        const left: u32 = @bitCast(sys.millisecondsUntil(self.deadline));
        var ms = if (wait and finished.head == null) @min(left, longest_sleep) else 0;
        self.deadline = null;
        var entries: [128]win32.Entry = undefined;
        while (true) : (ms = 0) {
            var count: u32 = 0;
            if (win32.GetQueuedCompletionStatusEx(self.loop.iocp_handle, &entries, entries.len, &count, ms, 0) == 0) return;
            for (entries[0..count]) |entry| {
                const overlapped = entry.overlapped orelse continue;
                const c: *xev.Completion = @alignCast(@fieldParentPtr("overlapped", overlapped));
                self.answered(@fieldParentPtr("completion", c), finished);
            }
            if (count < entries.len) return;
        }
    }

    fn answered(self: *Iocp, op: *Op, finished: *Op.Queue) void {
        assert(op.isActive());
        self.loop.active -= 1;
        op.result = if (op.state == .cancelling) sys.negative(.CANCELED) else op.attempt();
        // Somebody else was faster.
        if (op.result == sys.negative(.AGAIN)) return self.submit(op, finished);
        op.state = .finished;
        finished.push(op);
    }
};
