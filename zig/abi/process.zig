//! C ABI of processes. A handle names a process until `process_leave`. Strings come as one text, each ended by a zero.

const std = @import("std");
const Allocator = std.mem.Allocator;
const code = @import("../code.zig");
const descriptor = @import("../io/descriptor.zig");
const spawn = @import("../spawn.zig");
const sys = @import("../sys.zig");
const tcp = @import("../io/tcp.zig");
const Child = @import("../io/child.zig").Child;
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;

/// What TypeScript asks for, and is told.
pub const Plan = extern struct {
    /// How many strings of the text are paths to try, arguments, and folders (0 or 1), in this order; how many the environment has.
    paths: u32,
    arguments: u32,
    folders: u32,
    variables: u32,
    leads_session: u32,
    stdio: [3]Given,
    /// Of the new process.
    pid: i32,
    /// Of pipes: the handles of our ends.
    streams: [3]Handle,
    /// What could not be done: a `spawn.Stage`.
    stage: u32,

    pub const Given = extern struct { kind: u32, value: i32 };
    pub const Kind = enum(u32) { ignore = 0, pipe = 1, descriptor = 2, stream = 3 };
};

pub const exports = struct {
    /// Starts a program. The process's handle, or 0 with the shared errno and the plan's stage. `plan_bytes` is a `Plan`.
    pub fn process_spawn(env: *Env, plan_bytes: [*]u8, text: [*]const u8, text_len: u32, variables: [*]const u8, variables_len: u32) callconv(.c) Handle {
        const plan: *Plan = @ptrCast(@alignCast(plan_bytes));
        plan.stage = @intFromEnum(spawn.Stage.fork);
        return start(env, plan, text[0..text_len], variables[0..variables_len]) catch env.failed(sys.negative(.NOMEM));
    }

    /// A handle for a process that others have started, or 0 with the shared errno.
    pub fn process_watch(env: *Env, pid: i32) callconv(.c) Handle {
        var process: spawn.Process = undefined;
        const rc = process.watch(pid);
        if (rc < 0) return env.failed(rc);
        const child = Child.create(&env.tcp_context, &env.children, false) catch {
            sys.close(process.fd);
            return env.failed(sys.negative(.NOMEM));
        };
        child.begin(process);
        return child.handle;
    }

    /// How it has ended (0 to 255 an exit code, 256 + n signal n, 1000 nobody knows), a negative errno, or `parked`.
    pub fn op_process_wait(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const child = env.children.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const result = child.start(&slot.io);
        if (result == code.parked) slot.target = .{ .listener = &child.listeners };
        return result;
    }

    /// Sends a signal; 0 only asks whether it runs. 0 or a negative errno.
    pub fn process_kill(env: *Env, handle: Handle, signal: u32) callconv(.c) i32 {
        const child = env.children.get(handle) orelse return code.bad_handle;
        return child.kill(signal);
    }

    /// Nobody will ask any more, and nobody waits. A child of ours goes on, and is reaped when it ends.
    pub fn process_leave(env: *Env, handle: Handle) callconv(.c) i32 {
        const child = env.children.get(handle) orelse return code.bad_handle;
        if (child.left) return code.bad_handle;
        if (!child.listeners.waiters.isEmpty()) return code.busy;
        child.leave();
        return 0;
    }
};

fn start(env: *Env, plan: *Plan, text: []const u8, variables: []const u8) !Handle {
    const allocator = env.allocator;
    var strings = try Strings.read(allocator, plan, text, variables);
    defer strings.deinit(allocator);
    const child = try Child.create(&env.tcp_context, &env.children, true);
    errdefer child.destroy();
    const stack = try env.stacks.acquire(spawn.stack_size);
    defer stack.release();

    var stdio: Stdio = .{ .env = env, .plan = plan };
    defer stdio.closeTheirs();
    const prepared = stdio.prepare();
    if (prepared < 0) {
        plan.stage = @intFromEnum(spawn.Stage.descriptors);
        return giveUp(&stdio, child, prepared);
    }
    switch (spawn.spawn(&.{
        .paths = strings.paths,
        .arguments = strings.arguments,
        .environment = strings.environment,
        .folder = strings.folder,
        .descriptors = stdio.theirs,
        .leads_session = plan.leads_session != 0,
        .stack = @alignCast(stack.memory),
    })) {
        .child => |started| {
            child.begin(started);
            plan.pid = started.pid;
            return child.handle;
        },
        .failed => |failed| {
            plan.stage = @intFromEnum(failed.stage);
            return giveUp(&stdio, child, failed.errno);
        },
    }
}

fn giveUp(stdio: *Stdio, child: *Child, errno: i32) Handle {
    stdio.closeOurs();
    child.destroy();
    return stdio.env.failed(errno);
}

