//! Overflow: a coroutine that runs into the guard below its stack ends the process with one line on stderr that names it:
//!
//!     zigcoro: coroutine "pump 17" overflowed its 16384-byte stack at a depth of 16408 bytes; give it more with { stack: 32768 }
//!
//! A handler for SIGSEGV and SIGBUS asks whether the fault lies in a guard of ours, below the stack that the thread runs on.
//! If so it reports and aborts. Every other fault goes to the handler that was there before, as if ours were not: in Bun that
//! is JavaScriptCore's (its WebAssembly bounds checks are such faults) or the crash reporter's. The handler is installed when
//! the first guarded stack of the process is made, and stays.
//!
//! Inside the handler: reads of memory, `write`, `sigaction` and `abort`, nothing else. No allocation, no lock, no thread-local.
//!
//! Known limit: a function whose frame is larger than a page and that does not touch its pages in order may jump over the
//! guard, and is told of only if it suspends there. Zig and the usual C compilers touch them in order; TinyCC does not.

const std = @import("std");
const builtin = @import("builtin");
const posix = std.posix;
const Coro = @import("coro.zig").Coro;
const stacks = @import("stack.zig");
const Pool = stacks.Pool;

/// Elsewhere an overflow still stops at the guard, without a report.
const is_supported = switch (builtin.os.tag) {
    .linux => switch (builtin.cpu.arch) {
        .x86_64, .x86, .aarch64, .arm, .riscv64, .loongarch64 => true,
        else => false,
    },
    .macos => true,
    else => false,
};

/// What a pool keeps for the handler to find it.
pub const Watch = struct {
    next: std.atomic.Value(?*Pool) = .init(null),
    is_on: bool = false,
};

/// Pools with guards. Changed under `lock`, read by handlers, which count themselves in `readers` meanwhile.
var pools: std.atomic.Value(?*Pool) = .init(null);
var readers: std.atomic.Value(u32) = .init(0);
var lock: std.atomic.Value(bool) = .init(false);
var is_installed = false;

/// From now on overflows into the guards of `pool` are reported. Called by the thread that the pool belongs to.
pub fn watch(pool: *Pool) void {
    if (!is_supported) return;
    while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    defer lock.store(false, .release);
    alternate.enter();
    if (!is_installed) install();
    pool.watch.next.store(pools.load(.seq_cst), .seq_cst);
    pool.watch.is_on = true;
    pools.store(pool, .seq_cst);
}

/// Returns when no handler looks at `pool` any more, so that its memory may go.
pub fn unwatch(pool: *Pool) void {
    if (!is_supported or !pool.watch.is_on) return;
    while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
    var link = &pools;
    while (link.load(.seq_cst)) |at| : (link = &at.watch.next) {
        if (at != pool) continue;
        link.store(pool.watch.next.load(.seq_cst), .seq_cst);
        break;
    }
    pool.watch.is_on = false;
    alternate.leave();
    lock.store(false, .release);
    settle();
}

/// Returns when no handler looks at what was taken out of the lists before.
pub fn settle() void {
    while (readers.load(.seq_cst) != 0) std.atomic.spinLoopHint();
}

fn stackAbove(address: usize) ?stacks.Stack {
    var next = pools.load(.seq_cst);
    while (next) |pool| : (next = pool.watch.next.load(.seq_cst)) {
        if (pool.stackAboveGuard(address)) |stack| return stack;
    }
    return null;
}

/// Writes the line about `co`, which is active, and aborts. `address`: where it was, below its stack, or anywhere in it when only its
/// canary tells that it has been out. Fit for a signal handler.
pub fn end(co: *const Coro, address: usize) noreturn {
    var buffer: [256]u8 = undefined;
    var line: std.Io.Writer = .fixed(&buffer);
    describe(&line, co, address) catch {}; // cannot be: a name is at most 31 bytes
    writeError(line.buffered());
    // The line says it all. A host's crash reporter would call it a fault of the host's.
    if (is_supported) sigaction(.ABRT, &defaultAction(), null);
    std.process.abort();
}

