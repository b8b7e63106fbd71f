//! thread.zig's Windows part.

const std = @import("std");
const win32 = @import("win32.zig");
const sys = @import("sys_windows.zig");

const allocator = std.heap.page_allocator;

pub const Main = fn (?*anyopaque) callconv(.c) ?*anyopaque;

pub const Handle = *Running;

/// Who joins waits for this and not for the thread itself, which may need a lock to end that is held while another thread ends: there
/// Envs are destroyed. It belongs to the thread and to who has the handle.
const Running = struct {
    main: *const Main,
    arg: ?*anyopaque,
    done: std.atomic.Value(u32) = .init(0),
    users: std.atomic.Value(u32) = .init(2),

    fn run(arg: ?*anyopaque) callconv(.winapi) u32 {
        const running: *Running = @ptrCast(@alignCast(arg.?));
        _ = running.main(running.arg);
        running.done.store(1, .release);
        sys.wakeOne(&running.done.raw);
        running.leave();
        return 0;
    }

    fn leave(running: *Running) void {
        if (running.users.fetchSub(1, .acq_rel) == 1) allocator.destroy(running);
    }
};

pub fn start(main: *const Main, arg: ?*anyopaque) error{SystemResources}!Handle {
    const running = allocator.create(Running) catch return error.SystemResources;
    running.* = .{ .main = main, .arg = arg };
    const handle = win32.CreateThread(null, 0, Running.run, running, 0, null) orelse {
        allocator.destroy(running);
        return error.SystemResources;
    };
    _ = win32.CloseHandle(handle);
    return running;
}

pub fn join(handle: Handle) void {
    while (handle.done.load(.acquire) == 0) _ = sys.waitWhile(&handle.done.raw, 0, null);
    handle.leave();
}

pub fn detach(handle: Handle) void {
    handle.leave();
}

/// A value of each thread, null at first, that `onExit` is called with as the thread ends, unless it is null then. As the process ends
/// it is not: the other threads were stopped wherever they were, with locks held.
pub fn Ending(comptime onExit: fn (*anyopaque) void) type {
    return struct {
        var key: ?u32 = null;
        var lock: std.atomic.Value(bool) = .init(false);

        /// Before the first `set`.
        pub fn prepare() error{SystemResources}!void {
            while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
            defer lock.store(false, .release);
            if (key != null) return;
            const made = win32.FlsAlloc(called);
            if (made == std.math.maxInt(u32)) return error.SystemResources;
            key = made;
        }

        pub fn set(value: ?*const anyopaque) void {
            _ = win32.FlsSetValue(key.?, @constCast(value));
        }

        fn called(value: ?*anyopaque) callconv(.winapi) void {
            if (win32.RtlDllShutdownInProgress() == 0) onExit(value orelse return);
        }
    };
}
