//! thread.zig where there are pthreads.
//!
//! The library is free of libc so that one file serves glibc and musl; threads are therefore made by the host's own
//! pthread functions, found when the library is loaded. (Zig's own thread start would run without the host's thread-local area.)

const std = @import("std");
const builtin = @import("builtin");

pub const Handle = if (builtin.os.tag.isDarwin()) *anyopaque else usize;
const Key = if (builtin.os.tag.isDarwin()) c_ulong else c_uint;
const Main = fn (?*anyopaque) callconv(.c) ?*anyopaque;

extern fn pthread_create(thread: *Handle, attr: ?*const anyopaque, start: *const Main, arg: ?*anyopaque) callconv(.c) c_int;
extern fn pthread_join(thread: Handle, result: ?*?*anyopaque) callconv(.c) c_int;
extern fn pthread_detach(thread: Handle) callconv(.c) c_int;
extern fn pthread_key_create(key: *Key, destructor: *const fn (?*anyopaque) callconv(.c) void) callconv(.c) c_int;
extern fn pthread_setspecific(key: Key, value: ?*const anyopaque) callconv(.c) c_int;

pub fn start(main: *const Main, arg: ?*anyopaque) error{SystemResources}!Handle {
    var handle: Handle = undefined;
    if (pthread_create(&handle, null, main, arg) != 0) return error.SystemResources;
    return handle;
}

pub fn join(handle: Handle) void {
    _ = pthread_join(handle, null);
}

/// It will not be joined.
pub fn detach(handle: Handle) void {
    _ = pthread_detach(handle);
}

/// A value of each thread, null at first, that `onExit` is called with as the thread ends, unless it is null then.
pub fn Ending(comptime onExit: fn (*anyopaque) void) type {
    return struct {
        var key: ?Key = null;
        var lock: std.atomic.Value(bool) = .init(false);

        /// Before the first `set`.
        pub fn prepare() error{SystemResources}!void {
            while (lock.swap(true, .acquire)) std.atomic.spinLoopHint();
            defer lock.store(false, .release);
            if (key != null) return;
            var made: Key = undefined;
            if (pthread_key_create(&made, called) != 0) return error.SystemResources;
            key = made;
        }

        pub fn set(value: ?*const anyopaque) void {
            _ = pthread_setspecific(key.?, value);
        }

        fn called(value: ?*anyopaque) callconv(.c) void {
            onExit(value.?);
        }
    };
}
