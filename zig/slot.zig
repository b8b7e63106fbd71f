//! Slot: the operation table's entry for one wait on behalf of TypeScript: a timer, a kernel operation, a native coroutine's end.
//! What TypeScript's own coroutines do among themselves (src/wait.ts) needs none.
//!
//! TypeScript owns the numbers: it takes a free slot, makes a token of slot and generation, and starts one operation with
//! it. `idle -> busy -> idle`; the way back is one ring entry that carries the token, or a cancel that says it took the
//! operation back. A token whose slot is busy is refused, and an entry whose generation is old is ignored by TypeScript,
//! so nothing is ever delivered to the wrong waiter.

const std = @import("std");
const assert = std.debug.assert;
const Env = @import("env.zig").Env;
const IoWait = @import("io/op.zig").IoWait;
const Listeners = @import("io/listeners.zig").Listeners;
const Op = @import("io/op.zig").Op;
const Socket = @import("io/tcp.zig").Socket;
const Timer = @import("timer.zig").Timer;
const Waiter = @import("waiter.zig").Waiter;

pub const Slot = struct {
    env: *Env,
    token: u32 = 0,
    target: Target = .idle,
    timer: Timer = .{ .fireFn = timerFire },
    io: IoWait = .{ .waiter = .{ .wakeFn = ioWake } },

    pub const Target = union(enum) {
        idle,
        sleep,
        /// A wait whose result is complete as it comes.
        plain: *Op,
        /// The result is a descriptor, to become a socket.
        accept: *Socket,
        /// A wait for an op that others wait for, too; it can be taken back.
        listener: *Listeners,
        /// The end of a native coroutine.
        frame,
        /// What goes on to its end whatever is asked.
        uncancellable,
    };

    pub const index_bits = 22;
    pub const max_slots = 1 << index_bits;

    pub fn complete(slot: *Slot, status: i32, value: f64) void {
        assert(slot.target != .idle);
        slot.target = .idle;
        slot.env.ring.push(slot.token, status, value);
    }

    fn timerFire(t: *Timer) void {
        const slot: *Slot = @fieldParentPtr("timer", t);
        slot.complete(0, 0);
    }

    fn ioWake(w: *Waiter) void {
        const io: *IoWait = @fieldParentPtr("waiter", w);
        const slot: *Slot = @fieldParentPtr("io", io);
        w.state = .idle;
        const value = io.value;
        io.value = 0;
        if (slot.target != .accept or io.result < 0) return slot.complete(io.result, value);
        const handle = slot.env.adoptSocket(io.result);
        if (handle == 0) return slot.complete(slot.env.ring.shared.errno, 0);
        slot.complete(0, @floatFromInt(handle));
    }

    /// Takes the operation back. True: it is over and no entry will come. False: an entry comes, or has come.
    pub fn cancel(slot: *Slot) bool {
        const taken_back = switch (slot.target) {
            .idle, .frame, .uncancellable => return false,
            .sleep => sleep: {
                slot.env.timers.remove(&slot.timer);
                break :sleep true;
            },
            .plain => |op| io: {
                slot.env.loop.cancel(op);
                break :io false;
            },
            .listener => |listeners| listener: {
                listeners.remove(&slot.io);
                slot.io.waiter.disarm();
                break :listener true;
            },
            .accept => |socket| io: {
                slot.env.loop.cancel(&socket.in.op);
                break :io false;
            },
        };
        if (taken_back) slot.target = .idle;
        return taken_back;
    }
};

/// Slots in blocks that never move, since waiters are linked into lists.
pub const Slots = struct {
    blocks: std.ArrayList(*[block_len]Slot) = .empty,

    const block_len = 256;

    pub fn deinit(slots: *Slots, allocator: std.mem.Allocator) void {
        for (slots.blocks.items) |block| allocator.destroy(block);
        slots.blocks.deinit(allocator);
    }

    pub fn capacity(slots: *const Slots) u32 {
        return @intCast(slots.blocks.items.len * block_len);
    }

    /// Afterwards there are at least `count` slots.
    pub fn reserve(slots: *Slots, allocator: std.mem.Allocator, env: *Env, count: u32) error{OutOfMemory}!void {
        while (slots.capacity() < count) {
            try slots.blocks.ensureUnusedCapacity(allocator, 1);
            const block = try allocator.create([block_len]Slot);
            for (block) |*slot| slot.* = .{ .env = env };
            slots.blocks.appendAssumeCapacity(block);
        }
    }

    /// Takes back what `reserve` made beyond `count` slots, all of them idle.
    pub fn truncate(slots: *Slots, allocator: std.mem.Allocator, count: u32) void {
        while (slots.capacity() > count) allocator.destroy(slots.blocks.pop().?);
    }

    /// The idle slot of `token`, marked with it; null when the token's slot does not exist or is busy.
    pub inline fn claim(slots: *Slots, token: u32) ?*Slot {
        const slot = slots.at(token) orelse return null;
        if (slot.target != .idle) return null;
        slot.token = token;
        return slot;
    }

    /// The slot that `token` started an operation in, if it is busy with that.
    pub fn busy(slots: *Slots, token: u32) ?*Slot {
        const slot = slots.at(token) orelse return null;
        return if (slot.target != .idle and slot.token == token) slot else null;
    }

    inline fn at(slots: *Slots, token: u32) ?*Slot {
        const index = token & (Slot.max_slots - 1);
        if (index >= slots.capacity()) return null;
        return &slots.blocks.items[index / block_len][index % block_len];
    }
};
