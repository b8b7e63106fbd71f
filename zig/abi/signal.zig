//! C ABI of sources of signals. An index names a source of this process until `signal_close`; an Env that ends closes its own.

const Env = @import("../env.zig").Env;
const notice = @import("../notice.zig");
const signal = @import("../signal.zig");
const sys = @import("../sys.zig");

pub const exports = struct {
    /// A source that notifies `id` of the signals whose bits (signal - 1) are set, 1 to 32 in `low`: its index, or a negative errno, EMFILE when
    /// there are 64.
    pub fn signal_open(env: *Env, id: f64, low: u32, high: u32) callconv(.c) i32 {
        const index = signal.open(notice.idFrom(id) orelse return sys.negative(.BADF), @as(signal.Set, high) << 32 | low);
        if (index >= 0) env.signal_sources |= bitOf(index);
        return index;
    }

    /// The next signal that has come, 0 when there is none.
    pub fn signal_take(env: *Env, index: u32) callconv(.c) u32 {
        return if (isOwn(env, index)) signal.take(index) else 0;
    }

    /// A signal that was taken is there again.
    pub fn signal_put_back(env: *Env, index: u32, number: u32) callconv(.c) void {
        if (isOwn(env, index) and number >= 1 and number <= 64) signal.putBack(index, number);
    }

    pub fn signal_close(env: *Env, index: u32) callconv(.c) void {
        if (!isOwn(env, index)) return;
        env.signal_sources &= ~bitOf(@intCast(index));
        signal.close(index);
    }
};

fn isOwn(env: *const Env, index: u32) bool {
    return index < signal.max_sources and env.signal_sources & bitOf(@intCast(index)) != 0;
}

fn bitOf(index: i32) u64 {
    return @as(u64, 1) << @intCast(index);
}
