//! Sanitizer: tells ThreadSanitizer, AddressSanitizer and Valgrind which stacks there are and when a thread goes from one to
//! another. They take a jump between stacks for damage otherwise. The only file that knows their names; with none of them built
//! in, every function here is empty and a `Fiber` has no size.
//!
//!  * ThreadSanitizer where the module is built with `.sanitize_thread` (`-Dtsan`). To it a coroutine is a fibre: one more
//!    thread, which happens to run here. Every switch orders what was before it and what comes after.
//!  * AddressSanitizer with `-Dasan`. Zig does not instrument its own code for it: this is for C and C++ in the same process.
//!  * Valgrind where the module is built with `.valgrind` (`-Dvalgrind`; Debug builds are, unless told otherwise).
//!
//! A `Fiber` lives as long as its coroutine, not as long as the stack: reports then name the coroutine and show where it was
//! created, the tools are not burdened with idle stacks (Valgrind keeps stacks in a list, ThreadSanitizer keeps 512 KiB of
//! addresses for each fibre), and a stack that the caller owns needs no rule of its own. It costs a few microseconds per
//! coroutine, in these builds.
//!
//! A switch is `leave`, the machine's switch, `arrive`. Both are inlined, and nothing may be called in between:
//! ThreadSanitizer keeps a call stack for each fibre, and a call that begins on one must not return on another.

const std = @import("std");
const builtin = @import("builtin");
const valgrind = std.valgrind;

const with_tsan = builtin.sanitize_thread;
const with_asan = @import("libcoro_options").asan;
const with_valgrind = builtin.valgrind_support;

comptime {
    if (with_tsan and with_asan) @compileError("zigcoro: ThreadSanitizer and AddressSanitizer exclude each other; build with one of -Dtsan and -Dasan");
    if (with_tsan) @export(&suppressions, .{ .name = "__tsan_default_suppressions", .linkage = .weak });
}

/// libxev's own: its thread pool ends without an order between a worker that went early and whoever ends the pool; and its epoll
/// closes an eventfd when it was told of the write to it, which is an order that ThreadSanitizer does not know.
fn suppressions() callconv(.c) [*:0]const u8 {
    return
    \\race:ThreadPool.deinit
    \\race:AsyncEventFd*.deinit
    ;
}

/// Bytes that a pool's stack has at least: instrumented frames are larger, and a tool writes its report from the stack where the
/// fault is. AddressSanitizer takes between 16 and 32 KiB for that.
pub const min_stack_size = if (with_tsan or with_asan) 64 * 1024 else 0;

