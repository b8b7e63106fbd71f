//! Job: a system call that blocks, made by a thread of the loop's pool, for the backends that cannot do it.
//!
//! libxev's own way is not taken: its worker looks into the completion once more after it has handed it back, by when it may be
//! gone with the coroutine's stack. Here the worker's last step is to notify an Async that only this job waits for, and it holds
//! all it needs for that.

const std = @import("std");
const builtin = @import("builtin");
const backend = @import("backend.zig");
const posix = std.posix;
const ThreadPool = @import("xev").ThreadPool;
const system = if (builtin.os.tag == .linux) std.os.linux else posix.system;

/// Whether `api` has files done by threads.
pub inline fn isNeeded(comptime api: type) bool {
    return api.backend == .epoll or api.backend == .kqueue;
}

/// The backend that may need jobs with `xev`, if any.
pub fn Api(comptime xev: type) ?type {
    if (!xev.dynamic) return if (isNeeded(xev)) xev else null;
    for (xev.candidates) |candidate| if (isNeeded(candidate.Api())) return candidate.Api();
    return null;
}

pub const StartError = error{
    /// The loop was made without one.
    ThreadPoolRequired,
    SystemResources,
};

/// For the backend `api`. It stays in place until its notification has come.
pub fn Job(comptime api: type) type {
    return struct {
        task: ThreadPool.Task = .{ .callback = work },
        call: Call = undefined,
        done: api.Async = undefined,
        /// What the call returned: >= 0, or a negative error number. Written by the worker before it notifies.
        rc: std.atomic.Value(isize) = .init(0),

        const Self = @This();

        pub const Call = union(enum) {
            read: struct { fd: posix.fd_t, buffer: []u8, offset: ?u64 },
            write: struct { fd: posix.fd_t, buffer: []const u8, offset: ?u64 },
            close: posix.fd_t,
        };

        /// Gives it to the pool; `operation` then waits for its end.
        pub fn start(job: *Self, loop: *api.Loop, call: Call) StartError!void {
            const pool = loop.thread_pool orelse return error.ThreadPoolRequired;
            job.* = .{ .call = call, .done = try newAsync() };
            pool.schedule(ThreadPool.Batch.from(&job.task));
        }

        /// libxev's own prints a trace when the system refuses it.
        fn newAsync() error{SystemResources}!api.Async {
            if (builtin.os.tag != .linux) return api.Async.init() catch return error.SystemResources;
            const EFD = std.os.linux.EFD;
            const rc = system.eventfd(0, EFD.CLOEXEC | EFD.NONBLOCK);
            return if (system.errno(rc) == .SUCCESS) .{ .fd = @intCast(rc) } else error.SystemResources;
        }

        pub fn operation(job: *Self) api.Sys.Operation {
            return backend.messageOperation(api, &job.done);
        }

        /// In the callback.
        pub fn finish(job: *Self) isize {
            job.done.deinit();
            return job.rc.load(.acquire);
        }

        fn work(task: *ThreadPool.Task) void {
            const job: *Self = @alignCast(@fieldParentPtr("task", task));
            const done = job.done;
            job.rc.store(perform(job.call), .release);
            // Whoever waits would wait for ever.
            done.notify() catch |err| std.debug.panic("cannot tell that a job of the thread pool is done: {t}", .{err});
        }

        fn perform(call: Call) isize {
            while (true) {
                const rc = switch (call) {
                    .read => |v| if (v.offset) |at| system.pread(v.fd, v.buffer.ptr, v.buffer.len, @bitCast(at)) else system.read(v.fd, v.buffer.ptr, v.buffer.len),
                    .write => |v| if (v.offset) |at| system.pwrite(v.fd, v.buffer.ptr, v.buffer.len, @bitCast(at)) else system.write(v.fd, v.buffer.ptr, v.buffer.len),
                    .close => |fd| system.close(fd),
                };
                const e = if (builtin.os.tag == .linux) std.os.linux.errno(rc) else posix.errno(rc);
                switch (e) {
                    .SUCCESS => return @intCast(rc),
                    .INTR => if (call == .close) return 0,
                    else => return -@as(isize, @intFromEnum(e)),
                }
            }
        }
    };
}
