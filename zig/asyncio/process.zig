//! Process: a libxev Process: waits for a child to end. libxev tells an exit code and the signal that ended a child by the same
//! numbers; here the system is asked.

const std = @import("std");
const builtin = @import("builtin");
const backend = @import("backend.zig");
const linux = std.os.linux;
const posix = std.posix;
const Fd = backend.Fd;
const Operation = @import("operation.zig").Operation;

pub fn Process(comptime Aio: type) type {
    const xev = Aio.xev;

    return struct {
        exec: ?*Aio.Executor,
        p: xev.Process,

        const Self = @This();
        const Request = switch (builtin.os.tag) {
            .linux => Ended(xev),
            .windows => @compileError("asyncio.Process is not there on Windows: libxev cannot cancel its wait"),
            else => Exit(xev),
        };

        /// `exec` null: that of the coroutine that calls, or the Env's. Whoever made `p` destroys it.
        pub fn init(exec: ?*Aio.Executor, p: xev.Process) Self {
            return .{ .exec = exec, .p = p };
        }

        /// Waits until the child has ended and takes its status from the system: the exit code, 0 to 255, or 128 and the number of the
        /// signal that ended it, as shells have it. `error.InvalidChild`: it is no child of this process, or its status was taken.
        pub fn wait(self: Self) Aio.Error(Request)!u32 {
            return Aio.perform(self.exec, Request.of(self.p));
        }

        /// The operation of `wait`, for `select`. The status is taken only when it is the one chosen.
        pub fn waiting(self: Self) Operation(Aio, Request) {
            return .{ .exec = self.exec, .request = .of(self.p) };
        }
    };
}

const signal_base = 128;

/// Waits on a descriptor of the process.
fn Ended(comptime xev: type) type {
    return struct {
        fd: Fd,

        const Self = @This();
        pub const Result = xev.Process.WaitError!u32;
        pub const text = "for a process to end";
        pub const event: backend.Event = .readable;

        pub fn of(p: xev.Process) Self {
            return .{ .fd = backend.fdOf(xev, p) };
        }

        pub fn descriptor(r: *Self) Fd {
            return r.fd;
        }

        pub fn attempt(r: *Self) ?Result {
            var info: linux.siginfo_t = std.mem.zeroes(linux.siginfo_t);
            switch (linux.errno(linux.waitid(.PIDFD, r.fd, &info, linux.W.EXITED | linux.W.NOHANG, null))) {
                .SUCCESS => {},
                .AGAIN, .INTR => return null,
                .CHILD => return error.InvalidChild,
                else => return error.Unexpected,
            }
            const fields = &info.fields.common;
            if (fields.first.piduid.pid == 0) return null;
            const status: u32 = @intCast(fields.second.sigchld.status);
            return if (info.code == cld_exited) status else signal_base + status;
        }

        const cld_exited = 1;
    };
}

/// Waits for kqueue to tell the process's end.
fn Exit(comptime xev: type) type {
    return struct {
        pid: posix.pid_t,

        const Self = @This();
        pub const Result = (xev.Process.WaitError || error{InvalidChild})!u32;
        pub const text = "for a process to end";

        pub fn of(p: xev.Process) Self {
            return .{ .pid = p.pid };
        }

        pub fn operation(r: *Self, comptime api: type) api.Sys.Operation {
            return .{ .proc = .{ .pid = r.pid } };
        }

        pub fn finish(r: *Self, comptime api: type, _: *api.Completion, result: api.Result) ?Result {
            _ = result.proc catch |err| return err;
            var status: c_int = 0;
            while (true) switch (posix.errno(posix.system.waitpid(r.pid, &status, 0))) {
                .SUCCESS => break,
                .INTR => continue,
                else => return error.InvalidChild,
            };
            const bits: u32 = @bitCast(status);
            return if (posix.W.IFEXITED(bits)) posix.W.EXITSTATUS(bits) else signal_base + @as(u32, @intFromEnum(posix.W.TERMSIG(bits)));
        }
    };
}
