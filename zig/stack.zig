//! Stacks for coroutines: a pool per thread that maps them in slabs, reuses the last one released first, puts a guard below
//! each, and gives memory back that is no longer used. It may touch memory maps; it knows nothing of coroutines.
//!
//!     a slab:  low                                                                       high
//!              | guard | stack 0 | guard | stack 1 |  ...  | guard | stack n-1 | Slab header |
//!
//! Memory is committed by the kernel as it is used. Acquiring a stack that was used before makes no system call; a fresh
//! one costs the call that installs its guard. Sizes are powers of two from 4 KiB (or a page, if that is larger) to
//! 8 MiB, each with its own slabs. What is idle is on record in the header, never in the stacks, so their memory can go.
//!
//! A stack goes `uncarved -> in use <-> idle`, and idle memory is dirty until it is given back. Some are kept instead of going idle: their
//! owner's data stays at the top, and the next owner need not write again what is the same. To their slab these are in use. They are few,
//! the last kept goes first, and all go idle before any memory is given back. Invariants:
//!  * A slab is in its class's list of available ones exactly while it has an idle or an uncarved stack; who released last is first.
//!  * `dirty_bytes` counts the idle stacks that may hold committed memory. With what is kept it is at most `policy.keep_dirty_bytes` after
//!    a release where the system takes memory back; a policy that has no room for `max_kept_bytes` besides has none for keeping. What goes
//!    first is what was idle longest: slab by slab from the end of the lists.
//!  * Behind a class's `dirty_last` no slab has idle stacks that may hold committed memory, so none is looked at twice.
//!  * Where the system takes nothing back, as with locked memory, it is asked again only when there is half as much again.
//!
//! Three guards, the best that the system grants, recorded in every stack:
//!  * `advised`: MADV_GUARD_INSTALL (Linux 6.13 or later); costs no extra mapping, so a million stacks keep theirs.
//!  * `protected`: mprotect, or a page without access on Windows; each splits a mapping, and a process may have only so many
//!    (65,530 by default on Linux), so a pool stops at `max_protected`.
//!  * `none`: no page faults on overflow; only the owner's canary tells. The first such stack of a process is told in the log.
//!
//! A pool belongs to one thread and takes no lock.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const linux = std.os.linux;
const Allocator = std.mem.Allocator;
const mappings = @import("mapping.zig");
const overflow = @import("overflow.zig");
const sanitizer = @import("sanitizer.zig");

pub const alignment = @import("arch.zig").stack_alignment;
pub const Memory = []align(alignment) u8;

/// Inline where code is optimized, so that a stack stays in registers from its pool to its coroutine; in Debug that would only cost
/// stack.
pub const inlined: std.builtin.CallingConvention = if (builtin.mode == .Debug) .auto else .@"inline";

pub const min_size = @max(4 * 1024, sanitizer.min_stack_size);
pub const max_size = 8 * 1024 * 1024;

pub const Error = error{
    /// More than `max_size` bytes were asked for.
    StackTooLarge,
    /// The system gives no more memory or mappings.
    OutOfMemory,
};

pub const Guard = enum(u8) { advised, protected, none };

