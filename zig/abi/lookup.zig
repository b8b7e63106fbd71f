//! C ABI of looking up the names of hosts. No memory of the caller's is kept past any call.

const std = @import("std");
const code = @import("../code.zig");
const Env = @import("../env.zig").Env;
const Handle = @import("../handle.zig").Handle;
const lookup = @import("../io/lookup.zig");
const sys = @import("../sys.zig");
const writeAddress = @import("tcp.zig").writeAddress;

pub const exports = struct {
    /// `parked`: an entry follows with how many addresses there are as status and a number for `lookup_take` as value, or with a negative
    /// errno: ENOENT when the name stands for none, EAGAIN when nobody could be asked. `name`: `len` (1 to 253) bytes without a 0 among
    /// them. `family`: 4, 6, or 0 for both.
    pub fn op_lookup(env: *Env, token: u32, name: [*]const u8, len: u32, family: u32) callconv(.c) i32 {
        if (len == 0 or len >= lookup.max_name) return sys.negative(.NOENT);
        const its_family: lookup.Lookup.Family = switch (family) {
            0 => .any,
            4 => .ip4,
            6 => .ip6,
            else => return sys.negative(.INVAL),
        };
        const slot = env.slots.claim(token) orelse return code.bad_token;
        const one = lookup.Lookup.start(&env.lookups, name[0..len], its_family, &slot.io) catch return sys.negative(.NOMEM);
        slot.target = .{ .plain = &one.job.op };
        return code.parked;
    }

    /// Writes at most `capacity` addresses, each as `tcp_address` does in 20 bytes, best first, and lets go of all. How many.
    pub fn lookup_take(env: *Env, number: Handle, out: [*]u8, capacity: u32) callconv(.c) i32 {
        const one = env.lookups.kept(number) orelse return code.bad_handle;
        defer one.release();
        const count = @min(one.count, capacity);
        for (one.addresses[0..count], 0..) |*address, i| writeAddress(address, out + 20 * i);
        return count;
    }
};
