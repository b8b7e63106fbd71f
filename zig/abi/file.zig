//! C ABI of files. A handle names a file until `op_file_close`. No memory of the caller's is kept past any call. Positions and
//! lengths are numbers from 0 to 2^53 - 1.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const File = @import("../io/file.zig").File;
const Handle = @import("../handle.zig").Handle;
const Slot = @import("../slot.zig").Slot;
const sys = @import("../sys.zig");

pub const exports = struct {
    /// `parked`: an entry with status 0 and the new handle as value, or a negative errno, follows. `path`: `len` bytes without a 0
    /// among them. `flags` are the system's.
    pub fn op_file_open(env: *Env, token: u32, path: [*]const u8, len: u32, flags: u32, mode: u32) callconv(.c) i32 {
        if (len >= sys.c.PATH_MAX) return sys.negative(.NAMETOOLONG);
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const file = File.open(&env.files, path[0..len], flags, mode, &slot.io) catch return sys.negative(.NOMEM);
        slot.target = .{ .plain = &file.own.op };
        return code.parked;
    }

    /// Reads at most `len` bytes at `position` into `bytes` from `offset` on. How many there were, 0 at the end, a negative errno, or
    /// `parked`: then the entry says how many `file_take` gives for its value. Fewer than `len` do not mean the end.
    pub fn op_file_read(env: *Env, handle: Handle, token: u32, bytes: [*]u8, offset: f64, len: u32, position: f64) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const start: usize = @intFromFloat(offset);
        const result = file.read(&slot.io, bytes[start..][0..len], @intFromFloat(position)) catch return sys.negative(.NOMEM);
        return given(file, slot, result);
    }

    /// Writes at most `len` bytes at `position`. How many were written, a negative errno, or `parked`: then the entry says it.
    pub fn op_file_write(env: *Env, handle: Handle, token: u32, bytes: [*]const u8, offset: f64, len: u32, position: f64) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const start: usize = @intFromFloat(offset);
        const result = file.write(&slot.io, bytes[start..][0..len], @intFromFloat(position)) catch return sys.negative(.NOMEM);
        return given(file, slot, result);
    }

    /// Copies the bytes of a read that waited, and lets go of them. `number`: the entry's value. How many.
    pub fn file_take(env: *Env, number: u32, destination: [*]u8, offset: f64, len: u32) callconv(.c) i32 {
        const request = env.files.kept(number) orelse return code.bad_handle;
        const start: usize = @intFromFloat(offset);
        return @intCast(request.take(destination[start..][0..len]));
    }

    /// `parked`, or a negative errno. The entry's value is for `file_take_stat`.
    pub fn op_file_stat(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        return given(file, slot, file.stat(&slot.io) catch return sys.negative(.NOMEM));
    }

    /// Writes { u64 dev, ino, mode, nlink, uid, gid, rdev, size, blksize, blocks, i64 nanoseconds of atime, mtime, ctime, birthtime }
    /// and lets go of it. `number`: the entry's value. 0.
    pub fn file_take_stat(env: *Env, number: u32, out: [*]u8) callconv(.c) i32 {
        const request = env.files.kept(number) orelse return code.bad_handle;
        const values = request.stat.values();
        @memcpy(out[0..@sizeOf(sys.StatValues)], std.mem.asBytes(&values));
        request.release();
        return 0;
    }

    /// Writes out what is not on the disk yet; `data_only` 1: without what only a stat shows. `parked`, or a negative errno.
    pub fn op_file_sync(env: *Env, handle: Handle, token: u32, data_only: u32) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        return given(file, slot, file.sync(&slot.io, data_only != 0) catch return sys.negative(.NOMEM));
    }

    /// `parked`, or a negative errno.
    pub fn op_file_truncate(env: *Env, handle: Handle, token: u32, length: f64) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        return given(file, slot, file.truncate(&slot.io, @intFromFloat(length)) catch return sys.negative(.NOMEM));
    }

    /// Ends what is in flight on it and closes it; the handle is refused from now on. `parked`: an entry follows when it is closed. It
    /// cannot be cancelled.
    pub fn op_file_close(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        slot.target = .uncancellable;
        file.close(&slot.io);
        return code.parked;
    }

    /// The same, with nobody to tell.
    pub fn file_close(env: *Env, handle: Handle) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        file.close(null);
        return 0;
    }

    /// 1 when it has no positions (a pipe, a terminal), 0, or a negative code.
    pub fn file_is_stream(env: *Env, handle: Handle) callconv(.c) i32 {
        const file = env.files.files.get(handle) orelse return code.bad_handle;
        return @intFromBool(file.is_stream);
    }
};

/// A file whose operation has just parked has its request first in its list.
fn given(file: *File, slot: *Slot, result: i32) i32 {
    if (result == code.parked) slot.target = .{ .plain = &file.first.?.job.op };
    return result;
}
