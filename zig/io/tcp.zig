//! Tcp: stream sockets and listeners on the loop, and pipes, terminals and other descriptors that bytes go through. One op in
//! flight per direction, both embedded in the socket.
//!
//! `open -> closing -> gone`. A socket whose close was asked for cancels what is in flight; each op ends once and tells its
//! waiter; the last one to end closes the descriptor, so a number is never reused under an operation. Data that a
//! cancelled read brought all the same stays in the socket for the next read.
//!
//! What was read and not taken yet is `in.bytes` bytes of `in.buffer` from `taken` on. A read begins only when there are none; a fill reads
//! behind them, at `in.op.buffer`, until there are `wanted`.
//!
//! A socket owns its descriptor, its struct and the buffers that its ops borrow.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const buffer = @import("../buffer.zig");
const descriptor = @import("descriptor.zig");
const sys = @import("../sys.zig");
const Loop = @import("../loop.zig").Loop;
const Watch = @import("../loop.zig").Watch;
const Op = @import("op.zig").Op;
const IoWait = @import("op.zig").IoWait;
const c = sys.c;

/// What a socket needs of its thread.
pub const Context = struct {
    allocator: Allocator,
    loop: *Loop,
    buffers: *buffer.Pool,
};

/// Result of an operation that has to wait; no errno is this large.
pub const parked: i32 = -10_000;

pub const Side = struct {
    op: Op,
    /// Told once, when the op has ended.
    wait: ?*IoWait = null,
    buffer: ?buffer.Buffer = null,
    /// read: bytes that have come and were not taken; write: bytes accepted so far by this write.
    bytes: usize = 0,
};

