//! Tests of spawn: how programs end and are told about, what they start with, and why they do not start.

const std = @import("std");
const builtin = @import("builtin");
const testing = std.testing;
const sanitizer = @import("sanitizer.zig");
const sys = @import("sys.zig");
const c = sys.c;
const spawn = @import("spawn.zig");
const openDescriptors = @import("io/tcp_test.zig").openDescriptors;

var stack: [spawn.stack_size]u8 align(16) = undefined;

/// Valgrind and qemu make a fork of it, with memory of its own: there errors are not told, and exit codes are.
pub fn isEmulated() bool {
    return sanitizer.underValgrind() or (builtin.os.tag == .linux and builtin.cpu.arch != .x86_64 and isQemu());
}

fn isQemu() bool {
    // qemu-user answers io_uring_setup with ENOSYS whatever the kernel is.
    return sys.result(c.io_uring_setup(0, @ptrFromInt(16))) == sys.negative(.NOSYS);
}

/// Whether this process has a child of that number (-1: any) that nobody has reaped.
pub fn isChild(pid: i32) bool {
    var status: u32 = undefined;
    return sys.result(c.waitpid(pid, @ptrCast(&status), c.W.NOHANG)) != sys.negative(.CHILD);
}

pub fn shell(script: [*:0]const u8, descriptors: [3]sys.fd_t) spawn.Outcome {
    const arguments = [_:null]?[*:0]const u8{ "sh", "-c", script };
    const environment = [_:null]?[*:0]const u8{"PATH=/bin:/usr/bin"};
    return spawn.spawn(&.{
        .paths = &.{ "/nowhere/sh", "/bin/sh" },
        .arguments = &arguments,
        .environment = &environment,
        .descriptors = descriptors,
        .stack = &stack,
    });
}

fn ended(outcome: spawn.Outcome) !spawn.Status {
    const child = switch (outcome) {
        .child => |child| child,
        .failed => |failed| {
            std.debug.print("{t}: errno {d}\n", .{ failed.stage, failed.errno });
            return error.NotStarted;
        },
    };
    defer sys.close(child.fd);
    while (!sys.isReadable(child.fd)) sys.pollReadable(&.{child.fd}, -1);
    const status = child.look().?;
    try testing.expectEqual(status, child.reap().?);
    return status;
}

const nothing: [3]sys.fd_t = @splat(spawn.ignored);

test "exit codes and signals are told apart" {
    if (isEmulated()) return error.SkipZigTest;
    const before = openDescriptors();
    try testing.expectEqual(0, try ended(shell("exit 0", nothing)));
    try testing.expectEqual(9, try ended(shell("exit 9", nothing)));
    try testing.expectEqual(255, try ended(shell("exit 255", nothing)));
    try testing.expectEqual(spawn.signal_base + 9, try ended(shell("kill -KILL $$", nothing)));
    try testing.expectEqual(spawn.signal_base + 13, try ended(shell("kill -PIPE $$", nothing)));
    try testing.expectEqual(before, openDescriptors());
}

/// What the script writes to its output.
fn output(script: [*:0]const u8, buffer: []u8) ![]u8 {
    var ends: [2]sys.fd_t = undefined;
    try testing.expectEqual(0, sys.pipe(&ends, false));
    const outcome = shell(script, .{ spawn.ignored, ends[1], ends[1] });
    sys.close(ends[1]);
    defer sys.close(ends[0]);
    var n: usize = 0;
    while (true) {
        const got = sys.retry(c.read, .{ ends[0], buffer.ptr + n, buffer.len - n });
        if (got <= 0) break;
        n += @intCast(got);
    }
    try testing.expectEqual(0, try ended(outcome));
    return buffer[0..n];
}

test "a program starts with three descriptors, default actions and no signal blocked" {
    if (builtin.os.tag != .linux or isEmulated()) return error.SkipZigTest;
    // One that somebody forgot to mark, and a signal that this process ignores and blocks.
    const forgotten = sys.result(c.dup(0));
    defer sys.close(forgotten);
    const ignore: c.Sigaction = .{ .handler = .{ .handler = c.SIG.IGN }, .mask = sys.SignalSet.none.set, .flags = 0 };
    var action: c.Sigaction = undefined;
    _ = sys.sigaction(.USR2, &ignore, &action);
    defer _ = sys.sigaction(.USR2, &action, null);
    var set: sys.SignalSet = .none;
    set.add(.USR2);
    const mask = sys.setMask(&set);
    defer _ = sys.setMask(&mask);
    var buffer: [4096]u8 = undefined;
    const script = "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; readlink /proc/self/fd/0";
    const text = try output(script, &buffer);
    // ls has one more, for the folder.
    try testing.expectEqualStrings("0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n/dev/null\n", text);
    // The caller's own are as they were.
    const now = sys.setMask(&set);
    try testing.expect(now.has(.USR2));
}

test "descriptors may be given in any order, and none to several" {
    if (isEmulated()) return error.SkipZigTest;
    var buffer: [64]u8 = undefined;
    // The shell's own: 2 becomes what 1 is, which is the pipe.
    try testing.expectEqualStrings("a\nb\n", try output("echo a; echo b >&2", &buffer));
    // Swapped ones of this process: a child whose output is our error descriptor and the other way round still starts.
    try testing.expectEqual(0, try ended(shell("exit 0", .{ 2, 0, 1 })));
    try testing.expectEqual(0, try ended(shell("exit 0", .{ 1, 1, 1 })));
}

test "what cannot start says why, leaves no process and no descriptor" {
    if (isEmulated()) return error.SkipZigTest;
    const before = openDescriptors();
    const one = [_:null]?[*:0]const u8{"x"};
    var huge: [256 << 10:0]u8 = @splat('x');
    const too_long = [_:null]?[*:0]const u8{&huge};
    const Case = struct { stage: spawn.Stage, errno: sys.E, request: spawn.Request };
    const base: spawn.Request = .{ .paths = &.{"/bin/true"}, .arguments = &one, .environment = &one, .descriptors = nothing, .stack = &stack };
    var cases: [6]Case = @splat(.{ .stage = .exec, .errno = .NOENT, .request = base });
    cases[0].request.paths = &.{ "/nowhere/x", "/etc/passwd/x" };
    cases[1].errno = .ACCES;
    cases[1].request.paths = &.{ "/etc/passwd", "/nowhere/x" };
    cases[2].errno = .@"2BIG";
    cases[2].request.arguments = &too_long;
    cases[3].stage = .folder;
    cases[3].request.folder = "/nowhere";
    cases[4].stage = .descriptors;
    cases[4].errno = .BADF;
    cases[4].request.descriptors = .{ spawn.ignored, 4000, spawn.ignored };
    cases[5].request.paths = &.{};
    for (cases) |case| {
        const failed = spawn.spawn(&case.request).failed;
        try testing.expectEqual(case.stage, failed.stage);
        try testing.expectEqual(sys.negative(case.errno), failed.errno);
    }
    try testing.expectEqual(before, openDescriptors());
    try testing.expect(!isChild(-1));
}

test "children that nobody waits for any more are reaped with a later start" {
    if (isEmulated()) return error.SkipZigTest;
    const before = openDescriptors();
    const child = shell("exit 3", nothing).child;
    while (!sys.isReadable(child.fd)) sys.pollReadable(&.{child.fd}, -1);
    spawn.adoptOrphan(child);
    spawn.reapOrphans();
    try testing.expectEqual(before, openDescriptors());
    try testing.expect(!isChild(child.pid));
}
