//! Notification: a notice that one thread's waits end by. The notice belongs to the process (notice.zig), everything else to the Env.
//!
//! `open -> closing -> gone`. While somebody waits, and only then, an op watches the descriptor. Each notification that is taken ends
//! one wait, the oldest; one that finds nobody is kept for the next. A close ends all waits with -ECANCELED, and the object is gone when its
//! op has ended.

const std = @import("std");
const assert = std.debug.assert;
const notice = @import("../notice.zig");
const sys = @import("../sys.zig");
const Watch = @import("../loop.zig").Watch;
const IoWait = @import("op.zig").IoWait;
const Listeners = @import("listeners.zig").Listeners;
const Op = @import("op.zig").Op;
const tcp = @import("tcp.zig");
const parked = tcp.parked;

pub const Notification = struct {
    context: *tcp.Context,
    id: notice.Id,
    closing: bool = false,
    op: Op,
    watch: Watch,
    listeners: Listeners,
    /// All of an Env.
    list: *List,
    next: ?*Notification = null,
    previous: ?*Notification = null,

    pub const List = struct { head: ?*Notification = null };
    pub const Opened = union(enum) { notification: *Notification, errno: i32 };

    pub fn open(context: *tcp.Context, list: *List) error{OutOfMemory}!Opened {
        const self = try context.allocator.create(Notification);
        const id = switch (notice.open(self, @intFromPtr(context))) {
            .id => |id| id,
            .errno => |errno| {
                context.allocator.destroy(self);
                return .{ .errno = errno };
            },
        };
        const fd = notice.descriptorOf(id);
        self.* = .{
            .context = context,
            .id = id,
            .op = .{ .kind = .readable, .fd = fd, .doneFn = done },
            .watch = .{ .ops = .{ &self.op, &self.op } },
            .listeners = .{ .op = &self.op, .loop = context.loop, .for_them_only = true },
            .list = list,
            .next = list.head,
        };
        if (list.head) |head| head.previous = self;
        list.head = self;
        context.loop.watch(&self.watch, fd);
        return .{ .notification = self };
    }

    /// The one of this thread that `id` names.
    pub fn of(context: *tcp.Context, id: f64) ?*Notification {
        const owner = notice.ownerOf(notice.idFrom(id) orelse return null, @intFromPtr(context));
        return @ptrCast(@alignCast(owner));
    }

    /// 0 when it was notified, a negative errno, or `parked`: then `wait` is told, later.
    pub fn start(self: *Notification, wait: *IoWait) i32 {
        assert(!self.closing);
        // Those who wait already come first.
        if (self.listeners.waiters.isEmpty()) {
            if (notice.take(self.id)) return 0;
            while (self.op.state == .idle) {
                const result = self.context.loop.start(&self.op, &self.watch) orelse break;
                if (result < 0) return result;
                if (notice.take(self.id)) return 0;
            }
        }
        self.listeners.add(wait);
        return parked;
    }

    /// Ends all waits. The caller must not use it again.
    pub fn close(self: *Notification) void {
        assert(!self.closing);
        self.closing = true;
        notice.refuse(self.id);
        self.listeners.wakeAll(sys.negative(.CANCELED));
        self.context.loop.cancel(&self.op);
        self.destroyIfDone();
    }

    /// The op goes on as long as somebody waits.
    fn listen(self: *Notification) void {
        while (!self.listeners.waiters.isEmpty() and self.op.state == .idle) {
            const result = self.context.loop.start(&self.op, &self.watch) orelse return;
            self.ended(result);
        }
    }

    fn ended(self: *Notification, result: i32) void {
        if (result < 0 and result != sys.negative(.CANCELED)) return self.listeners.wakeAll(result);
        if (!self.listeners.waiters.isEmpty() and notice.take(self.id)) _ = self.listeners.wakeFirst(0);
    }

    fn done(op: *Op) void {
        const self: *Notification = @fieldParentPtr("op", op);
        if (self.closing) return self.destroyIfDone();
        self.ended(op.result);
        self.listen();
    }

    fn destroyIfDone(self: *Notification) void {
        assert(self.closing);
        if (self.op.state != .idle) return;
        self.context.loop.unwatch(&self.watch, self.op.fd);
        notice.release(self.id);
        if (self.previous) |previous| previous.next = self.next else self.list.head = self.next;
        if (self.next) |next| next.previous = self.previous;
        self.context.allocator.destroy(self);
    }
};

test {
    _ = @import("notification_test.zig");
}