/// The child's standard descriptors, and our ends of those that are pipes.
const Stdio = struct {
    env: *Env,
    plan: *Plan,
    theirs: [3]sys.fd_t = @splat(spawn.ignored),
    /// Which of `theirs` were made for the child only.
    made: [3]bool = @splat(false),

    /// 0 or a negative errno; what was made until then is kept to be closed.
    fn prepare(self: *Stdio) i32 {
        self.plan.streams = @splat(0);
        for (self.plan.stdio, 0..) |stdio, i| {
            const rc = switch (std.enums.fromInt(Plan.Kind, stdio.kind) orelse return sys.negative(.INVAL)) {
                .ignore => 0,
                .pipe => self.pipe(i),
                .descriptor => given: {
                    self.theirs[i] = stdio.value;
                    break :given 0;
                },
                .stream => self.stream(i, @bitCast(stdio.value)),
            };
            if (rc < 0) return rc;
        }
        return 0;
    }

    fn pipe(self: *Stdio, i: usize) i32 {
        var ends: [2]sys.fd_t = undefined;
        const rc = sys.pipe(&ends, false);
        if (rc < 0) return rc;
        const is_input = i == 0;
        const ours, self.theirs[i] = if (is_input) .{ ends[1], ends[0] } else .{ ends[0], ends[1] };
        self.made[i] = true;
        const terms: descriptor.Terms = .{ .readable = !is_input, .writable = is_input, .private = true };
        const opened = tcp.Socket.adoptAny(&self.env.tcp_context, ours, terms) catch {
            sys.close(ours);
            return sys.negative(.NOMEM);
        };
        if (opened == .errno) sys.close(ours);
        self.plan.streams[i] = self.env.addSocket(opened);
        return if (self.plan.streams[i] == 0) self.env.ring.shared.errno else 0;
    }

    /// A stream of ours. Programs do not expect their descriptors to be non-blocking, so the child gets one that is not.
    fn stream(self: *Stdio, i: usize, handle: Handle) i32 {
        const socket = self.env.sockets.get(handle) orelse return sys.negative(.BADF);
        const fd = descriptor.blockingCopy(socket.fd, .{ &socket.in.op.way, &socket.out.op.way });
        if (fd < 0) return fd;
        self.theirs[i] = fd;
        self.made[i] = true;
        return 0;
    }

    fn closeTheirs(self: *Stdio) void {
        for (self.theirs, self.made) |fd, made| if (made) sys.close(fd);
    }

    fn closeOurs(self: *Stdio) void {
        for (&self.plan.streams) |*handle| {
            if (handle.* != 0) _ = @import("tcp.zig").exports.tcp_close(self.env, handle.*);
            handle.* = 0;
        }
    }
};

/// The strings of a text, as exec wants them.
const Strings = struct {
    all: []?[*:0]const u8,
    paths: []const [*:0]const u8,
    arguments: spawn.Strings,
    environment: spawn.Strings,
    folder: ?[*:0]const u8,

    /// The texts must outlive it. TypeScript has counted right; text that ends early reads as empty strings.
    fn read(allocator: Allocator, plan: *const Plan, text: []const u8, variables: []const u8) Allocator.Error!Strings {
        const counts = [_]usize{ plan.paths, plan.arguments, plan.folders, plan.variables };
        var total: usize = 0;
        for (counts) |count| total += count + 1;
        const all = try allocator.alloc(?[*:0]const u8, total);
        var lists: [counts.len][]?[*:0]const u8 = undefined;
        var left = all;
        for (counts, &lists) |count, *list| {
            list.* = left[0 .. count + 1];
            left = left[count + 1 ..];
        }
        var rest = text;
        for (lists[0..3]) |list| split(&rest, list);
        rest = variables;
        split(&rest, lists[3]);
        return .{
            .all = all,
            .paths = @ptrCast(lists[0][0..counts[0]]),
            .arguments = @ptrCast(lists[1].ptr),
            .folder = lists[2][0],
            .environment = @ptrCast(lists[3].ptr),
        };
    }

    /// Fills `list` with the next strings, and ends it with a null.
    fn split(rest: *[]const u8, list: []?[*:0]const u8) void {
        for (list[0 .. list.len - 1]) |*string| {
            const end = std.mem.indexOfScalar(u8, rest.*, 0);
            string.* = if (end) |e| rest.*[0..e :0].ptr else "";
            rest.* = if (end) |e| rest.*[e + 1 ..] else rest.*[rest.len..];
        }
        list[list.len - 1] = null;
    }

    fn deinit(strings: *Strings, allocator: Allocator) void {
        allocator.free(strings.all);
    }
};
