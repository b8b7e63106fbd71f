//! Stacks for coroutines: a pool per thread that maps them in slabs, reuses the last one released first, and puts a
//! guard below each. It may touch memory maps; it knows nothing of coroutines.
//!
//!     a slab:  low                                                                       high
//!              | guard | stack 0 | guard | stack 1 |  ...  | guard | stack n-1 | Slab header |
//!
//! Memory is committed by the kernel as it is used. Acquiring a stack that was used before makes no system call; a fresh
//! one costs the call that installs its guard. Sizes are powers of two from 4 KiB (or a page, if that is larger) to
//! 8 MiB, each with its own slabs and its own free list.
//!
//! Three guards, the best that the system grants, recorded in every stack:
//!  * `advised`: MADV_GUARD_INSTALL (Linux 6.13 or later); costs no extra mapping, so a million stacks keep theirs.
//!  * `protected`: mprotect, or a page without access on Windows; each splits a mapping, and a process may have only so many
//!    (65,530 by default on Linux), so a pool stops at `max_protected`.
//!  * `none`: no page faults on overflow; only the owner's canary tells.
//!
//! A pool belongs to one thread and takes no lock.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const posix = std.posix;
const linux = std.os.linux;
const windows = std.os.windows;
const Allocator = std.mem.Allocator;
const overflow = @import("overflow.zig");

pub const alignment = @import("arch.zig").stack_alignment;
pub const Memory = []align(alignment) u8;

pub const min_size = 4 * 1024;
pub const max_size = 8 * 1024 * 1024;

pub const Error = error{
    /// More than `max_size` bytes were asked for.
    StackTooLarge,
    /// The system gives no more memory or mappings.
    OutOfMemory,
};

pub const Guard = enum(u8) { advised, protected, none };

/// A stack and who gets it back.
pub const Stack = struct {
    memory: Memory,
    guard: Guard,
    source: Source,

    pub const Source = union(enum) {
        pool: *Pool,
        allocator: Allocator,
        /// Whoever passed the memory in keeps it.
        caller,
    };

    /// For memory that the caller owns, and that outlives the stack's use.
    pub fn fromMemory(memory: Memory) Stack {
        return .{ .memory = memory, .guard = .none, .source = .caller };
    }

    pub fn fromAllocator(allocator: Allocator, size: usize) Error!Stack {
        const memory = try allocator.alignedAlloc(u8, .fromByteUnits(alignment), size);
        return .{ .memory = memory, .guard = .none, .source = .{ .allocator = allocator } };
    }

    pub fn release(stack: Stack) void {
        switch (stack.source) {
            .pool => |pool| pool.release(stack),
            .allocator => |allocator| allocator.free(stack.memory),
            .caller => {},
        }
    }
};

