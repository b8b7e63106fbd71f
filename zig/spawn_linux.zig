//! spawn.zig's Linux part, by vfork, exec and pidfds.
//!
//! The child shares the caller's memory, and the calling thread sleeps, until the program is loaded or the child has failed and ended: so
//! nothing of a large process is copied, and the child leaves its error where the caller finds it. Other threads run on. Until its exec the
//! child has what only system calls change to itself: descriptors, folder, signal handlers. It makes system calls and nothing else: no
//! allocation, no lock, no thread-local. All signals are blocked meanwhile, so no handler of the caller's runs in it.

const std = @import("std");
const linux = std.os.linux;
const spawns = @import("spawn.zig");
const sys = @import("sys.zig");
const Process = spawns.Process;
const Request = spawns.Request;
const Stage = spawns.Stage;
const Status = spawns.Status;
const ignored = spawns.ignored;

pub const stack_size = 32 * 1024;

pub fn spawn(request: *const Request) spawns.Outcome {
    var start: Start = .{ .request = request };
    var pidfd: i32 = -1;
    var signals: linux.sigset_t = undefined;
    const all = linux.sigfillset();
    _ = linux.sigprocmask(linux.SIG.SETMASK, &all, &signals);
    const flags = linux.CLONE.VM | linux.CLONE.VFORK | linux.CLONE.PIDFD | @as(u32, @intFromEnum(linux.SIG.CHLD));
    const top = @intFromPtr(request.stack.ptr) + request.stack.len;
    const rc = sys.result(linux.clone(Start.main, top, flags, @intFromPtr(&start), &pidfd, 0, null));
    _ = linux.sigprocmask(linux.SIG.SETMASK, &signals, null);
    if (rc < 0) return .{ .failed = .{ .stage = .fork, .errno = rc } };
    if (start.errno == 0) return .{ .child = .{ .pid = rc, .fd = pidfd } };
    // It has ended, or is about to.
    _ = waitFor(pidfd, linux.W.EXITED);
    sys.close(pidfd);
    return .{ .failed = .{ .stage = start.stage, .errno = start.errno } };
}

/// What the child and its parent share.
const Start = struct {
    request: *const Request,
    stage: Stage = .exec,
    errno: i32 = 0,

    /// The child. It returns only when it has failed, and ends then.
    fn main(argument: usize) callconv(.c) u8 {
        const start: *volatile Start = @ptrFromInt(argument);
        const request = start.request;
        start.stage = .descriptors;
        start.errno = place(&request.descriptors);
        if (start.errno < 0) return 127;
        if (request.folder) |folder| {
            start.stage = .folder;
            start.errno = sys.result(linux.chdir(folder));
            if (start.errno < 0) return 127;
        }
        if (request.leads_session) _ = linux.setsid();
        resetSignals();
        start.stage = .exec;
        // 0 for as long as it has not failed: the caller sees it the moment that the program is loaded.
        start.errno = 0;
        start.errno = exec(request);
        return 127;
    }

    /// Puts `descriptors` at 0, 1 and 2 and keeps the program from all others.
    fn place(descriptors: *const [3]sys.fd_t) i32 {
        var sources = descriptors.*;
        var nowhere = ignored;
        // Those in the way of others first go elsewhere.
        for (&sources, 0..) |*source, i| {
            if (source.* == ignored) {
                if (nowhere == ignored) nowhere = sys.result(linux.open("/dev/null", .{ .ACCMODE = .RDWR, .CLOEXEC = true }, 0));
                if (nowhere < 0) return nowhere;
                source.* = nowhere;
            }
            if (source.* >= 3 or source.* == @as(sys.fd_t, @intCast(i))) continue;
            source.* = sys.result(linux.fcntl(source.*, linux.F.DUPFD_CLOEXEC, 3));
            if (source.* < 0) return source.*;
        }
        for (sources, 0..) |source, i| {
            const target: sys.fd_t = @intCast(i);
            // One that is in its place loses the mark; dup3 would refuse it.
            const rc = if (source == target) sys.result(linux.fcntl(target, linux.F.SETFD, 0)) else sys.result(linux.dup3(source, target, 0));
            // An inherited one that the caller does not have is missing in the child, too.
            if (rc < 0 and source != target) return rc;
        }
        // Kernels before 5.11 do not know it; there everybody's own marks have to do.
        _ = linux.close_range(3, std.math.maxInt(i32), .{ .UNSHARE = false, .CLOEXEC = true });
        return 0;
    }

    fn resetSignals() void {
        const default: [8]usize = @splat(0);
        for (1..linux.NSIG) |signal| {
            _ = linux.syscall4(.rt_sigaction, signal, @intFromPtr(&default), 0, linux.NSIG / 8);
        }
        const none = linux.sigemptyset();
        _ = linux.sigprocmask(linux.SIG.SETMASK, &none, null);
    }

    /// Why none of the paths could be executed.
    fn exec(request: *const Request) i32 {
        var why = sys.negative(.NOENT);
        for (request.paths) |path| {
            const rc = sys.result(linux.execve(path, request.arguments, request.environment));
            if (rc == sys.negative(.NOENT) or rc == sys.negative(.NOTDIR)) continue;
            why = rc;
            if (rc != sys.negative(.ACCES)) break;
        }
        return why;
    }
};

pub fn watch(process: *Process, pid: i32) i32 {
    const fd = sys.result(linux.pidfd_open(pid, 0));
    process.* = .{ .pid = pid, .fd = fd };
    return @min(fd, 0);
}

pub fn kill(process: Process, signal: u32) i32 {
    return sys.result(linux.syscall4(.pidfd_send_signal, @intCast(process.fd), signal, 0, 0));
}

pub fn reap(process: Process) ?Status {
    return waitFor(process.fd, linux.W.EXITED | linux.W.NOHANG);
}

pub fn look(process: Process) ?Status {
    return waitFor(process.fd, linux.W.EXITED | linux.W.NOHANG | linux.W.NOWAIT);
}

fn waitFor(pidfd: sys.fd_t, flags: u32) ?Status {
    var info: linux.siginfo_t = std.mem.zeroes(linux.siginfo_t);
    const rc = sys.retry(linux.waitid, .{ linux.P.PIDFD, pidfd, &info, flags, null });
    if (rc < 0) return if (sys.isReadable(pidfd)) lookPast(pidfd) else null;
    const fields = &info.fields.common;
    if (fields.first.piduid.pid == 0) return null;
    const status: u32 = @intCast(fields.second.sigchld.status);
    return if (info.code == cld_exited) status else spawns.signal_base + status;
}

const cld_exited = 1;

/// The status of a process that has ended and is no child, or was reaped already: Linux 6.15 still tells once it was reaped.
fn lookPast(pidfd: sys.fd_t) Status {
    var info: PidfdInfo = .{ .mask = PidfdInfo.exit };
    if (sys.result(linux.ioctl(pidfd, PidfdInfo.get, @intFromPtr(&info))) < 0 or info.mask & PidfdInfo.exit == 0) return spawns.unknown;
    const raw: u32 = @bitCast(info.exit_code);
    return if (raw & 0x7f == 0) raw >> 8 & 0xff else spawns.signal_base + (raw & 0x7f);
}

/// struct pidfd_info of linux/pidfd.h, as far as its first version goes.
const PidfdInfo = extern struct {
    mask: u64,
    cgroup: u64 = 0,
    ids: [11]u32 = @splat(0),
    exit_code: i32 = 0,

    const exit = 1 << 3;
    /// _IOWR(0xff, 11, struct pidfd_info)
    const get = linux.IOCTL.IOWR(0xff, 11, PidfdInfo);
};