pub const Socket = struct {
    context: *Context,
    fd: sys.fd_t,
    closing: bool = false,
    /// accept and read
    in: Side,
    /// connect and write
    out: Side,
    watch: Watch,
    read_size: buffer.ReadSize = .{},
    /// A read that filled its buffer: more is there, so trying first pays.
    likely_readable: bool = false,
    /// Start of the bytes in `in.buffer` that were not taken yet.
    taken: usize = 0,
    /// A fill is over when `in.bytes` are this many; 0 while none is under way.
    wanted: usize = 0,

    /// Takes ownership of `fd`; on error it is the caller's still.
    fn create(context: *Context, fd: sys.fd_t) error{OutOfMemory}!*Socket {
        const self = try context.allocator.create(Socket);
        self.* = .{
            .context = context,
            .fd = fd,
            .in = .{ .op = .{ .fd = fd, .doneFn = inDone } },
            .out = .{ .op = .{ .fd = fd, .doneFn = outDone } },
            .watch = .{ .ops = undefined },
        };
        self.watch.ops = .{ &self.in.op, &self.out.op };
        self.out.op.address.any.family = 0;
        return self;
    }

    pub const Opened = union(enum) { socket: *Socket, errno: i32 };

    pub const ListenOptions = packed struct(u32) { reuse_port: bool = false, ip6_only: bool = false, _: u30 = 0 };

    /// Binds and listens. `errno` says which call's failure it was by its value alone, as in Node.
    pub fn listen(context: *Context, address: *const sys.Address, backlog: u32, options: ListenOptions) error{OutOfMemory}!Opened {
        const fd = sys.socket(address.any.family, context.loop.wantsNonblocking());
        if (fd < 0) return .{ .errno = fd };
        // On Windows it would take the address from whoever has it, and an address whose sockets are closed is free at once.
        var rc: i32 = if (sys.is_posix) sys.setOption(fd, c.SOL.SOCKET, c.SO.REUSEADDR, 1) else 0;
        if (rc >= 0 and address.any.family == c.AF.INET6) {
            rc = sys.setOption(fd, c.IPPROTO.IPV6, sys.IPV6.V6ONLY, @intFromBool(options.ip6_only));
        }
        if (rc >= 0 and options.reuse_port) rc = sys.setOption(fd, c.SOL.SOCKET, c.SO.REUSEPORT, 1);
        if (rc >= 0) rc = sys.bind(fd, address);
        if (rc >= 0) rc = sys.listen(fd, backlog);
        if (rc < 0) {
            sys.close(fd);
            return .{ .errno = rc };
        }
        return adopt(context, fd);
    }

    /// A new socket that will connect to `address`; `startConnect` begins.
    pub fn open(context: *Context, address: *const sys.Address) error{OutOfMemory}!Opened {
        const fd = sys.socket(address.any.family, context.loop.wantsNonblocking());
        if (fd < 0) return .{ .errno = fd };
        const opened = try adoptUnwatched(context, fd);
        opened.socket.out.op.address = address.*;
        return opened;
    }

    /// A socket for a descriptor that `accept` gave.
    pub fn adopt(context: *Context, fd: sys.fd_t) error{OutOfMemory}!Opened {
        const opened = try adoptUnwatched(context, fd);
        context.loop.watch(&opened.socket.watch, fd);
        return opened;
    }

    /// A socket for a descriptor that `accept` gave. It is told its peer's address, which a reset would take from the kernel.
    pub fn adoptAccepted(context: *Context, fd: sys.fd_t) error{OutOfMemory}!Opened {
        const opened = try adopt(context, fd);
        const address = &opened.socket.out.op.address;
        if (sys.peerAddress(fd, address) < 0) address.any.family = 0;
        return opened;
    }

    /// The other end's address, as of when it was connected; null for what has none.
    pub fn peer(self: *const Socket) ?*const sys.Address {
        const address = &self.out.op.address;
        return if (address.any.family == c.AF.INET or address.any.family == c.AF.INET6) address else null;
    }

    fn adoptUnwatched(context: *Context, fd: sys.fd_t) error{OutOfMemory}!Opened {
        return .{ .socket = create(context, fd) catch |err| {
            sys.close(fd);
            return err;
        } };
    }

    /// A stream over any descriptor, on `terms`. Refused, it is the caller's still.
    pub fn adoptAny(context: *Context, fd: sys.fd_t, terms: descriptor.Terms) error{OutOfMemory}!Opened {
        const prepared = switch (descriptor.prepare(fd, terms)) {
            .errno => |errno| return .{ .errno = errno },
            .descriptor => |d| d,
        };
        const self = create(context, prepared.fd) catch |err| {
            if (prepared.fd != fd) sys.close(prepared.fd);
            return err;
        };
        if (prepared.fd != fd and !terms.keep) sys.close(fd);
        self.in.op.way = prepared.way;
        self.out.op.way = prepared.way;
        if (prepared.way != .ready) context.loop.watch(&self.watch, prepared.fd);
        return .{ .socket = self };
    }

    /// As `adoptAny`, over a socket of ours.
    pub fn adoptSocket(context: *Context, fd: sys.fd_t) error{OutOfMemory}!Opened {
        const self = try create(context, fd);
        context.loop.watch(&self.watch, fd);
        return .{ .socket = self };
    }

    /// Result, or `parked`: then `wait` is told. The result is a descriptor for `adopt`.
    pub fn startAccept(self: *Socket, wait: *IoWait) i32 {
        assert(self.isIdle(&self.in));
        self.in.op.kind = .accept;
        return self.begin(&self.in, wait);
    }

    /// 0, a negative errno, or `parked`.
    pub fn startConnect(self: *Socket, wait: *IoWait) i32 {
        assert(self.isIdle(&self.out));
        const op = &self.out.op;
        op.kind = .connect;
        if (self.context.loop.wantsNonblocking()) {
            const rc = sys.connect(self.fd, &op.address);
            if (rc < 0 and rc != sys.negative(.INPROGRESS)) return rc;
            // Watched only now: an unconnected socket reports a hang-up.
            self.context.loop.watch(&self.watch, self.fd);
        }
        return self.begin(&self.out, wait);
    }

    /// Number of bytes that `take` will give, 0 at end of stream, a negative errno, or `parked`.
    pub fn startRead(self: *Socket, wait: *IoWait, max: usize) error{OutOfMemory}!i32 {
        assert(self.isIdle(&self.in));
        const side = &self.in;
        if (side.bytes > 0) return @min(self.available(), max);
        const size: usize = @min(max, self.read_size.size);
        if (side.buffer) |b| if (b.len < size) self.giveBack(side);
        const bytes = side.buffer orelse try self.context.buffers.take(size);
        side.buffer = bytes;
        self.taken = 0;
        self.wanted = 0;
        side.op.buffer = bytes[0..@min(bytes.len, size)];
        const result = self.receive() orelse return park(side, wait);
        return self.readEnded(result).?;
    }

    /// Reads until at least `min` bytes (1 to `max_fill`) are there to be taken: how many there are, fewer only at the end of the stream;
    /// a negative errno, or `parked`. However it ends, what came stays.
    pub fn startFill(self: *Socket, wait: *IoWait, min: usize) error{OutOfMemory}!i32 {
        assert(self.isIdle(&self.in));
        assert(min > 0 and min <= max_fill);
        if (self.in.bytes >= min) return self.available();
        try self.makeRoom();
        self.wanted = min;
        // Of the read before; this one may end without the loop.
        self.in.op.cancelled = false;
        const result = self.receive() orelse return park(&self.in, wait);
        return self.readEnded(result) orelse park(&self.in, wait);
    }

    pub const max_fill = 1 << 30;

    /// How many bytes can be taken.
    pub fn available(self: *const Socket) i32 {
        return @intCast(@min(self.in.bytes, std.math.maxInt(i32)));
    }

    /// Points the op at free space behind the bytes that are there.
    fn makeRoom(self: *Socket) error{OutOfMemory}!void {
        const side = &self.in;
        if (side.bytes == 0) self.taken = 0;
        const buffers = self.context.buffers;
        const old = side.buffer orelse try buffers.take(self.read_size.size);
        side.buffer = old;
        if (self.taken + side.bytes == old.len) {
            const unread = old[self.taken..];
            if (unread.len <= old.len / 2) {
                @memcpy(old[0..unread.len], unread);
            } else {
                const larger = try buffers.takeLarge(2 * old.len);
                @memcpy(larger[0..unread.len], unread);
                buffers.give(old);
                side.buffer = larger;
            }
            self.taken = 0;
        }
        side.op.buffer = side.buffer.?[self.taken + side.bytes ..];
    }

    /// Moves bytes that a read brought into `destination`; returns how many.
    pub fn take(self: *Socket, destination: []u8) usize {
        const side = &self.in;
        const n = @min(side.bytes, destination.len);
        if (n == 0) return 0;
        @memcpy(destination[0..n], side.buffer.?[self.taken..][0..n]);
        self.taken += n;
        side.bytes -= n;
        // A fill's buffer may be large, and the next read may be long in coming. One in flight points into it.
        if (side.bytes == 0 and side.buffer.?.len > buffer.max_size and self.isIdle(side)) self.giveBack(side);
        return n;
    }

    /// Puts bytes back in front of those that can be taken.
    pub fn untake(self: *Socket, bytes: []const u8) error{OutOfMemory}!void {
        const side = &self.in;
        assert(self.isIdle(side));
        if (bytes.len == 0) return;
        if (side.bytes == 0) self.taken = if (side.buffer) |b| b.len else 0;
        if (self.taken < bytes.len) {
            const unread: []const u8 = if (side.buffer) |b| b[self.taken..][0..side.bytes] else "";
            const larger = try self.context.buffers.takeLarge(bytes.len + unread.len);
            const start = larger.len - unread.len;
            @memcpy(larger[start..], unread);
            self.giveBack(side);
            side.buffer = larger;
            self.taken = start;
        }
        self.taken -= bytes.len;
        side.bytes += bytes.len;
        @memcpy(side.buffer.?[self.taken..][0..bytes.len], bytes);
    }

    /// Where `delimiter` begins among the bytes that can be taken, looked for from byte `from` on.
    pub fn find(self: *const Socket, delimiter: []const u8, from: usize) ?usize {
        const side = &self.in;
        if (side.bytes == 0) return null;
        return std.mem.findPos(u8, side.buffer.?[self.taken..][0..side.bytes], from, delimiter);
    }

    /// Sends what the kernel takes at once and copies a first part of the rest. Returns how many bytes were sent (fewer than all
    /// only when there is no memory for the copy), a negative errno, or `parked`: the result told later is how many bytes were
    /// sent in all, from 1 to bytes.len, also when a cancel ended it after a part.
    pub fn startWrite(self: *Socket, wait: *IoWait, bytes: []const u8) error{OutOfMemory}!i32 {
        assert(self.isIdle(&self.out));
        const side = &self.out;
        const sent = if (side.op.way == .socket) sys.send(self.fd, bytes) else descriptor.write(&side.op.way, self.fd, bytes);
        if (sent == bytes.len) return sent;
        if (sent < 0 and sent != sys.negative(.AGAIN)) return sent;
        const done: usize = if (sent < 0) 0 else @intCast(sent);
        const rest = bytes[done..];
        // What was sent was sent: the next call finds out about the memory.
        const copy = self.context.buffers.take(rest.len) catch |err| return if (done > 0) @intCast(done) else err;
        const n = @min(copy.len, rest.len);
        @memcpy(copy[0..n], rest[0..n]);
        side.buffer = copy;
        side.bytes = done;
        side.op.buffer = copy[0..n];
        if (side.op.way == .socket) {
            side.op.kind = .send;
            if (self.context.loop.startWaiting(&side.op, &self.watch)) |failed| return self.writeEnded(failed).?;
        } else {
            // These may take a part without having to wait for the rest.
            side.op.kind = .write;
            if (self.context.loop.start(&side.op, &self.watch)) |now| if (self.writeEnded(now)) |ended| return ended;
        }
        return park(side, wait);
    }

    pub fn shutdown(self: *Socket, how: i32) i32 {
        const rc = sys.shutdown(self.fd, how);
        // A read that waits ends; not every kernel tells it so.
        if (rc >= 0 and how != 1) self.context.loop.lookAgain(&self.in.op);
        return rc;
    }

    /// Ends what is in flight and gives the socket up: the caller must not use it again.
    pub fn close(self: *Socket) void {
        assert(!self.closing);
        self.closing = true;
        self.context.loop.cancel(&self.in.op);
        self.context.loop.cancel(&self.out.op);
        self.destroyIfDone();
    }

    pub fn isIdle(_: *const Socket, side: *const Side) bool {
        return side.op.state == .idle;
    }

    fn begin(self: *Socket, side: *Side, wait: *IoWait) i32 {
        if (self.context.loop.start(&side.op, &self.watch)) |result| return result;
        return park(side, wait);
    }

    fn park(side: *Side, wait: *IoWait) i32 {
        wait.waiter.arm();
        side.wait = wait;
        return parked;
    }

    /// The result of the read, had at once; null: it waits.
    fn receive(self: *Socket) ?i32 {
        const op = &self.in.op;
        const is_socket = op.way == .socket;
        op.kind = if (is_socket) .recv else .read;
        if ((self.likely_readable or !is_socket) and !self.context.loop.wantsNonblocking()) {
            const result = op.attempt();
            if (result != sys.negative(.AGAIN)) return result;
            self.likely_readable = false;
        }
        return self.context.loop.start(op, &self.watch);
    }

    /// The read's or fill's result, or null while the fill goes on.
    fn readEnded(self: *Socket, first: i32) ?i32 {
        const side = &self.in;
        var result = first;
        while (true) {
            if (result <= 0) {
                if (side.bytes == 0) self.giveBack(side);
                return if (result == 0) self.available() else result;
            }
            const n: usize = @intCast(result);
            side.bytes += n;
            assert(self.taken + side.bytes <= side.buffer.?.len);
            self.likely_readable = n == side.op.buffer.len;
            if (self.wanted == 0) {
                self.read_size.record(n, side.op.buffer.len);
                return result;
            }
            if (side.bytes >= self.wanted) return self.available();
            // Part of a fill: what came stays for whoever reads next.
            if (side.op.cancelled or self.closing) return sys.negative(.CANCELED);
            self.makeRoom() catch return sys.negative(.NOMEM);
            result = self.receive() orelse return null;
        }
    }

    /// The write's result, or null while part of it is still on its way.
    fn writeEnded(self: *Socket, result: i32) ?i32 {
        const side = &self.out;
        if (result < 0) {
            self.giveBack(side);
            // A cancel takes nothing back: the caller must know how much is gone.
            return if (result == sys.negative(.CANCELED) and side.bytes > 0) @intCast(side.bytes) else result;
        }
        const n: usize = @intCast(result);
        side.bytes += n;
        side.op.buffer = side.op.buffer[n..];
        // A cancelled part may have been sent all the same: the cancel is for the write, so it goes no further.
        if (side.op.buffer.len > 0 and !self.closing and !side.op.cancelled) {
            const more = self.context.loop.start(&side.op, &self.watch) orelse return null;
            return self.writeEnded(more);
        }
        self.giveBack(side);
        return @intCast(side.bytes);
    }

    fn giveBack(self: *Socket, side: *Side) void {
        if (side.buffer) |b| self.context.buffers.give(b);
        side.buffer = null;
    }

    fn inDone(op: *Op) void {
        const side: *Side = @fieldParentPtr("op", op);
        const self: *Socket = @fieldParentPtr("in", side);
        const result = if (op.kind == .accept) op.result else self.readEnded(op.result) orelse return;
        self.tell(side, result);
    }

    fn outDone(op: *Op) void {
        const side: *Side = @fieldParentPtr("op", op);
        const self: *Socket = @fieldParentPtr("out", side);
        const result = if (op.kind == .connect) op.result else self.writeEnded(op.result) orelse return;
        self.tell(side, result);
    }

    fn tell(self: *Socket, side: *Side, result: i32) void {
        // A closed socket has no results: what came is dropped with it, an accepted connection too.
        if (self.closing and side.op.kind == .accept and result >= 0) sys.close(result);
        if (side.wait) |wait| {
            side.wait = null;
            wait.result = if (self.closing) sys.negative(.CANCELED) else result;
            wait.waiter.wake();
        }
        if (self.closing) self.destroyIfDone();
    }

    fn destroyIfDone(self: *Socket) void {
        assert(self.closing);
        if (self.in.op.state != .idle or self.out.op.state != .idle) return;
        self.giveBack(&self.in);
        self.giveBack(&self.out);
        self.context.loop.unwatch(&self.watch, self.fd);
        sys.close(self.fd);
        self.context.allocator.destroy(self);
    }
};

test {
    _ = @import("tcp_test.zig");
}