fn describe(line: *std.Io.Writer, co: *const Coro, address: usize) std.Io.Writer.Error!void {
    const low = @intFromPtr(co.stack.memory.ptr);
    const size = co.stack.memory.len;
    try line.writeAll("zigcoro: coroutine \"");
    for (co.name()) |byte| try line.writeByte(if (byte < ' ' or byte == 0x7f) '?' else byte);
    const is_seen = address < low;
    try line.print("\" overflowed its {d}-byte stack at a depth of {d} bytes{s}", .{
        size,
        if (is_seen) low + size - address else size,
        if (is_seen) "" else " or more",
    });
    const resumers = co.depth();
    if (resumers > 0) try line.print(", {d} coroutines deep", .{resumers + 1});
    if (size < stacks.max_size) {
        try line.print("; give it more with {{ stack: {d} }}\n", .{size * 2});
    } else {
        try line.writeAll("; there is no larger one\n");
    }
}

fn writeError(bytes: []const u8) void {
    if (builtin.os.tag == .windows) return std.debug.print("{s}", .{bytes});
    _ = posix.system.write(2, bytes.ptr, bytes.len);
}

// ---------------------------------------------------------------------------------------------------------------------
// Signals
// ---------------------------------------------------------------------------------------------------------------------

const signals = [_]posix.SIG{ .SEGV, .BUS };

/// Past the C library where that can be: ThreadSanitizer takes calls of it to wrap the handler, and its own, to which this one hands
/// over, then fails for being called from a wrapped one.
const direct = if (builtin.os.tag == .linux) std.os.linux else posix;
const Sigaction = direct.Sigaction;

fn sigaction(signal: posix.SIG, new: ?*const Sigaction, old: ?*Sigaction) void {
    if (builtin.os.tag != .linux) return posix.sigaction(signal, new, old);
    std.debug.assert(direct.errno(direct.sigaction(signal, new, old)) == .SUCCESS);
}

/// What was there before ours, by index in `signals`.
var previous: [signals.len]Sigaction = undefined;

fn install() void {
    is_installed = true;
    for (signals, &previous) |signal, *before| {
        sigaction(signal, null, before);
        sigaction(signal, &.{
            .handler = .{ .sigaction = handle },
            .mask = before.mask,
            // Those of the old one that say how it is run, so that it finds what it expects.
            .flags = posix.SA.SIGINFO | posix.SA.ONSTACK | (before.flags & (posix.SA.NODEFER | posix.SA.RESTART)),
        }, null);
    }
}

fn handle(signal: posix.SIG, info: *const posix.siginfo_t, context: ?*anyopaque) callconv(.c) void {
    // Sent by a process, it carries no address.
    if (info.code > 0) {
        _ = readers.fetchAdd(1, .seq_cst);
        if (findOverflow(faultAddress(info), context)) |co| end(co, faultAddress(info));
        _ = readers.fetchSub(1, .seq_cst);
    }
    const index: usize = if (signal == signals[0]) 0 else 1;
    handOver(&previous[index], signal, info, context);
}

/// The coroutine whose guard was hit by the code that ran on its stack.
fn findOverflow(address: usize, context: ?*anyopaque) ?*Coro {
    const stack = stackAbove(address) orelse return null;
    const sp = stackPointer(context) orelse return null;
    // A large frame moves the stack pointer far below the guard before the first access.
    if (sp >= stack.top() or sp < address -| stacks.max_size) return null;
    return Coro.onStack(&stack);
}

fn defaultAction() Sigaction {
    return .{ .handler = .{ .handler = posix.SIG.DFL }, .mask = direct.sigemptyset(), .flags = 0 };
}

fn handOver(before: *Sigaction, signal: posix.SIG, info: *const posix.siginfo_t, context: ?*anyopaque) void {
    const action = before.*;
    const handler = action.handler.handler;
    if (handler == posix.SIG.IGN and info.code <= 0) return;
    if (handler == posix.SIG.DFL or handler == posix.SIG.IGN) {
        // The access is made again and the system ends the process; a signal that was sent has to be sent again.
        sigaction(signal, &defaultAction(), null);
        if (info.code <= 0) raise(signal);
        return;
    }
    if (action.flags & posix.SA.RESETHAND != 0) {
        sigaction(signal, &defaultAction(), null);
        before.* = defaultAction();
    }
    if (action.flags & posix.SA.SIGINFO != 0) {
        action.handler.sigaction.?(signal, info, context);
    } else {
        handler.?(signal);
    }
}

