//! File: a libxev File whose operations suspend the coroutine that calls them, or run the loop on the thread's own stack.
//!
//! On epoll and kqueue a thread of the loop's pool does them; a loop without one gives `error.ThreadPoolRequired`. What a thread does
//! cannot be ended early: a cancel waits for it.

const std = @import("std");
const backend = @import("backend.zig");
const errno = @import("errno.zig");
const jobs = @import("job.zig");
const stream = @import("stream.zig");
const Fd = backend.Fd;
const Outcome = @import("../wait.zig").Outcome;

pub fn File(comptime Aio: type) type {
    const xev = Aio.xev;

    return struct {
        exec: ?*Aio.Executor,
        file: xev.File,

        const Self = @This();

        /// `exec` null: that of the coroutine that calls, or the Env's.
        pub fn init(exec: ?*Aio.Executor, file: xev.File) Self {
            return .{ .exec = exec, .file = file };
        }

        /// Reads at the file's position and moves it. `error.EOF` at the end. Into a `.slice`: what was read into an `.array` cannot be
        /// seen.
        pub fn read(self: Self, buffer: xev.ReadBuffer) Aio.Error(Read(xev))!usize {
            return self.perform(Read(xev){ .fd = self.fd(), .buffer = buffer, .offset = null });
        }

        /// Reads at `offset`, in bytes, and leaves the file's position alone.
        pub fn pread(self: Self, buffer: xev.ReadBuffer, offset: u64) Aio.Error(Read(xev))!usize {
            return self.perform(Read(xev){ .fd = self.fd(), .buffer = buffer, .offset = offset });
        }

        /// Writes at the file's position and moves it; gives how many bytes were written, which may be fewer than there are.
        pub fn write(self: Self, buffer: xev.WriteBuffer) Aio.Error(Write(xev))!usize {
            return self.perform(Write(xev){ .fd = self.fd(), .buffer = buffer, .offset = null });
        }

        /// Writes at `offset`, in bytes, and leaves the file's position alone.
        pub fn pwrite(self: Self, buffer: xev.WriteBuffer, offset: u64) Aio.Error(Write(xev))!usize {
            return self.perform(Write(xev){ .fd = self.fd(), .buffer = buffer, .offset = offset });
        }

        /// Closes it, whatever cancels come meanwhile. Without a thread pool it is closed on the spot.
        pub fn close(self: Self) xev.CloseError!void {
            return Aio.performShielded(self.exec, Close(xev){ .fd = self.fd() });
        }

        fn fd(self: Self) Fd {
            return backend.fdOf(xev, self.file);
        }

        fn perform(self: Self, request: anytype) Outcome(@TypeOf(request)) {
            return Aio.perform(self.exec, request);
        }
    };
}

/// A job's place, where there may be one.
fn JobOf(comptime xev: type) type {
    const Api = jobs.Api(xev) orelse return void;
    return jobs.Job(Api);
}

fn JobError(comptime xev: type) type {
    return if (jobs.Api(xev) != null) jobs.StartError else error{};
}

fn Read(comptime xev: type) type {
    return struct {
        fd: Fd,
        buffer: xev.ReadBuffer,
        offset: ?u64,
        job: JobOf(xev) = undefined,

        const Self = @This();
        pub const Result = (xev.ReadError || JobError(xev))!usize;
        pub const text = "to read from a file";

        pub fn attempt(r: *Self) ?Result {
            return if (stream.isEmpty(r.buffer)) 0 else null;
        }

        pub fn canCancel(comptime api: type) bool {
            return !jobs.isNeeded(api);
        }

        pub fn begin(r: *Self, comptime api: type, loop: *api.Loop) ?Result {
            r.buffer = stream.cut(xev.ReadBuffer, r.buffer);
            if (!jobs.isNeeded(api)) return null;
            const bytes: []u8 = switch (r.buffer) {
                .slice => |slice| slice,
                .array => |*array| array,
            };
            r.job.start(loop, .{ .read = .{ .fd = r.fd, .buffer = bytes, .offset = r.offset } }) catch |err| return err;
            return null;
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            if (jobs.isNeeded(api)) return r.job.operation();
            const buffer = stream.bufferOf(api, r.buffer, "ReadBuffer");
            const offset = r.offset orelse return .{ .read = .{ .fd = r.fd, .buffer = buffer } };
            return .{ .pread = .{ .fd = r.fd, .buffer = buffer, .offset = offset } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            if (!jobs.isNeeded(api)) {
                const len = try switch (result) {
                    .pread => |value| value,
                    else => result.read,
                };
                stream.filled(r.buffer, len);
                return len;
            }
            const len = try lengthOf(xev.ReadError, r.job.finish());
            return if (len == 0) error.EOF else len;
        }
    };
}

fn Write(comptime xev: type) type {
    return struct {
        fd: Fd,
        buffer: xev.WriteBuffer,
        offset: ?u64,
        job: JobOf(xev) = undefined,

        const Self = @This();
        pub const Result = (xev.WriteError || JobError(xev))!usize;
        pub const text = "to write to a file";

        pub fn canCancel(comptime api: type) bool {
            return !jobs.isNeeded(api);
        }

        pub fn begin(r: *Self, comptime api: type, loop: *api.Loop) ?Result {
            r.buffer = stream.cut(xev.WriteBuffer, r.buffer);
            if (!jobs.isNeeded(api)) return null;
            const bytes: []const u8 = switch (r.buffer) {
                .slice => |slice| slice,
                .array => |*array| array.array[0..array.len],
            };
            r.job.start(loop, .{ .write = .{ .fd = r.fd, .buffer = bytes, .offset = r.offset } }) catch |err| return err;
            return null;
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            if (jobs.isNeeded(api)) return r.job.operation();
            const buffer = stream.bufferOf(api, r.buffer, "WriteBuffer");
            const offset = r.offset orelse return .{ .write = .{ .fd = r.fd, .buffer = buffer } };
            return .{ .pwrite = .{ .fd = r.fd, .buffer = buffer, .offset = offset } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            if (!jobs.isNeeded(api)) return switch (result) {
                .pwrite => |value| value,
                else => result.write,
            };
            return lengthOf(xev.WriteError, r.job.finish());
        }
    };
}

fn Close(comptime xev: type) type {
    return struct {
        fd: Fd,
        job: JobOf(xev) = undefined,

        const Self = @This();
        pub const Result = xev.CloseError!void;
        pub const text = "to close a file";

        pub fn begin(r: *Self, comptime api: type, loop: *api.Loop) ?Result {
            if (!jobs.isNeeded(api)) return null;
            r.job.start(loop, .{ .close = r.fd }) catch return stream.closeNow(r.fd);
            return null;
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return if (jobs.isNeeded(api)) r.job.operation() else .{ .close = .{ .fd = r.fd } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            if (!jobs.isNeeded(api)) return result.close;
            _ = r.job.finish();
        }
    };
}

fn lengthOf(comptime Set: type, rc: isize) Set!usize {
    return if (rc >= 0) @intCast(rc) else errno.toError(Set, @enumFromInt(-rc));
}