/// A stack and who gets it back: its slab, an allocator, or, with neither, nobody, for whoever passed the memory in keeps it. Plain words
/// and no union, whose padding costs a copy and a stall.
pub const Stack = struct {
    memory: Memory,
    slab: ?*Pool.Slab = null,
    allocator: ?*anyopaque = null,
    allocator_vtable: ?*const Allocator.VTable = null,
    guard: Guard,
    /// In its slab.
    index: u8 = 0,
    /// Whoever acquired it keeps it: releasing this copy does nothing.
    is_lent: bool = false,
    /// Of its slab.
    class: ?*Pool.Class = null,

    /// Where the owner's part ends, at the top. Neighbours in a slab leave different gaps above it, up to a sixteenth of the stack, so that
    /// what they use most falls into different sets of the caches: with all of it at the end of a page, a first-level cache would hold
    /// that of two or three coroutines. From one to the next the gap grows by the same, mostly, which the processor foresees when they
    /// run in the order of their addresses.
    pub fn top(stack: *const Stack) callconv(inlined) usize {
        const gaps: usize = if (stack.slab == null) 1 else @min(stack.memory.len / 1024, 16);
        return @intFromPtr(stack.memory.ptr) + stack.memory.len - (stack.index & gaps - 1) * line;
    }

    /// Bytes of a line of most caches.
    pub const line = 64;

    /// For a coroutine that ends before its lender releases it.
    pub fn lent(stack: Stack) Stack {
        var copy = stack;
        copy.is_lent = true;
        return copy;
    }

    /// For memory that the caller owns, and that outlives the stack's use.
    pub fn fromMemory(memory: Memory) Stack {
        if (measures_use) _ = clean(memory);
        return .{ .memory = memory, .guard = .none };
    }

    pub fn fromAllocator(allocator: Allocator, size: usize) Error!Stack {
        const memory = try allocator.alignedAlloc(u8, .fromByteUnits(alignment), size);
        if (measures_use) _ = clean(memory);
        return .{ .memory = memory, .guard = .none, .allocator = allocator.ptr, .allocator_vtable = allocator.vtable };
    }

    /// Instead of `release`, for a record that lies in the stack itself and stays there. False: release it.
    pub fn keep(stack: *Stack) callconv(inlined) bool {
        if (measures_use or stack.is_lent) return false;
        const class = stack.class orelse return false;
        if (class.kept_len >= class.max_kept) return false;
        const pool = stack.slab.?.pool;
        if (pool.dirty_bytes + Pool.max_kept_bytes > pool.policy.keep_dirty_bytes) return false;
        class.kept[class.kept_len] = stack;
        class.kept_len += 1;
        return true;
    }

    pub fn release(stack: Stack) callconv(inlined) void {
        if (stack.is_lent) return;
        if (stack.slab) |slab| return slab.pool.release(stack);
        const vtable = stack.allocator_vtable orelse return;
        (Allocator{ .ptr = stack.allocator.?, .vtable = vtable }).free(stack.memory);
    }
};

/// Whether stacks are zero again before another coroutine gets them, so that `highWater` tells of that one alone: in Debug. It costs
/// a system call or two a coroutine.
pub const measures_use = builtin.mode == .Debug;

/// Bytes from the top down to the lowest word that is not zero: what was used at most since the memory was zero, in whole words.
/// Words that were written zeros, and nothing else below, do not count. Pages that were never used are not read, where the system
/// tells which they are: so it commits nothing, and a large stack costs little more than a small one.
pub fn highWater(memory: Memory) usize {
    // Below its stack pointer a coroutine's memory is out of bounds.
    sanitizer.muteValgrind();
    defer sanitizer.unmuteValgrind();
    const page = std.heap.pageSize();
    const end = @intFromPtr(memory.ptr) + memory.len;
    // The lowest word is the canary's.
    var at = @intFromPtr(memory.ptr) + @sizeOf(usize);
    var resident: [most_asked]u8 = undefined;
    const most = most_asked * std.heap.page_size_min / page;
    while (at < end) {
        const first = std.mem.alignBackward(usize, at, page);
        const count = @min(most, std.math.divCeil(usize, end - first, page) catch unreachable);
        areResident(first, resident[0..count]);
        for (resident[0..count], 0..) |is_resident, i| {
            const next = @min(first + (i + 1) * page, end);
            defer at = next;
            if (is_resident & 1 == 0) continue;
            const words = @as([*]const usize, @ptrFromInt(at))[0 .. (next - at) / @sizeOf(usize)];
            for (words, 0..) |word, n| if (word != 0) return end - at - n * @sizeOf(usize);
        }
    }
    return 0;
}

/// Bytes of an answer about which pages are in memory.
const most_asked = 128;

/// Which pages from address `first` on are in memory, in the lowest bit of each byte; all where the system does not tell. An emulator
/// of a machine with larger pages than its own may tell of its own: there is room for these in `answer`, and it is noticed.
fn areResident(first: usize, pages: []u8) void {
    const page = std.heap.pageSize();
    const len = pages.len * page;
    const untold = 0x80;
    var answer: [most_asked]u8 = @splat(untold);
    const told = switch (builtin.os.tag) {
        .linux => linux.errno(linux.syscall3(.mincore, first, len, @intFromPtr(&answer))) == .SUCCESS,
        .macos => mincore(first, len, &answer) == 0,
        else => false,
    };
    const is_of_pages = answer.len == pages.len or answer[pages.len] == untold;
    if (told and is_of_pages) @memcpy(pages, answer[0..pages.len]) else @memset(pages, 1);
}