/// Delivered when the handler returns.
fn raise(signal: posix.SIG) void {
    if (builtin.os.tag == .linux) {
        const linux = std.os.linux;
        _ = linux.tgkill(linux.getpid(), linux.gettid(), signal);
    } else {
        _ = std.c.raise(signal);
    }
}

fn faultAddress(info: *const posix.siginfo_t) usize {
    return switch (builtin.os.tag) {
        .linux => @intFromPtr(info.fields.sigfault.addr),
        else => @intFromPtr(info.addr),
    };
}

/// Of the code that faulted.
fn stackPointer(context: ?*anyopaque) ?usize {
    const registers = std.debug.cpu_context.fromPosixSignalContext(context) orelse return null;
    return switch (builtin.cpu.arch) {
        .x86_64 => registers.gprs.get(.rsp),
        .aarch64 => registers.sp,
        .riscv64 => registers.x[2],
        .x86 => registers.gprs.get(.esp),
        .arm => registers.r[13],
        .loongarch64 => registers.r[3],
        else => comptime unreachable,
    };
}

/// A stack for the handler, which cannot run on the one that overflowed. Bun's threads and Zig's have one already.
const alternate = struct {
    threadlocal var memory: ?[]align(std.heap.page_size_min) u8 = null;
    threadlocal var users: u32 = 0;

    /// Lazily committed, and as large as a handler needs that prints a trace.
    const size = 256 * 1024;

    fn enter() void {
        users += 1;
        if (users > 1) return;
        var current: posix.stack_t = undefined;
        posix.sigaltstack(null, &current) catch return;
        if (current.flags & posix.system.SS.DISABLE == 0) return;
        const new = posix.mmap(null, size, .{ .READ = true, .WRITE = true }, .{ .TYPE = .PRIVATE, .ANONYMOUS = true }, -1, 0) catch return;
        posix.sigaltstack(&.{ .sp = new.ptr, .flags = 0, .size = size }, null) catch return posix.munmap(new);
        memory = new;
    }

    fn leave() void {
        users -|= 1;
        if (users > 0) return;
        const old = memory orelse return;
        memory = null;
        var current: posix.stack_t = undefined;
        posix.sigaltstack(null, &current) catch return;
        if (current.sp == old.ptr) {
            posix.sigaltstack(&.{ .sp = old.ptr, .flags = posix.system.SS.DISABLE, .size = size }, null) catch return;
        }
        posix.munmap(old);
    }
};

// The tests are child processes.

const child_process = @import("child.zig");
const testing = std.testing;

const Scene = struct {
    var pool: Pool = .{};

    fn run(entry: Coro.Entry, size: usize, name: []const u8) !void {
        const co: *Coro = try .init(&pool, size, entry, null, name);
        co.@"resume"();
    }

    fn recurse(_: *Coro) void {
        _ = descend(1);
    }

    noinline fn descend(depth: usize) usize {
        var bytes: [100]u8 = undefined;
        std.mem.doNotOptimizeAway(&bytes);
        return if (depth == 0) 0 else descend(depth + 1) +% bytes[depth % bytes.len];
    }

    fn overflows() anyerror!void {
        try run(recurse, 64 * 1024, "pump 17");
    }

    fn overflowsTheLargest() anyerror!void {
        try run(recurse, stacks.max_size, "tab\there");
    }

    /// A guard of mprotect's, in the middle of a slab, below a coroutine that another one resumed.
    fn overflowsDeep() anyerror!void {
        pool.best_guard = .protected;
        for (0..5) |_| _ = try pool.acquire(64 * 1024);
        try run(resumeOther, 64 * 1024, "outer");
    }

    fn resumeOther(_: *Coro) void {
        run(recurse, 64 * 1024, "inner") catch {}; // as large as a page anywhere
    }

    fn overflowsOnThread() anyerror!void {
        const thread: std.Thread = try .spawn(.{}, overflows, .{});
        thread.join();
    }

    /// As in a thread of a host that set none up.
    fn overflowsWithoutSignalStack() anyerror!void {
        alternate.users = 0;
        var none: posix.stack_t = undefined;
        try posix.sigaltstack(null, &none);
        none.flags = posix.system.SS.DISABLE;
        try posix.sigaltstack(&none, null);
        try overflows();
    }

    fn breaksCanary() anyerror!void {
        const memory = try stacks.Stack.fromAllocator(testing.allocator, 64 * 1024);
        const co = try Coro.place(memory, overwrite, null, "pump 17", 0);
        co.@"resume"();
    }

    fn overwrite(co: *Coro) void {
        @memset(co.stack.memory[0..64], 1);
        co.@"suspend"();
    }
};