pub const Pool = struct {
    classes: [class_count]Class = @splat(.{}),
    slabs: ?*Slab = null,
    /// The guard to try next; it only ever gets weaker.
    best_guard: Guard = if (builtin.os.tag == .linux) .advised else .protected,
    /// Whether `advised` was seen to work: some emulators accept any advice and ignore it.
    advice_proven: bool = false,
    /// Stacks carved so far by the guard they got. `none` above zero says that the system ran out of guards.
    guards: std.EnumArray(Guard, usize) = .initFill(0),
    /// Stacks handed out and not yet released.
    in_use: usize = 0,
    watch: overflow.Watch = .{},
    fault: Fault = .{},

    const class_count = std.math.log2_int(usize, max_size / min_size) + 1;
    const slab_stacks = 64;
    const slab_bytes = 16 * 1024 * 1024;
    /// Half of the mappings that Linux allows a process by default stay for everybody else; a guard costs two.
    pub const max_protected = 16 * 1024;

    const Class = struct {
        idle: ?*Idle = null,
        /// The slab that still has stacks never handed out.
        fresh: ?*Slab = null,
    };

    /// Lies at the top of a stack that nobody uses: the part that is committed and in the cache.
    const Idle = struct {
        next: ?*Idle,
        memory: Memory,
        guard: Guard,

        fn at(memory: Memory) *Idle {
            return @ptrFromInt(std.mem.alignBackward(usize, @intFromPtr(memory.ptr) + memory.len - @sizeOf(Idle), @alignOf(Idle)));
        }
    };

    /// Lies behind the last stack of its slab.
    const Slab = struct {
        next: ?*Slab,
        mapping: []align(std.heap.page_size_min) u8,
        stack_size: usize,
        count: u32,
        carved: u32 = 0,
    };

    /// Every stack must have been released.
    pub fn deinit(pool: *Pool) void {
        assert(pool.in_use == 0);
        overflow.unwatch(pool);
        var next = pool.slabs;
        while (next) |slab| {
            next = slab.next;
            unmap(slab.mapping);
        }
        pool.* = undefined;
    }

    /// At least `size` bytes, rounded up to the class. Fresh memory is zero, reused memory is as it was left.
    pub fn acquire(pool: *Pool, size: usize) Error!Stack {
        const class = try classOf(size);
        const entry = &pool.classes[class];
        if (entry.idle) |idle| {
            entry.idle = idle.next;
            pool.in_use += 1;
            return .{ .memory = idle.memory, .guard = idle.guard, .source = .{ .pool = pool } };
        }
        const slab = entry.fresh orelse try pool.mapSlab(class);
        return pool.carve(slab, entry);
    }

    /// The next `acquire` of this size gets it.
    pub fn release(pool: *Pool, stack: Stack) void {
        assert(stack.source.pool == pool);
        assert(pool.in_use > 0);
        pool.in_use -= 1;
        const entry = &pool.classes[classOf(stack.memory.len) catch unreachable];
        const idle: *Idle = .at(stack.memory);
        idle.* = .{ .next = entry.idle, .memory = stack.memory, .guard = stack.guard };
        entry.idle = idle;
    }

    /// The stack whose guard holds `address`; null when it is in no guard of this pool. Reads memory only, so it is fit for
    /// a signal handler, also of another thread.
    pub fn stackAboveGuard(pool: *const Pool, address: usize) ?Memory {
        var next = @atomicLoad(?*Slab, &pool.slabs, .acquire);
        while (next) |slab| : (next = slab.next) {
            const base = @intFromPtr(slab.mapping.ptr);
            const guard = guardSize();
            const slot = guard + slab.stack_size;
            if (address < base or address >= base + slot * @atomicLoad(u32, &slab.carved, .monotonic)) continue;
            const offset = (address - base) % slot;
            if (offset >= guard) return null;
            return @alignCast(slab.mapping[address - base - offset + guard ..][0..slab.stack_size]);
        }
        return null;
    }

    fn mapSlab(pool: *Pool, class: usize) Error!*Slab {
        const stack_size = sizeOfClass(class);
        const slot = guardSize() + stack_size;
        const count = std.math.clamp(slab_bytes / slot, 1, slab_stacks);
        const mapping = try pool.fault.map(slot * count + std.heap.pageSize());
        const slab: *Slab = @ptrCast(@alignCast(mapping.ptr + slot * count));
        slab.* = .{ .next = pool.slabs, .mapping = mapping, .stack_size = stack_size, .count = @intCast(count) };
        @atomicStore(?*Slab, &pool.slabs, slab, .release);
        assert(pool.classes[class].fresh == null);
        pool.classes[class].fresh = slab;
        return slab;
    }

    fn carve(pool: *Pool, slab: *Slab, class: *Class) Stack {
        assert(slab.carved < slab.count);
        const guard_size = guardSize();
        const slot = slab.mapping.ptr + (guard_size + slab.stack_size) * slab.carved;
        @atomicStore(u32, &slab.carved, slab.carved + 1, .monotonic);
        if (slab.carved == slab.count) class.fresh = null;
        const guard = pool.installGuard(@alignCast(slot[0..guard_size]));
        pool.guards.getPtr(guard).* += 1;
        if (guard != .none and !pool.watch.is_on) overflow.watch(pool);
        pool.in_use += 1;
        return .{ .memory = @alignCast(slot[guard_size..][0..slab.stack_size]), .guard = guard, .source = .{ .pool = pool } };
    }

    fn installGuard(pool: *Pool, page: []align(std.heap.page_size_min) u8) Guard {
        if (pool.best_guard == .advised) {
            if (pool.fault.advise(page) and (pool.advice_proven or isUnreadable(page))) {
                pool.advice_proven = true;
                return .advised;
            }
            pool.best_guard = .protected;
        }
        if (pool.best_guard == .protected) {
            if (pool.guards.get(.protected) < max_protected and pool.fault.protect(page)) return .protected;
            pool.best_guard = .none;
        }
        return .none;
    }

    fn classOf(size: usize) error{StackTooLarge}!usize {
        if (size > max_size) return error.StackTooLarge;
        const rounded = std.math.ceilPowerOfTwoAssert(usize, @max(size, min_size, std.heap.pageSize()));
        return std.math.log2_int(usize, rounded / min_size);
    }

    fn sizeOfClass(class: usize) usize {
        return @as(usize, min_size) << @intCast(class);
    }

    fn guardSize() usize {
        return std.heap.pageSize();
    }
};