/// On macOS.
extern "c" fn mincore(first: usize, len: usize, pages: [*]u8) c_int;

/// Makes what was used zero. Returns how much that was.
fn clean(memory: Memory) usize {
    const used = highWater(memory);
    @memset(memory[memory.len - used ..], 0);
    return used;
}

/// How much idle memory a pool keeps.
pub const Policy = struct {
    /// Bytes of idle stacks that may hold committed memory. A stack counts in full, though it may have used less. Beyond it their memory goes
    /// back to the system, a slab at a time: one system call for up to 64 stacks.
    keep_dirty_bytes: usize = 64 * 1024 * 1024,
    /// Bytes of address space that slabs without a stack in use may keep; beyond it they are unmapped.
    keep_mapped_bytes: usize = 1024 * 1024 * 1024,
};

/// A pool at one moment.
pub const Statistics = struct {
    /// Stacks handed out and not yet released.
    in_use: usize,
    /// Bytes of address space, guards and headers too.
    mapped_bytes: usize,
    /// Bytes of idle stacks that may hold committed memory.
    dirty_bytes: usize,
    /// Stacks that exist, in use or idle, by the guard they got.
    guards: std.EnumArray(Guard, usize),
    /// The most that a released stack was used, in bytes; 0 but in Debug.
    high_water: usize,
};