/// What a stack is to the tools: a coroutine's, or a thread's own, about which each `leave` or `arrive` learns what it needs.
pub const Fiber = struct {
    /// ThreadSanitizer's fibre.
    thread: if (with_tsan) ?*anyopaque else void = if (with_tsan) null else {},
    /// AddressSanitizer's: where the stack is, and where locals live instead while it looks for their use after return.
    bounds: if (with_asan) Bounds else void = undefined,
    locals: if (with_asan) ?*anyopaque else void = if (with_asan) null else {},
    /// Valgrind's number of the stack.
    id: if (with_valgrind) usize else void = undefined,

    const Bounds = struct { low: [*]const u8, len: usize };

    /// For a coroutine that is about to be placed on `memory`.
    pub inline fn init(memory: []u8) Fiber {
        // A suspended coroutine may hold the only pointer to a block.
        if (with_asan) asan.__lsan_register_root_region(memory.ptr, memory.len);
        // What was below the stack pointer once is out of bounds, and fresh memory from an allocator undefined.
        if (with_valgrind) valgrind.memcheck.makeMemDefined(memory);
        return .{
            .thread = if (with_tsan) tsan.__tsan_create_fiber(0),
            .bounds = if (with_asan) .{ .low = memory.ptr, .len = memory.len },
            .id = if (with_valgrind) valgrind.stackRegister(memory),
        };
    }

    /// The coroutine is gone, finished or not, and `memory` is plain bytes again. It must not be the running one. `ran`: it was
    /// switched to at least once.
    pub inline fn deinit(fiber: *Fiber, memory: []u8, ran: bool) void {
        if (with_tsan) {
            if (!ran) fiber.recordEvent();
            tsan.__tsan_destroy_fiber(fiber.thread.?);
        }
        if (with_asan) {
            fiber.dropLocals();
            // Frames that never returned have left their red zones.
            asan.__asan_unpoison_memory_region(memory.ptr, memory.len);
            asan.__lsan_unregister_root_region(memory.ptr, memory.len);
        }
        if (with_valgrind) {
            valgrind.stackDeregister(fiber.id);
            valgrind.memcheck.makeMemDefined(memory);
        }
    }

    /// In reports; cut at 63 bytes. A thread's own keeps its name.
    pub inline fn setName(fiber: *Fiber, name: []const u8) void {
        if (with_tsan) if (fiber.thread) |thread| {
            var buffer: [64]u8 = @splat(0);
            const len = @min(name.len, buffer.len - 1);
            @memcpy(buffer[0..len], name[0..len]);
            tsan.__tsan_set_fiber_name(thread, buffer[0..len :0]);
        };
    }

    /// Right before the switch from `from`, which runs, to `to`. `last`: `from` will never run again.
    pub inline fn leave(from: *Fiber, to: *Fiber, comptime last: bool) void {
        if (with_asan) {
            asan.__sanitizer_start_switch_fiber(if (last) null else &from.locals, to.bounds.low, to.bounds.len);
            if (last) from.locals = null;
        }
        if (with_tsan) {
            // Asked, as the host of a thread may have fibres of its own.
            from.thread = tsan.__tsan_get_current_fiber();
            tsan.__tsan_switch_to_fiber(to.thread.?, 0);
        }
    }

    /// Right after a switch to `fiber`. `resumer`: who left, when that was its resumer, whose bounds are recorded.
    pub inline fn arrive(fiber: *Fiber, resumer: ?*Fiber) void {
        if (!with_asan) return;
        var unused: Bounds = undefined;
        const bounds = if (resumer) |other| &other.bounds else &unused;
        asan.__sanitizer_finish_switch_fiber(fiber.locals, &bounds.low, &bounds.len);
    }

    /// ThreadSanitizer up to LLVM 21 crashes when a fibre goes that never recorded an event (llvm/llvm-project#171766).
    fn recordEvent(fiber: *Fiber) void {
        const here = tsan.__tsan_get_current_fiber();
        tsan.__tsan_switch_to_fiber(fiber.thread.?, 0);
        tsan.__tsan_func_entry(@ptrFromInt(@returnAddress()));
        tsan.__tsan_func_exit();
        tsan.__tsan_switch_to_fiber(here, 0);
    }

    /// Frees what AddressSanitizer keeps for a coroutine that was left for the last time without knowing it. Only a switch does
    /// that, so there and back is acted out.
    fn dropLocals(fiber: *Fiber) void {
        if (fiber.locals == null) return;
        var here: Fiber = .{};
        here.leave(fiber, false);
        fiber.arrive(&here);
        fiber.leave(&here, true);
        here.arrive(null);
    }
};

/// From here on this thread does on purpose what Valgrind would report. Nests.
pub inline fn muteValgrind() void {
    if (with_valgrind) valgrind.disableErrorReporting();
}

pub inline fn unmuteValgrind() void {
    if (with_valgrind) valgrind.enableErrorReporting();
}

/// The kernel has written `bytes` without a system call that Valgrind knows, as io_uring does.
pub inline fn kernelWrote(bytes: []const u8) void {
    if (with_valgrind) valgrind.memcheck.makeMemDefined(bytes);
}

