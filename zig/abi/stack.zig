//! C ABI of stacks for native bodies that TypeScript keeps for itself, and of how much is left of a stack.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const OwnStack = @import("../native.zig").OwnStack;
const remainingStackSize = @import("../frame.zig").remainingStackSize;
const sys = @import("../sys.zig");

pub const exports = struct {
    /// A stack of at least `size` (at most 8 MiB) bytes for `frame_start`, or 0 with the shared errno. It lives until `stack_free`.
    pub fn stack_alloc(env: *Env, size: u32) callconv(.c) Handle {
        return OwnStack.create(env, size) catch |err| return env.failed(switch (err) {
            error.StackTooLarge => sys.negative(.INVAL),
            error.OutOfMemory => sys.negative(.NOMEM),
        });
    }

    /// Gives it back: 0, or `busy` while a body runs on it.
    pub fn stack_free(env: *Env, handle: Handle) callconv(.c) i32 {
        const stack = env.own_stacks.get(handle) orelse return code.bad_handle;
        if (stack.in_use) return code.busy;
        stack.destroy(env);
        return 0;
    }

    /// Bytes that bodies may use of it.
    pub fn stack_size(env: *Env, handle: Handle) callconv(.c) u32 {
        const stack = env.own_stacks.get(handle) orelse return 0;
        return @intCast(stack.stack.memory.len);
    }

    /// Bytes left of the calling thread's own stack; 0 when the system does not tell.
    pub fn stack_remaining() callconv(.c) f64 {
        return @floatFromInt(remainingStackSize());
    }

    /// Bytes left of the stack of a body that is suspended; 0 when it has ended.
    pub fn frame_stack_remaining(env: *Env, handle: Handle) callconv(.c) u32 {
        const frame = env.frames.get(handle) orelse return 0;
        return frame.stackRemaining();
    }
};