/// Expects the report: `before`, a depth of at least `least` bytes and at most that and a few pages, `after`.
fn expectReport(comptime func: fn () anyerror!void, before: []const u8, least: usize, after: []const u8) !void {
    if (!is_supported) return error.SkipZigTest;
    var buffer: [1024]u8 = undefined;
    const ended = try child_process.run(func, &buffer);
    errdefer std.debug.print("expected \"{s} at a depth of ... bytes{s}\", got {f}\n", .{ before, after, ended });
    try testing.expectEqual(.ABRT, ended.signal);
    const cut = std.mem.find(u8, ended.err, " at a depth of ") orelse return error.NoDepth;
    try testing.expectEqualStrings(before, ended.err[0..cut]);
    const rest = ended.err[cut + " at a depth of ".len ..];
    const number = std.mem.find(u8, rest, " bytes") orelse return error.NoDepth;
    const depth = try std.fmt.parseInt(usize, rest[0..number], 10);
    try testing.expect(depth >= least and depth <= least + 4 * std.heap.page_size_max);
    // An emulator adds a line of its own.
    const tail = rest[number + " bytes".len ..];
    try testing.expect(std.mem.startsWith(u8, tail, after));
    try testing.expect(tail.len == after.len or std.mem.startsWith(u8, tail[after.len..], "qemu: "));
}

fn expectEnd(comptime func: fn () anyerror!void, signal: ?posix.SIG, err: []const u8) !void {
    if (!is_supported) return error.SkipZigTest;
    var buffer: [1024]u8 = undefined;
    const ended = try child_process.run(func, &buffer);
    // An emulator adds a line of its own.
    const begins = std.mem.startsWith(u8, ended.err, err);
    const rest = if (begins) ended.err[err.len..] else "";
    if (ended.signal == signal and ended.code == 0 and begins and (rest.len == 0 or std.mem.startsWith(u8, rest, "qemu: "))) return;
    std.debug.print("expected {any} and \"{s}\", got {f}\n", .{ signal, err, ended });
    return error.TestUnexpectedResult;
}

test "an overflow ends the process with one line that names the coroutine, its stack and how deep it came" {
    const pump_17 = "zigcoro: coroutine \"pump 17\" overflowed its 65536-byte stack";
    const more = "; give it more with { stack: 131072 }\n";
    try expectReport(Scene.overflows, pump_17, 65536, more);
    try expectReport(Scene.overflowsWithoutSignalStack, pump_17, 65536, more);
    try expectReport(Scene.breaksCanary, pump_17, 65536, " or more" ++ more);
    try expectReport(Scene.overflowsDeep, "zigcoro: coroutine \"inner\" overflowed its 65536-byte stack", 65536, ", 2 coroutines deep; give it more with { stack: 131072 }\n");
    try expectReport(Scene.overflowsTheLargest, "zigcoro: coroutine \"tab?here\" overflowed its 8388608-byte stack", 8388608, "; there is no larger one\n");
    if (!builtin.single_threaded) try expectReport(Scene.overflowsOnThread, pump_17, 65536, more);
}

