//! spawn.zig's macOS part, by posix_spawn, which copies nothing of a large process, and EVFILT_PROC of kqueue: what stands for a
//! process's end is a kqueue of its own, readable once that has come. It tells a child's status even when somebody else has reaped it.
//!
//! posix_spawn tells why, but not which of its steps failed, so those that can be looked at are looked at.

const std = @import("std");
const c = sys.c;
const kqueue = @import("io/kqueue.zig");
const spawns = @import("spawn.zig");
const sys = @import("sys.zig");
const Process = spawns.Process;
const Request = spawns.Request;
const Status = spawns.Status;

/// The system finds its own.
pub const stack_size = 0;

pub fn spawn(request: *const Request) spawns.Outcome {
    var setup: Setup = undefined;
    const opened = setup.init(request);
    defer setup.deinit();
    if (opened < 0) return failed(.descriptors, opened);
    // Before there is a child, for which there must be one.
    const fd = kqueue.open();
    if (fd < 0) return failed(.fork, fd);
    var pid: c.pid_t = undefined;
    const rc = setup.start(&pid);
    if (rc == 0) {
        const process: Process = .{ .pid = pid, .fd = fd };
        watchEnd(process);
        return .{ .child = process };
    }
    sys.close(fd);
    if (request.folder) |folder| {
        const there = sys.retry(c.open, .{ folder, c.O{ .DIRECTORY = true, .CLOEXEC = true } });
        if (there < 0) return failed(.folder, there);
        sys.close(there);
    }
    return failed(if (rc == sys.negative(.AGAIN)) .fork else .exec, rc);
}

fn failed(stage: spawns.Stage, errno: i32) spawns.Outcome {
    return .{ .failed = .{ .stage = stage, .errno = errno } };
}

extern "c" fn posix_spawnattr_setsigdefault(attributes: *c.posix_spawnattr_t, signals: *const c.sigset_t) c_int;
extern "c" fn posix_spawnattr_setsigmask(attributes: *c.posix_spawnattr_t, signals: *const c.sigset_t) c_int;

/// What posix_spawn is told.
const Setup = struct {
    request: *const Request,
    attributes: c.posix_spawnattr_t,
    actions: c.posix_spawn_file_actions_t,
    has_attributes: bool = false,
    has_actions: bool = false,
    /// Copies of descriptors that stood in the way of others.
    moved: [3]sys.fd_t = @splat(-1),

    /// 0 or a negative errno; `deinit` is due either way.
    fn init(setup: *Setup, request: *const Request) i32 {
        setup.* = .{ .request = request, .attributes = undefined, .actions = undefined };
        var rc = c.posix_spawnattr_init(&setup.attributes);
        if (rc != 0) return -rc;
        setup.has_attributes = true;
        rc = c.posix_spawn_file_actions_init(&setup.actions);
        if (rc != 0) return -rc;
        setup.has_actions = true;
        rc = setup.setAttributes();
        if (rc != 0) return -rc;
        return setup.place();
    }

    fn deinit(setup: *Setup) void {
        if (setup.has_actions) _ = c.posix_spawn_file_actions_destroy(&setup.actions);
        if (setup.has_attributes) _ = c.posix_spawnattr_destroy(&setup.attributes);
        for (setup.moved) |fd| if (fd >= 0) sys.close(fd);
    }

    fn setAttributes(setup: *Setup) c_int {
        var rc = c.posix_spawnattr_setflags(&setup.attributes, .{
            .SETSIGDEF = true,
            .SETSIGMASK = true,
            .CLOEXEC_DEFAULT = true,
            .SETSID = setup.request.leads_session,
        });
        var handled: sys.SignalSet = .all;
        for ([_]c.SIG{ .KILL, .STOP }) |never| handled.remove(never);
        if (rc == 0) rc = posix_spawnattr_setsigdefault(&setup.attributes, &handled.set);
        if (rc == 0) rc = posix_spawnattr_setsigmask(&setup.attributes, &sys.SignalSet.none.set);
        if (setup.request.folder) |folder| if (rc == 0) {
            rc = c.posix_spawn_file_actions_addchdir_np(&setup.actions, folder);
        };
        return rc;
    }

    /// Puts the request's descriptors at 0, 1 and 2.
    fn place(setup: *Setup) i32 {
        var sources = setup.request.descriptors;
        // Those in the way of others first go elsewhere.
        for (&sources, &setup.moved, 0..) |*source, *moved, i| {
            if (source.* == spawns.ignored or source.* >= 3 or source.* == @as(sys.fd_t, @intCast(i))) continue;
            moved.* = sys.duplicate(source.*);
            if (moved.* < 0) return moved.*;
            source.* = moved.*;
        }
        for (sources, 0..) |source, i| {
            const target: sys.fd_t = @intCast(i);
            const is_open = source == spawns.ignored or sys.flagsOf(source) != null;
            // An inherited one that the caller does not have is missing in the child, too.
            if (!is_open and source == target) continue;
            if (!is_open) return sys.negative(.BADF);
            const rc = if (source == spawns.ignored)
                c.posix_spawn_file_actions_addopen(&setup.actions, target, "/dev/null", @bitCast(c.O{ .ACCMODE = .RDWR }), 0)
            else if (source == target)
                c.posix_spawn_file_actions_addinherit_np(&setup.actions, target)
            else
                c.posix_spawn_file_actions_adddup2(&setup.actions, source, target);
            if (rc != 0) return -rc;
        }
        return 0;
    }

    /// 0, or why none of the paths could be executed.
    fn start(setup: *Setup, pid: *c.pid_t) i32 {
        const request = setup.request;
        var why = sys.negative(.NOENT);
        for (request.paths) |path| {
            const rc = -c.posix_spawn(pid, path, &setup.actions, &setup.attributes, request.arguments, request.environment);
            if (rc == 0) return 0;
            if (rc == sys.negative(.NOENT) or rc == sys.negative(.NOTDIR)) continue;
            why = rc;
            if (rc != sys.negative(.ACCES)) break;
        }
        return why;
    }
};

