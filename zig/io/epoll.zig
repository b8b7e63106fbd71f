//! The readiness of descriptors by epoll, for machines that refuse io_uring: one libxev `poll` completion for each, which stays armed.
//!
//! libxev faults that this routes round:
//!  * a cancelled operation is never called back: only the registration is libxev's;
//!  * removing a descriptor that is closed already is undefined behaviour there: `remove` takes it from the kernel's set itself, before the
//!    close;
//!  * its wait cuts a timeout to whole milliseconds and spins for the rest, overflows beyond 2^31 - 1 ms, and goes back to sleep
//!    after a signal, so that a terminated Worker never ended: the waiting is done here, with poll, and libxev collects.

const linux = @import("std").os.linux;
const xev = @import("xev").Epoll;
const sys = @import("../sys.zig");
const Watch = @import("readiness.zig").Watch;

pub const Epoll = struct {
    loop: xev.Loop,

    pub const Completion = xev.Completion;

    pub fn init() error{SystemResources}!Epoll {
        return .{ .loop = xev.Loop.init(.{}) catch return error.SystemResources };
    }

    pub fn deinit(self: *Epoll) void {
        self.loop.deinit();
    }

    pub fn descriptor(self: *const Epoll) sys.fd_t {
        return self.loop.fd;
    }

    /// Registers `fd`, for both directions whatever is asked for. It may be refused, for want of memory or of watches, or because a file is
    /// always ready.
    pub fn add(self: *Epoll, w: *Watch, fd: sys.fd_t) void {
        const events: u32 = linux.EPOLL.IN | linux.EPOLL.OUT | linux.EPOLL.RDHUP | linux.EPOLL.ET;
        w.completion = .{
            .op = .{ .poll = .{ .fd = fd, .events = events } },
            .userdata = w,
            .callback = onEdge,
        };
        var event: linux.epoll_event = .{ .events = events, .data = .{ .ptr = @intFromPtr(&w.completion) } };
        if (sys.result(linux.epoll_ctl(self.loop.fd, linux.EPOLL.CTL_ADD, fd, &event)) < 0) return;
        w.registered = @splat(true);
        w.completion.flags.state = .active;
        self.loop.active += 1;
    }

    pub fn remove(self: *Epoll, w: *Watch, fd: sys.fd_t) void {
        if (w.completion.flags.state != .active) return;
        _ = linux.epoll_ctl(self.loop.fd, linux.EPOLL.CTL_DEL, fd, null);
        w.completion.flags.state = .dead;
        self.loop.active -= 1;
    }

    /// Tells watches of their edges. With `wait`, sleeps until there is one, `deadline` has come, or a signal.
    pub fn collect(self: *Epoll, wait: bool, deadline: ?u64) error{SystemResources}!void {
        if (wait) sys.pollReadable(&.{self.loop.fd}, sys.millisecondsUntil(deadline));
        self.loop.run(.no_wait) catch return error.SystemResources;
    }

    fn onEdge(userdata: ?*anyopaque, _: *xev.Loop, _: *xev.Completion, _: xev.Result) xev.CallbackAction {
        const w: *Watch = @ptrCast(@alignCast(userdata.?));
        w.hadEdge();
        return .rearm;
    }
};
