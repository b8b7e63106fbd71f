//! C ABI of channels whose messages are 31-bit numbers: for TypeScript, places in the channel's own table of values.

const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const sys = @import("../sys.zig");
const ValueChannel = @import("../slot.zig").ValueChannel;

pub const exports = struct {
    /// A channel's handle, or 0 without memory. It lives until `channel_destroy`.
    pub fn channel_create(env: *Env, capacity: u32) callconv(.c) Handle {
        const channel = env.allocator.create(ValueChannel) catch return env.failed(sys.negative(.NOMEM));
        channel.* = .initCapacity(env.allocator, capacity);
        return env.channels.add(env.allocator, channel) catch {
            env.allocator.destroy(channel);
            return env.failed(sys.negative(.NOMEM));
        };
    }

    /// Closes and frees it. The handle is refused from then on.
    pub fn channel_destroy(env: *Env, handle: Handle) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        channel.close();
        env.channels.remove(handle);
        channel.deinit();
        env.allocator.destroy(channel);
        return 0;
    }

    /// 0 when sent at once; `parked`: an entry with 0 or `closed` follows.
    pub fn op_channel_send(env: *Env, handle: Handle, token: u32, value: u32) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const outcome = channel.startSend(&slot.node, value) catch return sys.negative(.NOMEM);
        switch (outcome) {
            .ok => return 0,
            .closed => return code.closed,
            .parked => {
                slot.target = .{ .send = channel };
                return code.parked;
            },
        }
    }

    /// The value when there is one; `parked`: an entry with the value or `closed` follows.
    pub fn op_channel_recv(env: *Env, handle: Handle, token: u32) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        const slot = env.slots.claim(token) orelse return code.bad_token;
        switch (channel.startRecv(&slot.node)) {
            .ok => return @intCast(slot.node.value),
            .closed => return code.closed,
            .parked => {
                slot.target = .{ .recv = channel };
                return code.parked;
            },
        }
    }

    /// 0, `would_block` or `closed`.
    pub fn channel_try_send(env: *Env, handle: Handle, value: u32) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        const sent = channel.trySend(value) catch |err| switch (err) {
            error.OutOfMemory => return sys.negative(.NOMEM),
            error.Closed => return code.closed,
        };
        return if (sent) 0 else code.would_block;
    }

    /// The value, `would_block` or `closed`.
    pub fn channel_try_recv(env: *Env, handle: Handle) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        if (channel.tryRecv()) |value| return @intCast(value);
        return if (channel.closed) code.closed else code.would_block;
    }

    /// Wakes everyone who waits on it. Closing twice does nothing.
    pub fn channel_close(env: *Env, handle: Handle) callconv(.c) i32 {
        const channel = env.channels.get(handle) orelse return code.bad_handle;
        channel.close();
        return 0;
    }
};