/// The system calls behind a pool. In tests each can be made to fail, so that every way out is walked.
const Fault = struct {
    maps_left: if (builtin.is_test) usize else void = if (builtin.is_test) std.math.maxInt(usize) else {},
    refuse_advice: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},
    ignore_advice: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},
    refuse_protect: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},

    fn map(fault: *Fault, len: usize) error{OutOfMemory}![]align(std.heap.page_size_min) u8 {
        if (builtin.is_test) {
            if (fault.maps_left == 0) return error.OutOfMemory;
            fault.maps_left -= 1;
        }
        if (builtin.os.tag == .windows) return win.commit(len);
        var flags: posix.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
        // std does not name the flag on every architecture. Without it memory is only accounted for more strictly.
        if (@hasField(posix.MAP, "NORESERVE")) flags.NORESERVE = true;
        // No huge pages, which would commit far more than is used.
        if (builtin.os.tag == .linux) flags.STACK = true;
        const mapping = posix.mmap(null, len, .{ .READ = true, .WRITE = true }, flags, -1, 0) catch return error.OutOfMemory;
        // Before Linux 6.7 STACK says nothing about huge pages. A refusal costs memory, not correctness.
        if (builtin.os.tag == .linux) _ = linux.madvise(mapping.ptr, mapping.len, posix.MADV.NOHUGEPAGE);
        return mapping;
    }

    fn advise(fault: *Fault, page: []align(std.heap.page_size_min) u8) bool {
        if (builtin.os.tag != .linux) return false;
        if (builtin.is_test and fault.refuse_advice) return false;
        if (builtin.is_test and fault.ignore_advice) return true;
        const guard_install = 102;
        return linux.errno(linux.madvise(page.ptr, page.len, guard_install)) == .SUCCESS;
    }

    fn protect(fault: *Fault, page: []align(std.heap.page_size_min) u8) bool {
        if (builtin.is_test and fault.refuse_protect) return false;
        if (builtin.os.tag == .linux) return linux.errno(linux.mprotect(page.ptr, page.len, .{})) == .SUCCESS;
        if (builtin.os.tag == .windows) return win.protect(page);
        return std.c.mprotect(@ptrCast(page.ptr), page.len, .{}) == 0;
    }
};

/// Asks the kernel to read a path there, which says EFAULT instead of raising a signal.
fn isUnreadable(page: []align(std.heap.page_size_min) u8) bool {
    if (builtin.os.tag != .linux) return true;
    const path: [*:0]const u8 = @ptrCast(page.ptr);
    return linux.errno(linux.faccessat(linux.AT.FDCWD, path, 0, 0)) == .FAULT;
}

fn unmap(mapping: []align(std.heap.page_size_min) u8) void {
    if (builtin.os.tag == .windows) return win.free(mapping);
    posix.munmap(mapping);
}

/// Memory on Windows. It is committed at once, which promises it but takes none before it is used. A guard is a page without
/// access: the system's own guard pages grow a stack and vanish when hit, which is not meant here.
const win = struct {
    const process = windows.GetCurrentProcess();

    fn commit(len: usize) error{OutOfMemory}![]align(std.heap.page_size_min) u8 {
        var base: ?*anyopaque = null;
        var size = len;
        const status = windows.ntdll.NtAllocateVirtualMemory(process, @ptrCast(&base), 0, &size, .{ .COMMIT = true, .RESERVE = true }, .{ .READWRITE = true });
        if (status != .SUCCESS) return error.OutOfMemory;
        const bytes: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(base.?));
        return bytes[0..len];
    }

    fn protect(page: []align(std.heap.page_size_min) u8) bool {
        var base: ?*anyopaque = page.ptr;
        var size = page.len;
        var old: windows.PAGE = undefined;
        return windows.ntdll.NtProtectVirtualMemory(process, @ptrCast(&base), &size, .{ .NOACCESS = true }, &old) == .SUCCESS;
    }

    fn free(mapping: []align(std.heap.page_size_min) u8) void {
        var base: ?*anyopaque = mapping.ptr;
        var size: usize = 0;
        _ = windows.ntdll.NtFreeVirtualMemory(process, @ptrCast(&base), &size, .{ .RELEASE = true });
    }

    extern "kernel32" fn GetCurrentThreadStackLimits(low: *usize, high: *usize) callconv(.winapi) void;
};

