//! Mapping: memory for stacks from the system, guards in it, and its way back. It touches memory maps only.

const std = @import("std");
const builtin = @import("builtin");
const posix = std.posix;
const linux = std.os.linux;
const windows = std.os.windows;

/// The system calls behind a pool. In tests each can be made to fail, so that every way out is walked.
pub const Fault = struct {
    maps_left: if (builtin.is_test) usize else void = if (builtin.is_test) std.math.maxInt(usize) else {},
    refuse_advice: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},
    ignore_advice: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},
    refuse_protect: if (builtin.is_test) bool else void = if (builtin.is_test) false else {},
    forgets_left: if (builtin.is_test) usize else void = if (builtin.is_test) std.math.maxInt(usize) else {},
    /// How often it was asked.
    forgets: if (builtin.is_test) usize else void = if (builtin.is_test) 0 else {},

    pub fn map(fault: *Fault, len: usize) error{OutOfMemory}![]align(std.heap.page_size_min) u8 {
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

    pub fn advise(fault: *Fault, page: []align(std.heap.page_size_min) u8) bool {
        if (builtin.os.tag != .linux) return false;
        if (builtin.is_test and fault.refuse_advice) return false;
        if (builtin.is_test and fault.ignore_advice) return true;
        const guard_install = 102;
        return linux.errno(linux.madvise(page.ptr, page.len, guard_install)) == .SUCCESS;
    }

    pub fn protect(fault: *Fault, page: []align(std.heap.page_size_min) u8) bool {
        if (builtin.is_test and fault.refuse_protect) return false;
        if (builtin.os.tag == .linux) return linux.errno(linux.mprotect(page.ptr, page.len, .{})) == .SUCCESS;
        if (builtin.os.tag == .windows) return win.protect(page);
        return std.c.mprotect(@ptrCast(page.ptr), page.len, .{}) == 0;
    }

    /// Gives memory back; it reads as zero afterwards. False: the system does not do that.
    pub fn forget(fault: *Fault, memory: []align(std.heap.page_size_min) u8) bool {
        if (builtin.is_test) {
            fault.forgets += 1;
            if (fault.forgets_left == 0) return false;
            fault.forgets_left -= 1;
        }
        // Guards stay: advised ones survive this, protected ones have nothing to give.
        if (builtin.os.tag == .linux) return linux.errno(linux.madvise(memory.ptr, memory.len, posix.MADV.DONTNEED)) == .SUCCESS;
        return false;
    }
};

/// Asks the kernel to read an argument there, which says EFAULT instead of raising a signal, or else that there is no such
/// descriptor. Not a path: Valgrind reads those itself first, and dies.
pub fn isUnreadable(page: []align(std.heap.page_size_min) u8) bool {
    if (builtin.os.tag != .linux) return true;
    return linux.errno(linux.epoll_ctl(-1, linux.EPOLL.CTL_ADD, -1, @ptrCast(page.ptr))) == .FAULT;
}

pub fn unmap(mapping: []align(std.heap.page_size_min) u8) void {
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
};