const Handed = struct {
    var page: []align(std.heap.page_size_min) u8 = undefined;
    var calls: u32 = 0;

    /// As if this process had made no guarded stack yet and `handler` were there.
    fn setUp(handler: @FieldType(posix.Sigaction, "handler"), flags: c_uint) !void {
        is_installed = false;
        for (signals) |signal| posix.sigaction(signal, &.{ .handler = handler, .mask = posix.sigemptyset(), .flags = flags }, null);
        page = try posix.mmap(null, std.heap.pageSize(), .{}, .{ .TYPE = .PRIVATE, .ANONYMOUS = true }, -1, 0);
        _ = try Scene.pool.acquire(4096);
    }

    /// As a host does that catches some faults: makes the page accessible, and the access goes on.
    fn repair(_: posix.SIG, info: *const posix.siginfo_t, _: ?*anyopaque) callconv(.c) void {
        calls += 1;
        if (faultAddress(info) != @intFromPtr(page.ptr)) std.process.abort();
        const rc = std.os.linux.mprotect(page.ptr, page.len, .{ .READ = true, .WRITE = true });
        if (std.os.linux.errno(rc) != .SUCCESS) std.process.abort();
    }

    fn repairWithoutInfo(_: posix.SIG) callconv(.c) void {
        calls += 1;
        _ = std.os.linux.mprotect(page.ptr, page.len, .{ .READ = true, .WRITE = true });
    }

    fn touch() void {
        @as(*volatile u8, &page[0]).* = 7;
    }

    fn repaired() anyerror!void {
        try setUp(.{ .sigaction = repair }, posix.SA.SIGINFO);
        touch();
        if (calls != 1 or page[0] != 7) return error.Unexpected;
    }

    fn repairedInCoroutine() anyerror!void {
        try setUp(.{ .sigaction = repair }, posix.SA.SIGINFO);
        try Scene.run(touchInside, 16 * 1024, "toucher");
        if (calls != 1 or page[0] != 7) return error.Unexpected;
    }

    fn touchInside(_: *Coro) void {
        touch();
    }

    fn repairedWithoutInfo() anyerror!void {
        try setUp(.{ .handler = repairWithoutInfo }, posix.SA.RESETHAND);
        touch();
        if (calls != 1 or page[0] != 7) return error.Unexpected;
        // It was to be called once only.
        _ = std.os.linux.mprotect(page.ptr, page.len, .{});
        touch();
    }

    /// Zig's own handler of faults is such a one.
    fn repairedOnce() anyerror!void {
        try setUp(.{ .sigaction = repair }, posix.SA.SIGINFO | posix.SA.RESETHAND);
        touch();
        if (calls != 1 or page[0] != 7) return error.Unexpected;
        _ = std.os.linux.mprotect(page.ptr, page.len, .{});
        touch();
    }

    fn unhandled() anyerror!void {
        try setUp(.{ .handler = posix.SIG.DFL }, 0);
        touch();
    }

    fn sent() anyerror!void {
        try setUp(.{ .handler = posix.SIG.DFL }, 0);
        raise(.SEGV);
    }

    fn sentAndIgnored() anyerror!void {
        try setUp(.{ .handler = posix.SIG.IGN }, 0);
        raise(.SEGV);
    }

    /// A wild access from elsewhere is no overflow.
    fn touchGuard() anyerror!void {
        try setUp(.{ .handler = posix.SIG.DFL }, 0);
        const co: *Coro = try .init(&Scene.pool, 4096, Scene.resumeOther, null, "innocent");
        page.ptr = @alignCast(co.stack.memory.ptr - 4096);
        try Scene.run(touchInside, 4096, "guilty");
    }

    fn afterDeinit() anyerror!void {
        try setUp(.{ .handler = posix.SIG.DFL }, 0);
        var pool: Pool = .{};
        pool.release(try pool.acquire(4096));
        pool.deinit();
        touch();
    }
};

test "any other fault goes to the handler that was there before" {
    try expectEnd(Handed.repaired, null, "");
    try expectEnd(Handed.repairedInCoroutine, null, "");
    try expectEnd(Handed.repairedWithoutInfo, .SEGV, "");
    try expectEnd(Handed.repairedOnce, .SEGV, "");
    try expectEnd(Handed.unhandled, .SEGV, "");
    try expectEnd(Handed.sent, .SEGV, "");
    try expectEnd(Handed.sentAndIgnored, null, "");
    try expectEnd(Handed.touchGuard, .SEGV, "");
    try expectEnd(Handed.afterDeinit, .SEGV, "");
}

test "pools come and go in any order" {
    if (!is_supported) return error.SkipZigTest;
    var all: [3]Pool = @splat(.{});
    for (&all) |*pool| pool.release(try pool.acquire(4096));
    const stack = try all[1].acquire(4096);
    const guard = @intFromPtr(stack.memory.ptr) - 1;
    all[1].release(stack);
    all[2].deinit();
    try testing.expectEqual(stack.memory, stackAbove(guard).?.memory);
    all[1].deinit();
    try testing.expectEqual(null, stackAbove(guard));
    all[0].deinit();
}
