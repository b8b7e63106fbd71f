//! C ABI of notifications. An id names one until `notification_close`, in the whole process; it is a number that a double holds exactly.

const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Notification = @import("../io/notification.zig").Notification;
const body = @import("body.zig").exports;
const sys = @import("../sys.zig");

pub const exports = struct {
    /// A new notification's id, or 0 with the shared errno.
    pub fn notification_open(env: *Env) callconv(.c) f64 {
        const opened = Notification.open(&env.tcp_context, &env.notifications) catch
            return @floatFromInt(env.failed(sys.negative(.NOMEM)));
        return switch (opened) {
            .notification => |notification| @floatFromInt(notification.id),
            .errno => |errno| @floatFromInt(env.failed(errno)),
        };
    }

    /// 0 when it was notified since the last wait, a negative errno, or `parked`. Only on the thread that opened it.
    pub fn op_notification_wait(env: *Env, id: f64, token: u32) callconv(.c) i32 {
        const notification = Notification.of(&env.tcp_context, id) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const result = notification.start(&slot.io);
        if (result == code.parked) slot.target = .{ .listener = &notification.listeners };
        return result;
    }

    /// 0, or -EBADF when `id` names nothing open. From any thread.
    pub fn notification_notify(id: f64) callconv(.c) i32 {
        return body.notify(id);
    }

    /// Ends all waits for it with -ECANCELED. Only on the thread that opened it.
    pub fn notification_close(env: *Env, id: f64) callconv(.c) i32 {
        const notification = Notification.of(&env.tcp_context, id) orelse return code.bad_handle;
        notification.close();
        return 0;
    }
};