const tsan = struct {
    extern fn __tsan_get_current_fiber() *anyopaque;
    extern fn __tsan_create_fiber(flags: c_uint) *anyopaque;
    extern fn __tsan_destroy_fiber(fiber: *anyopaque) void;
    extern fn __tsan_switch_to_fiber(fiber: *anyopaque, flags: c_uint) void;
    extern fn __tsan_func_entry(caller: *anyopaque) void;
    extern fn __tsan_func_exit() void;
    extern fn __tsan_set_fiber_name(fiber: *anyopaque, name: [*:0]const u8) void;
};

const asan = struct {
    extern fn __sanitizer_start_switch_fiber(locals: ?*?*anyopaque, low: [*]const u8, len: usize) void;
    extern fn __sanitizer_finish_switch_fiber(locals: ?*anyopaque, low: *[*]const u8, len: *usize) void;
    extern fn __asan_unpoison_memory_region(low: [*]const u8, len: usize) void;
    extern fn __lsan_register_root_region(low: [*]const u8, len: usize) void;
    extern fn __lsan_unregister_root_region(low: [*]const u8, len: usize) void;
};

// For tests.

/// Whether this process runs under Valgrind and is built for it.
pub fn underValgrind() bool {
    return valgrind.runningOnValgrind() > 0;
}

/// Whether all takes some fifty times as long. A trace, which reads the program's debug information, then takes half a minute.
pub fn isSlow() bool {
    return with_tsan or underValgrind();
}

/// Whether a thread can wake one that sleeps in the kernel. Valgrind runs one thread at a time, and lets no other run while one waits in
/// io_uring; qemu's loongarch64 loses such wakes now and then.
pub fn wakesSleepers() bool {
    return !underValgrind() and builtin.cpu.arch != .loongarch64;
}

/// Of `count` rounds, or coroutines at once, as many as a test can do. Many coroutines are dear beyond their number: each is a
/// thread to ThreadSanitizer, Valgrind searches a list of all at each switch, AddressSanitizer when one goes.
pub fn bearable(count: usize) usize {
    return if (isSlow() or with_asan) @max(count / 50, @min(count, 2)) else count;
}

const child_process = @import("child.zig");
const Coro = @import("coro.zig").Coro;
const Pool = @import("stack.zig").Pool;
const testing = std.testing;

const Scene = struct {
    var shared: usize = 0;
    /// Which of the two may go on. Relaxed, so that nothing orders them, and yet both are alive when they meet.
    var turn: std.atomic.Value(usize) = .init(0);

    fn race() anyerror!void {
        var threads: [2]std.Thread = undefined;
        for (&threads, 0..) |*thread, i| thread.* = try .spawn(.{}, meet, .{i});
        for (threads) |thread| thread.join();
    }

    fn meet(index: usize) !void {
        var pool: Pool = .{};
        defer pool.deinit();
        var mine = index;
        const co: *Coro = try .init(&pool, 0, write, &mine, if (index == 0) "first" else "second");
        defer co.deinit();
        co.@"resume"();
        co.@"resume"();
    }

    fn write(co: *Coro) void {
        co.@"suspend"();
        const mine = co.getStorage(usize).*;
        while (turn.load(.monotonic) != mine) std.atomic.spinLoopHint();
        shared += 1;
        turn.store(mine + 1, .monotonic);
        while (turn.load(.monotonic) != 2) std.atomic.spinLoopHint();
    }
};

test "ThreadSanitizer names the coroutines of two threads that race, and shows where" {
    if (!with_tsan) return error.SkipZigTest;
    const buffer = try testing.allocator.alloc(u8, 64 * 1024);
    defer testing.allocator.free(buffer);
    var ended = try child_process.run(Scene.race, buffer);
    // Threads of the pool, idle from tests before, end after a while; until then a child may have none.
    while (std.mem.find(u8, ended.err, "multi-threaded fork") != null) ended = try child_process.run(Scene.race, buffer);
    errdefer std.debug.print("got {f}\n", .{ended});
    for ([_][]const u8{ "data race", "Scene.write", "'first'", "'second'", "Scene.meet" }) |part| {
        try testing.expect(std.mem.find(u8, ended.err, part) != null);
    }
}