const note_exit = 0x8000_0000;
/// With the status, of a child only.
const note_exit_status = 0x0400_0000;
const note_trigger = 0x0100_0000;

/// Has the kqueue of `process`, a child or whoever it was made for, tell of the end. It may have come.
fn watchEnd(process: Process) void {
    for ([_]u32{ note_exit | note_exit_status, note_exit }) |notes| {
        if (change(process, .process, notes) == 0) return;
    }
    // A zombie. No event will come, so one is made.
    _ = change(process, kqueue.Event.Filter.user, 0);
    _ = change(process, kqueue.Event.Filter.user, note_trigger);
}

fn change(process: Process, filter: kqueue.Event.Filter, notes: u32) i32 {
    return kqueue.change(process.fd, .{ .ident = @intCast(process.pid), .filter = filter, .flags = .{ .add = true, .one_shot = true }, .details = notes });
}

pub fn watch(process: *Process, pid: i32) i32 {
    // One that may not be signalled is there, too.
    const there = sys.result(c.kill(pid, @enumFromInt(0)));
    if (there < 0 and there != sys.negative(.PERM)) return there;
    const fd = kqueue.open();
    if (fd < 0) return fd;
    process.* = .{ .pid = pid, .fd = fd };
    watchEnd(process.*);
    return 0;
}

/// The number is another's once the process has been reaped, which its kqueue has told by then.
pub fn kill(process: Process, signal: u32) i32 {
    if (sys.isReadable(process.fd)) return sys.negative(.SRCH);
    return sys.result(c.kill(process.pid, @enumFromInt(signal)));
}

pub fn reap(process: Process) ?Status {
    var status: c_int = 0;
    const rc = sys.retry(c.waitpid, .{ process.pid, &status, c.W.NOHANG });
    if (rc == 0) return null;
    return if (rc > 0) statusOf(status) else spawns.unknown;
}

pub fn look(process: Process) ?Status {
    var events: [1]kqueue.Event = undefined;
    const count = kqueue.take(process.fd, &events, 0);
    if (count == 1 and events[0].filter == .process and events[0].details & note_exit_status != 0) {
        return statusOf(@truncate(events[0].data));
    }
    // A child that nobody has reaped yet.
    var info: c.siginfo_t = std.mem.zeroes(c.siginfo_t);
    const by_pid = 1;
    const rc = sys.retry(waitid, .{ by_pid, @as(c_uint, @intCast(process.pid)), &info, w_exited | w_nohang | w_nowait });
    if (rc == 0 and info.pid != 0) {
        const status: u32 = @intCast(info.status & 0xff);
        return if (info.code == cld_exited) status else spawns.signal_base + status;
    }
    return if (count == 1) spawns.unknown else null;
}

extern "c" fn waitid(kind: c_uint, id: c_uint, info: *c.siginfo_t, options: c_int) c_int;
const w_nohang = 1;
const w_exited = 4;
const w_nowait = 0x20;
const cld_exited = 1;

fn statusOf(raw: c_int) Status {
    const bits: u32 = @bitCast(raw);
    return if (bits & 0x7f == 0) bits >> 8 & 0xff else spawns.signal_base + (bits & 0x7f);
}