/// The lowest address that the calling thread's own stack may grow to; null when the system does not tell.
/// Costs a read of /proc/self/maps on Linux, so keep the answer.
pub fn threadStackBottom() ?usize {
    const here = @frameAddress();
    if (builtin.os.tag.isDarwin()) {
        const self = darwin.pthread_self();
        return @intFromPtr(darwin.pthread_get_stackaddr_np(self)) - darwin.pthread_get_stacksize_np(self);
    }
    if (builtin.os.tag == .linux) return findInMaps(here);
    if (builtin.os.tag == .windows) {
        var bounds: [2]usize = undefined;
        win.GetCurrentThreadStackLimits(&bounds[0], &bounds[1]);
        return bounds[0];
    }
    return null;
}

const darwin = struct {
    extern "c" fn pthread_self() *anyopaque;
    extern "c" fn pthread_get_stackaddr_np(*anyopaque) *anyopaque;
    extern "c" fn pthread_get_stacksize_np(*anyopaque) usize;
};

fn findInMaps(here: usize) ?usize {
    const rc = linux.open("/proc/self/maps", .{ .ACCMODE = .RDONLY, .CLOEXEC = true }, 0);
    if (linux.errno(rc) != .SUCCESS) return null;
    const fd: linux.fd_t = @intCast(rc);
    defer _ = linux.close(fd);

    var buffer: [4096]u8 = undefined;
    var filled: usize = 0;
    var below: usize = 0;
    while (true) {
        const n = linux.read(fd, buffer[filled..].ptr, buffer.len - filled);
        if (linux.errno(n) != .SUCCESS or n == 0) return null;
        filled += n;
        var rest: []const u8 = buffer[0..filled];
        while (std.mem.indexOfScalar(u8, rest, '\n')) |end| : (rest = rest[end + 1 ..]) {
            const line = rest[0..end];
            const range = parseRange(line) orelse return null;
            if (here >= range[0] and here < range[1]) return stackBottom(range, below, line);
            below = range[1];
        }
        if (rest.len == buffer.len) return null; // a line longer than any path
        std.mem.copyForwards(u8, &buffer, rest);
        filled = rest.len;
    }
}

fn parseRange(line: []const u8) ?[2]usize {
    const dash = std.mem.indexOfScalar(u8, line, '-') orelse return null;
    const space = std.mem.indexOfScalarPos(u8, line, dash, ' ') orelse return null;
    const low = std.fmt.parseInt(usize, line[0..dash], 16) catch return null;
    const high = std.fmt.parseInt(usize, line[dash + 1 .. space], 16) catch return null;
    return .{ low, high };
}

/// A thread's stack is mapped whole. The process's first stack grows on demand, down to its limit or to what lies below.
fn stackBottom(range: [2]usize, below: usize, line: []const u8) usize {
    if (!std.mem.endsWith(u8, line, "[stack]")) return range[0];
    const kernel_gap = 1024 * 1024;
    var limit: linux.rlimit = undefined;
    if (linux.errno(linux.getrlimit(.STACK, &limit)) != .SUCCESS) return range[0];
    const by_limit = range[1] -| @as(usize, @intCast(@min(limit.cur, std.math.maxInt(usize))));
    return @min(range[0], @max(by_limit, below + kernel_gap));
}

test "the last stack released is the next acquired" {
    var pool: Pool = .{};
    defer pool.deinit();
    const a = try pool.acquire(16 * 1024);
    const b = try pool.acquire(16 * 1024);
    try std.testing.expect(a.memory.ptr != b.memory.ptr);
    pool.release(a);
    pool.release(b);
    const c = try pool.acquire(16 * 1024);
    const d = try pool.acquire(16 * 1024);
    try std.testing.expectEqual(b.memory.ptr, c.memory.ptr);
    try std.testing.expectEqual(a.memory.ptr, d.memory.ptr);
    pool.release(c);
    pool.release(d);
    try std.testing.expectEqual(0, pool.in_use);
}

