//! What readiness.zig needs of epoll, for machines that refuse io_uring: a descriptor registered once, edge-triggered for both
//! directions, as one libxev `poll` completion that stays armed. (libxev's own operations dup the descriptor, each of them.)

const linux = @import("std").os.linux;
const sys = @import("../sys.zig");

pub const xev = @import("xev").Epoll;

/// What becomes readable when a descriptor has an edge.
pub fn descriptorOf(loop: *const xev.Loop) sys.fd_t {
    return loop.fd;
}

const events: u32 = linux.EPOLL.IN | linux.EPOLL.OUT | linux.EPOLL.RDHUP | linux.EPOLL.ET;

/// What `c.op` is while `fd` is registered.
pub fn operation(fd: sys.fd_t) @FieldType(xev.Completion, "op") {
    return .{ .poll = .{ .fd = fd, .events = events } };
}

/// Has the kernel report edges of `fd` to `completion`. False: it refuses, for want of memory or of watches, or because a file is always ready.
pub fn register(loop: *xev.Loop, fd: sys.fd_t, completion: *xev.Completion) bool {
    var event: linux.epoll_event = .{ .events = events, .data = .{ .ptr = @intFromPtr(completion) } };
    return sys.result(linux.epoll_ctl(loop.fd, linux.EPOLL.CTL_ADD, fd, &event)) >= 0;
}

pub fn unregister(loop: *xev.Loop, fd: sys.fd_t) void {
    _ = linux.epoll_ctl(loop.fd, linux.EPOLL.CTL_DEL, fd, null);
}