pub const Pool = struct {
    classes: [class_count]Class = @splat(.{}),
    slabs: ?*Slab = null,
    policy: Policy = .{},
    /// The guard to try next; it only ever gets weaker.
    best_guard: Guard = if (builtin.os.tag == .linux) .advised else .protected,
    /// Whether `advised` was seen to work: some emulators accept any advice and ignore it.
    advice_proven: bool = false,
    /// Stacks that exist, in use or idle, by the guard they got.
    guards: std.EnumArray(Guard, usize) = .initFill(0),
    in_use: usize = 0,
    mapped_bytes: usize = 0,
    /// Of slabs without a stack in use.
    vacant_bytes: usize = 0,
    dirty_bytes: usize = 0,
    /// What may be dirty beyond the policy before the system is asked again, which did not take all of it the last time.
    refused_bytes: usize = 0,
    high_water: usize = 0,
    watch: overflow.Watch = .{},
    fault: mappings.Fault = .{},

    const class_count = std.math.log2_int(usize, max_size / min_size) + 1;
    const slab_stacks = 64;
    const slab_bytes = 16 * 1024 * 1024;
    /// Of one class's kept stacks, and at least of all classes'.
    const class_kept_bytes = 512 * 1024;
    const max_kept_bytes = @as(usize, class_count) * class_kept_bytes;
    /// Half of the mappings that Linux allows a process by default stay for everybody else; a guard costs two.
    pub const max_protected = 16 * 1024;

    /// Slabs that have a stack to give, the last used first.
    pub const Class = struct {
        first: ?*Slab = null,
        last: ?*Slab = null,
        dirty_last: ?*Slab = null,
        /// The last one kept is last.
        kept: [most_kept]*Stack = undefined,
        kept_len: usize = 0,
        /// 0 until there is a slab.
        max_kept: usize = 0,

        const most_kept = 32;

        fn pushFirst(class: *Class, slab: *Slab) void {
            assert(!slab.is_available);
            slab.is_available = true;
            slab.before = null;
            slab.after = class.first;
            if (class.first) |first| first.before = slab else class.last = slab;
            class.first = slab;
            if (class.dirty_last == null) class.dirty_last = slab;
        }

        fn remove(class: *Class, slab: *Slab) void {
            assert(slab.is_available);
            slab.is_available = false;
            if (class.dirty_last == slab) class.dirty_last = slab.before;
            if (slab.before) |before| before.after = slab.after else class.first = slab.after;
            if (slab.after) |after| after.before = slab.before else class.last = slab.before;
        }
    };

    /// Lies behind the last stack of its slab.
    pub const Slab = struct {
        /// All of the pool, for the handler of overflows, which goes by `next` alone.
        next: ?*Slab,
        previous: ?*Slab = null,
        pool: *Pool,
        mapping: []align(std.heap.page_size_min) u8,
        stack_size: usize,
        class: *Class,
        before: ?*Slab = null,
        after: ?*Slab = null,
        is_available: bool = false,
        count: u8,
        carved: u8 = 0,
        /// The idle ones, the last released last.
        idle_len: u8 = 0,
        idle: [slab_stacks]u8 = undefined,
        guard: [slab_stacks]Guard = undefined,
        /// Bits of stacks that were used since their memory was given back.
        dirty: u64 = 0,

        fn base(slab: *const Slab) [*]align(std.heap.page_size_min) u8 {
            return slab.mapping.ptr;
        }

        inline fn memoryOf(slab: *const Slab, index: usize) Memory {
            const guard_size = guardSize();
            return @alignCast(slab.mapping[(guard_size + slab.stack_size) * index + guard_size ..][0..slab.stack_size]);
        }

        inline fn stackOf(slab: *Slab, index: u8) Stack {
            return .{ .memory = slab.memoryOf(index), .guard = slab.guard[index], .index = index, .slab = slab, .class = slab.class };
        }

        pub fn isVacant(slab: *const Slab) bool {
            return slab.idle_len == slab.carved;
        }
    };

    /// Every stack must have been released.
    pub fn deinit(pool: *Pool) void {
        pool.dropKept();
        assert(pool.in_use == 0);
        overflow.unwatch(pool);
        var next = pool.slabs;
        while (next) |slab| {
            next = slab.next;
            mappings.unmap(slab.mapping);
        }
        pool.* = undefined;
    }

    /// At least `size` bytes, rounded up to the class. Fresh memory is zero, reused memory is as it was left.
    pub fn acquire(pool: *Pool, size: usize) callconv(inlined) Error!Stack {
        if (pool.takeKept(size)) |stack| return stack.*;
        const index = try classOf(size);
        const class = &pool.classes[index];
        const slab = class.first orelse try pool.mapSlab(class, index);
        if (slab.idle_len == 0) pool.carve(slab);
        slab.idle_len -= 1;
        return pool.handOut(slab, slab.idle[slab.idle_len]);
    }

    /// The record of a stack of at least `size` bytes that is kept, with all that its last owner left there; null: there is none.
    pub fn takeKept(pool: *Pool, size: usize) callconv(inlined) ?*Stack {
        const class = &pool.classes[classOf(size) catch return null];
        if (class.kept_len == 0) return null;
        class.kept_len -= 1;
        return class.kept[class.kept_len];
    }

    fn dropKept(pool: *Pool) void {
        for (&pool.classes) |*class| {
            for (class.kept[0..class.kept_len]) |stack| pool.putBack(stack.*);
            class.kept_len = 0;
        }
    }

    fn handOut(pool: *Pool, slab: *Slab, index: u8) callconv(inlined) Stack {
        const bit = @as(u64, 1) << @intCast(index);
        if (slab.dirty & bit != 0) pool.dirty_bytes -= slab.stack_size else slab.dirty |= bit;
        // It was vacant until now.
        if (slab.idle_len + 1 == slab.carved) pool.vacant_bytes -= slab.mapping.len;
        if (slab.idle_len == 0 and slab.carved == slab.count) slab.class.remove(slab);
        pool.in_use += 1;
        return slab.stackOf(index);
    }

    /// The next `acquire` of this size gets it.
    pub fn release(pool: *Pool, stack: Stack) callconv(inlined) void {
        pool.putBack(stack);
        if (pool.dirty_bytes > pool.mayBeDirty() +| pool.refused_bytes or pool.vacant_bytes > pool.policy.keep_mapped_bytes) pool.giveBack();
    }

    /// Besides what is kept, for which there is always room where any may be.
    fn mayBeDirty(pool: *const Pool) callconv(inlined) usize {
        const allowed = pool.policy.keep_dirty_bytes;
        // Nothing is kept then.
        if (measures_use) return allowed;
        return if (allowed >= max_kept_bytes) allowed - max_kept_bytes else allowed -| pool.countKept().bytes;
    }

    fn putBack(pool: *Pool, stack: Stack) callconv(inlined) void {
        const slab = stack.slab.?;
        assert(slab.pool == pool and pool.in_use > 0);
        if (measures_use) pool.high_water = @max(pool.high_water, clean(stack.memory));
        pool.in_use -= 1;
        slab.idle[slab.idle_len] = stack.index;
        slab.idle_len += 1;
        pool.dirty_bytes += slab.stack_size;
        if (slab.class.first != slab) {
            if (slab.is_available) slab.class.remove(slab);
            slab.class.pushFirst(slab);
        } else if (slab.class.dirty_last == null) slab.class.dirty_last = slab;
        if (slab.isVacant()) pool.vacant_bytes += slab.mapping.len;
    }

    /// Gives all idle memory back to the system, and the address space of slabs without a stack in use.
    pub fn trim(pool: *Pool) void {
        const policy = pool.policy;
        defer pool.policy = policy;
        pool.policy = .{ .keep_dirty_bytes = 0, .keep_mapped_bytes = 0 };
        pool.giveBack();
    }

    pub fn statistics(pool: *const Pool) Statistics {
        const kept = pool.countKept();
        return .{
            .in_use = pool.in_use - kept.stacks,
            .mapped_bytes = pool.mapped_bytes,
            .dirty_bytes = pool.dirty_bytes + kept.bytes,
            .guards = pool.guards,
            .high_water = pool.high_water,
        };
    }

    const Kept = struct { stacks: usize = 0, bytes: usize = 0 };

    fn countKept(pool: *const Pool) Kept {
        var kept: Kept = .{};
        for (&pool.classes, 0..) |*class, index| {
            kept.stacks += class.kept_len;
            kept.bytes += class.kept_len * sizeOfClass(index);
        }
        return kept;
    }

    /// What was idle longest goes, of each class in turn, until half of what the policy allows is left: so this is rare. Slabs without a
    /// stack in use go whole where the system does not take memory back otherwise.
    noinline fn giveBack(pool: *Pool) void {
        pool.dropKept();
        const keep_dirty = pool.policy.keep_dirty_bytes / 2;
        const keep_vacant = pool.policy.keep_mapped_bytes / 2;
        defer pool.refused_bytes = if (pool.dirty_bytes > pool.policy.keep_dirty_bytes)
            pool.dirty_bytes - pool.policy.keep_dirty_bytes + pool.dirty_bytes / 2
        else
            0;
        var is_taken = true;
        for (&pool.classes) |*class| {
            var next = class.dirty_last;
            while (next) |slab| {
                if (pool.dirty_bytes <= keep_dirty) break;
                next = slab.before;
                // A refusal will be the same for the others.
                is_taken = is_taken and pool.cool(slab);
                if (is_taken) class.dirty_last = next else if (slab.isVacant()) pool.unmapSlab(slab);
            }
            next = class.last;
            while (next) |slab| {
                if (pool.vacant_bytes <= keep_vacant) break;
                next = slab.before;
                if (slab.isVacant()) pool.unmapSlab(slab);
            }
        }
    }

    /// Gives back the memory of the slab's idle stacks; they and their guards stay. False: the system does not take it.
    fn cool(pool: *Pool, slab: *Slab) bool {
        if (slab.dirty == 0) return true;
        if (slab.isVacant()) {
            if (!pool.fault.forget(slab.mapping[0 .. slab.mapping.len - std.heap.pageSize()])) return false;
            pool.dirty_bytes -= @popCount(slab.dirty) * slab.stack_size;
            slab.dirty = 0;
            return true;
        }
        for (slab.idle[0..slab.idle_len]) |index| {
            const bit = @as(u64, 1) << @intCast(index);
            if (slab.dirty & bit == 0) continue;
            if (!pool.fault.forget(@alignCast(slab.memoryOf(index)))) return false;
            pool.dirty_bytes -= slab.stack_size;
            slab.dirty &= ~bit;
        }
        return true;
    }

    fn unmapSlab(pool: *Pool, slab: *Slab) void {
        slab.class.remove(slab);
        pool.dirty_bytes -= @popCount(slab.dirty) * slab.stack_size;
        pool.vacant_bytes -= slab.mapping.len;
        pool.mapped_bytes -= slab.mapping.len;
        for (slab.guard[0..slab.carved]) |guard| pool.guards.getPtr(guard).* -= 1;
        if (slab.next) |next| next.previous = slab.previous;
        @atomicStore(?*Slab, if (slab.previous) |previous| &previous.next else &pool.slabs, slab.next, .seq_cst);
        overflow.settle();
        mappings.unmap(slab.mapping);
    }

    /// The stack whose guard holds `address`; null when it is in no guard of this pool. Reads memory only, so it is fit for
    /// a signal handler, also of another thread.
    pub fn stackAboveGuard(pool: *const Pool, address: usize) ?Stack {
        var next = @atomicLoad(?*Slab, &pool.slabs, .acquire);
        while (next) |slab| : (next = slab.next) {
            const base = @intFromPtr(slab.mapping.ptr);
            const guard = guardSize();
            const slot = guard + slab.stack_size;
            if (address < base or address >= base + slot * @as(usize, @atomicLoad(u8, &slab.carved, .monotonic))) continue;
            const offset = (address - base) % slot;
            if (offset >= guard) return null;
            return slab.stackOf(@intCast((address - base) / slot));
        }
        return null;
    }

    noinline fn mapSlab(pool: *Pool, class: *Class, class_index: usize) Error!*Slab {
        const stack_size = sizeOfClass(class_index);
        const slot = guardSize() + stack_size;
        const count = std.math.clamp(slab_bytes / slot, 1, slab_stacks);
        const mapping = try pool.fault.map(slot * count + std.heap.pageSize());
        const slab: *Slab = @ptrCast(@alignCast(mapping.ptr + slot * count));
        slab.* = .{ .next = pool.slabs, .pool = pool, .mapping = mapping, .stack_size = stack_size, .class = class, .count = @intCast(count) };
        if (slab.next) |next| next.previous = slab;
        @atomicStore(?*Slab, &pool.slabs, slab, .release);
        class.pushFirst(slab);
        class.max_kept = @min(Class.most_kept, class_kept_bytes / stack_size);
        pool.mapped_bytes += mapping.len;
        pool.vacant_bytes += mapping.len;
        return slab;
    }

    /// Makes one more stack, idle for now.
    noinline fn carve(pool: *Pool, slab: *Slab) void {
        assert(slab.carved < slab.count and slab.idle_len == 0);
        const index = slab.carved;
        const page = slab.memoryOf(index).ptr - guardSize();
        const guard = pool.installGuard(@alignCast(page[0..guardSize()]));
        slab.guard[index] = guard;
        pool.guards.getPtr(guard).* += 1;
        @atomicStore(u8, &slab.carved, index + 1, .monotonic);
        if (guard != .none and !pool.watch.is_on) overflow.watch(pool);
        slab.idle[0] = index;
        slab.idle_len = 1;
    }

    fn installGuard(pool: *Pool, page: []align(std.heap.page_size_min) u8) Guard {
        if (pool.best_guard == .advised) {
            if (pool.fault.advise(page) and (pool.advice_proven or mappings.isUnreadable(page))) {
                pool.advice_proven = true;
                return .advised;
            }
            pool.best_guard = .protected;
        }
        if (pool.best_guard == .protected) {
            if (pool.guards.get(.protected) < max_protected and pool.fault.protect(page)) return .protected;
            pool.best_guard = .none;
            tellOfNoGuard();
        }
        return .none;
    }

    pub var told_of_no_guard: std.atomic.Value(bool) = .init(false);

    fn tellOfNoGuard() void {
        if (told_of_no_guard.swap(true, .monotonic)) return;
        std.log.scoped(.libcoro).warn("new stacks have no guard page: the system grants no more. An overflow may be noticed late, " ++
            "at the coroutine's next suspend, or not at all", .{});
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

test {
    _ = @import("stack_test.zig");
}
