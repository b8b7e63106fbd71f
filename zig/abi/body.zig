//! C ABI for native bodies: what a C function that runs as a coroutine calls. Each waits by suspending only its own coroutine.
//! `frame` is the body's argument, valid until it returns, and only inside the body. Results are 0 or more, or a negative
//! errno; -ECANCELED after a cancel.

const std = @import("std");
const datagram = @import("../io/datagram.zig");
const Handle = @import("../handle.zig").Handle;
const NativeFrame = @import("../native.zig").NativeFrame;
const native = @import("../native.zig");
const notice = @import("../notice.zig");
const sys = @import("../sys.zig");

/// Results are counts or negative errnos, so no more is moved in one call.
const max_length = std.math.maxInt(i32);

pub const exports = struct {
    /// Argument `index`, 0 when there is none.
    pub fn arg(frame: *NativeFrame, index: u32) callconv(.c) f64 {
        return if (index < native.max_args) frame.arguments[index] else 0;
    }

    /// Suspends until TypeScript resumes it. `value` (may be null) gets what the resume brought.
    pub fn @"suspend"(frame: *NativeFrame, value: ?*f64) callconv(.c) i32 {
        return frame.suspendBody(value);
    }

    /// Bytes left of the stack that the body runs on.
    pub fn remaining_stack(frame: *NativeFrame) callconv(.c) u32 {
        return frame.stackRemainingBody();
    }

    /// Waits `ms` milliseconds, fractions allowed, never less.
    pub fn sleep(frame: *NativeFrame, ms: f64) callconv(.c) i32 {
        return frame.sleepBody(ms);
    }

    /// Reads 1 to `len` bytes, 0 at the end of the stream. `handle`: a connection that TypeScript passed.
    pub fn tcp_read(frame: *NativeFrame, handle: Handle, bytes: [*]u8, len: u32) callconv(.c) i32 {
        return frame.readBody(handle, bytes[0..@min(len, max_length)]);
    }

    /// Writes all `len` (at most 2^31 - 1) bytes.
    pub fn tcp_write(frame: *NativeFrame, handle: Handle, bytes: [*]const u8, len: u32) callconv(.c) i32 {
        return if (len > max_length) sys.negative(.INVAL) else frame.writeBody(handle, bytes[0..len]);
    }

    /// Reads `len` (at most 2^31 - 1) bytes at `position`, fewer where the file ends. `handle`: a file that TypeScript passed.
    pub fn file_pread(frame: *NativeFrame, handle: Handle, bytes: [*]u8, len: u32, position: f64) callconv(.c) i32 {
        return frame.preadBody(handle, bytes[0..@min(len, max_length)], position);
    }

    /// Writes all `len` (at most 2^31 - 1) bytes at `position`.
    pub fn file_pwrite(frame: *NativeFrame, handle: Handle, bytes: [*]const u8, len: u32, position: f64) callconv(.c) i32 {
        return if (len > max_length) sys.negative(.INVAL) else frame.pwriteBody(handle, bytes[0..len], position);
    }

    /// Waits for a datagram and gives how many bytes of it fitted into `bytes`, 0 for an empty one. `from` may be null.
    pub fn udp_read(frame: *NativeFrame, handle: Handle, bytes: [*]u8, len: u32, from: ?*datagram.Record) callconv(.c) i32 {
        return frame.receiveBody(handle, bytes[0..len], from);
    }

    /// Sends one datagram. `to`: as a read left it, or null for where the socket is connected to.
    pub fn udp_write(frame: *NativeFrame, handle: Handle, bytes: [*]const u8, len: u32, to: ?*const datagram.Record) callconv(.c) i32 {
        return frame.sendBody(handle, bytes[0..len], to);
    }

    /// Waits until the notification `id`, an AsyncNotification that TypeScript of the same thread passed, is notified.
    pub fn notification_wait(frame: *NativeFrame, id: f64) callconv(.c) i32 {
        return frame.notificationWaitBody(id);
    }

    /// From any thread and from signal handlers; never waits. 0, or -EBADF when `id` names no notification that is open.
    pub fn notify(id: f64) callconv(.c) i32 {
        return if (notice.notify(notice.idFrom(id) orelse return sys.negative(.BADF))) 0 else sys.negative(.BADF);
    }
};
