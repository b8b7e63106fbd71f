//! Lookup: the addresses that a host's name stands for, from the resolver of the host's C library, which a thread of the pool calls.
//! It is there for whoever cannot use the host's own: in owner mode Bun's loop, and with it Bun's resolver, stands still.
//!
//! `in_flight -> kept -> gone`, or from `in_flight` to `gone` when it fails or is cancelled. A result is kept until it is taken by its
//! handle. The resolver cannot be interrupted: a cancelled lookup is told at once, and freed when its thread comes back (pool.zig).
//! Until then only that thread touches `name`, `addresses` and `count`.

const std = @import("std");
const builtin = @import("builtin");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const Handle = @import("../handle.zig").Handle;
const handle = @import("../handle.zig");
const IoWait = @import("op.zig").IoWait;
const Job = @import("pool.zig").Job;
const Loop = @import("../loop.zig").Loop;
const Op = @import("op.zig").Op;
const sys = @import("../sys.zig");
const c = sys.c;

/// Addresses kept of one name; the resolver gives the best ones first.
pub const max_addresses = 32;
/// Bytes of the longest name, without the dot at its end (RFC 1035), and its 0.
pub const max_name = 254;

/// The lookups of a thread.
pub const Context = struct {
    allocator: Allocator,
    loop: *Loop,
    lookups: handle.Table(Lookup) = .{},

    /// Ends all of them. They are gone when the loop has nothing in flight any more.
    pub fn closeAll(context: *Context) void {
        for (context.lookups.slots.items) |entry| {
            const lookup = entry.object orelse continue;
            if (lookup.state == .kept) lookup.release() else lookup.end();
        }
    }

    pub fn deinit(context: *Context) void {
        assert(context.lookups.live == 0);
        context.lookups.deinit(context.allocator);
    }

    /// The result that `number` names and nobody has taken yet.
    pub fn kept(context: *const Context, number: Handle) ?*Lookup {
        const lookup = context.lookups.get(number) orelse return null;
        return if (lookup.state == .kept) lookup else null;
    }
};

pub const Lookup = struct {
    context: *Context,
    handle: Handle,
    job: Job,
    wait: *IoWait,
    state: enum(u8) { in_flight, kept } = .in_flight,
    /// The Env ends: nobody takes a result.
    is_unwanted: bool = false,
    name: [max_name]u8,
    family: Family,
    addresses: [max_addresses]sys.Address = undefined,
    count: u8 = 0,

    pub const Family = enum(u8) { any = 0, ip4 = 4, ip6 = 6 };

    /// Always parks: `wait` is told how many addresses there are, with the handle to take them by as value, or a negative errno: ENOENT
    /// when the name stands for none, EAGAIN when that could not be found out now. `name`: shorter than `max_name`, without a 0.
    pub fn start(context: *Context, name: []const u8, family: Family, wait: *IoWait) error{OutOfMemory}!*Lookup {
        const lookup = try context.allocator.create(Lookup);
        errdefer context.allocator.destroy(lookup);
        lookup.* = .{
            .context = context,
            .handle = try context.lookups.add(context.allocator, lookup),
            .job = .{ .op = .{ .doneFn = done }, .call = .{ .lookup = lookup }, .freeFn = freeAbandoned },
            .wait = wait,
            .name = undefined,
            .family = family,
        };
        @memcpy(lookup.name[0..name.len], name);
        lookup.name[name.len] = 0;
        wait.waiter.arm();
        context.loop.startJob(&lookup.job, context.allocator);
        return lookup;
    }

    fn done(op: *Op) void {
        const lookup: *Lookup = @fieldParentPtr("job", Job.of(op));
        assert(lookup.state == .in_flight);
        const wait = lookup.wait;
        wait.result = op.result;
        if (op.result > 0 and !lookup.is_unwanted) {
            lookup.state = .kept;
            wait.value = @floatFromInt(lookup.handle);
        } else {
            lookup.context.lookups.remove(lookup.handle);
            if (lookup.job.stage != .abandoned) lookup.context.allocator.destroy(lookup);
        }
        wait.waiter.wake();
    }

    fn freeAbandoned(job: *Job, allocator: Allocator) void {
        allocator.destroy(@as(*Lookup, @fieldParentPtr("job", job)));
    }

    fn end(lookup: *Lookup) void {
        lookup.is_unwanted = true;
        lookup.context.loop.cancel(&lookup.job.op);
    }

    /// Lets go of a kept result.
    pub fn release(lookup: *Lookup) void {
        assert(lookup.state == .kept);
        lookup.context.lookups.remove(lookup.handle);
        lookup.context.allocator.destroy(lookup);
    }

    /// On a thread that may sleep: how many addresses, or a negative errno.
    pub fn make(lookup: *Lookup) i32 {
        var hints = std.mem.zeroes(AddressInfo);
        hints.socktype = c.SOCK.STREAM;
        hints.family = switch (lookup.family) {
            .any => c.AF.UNSPEC,
            .ip4 => c.AF.INET,
            .ip6 => c.AF.INET6,
        };
        var first: ?*AddressInfo = null;
        const failure = resolver()(@ptrCast(&lookup.name), null, &hints, &first);
        if (failure != 0) return sys.negative(library.errnoOf(failure));
        defer if (first) |info| library.freeaddrinfo(info);
        var at = first;
        while (at) |info| : (at = info.next) {
            const from = info.addr orelse continue;
            const is_known = from.family == c.AF.INET or from.family == c.AF.INET6;
            if (!is_known or lookup.count == max_addresses) continue;
            const size: usize = if (from.family == c.AF.INET6) @sizeOf(c.sockaddr.in6) else @sizeOf(c.sockaddr.in);
            @memcpy(std.mem.asBytes(&lookup.addresses[lookup.count])[0..size], @as([*]const u8, @ptrCast(from))[0..size]);
            lookup.count += 1;
        }
        return if (lookup.count > 0) lookup.count else sys.negative(.NOENT);
    }
};

const library = if (sys.is_posix) struct {
    pub const Info = std.c.addrinfo;
    pub extern fn getaddrinfo(name: [*:0]const u8, service: ?[*:0]const u8, hints: *const Info, out: *?*Info) callconv(.c) c_int;
    pub extern fn freeaddrinfo(info: *Info) callconv(.c) void;

    pub fn errnoOf(failure: c_int) sys.E {
        return switch (@as(std.c.EAI, @enumFromInt(failure))) {
            .NONAME, .NODATA, .ADDRFAMILY => .NOENT,
            .AGAIN => .AGAIN,
            .FAMILY => .AFNOSUPPORT,
            .MEMORY => .NOMEM,
            else => .IO,
        };
    }
} else @import("../sys_windows.zig").resolver;

pub const AddressInfo = library.Info;
const Resolver = *const @TypeOf(library.getaddrinfo);

/// What is asked; a test may put something in its place.
pub var test_resolver: Resolver = &library.getaddrinfo;

inline fn resolver() Resolver {
    return if (builtin.is_test) test_resolver else &library.getaddrinfo;
}
