//! Child: a process whose end is waited for, by a descriptor that tells: a child of ours, or any other process.
//!
//! `running -> ended`. An op watches the descriptor: for a child of ours always, so that it is reaped when it ends whether or not anybody
//! waits; for another process only while somebody does. The end wakes everybody who waits, and is kept for those who ask later.
//! `left` means that nobody will ask any more: the object goes when the process has ended. When the Env ends before a child of ours does, that
//! is left to the process (spawn.zig).
//!
//! A child owns its descriptor, until the end, and its struct.

const std = @import("std");
const assert = std.debug.assert;
const handles = @import("../handle.zig");
const spawn = @import("../spawn.zig");
const sys = @import("../sys.zig");
const Watch = @import("../loop.zig").Watch;
const IoWait = @import("op.zig").IoWait;
const Listeners = @import("listeners.zig").Listeners;
const Op = @import("op.zig").Op;
const tcp = @import("tcp.zig");
const parked = tcp.parked;

pub const Table = handles.Table(Child);

pub const Child = struct {
    context: *tcp.Context,
    table: *Table,
    handle: handles.Handle,
    process: spawn.Process,
    is_ours: bool,
    status: ?spawn.Status = null,
    left: bool = false,
    op: Op,
    watch: Watch,
    listeners: Listeners,

    /// A place for a process, before there is one. `begin` or `destroy` follows.
    pub fn create(context: *tcp.Context, table: *Table, is_ours: bool) error{OutOfMemory}!*Child {
        const self = try context.allocator.create(Child);
        errdefer context.allocator.destroy(self);
        self.* = .{
            .context = context,
            .table = table,
            .handle = undefined,
            .process = .{ .pid = 0, .fd = -1 },
            .is_ours = is_ours,
            .op = .{ .kind = .readable, .doneFn = done },
            .watch = .{ .ops = .{ &self.op, &self.op } },
            .listeners = .{ .op = &self.op, .loop = context.loop, .for_them_only = !is_ours },
        };
        self.handle = try table.add(context.allocator, self);
        return self;
    }

    /// Takes its descriptor over.
    pub fn begin(self: *Child, process: spawn.Process) void {
        self.process = process;
        self.op.fd = process.fd;
        self.context.loop.watch(&self.watch, process.fd);
        if (self.is_ours) _ = self.listen();
    }

    /// The status, a negative errno, or `parked`: then `wait` is told, later.
    pub fn start(self: *Child, wait: *IoWait) i32 {
        if (self.status == null and self.op.state == .idle) {
            const errno = self.listen();
            if (errno < 0) return errno;
        }
        if (self.status) |status| return @intCast(status);
        self.listeners.add(wait);
        return parked;
    }

    /// 0 or a negative errno. A process that has ended is never mistaken for another with its number.
    pub fn kill(self: *const Child, signal: u32) i32 {
        if (self.status != null) return sys.negative(.SRCH);
        return self.process.kill(signal);
    }

    /// Nobody will ask any more, and nobody waits. The caller must not use it again.
    pub fn leave(self: *Child) void {
        assert(!self.left and self.listeners.waiters.isEmpty());
        self.left = true;
        if (!self.is_ours) self.context.loop.cancel(&self.op);
        self.destroyIfDone();
    }

    /// The Env ends. Those who wait are told -ECANCELED.
    pub fn abandon(self: *Child) void {
        self.listeners.wakeAll(sys.negative(.CANCELED));
        self.left = true;
        self.context.loop.cancel(&self.op);
        if (self.op.state == .idle) self.giveUp();
    }

    /// Sees to it that the end is noticed: 0, or a negative errno when it cannot be. It may have come.
    fn listen(self: *Child) i32 {
        while (self.status == null and self.op.state == .idle) {
            const result = self.context.loop.start(&self.op, &self.watch) orelse return 0;
            if (result < 0) return result;
            self.collect();
        }
        return 0;
    }

    fn collect(self: *Child) void {
        const status = (if (self.is_ours) self.process.reap() else self.process.look()) orelse return;
        self.status = status;
        self.closeDescriptor();
    }

    fn closeDescriptor(self: *Child) void {
        self.context.loop.unwatch(&self.watch, self.process.fd);
        sys.close(self.process.fd);
        self.process.fd = -1;
    }

    fn done(op: *Op) void {
        const self: *Child = @fieldParentPtr("op", op);
        if (op.result >= 0) self.collect();
        if (self.status) |status| {
            self.listeners.wakeAll(@intCast(status));
        } else if (op.cancelled) {
            if (self.left) return self.giveUp();
            // Somebody has come since the last one gave up.
            if (!self.listeners.waiters.isEmpty()) self.listenOn();
        } else if (op.result < 0) {
            self.listeners.wakeAll(op.result);
        } else self.listenOn();
        if (self.left) self.destroyIfDone();
    }

    fn listenOn(self: *Child) void {
        const errno = self.listen();
        if (errno < 0) return self.listeners.wakeAll(errno);
        if (self.status) |status| self.listeners.wakeAll(@intCast(status));
    }

    fn destroyIfDone(self: *Child) void {
        assert(self.left);
        if (self.op.state != .idle) return;
        if (self.status != null) return self.destroy();
        self.giveUp();
    }

    /// Leaves a child that still runs to the process.
    fn giveUp(self: *Child) void {
        if (self.is_ours and self.status == null) {
            self.context.loop.unwatch(&self.watch, self.process.fd);
            if (self.process.reap() == null) spawn.adoptOrphan(self.process) else sys.close(self.process.fd);
        } else if (self.status == null) self.closeDescriptor();
        self.destroy();
    }

    pub fn destroy(self: *Child) void {
        assert(self.op.state == .idle and self.listeners.waiters.isEmpty());
        self.table.remove(self.handle);
        self.context.allocator.destroy(self);
    }
};

test {
    _ = @import("child_test.zig");
}