test "sizes are rounded up to a class, and there is a largest" {
    var pool: Pool = .{};
    defer pool.deinit();
    const page = std.heap.pageSize();
    for ([_]usize{ 0, 1, 4096, 4097, 16 * 1024, 100_000, max_size }) |size| {
        const stack = try pool.acquire(size);
        defer pool.release(stack);
        try std.testing.expect(stack.memory.len >= size);
        try std.testing.expect(std.math.isPowerOfTwo(stack.memory.len));
        try std.testing.expect(stack.memory.len <= @max(2 * size, min_size, page));
        try std.testing.expectEqual(0, @intFromPtr(stack.memory.ptr) % page);
        stack.memory[0] = 1;
        stack.memory[stack.memory.len - 1] = 1;
    }
    try std.testing.expectError(error.StackTooLarge, pool.acquire(max_size + 1));
}

test "every stack is its own, with a guard of the recorded kind below" {
    var pool: Pool = .{};
    defer pool.deinit();
    var stacks: [200]Stack = undefined;
    for (&stacks) |*stack| stack.* = try pool.acquire(min_size);
    for (stacks, 0..) |stack, i| @memset(stack.memory, @truncate(i));
    for (stacks, 0..) |stack, i| try std.testing.expect(std.mem.allEqual(u8, stack.memory, @truncate(i)));
    for (stacks) |stack| {
        const page: []align(std.heap.page_size_min) u8 = @alignCast((stack.memory.ptr - std.heap.pageSize())[0..std.heap.pageSize()]);
        try std.testing.expect(stack.guard != .none);
        try std.testing.expect(isUnreadable(page));
        for ([_]usize{ @intFromPtr(page.ptr), @intFromPtr(stack.memory.ptr) - 1 }) |address| {
            try std.testing.expectEqual(stack.memory, pool.stackAboveGuard(address).?);
        }
        try std.testing.expectEqual(null, pool.stackAboveGuard(@intFromPtr(stack.memory.ptr)));
        pool.release(stack);
    }
    try std.testing.expectEqual(200, pool.guards.get(.advised) + pool.guards.get(.protected));
}

test "without advice mprotect guards, without both the loss is on record" {
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.refuse_advice = true;
    const a = try pool.acquire(min_size);
    try std.testing.expectEqual(.protected, a.guard);
    pool.fault.refuse_protect = true;
    const b = try pool.acquire(min_size);
    try std.testing.expectEqual(.none, b.guard);
    try std.testing.expectEqual(1, pool.guards.get(.none));
    pool.release(a);
    pool.release(b);
    const again = try pool.acquire(min_size);
    try std.testing.expectEqual(.none, again.guard);
    pool.release(again);
}

test "advice that is accepted and ignored does not count as a guard" {
    if (builtin.os.tag != .linux) return error.SkipZigTest;
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.ignore_advice = true;
    const stack = try pool.acquire(min_size);
    try std.testing.expectEqual(.protected, stack.guard);
    pool.release(stack);
}

test "a map that fails leaves the pool as it was" {
    var pool: Pool = .{};
    defer pool.deinit();
    pool.fault.maps_left = 1;
    const a = try pool.acquire(min_size);
    try std.testing.expectError(error.OutOfMemory, pool.acquire(64 * 1024));
    try std.testing.expectEqual(1, pool.in_use);
    pool.release(a);
    const b = try pool.acquire(min_size);
    try std.testing.expectEqual(a.memory.ptr, b.memory.ptr);
    pool.release(b);
    pool.fault.maps_left = 1;
    pool.release(try pool.acquire(64 * 1024));
}

test "an allocator's failure is passed on" {
    var failing = std.testing.FailingAllocator.init(std.testing.allocator, .{ .fail_index = 0 });
    try std.testing.expectError(error.OutOfMemory, Stack.fromAllocator(failing.allocator(), 4096));
    const stack = try Stack.fromAllocator(std.testing.allocator, 4096);
    stack.release();
}

test "the thread's own stack has a bottom below here" {
    const bottom = threadStackBottom() orelse return error.SkipZigTest;
    const here = @frameAddress();
    try std.testing.expect(bottom < here);
    try std.testing.expect(here - bottom > 64 * 1024);
}
