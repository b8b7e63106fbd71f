//! C ABI of native bodies as TypeScript drives them: start, resume, cancel. The body's own functions are in body.zig.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const native = @import("../native.zig");
const sys = @import("../sys.zig");

pub const exports = struct {
    /// Starts `body` as a coroutine and runs it to its first suspend. Its handle, or 0: the shared errno is then 0 when it has ended
    /// already (its result is in the shared head), else why it could not start. When it ends later, inside a tick, an entry
    /// with `token` and the result as value follows. `arguments`: `count` (at most 8) numbers. `own_stack`: one of `stack_alloc` that
    /// no body runs on, or 0 for a stack of at least `stack_size` bytes.
    pub fn frame_start(
        env: *Env,
        body: *const anyopaque,
        arguments: [*]const u8,
        count: u32,
        stack_size: u32,
        own_stack: Handle,
        name: [*]const u8,
        name_len: u32,
        token: u32,
    ) callconv(.c) Handle {
        const slot = env.slots.claim(token) orelse return env.failed(code.bad_token);
        var numbers: [native.max_args]f64 = undefined;
        const n: usize = @min(count, native.max_args);
        @memcpy(std.mem.sliceAsBytes(numbers[0..n]), arguments[0 .. n * @sizeOf(f64)]);
        const stack: native.NativeFrame.Stack = if (own_stack == 0) .{ .size = stack_size } else own: {
            const own = env.own_stacks.get(own_stack) orelse return env.failed(code.bad_handle);
            if (own.in_use) return env.failed(code.busy);
            break :own .{ .own = own };
        };
        const frame = native.NativeFrame.create(
            env,
            @ptrCast(@alignCast(body)),
            numbers[0..n],
            stack,
            name[0..name_len],
            slot,
        ) catch |err| return env.failed(switch (err) {
            error.StackTooSmall => sys.negative(.INVAL),
            else => sys.negative(.NOMEM),
        });
        const handle = frame.handle;
        return if (frame.run() == code.suspended) handle else env.failed(0);
    }

    /// Resumes a body that waits in `zc_suspend`: `suspended`, or 0 when it has ended (its result is in the shared head).
    pub fn frame_resume(env: *Env, handle: Handle, value: f64) callconv(.c) i32 {
        const frame = env.frames.get(handle) orelse return code.bad_handle;
        return frame.resumeWith(value);
    }

    /// Ends what it waits for, or the next thing it waits for, with -ECANCELED. It goes on from the next tick.
    pub fn frame_cancel(env: *Env, handle: Handle) callconv(.c) i32 {
        const frame = env.frames.get(handle) orelse return code.bad_handle;
        frame.cancel();
        return 0;
    }

    /// 1: it waits in `zc_suspend`. 0: it waits for something else, or has ended.
    pub fn frame_is_resumable(env: *Env, handle: Handle) callconv(.c) i32 {
        const frame = env.frames.get(handle) orelse return 0;
        return @intFromBool(frame.waits_for == .resume_ and frame.co.task.queue == null);
    }
};
