//! File: an open file on the loop. Any number of operations at any positions at once; this file knows no position of its own.
//!
//! A read or write is tried without waiting first, straight from or into the caller's memory: what the page cache has costs one
//! system call. What would have to wait becomes a request with native memory of its own, and so does everything else. A read that
//! ended with data, and a stat, keep their request until the waiter takes the result by the number it was told.
//!
//! `opening -> open -> closing -> gone`. A close cancels what is in flight; each request ends once and tells its waiter; the last
//! one to end starts the close of the descriptor, so a number is never reused under an operation. The file owns its descriptor, its
//! struct and the path it opens. Requests belong to the context and are used again: small operations allocate nothing.

const std = @import("std");
const assert = std.debug.assert;
const Allocator = std.mem.Allocator;
const buffer = @import("../buffer.zig");
const Call = @import("call.zig").Call;
const descriptor = @import("descriptor.zig");
const Handle = @import("../handle.zig").Handle;
const handle = @import("../handle.zig");
const IoWait = @import("op.zig").IoWait;
const Job = @import("pool.zig").Job;
const Loop = @import("../loop.zig").Loop;
const Op = @import("op.zig").Op;
const parked = @import("tcp.zig").parked;
const sanitizer = @import("../sanitizer.zig");
const sys = @import("../sys.zig");
const c = sys.c;

/// The files of a thread, and what they need.
pub const Context = struct {
    allocator: Allocator,
    loop: *Loop,
    buffers: *buffer.Pool,
    files: handle.Table(File) = .{},
    requests: std.ArrayList(*Request) = .empty,
    free: ?*Request = null,

    /// Closes all files and ends those that are being opened. They are gone when the loop has nothing in flight any more.
    pub fn closeAll(context: *Context) void {
        for (context.files.slots.items) |entry| {
            const file = entry.object orelse continue;
            if (file.fd >= 0) file.close(null) else {
                file.closing = true;
                context.loop.cancel(&file.own.op);
            }
        }
    }

    pub fn deinit(context: *Context) void {
        assert(context.files.live == 0);
        for (context.requests.items) |request| {
            request.giveBack();
            context.allocator.destroy(request);
        }
        context.requests.deinit(context.allocator);
        context.files.deinit(context.allocator);
    }

    /// The result that `number` names and nobody has taken yet.
    pub fn kept(context: *Context, number: u32) ?*Request {
        if (number >= context.requests.items.len) return null;
        const request = context.requests.items[number];
        return if (request.state == .kept) request else null;
    }

    fn takeRequest(context: *Context) error{OutOfMemory}!*Request {
        if (context.free) |request| {
            context.free = request.next_free;
            return request;
        }
        try context.requests.ensureUnusedCapacity(context.allocator, 1);
        const request = try context.allocator.create(Request);
        request.* = .{ .context = context, .number = @intCast(context.requests.items.len), .job = .{ .op = .{ .doneFn = Request.done } } };
        context.requests.appendAssumeCapacity(request);
        return request;
    }
};

pub const Request = struct {
    context: *Context,
    job: Job,
    number: u32,
    state: enum(u8) { free, in_flight, kept } = .free,
    /// While it is in flight.
    file: *File = undefined,
    wait: *IoWait = undefined,
    buffer: ?buffer.Buffer = null,
    /// Bytes that a read brought.
    bytes: usize = 0,
    stat: sys.Stat = undefined,
    next_free: ?*Request = null,
    /// Neighbours in the file's list.
    next: ?*Request = null,
    prev: ?*Request = null,

    fn done(op: *Op) void {
        const request: *Request = @fieldParentPtr("job", Job.of(op));
        assert(request.state == .in_flight);
        const file = request.file;
        file.forget(request);
        const result = ended(op);
        const wait = request.wait;
        if (result >= 0) switch (request.job.call) {
            .read => |r| {
                request.bytes = @intCast(result);
                sanitizer.kernelWrote(r.bytes[0..request.bytes]);
                if (result > 0) request.state = .kept;
            },
            .stat => {
                sanitizer.kernelWrote(std.mem.asBytes(&request.stat));
                request.state = .kept;
            },
            else => {},
        };
        if (request.state == .kept) wait.value = @floatFromInt(request.number) else request.release();
        wait.result = result;
        wait.waiter.wake();
        if (file.closing) file.closeIfDone();
    }

    /// Moves the bytes of a read into `destination` and lets go of the result; returns how many.
    pub fn take(request: *Request, destination: []u8) usize {
        assert(request.state == .kept);
        const n = @min(request.bytes, destination.len);
        @memcpy(destination[0..n], request.buffer.?[0..n]);
        request.release();
        return n;
    }

    pub fn release(request: *Request) void {
        request.giveBack();
        request.state = .free;
        request.next_free = request.context.free;
        request.context.free = request;
    }

    fn giveBack(request: *Request) void {
        const bytes = request.buffer orelse return;
        request.context.buffers.give(bytes);
        request.buffer = null;
        request.bytes = 0;
    }
};

/// The result of an op; one that a signal of the kernel's own ended was cancelled.
fn ended(op: *const Op) i32 {
    const was_interrupted = op.cancelled and (op.result == sys.negative(.INTR) or op.result == -512);
    return if (was_interrupted) sys.negative(.CANCELED) else op.result;
}

pub const File = struct {
    context: *Context,
    handle: Handle,
    /// Opens it, and closes it.
    own: Job,
    own_wait: ?*IoWait,
    path: [:0]u8,
    fd: sys.fd_t = -1,
    closing: bool = false,
    /// It has no positions: a pipe, a terminal.
    is_stream: bool = false,
    /// Until the file system says that it cannot tell.
    can_read_now: bool = true,
    can_write_now: bool = true,
    first: ?*Request = null,

    /// Always parks: `wait` is told 0 with the new handle as value, or a negative errno. `flags` are the system's.
    pub fn open(context: *Context, path: []const u8, flags: u32, mode: u32, wait: *IoWait) error{OutOfMemory}!*File {
        const allocator = context.allocator;
        const file = try allocator.create(File);
        errdefer allocator.destroy(file);
        const own_path = try allocator.dupeZ(u8, path);
        errdefer allocator.free(own_path);
        file.* = .{
            .context = context,
            .handle = try context.files.add(allocator, file),
            .own = .{
                .op = .{ .doneFn = openDone },
                .call = .{ .open = .{ .path = own_path.ptr, .flags = flags, .mode = mode } },
                .freeFn = freeAbandoned,
            },
            .own_wait = wait,
            .path = own_path,
        };
        wait.waiter.arm();
        context.loop.startJob(&file.own, allocator);
        return file;
    }

    fn openDone(op: *Op) void {
        const file: *File = @fieldParentPtr("own", Job.of(op));
        const wait = file.own_wait.?;
        const result = ended(op);
        file.own_wait = null;
        if (result < 0 or file.closing) {
            if (result >= 0) sys.close(result);
            file.context.files.remove(file.handle);
            wait.result = if (result >= 0) sys.negative(.CANCELED) else result;
            if (file.own.stage != .abandoned) file.free(file.context.allocator);
        } else {
            file.fd = result;
            file.is_stream = sys.isStream(file.fd);
            if (sys.is_posix and file.is_stream) setNonblocking(file.fd);
            wait.result = 0;
            wait.value = @floatFromInt(file.handle);
        }
        wait.waiter.wake();
    }

    fn freeAbandoned(job: *Job, allocator: Allocator) void {
        const file: *File = @fieldParentPtr("own", job);
        file.free(allocator);
    }

    fn free(file: *File, allocator: Allocator) void {
        allocator.free(file.path);
        allocator.destroy(file);
    }

    /// Reads at `at` (ignored by a stream) what can be had at once, otherwise parks. 0 at the end; a negative errno. What a parked
    /// read has brought is `kept`. Either may be less than `destination` holds.
    pub fn read(file: *File, wait: *IoWait, destination: []u8, at: i64) error{OutOfMemory}!i32 {
        assert(!file.closing);
        const position = file.positionOf(at);
        if (file.can_read_now) {
            const result = sys.readNow(file.fd, destination, position);
            if (!wouldWait(result, &file.can_read_now)) return result;
        }
        const request = try file.requestOf(wait);
        errdefer request.release();
        const bytes = try file.context.buffers.take(destination.len);
        request.buffer = bytes;
        const wanted = bytes[0..@min(bytes.len, destination.len)];
        return file.start(request, .{ .read = .{ .fd = file.fd, .bytes = wanted, .at = position } });
    }

    /// Writes at `at` (ignored by a stream and by a file that appends) what is taken at once, otherwise copies a first part and
    /// parks. How many bytes were written, or a negative errno.
    pub fn write(file: *File, wait: *IoWait, bytes: []const u8, at: i64) error{OutOfMemory}!i32 {
        assert(!file.closing);
        const position = file.positionOf(at);
        if (file.can_write_now) {
            const args = .{ file.fd, bytes, position };
            const result = if (file.is_stream) sys.withoutPipeSignal(file.fd, sys.writeNow, args) else @call(.auto, sys.writeNow, args);
            if (!wouldWait(result, &file.can_write_now)) return result;
        }
        const request = try file.requestOf(wait);
        errdefer request.release();
        const copy = try file.context.buffers.take(bytes.len);
        request.buffer = copy;
        const n = @min(copy.len, bytes.len);
        @memcpy(copy[0..n], bytes[0..n]);
        return file.start(request, .{ .write = .{ .fd = file.fd, .bytes = copy[0..n], .at = position } });
    }

    /// Parks; the result is `kept`.
    pub fn stat(file: *File, wait: *IoWait) error{OutOfMemory}!i32 {
        const request = try file.requestOf(wait);
        return file.start(request, .{ .stat = .{ .fd = file.fd, .out = &request.stat } });
    }

    /// Parks until what was written is on the disk; with `data_only`, what reading it needs.
    pub fn sync(file: *File, wait: *IoWait, data_only: bool) error{OutOfMemory}!i32 {
        const request = try file.requestOf(wait);
        return file.start(request, if (data_only) .{ .data_sync = file.fd } else .{ .sync = file.fd });
    }

    pub fn truncate(file: *File, wait: *IoWait, length: i64) error{OutOfMemory}!i32 {
        const request = try file.requestOf(wait);
        return file.start(request, .{ .truncate = .{ .fd = file.fd, .length = length } });
    }

    /// Cancels what is in flight and gives the file up: the caller must not use it again. `wait` is told when the descriptor is closed.
    pub fn close(file: *File, wait: ?*IoWait) void {
        assert(!file.closing and file.fd >= 0);
        file.closing = true;
        file.context.files.remove(file.handle);
        file.own_wait = wait;
        if (wait) |w| w.waiter.arm();
        var at = file.first;
        while (at) |request| : (at = request.next) file.context.loop.cancel(&request.job.op);
        file.closeIfDone();
    }

    fn closeIfDone(file: *File) void {
        assert(file.closing);
        if (file.first != null) return;
        file.own.call = .{ .close = file.fd };
        file.own.op.doneFn = closeDone;
        // Closing may have to write, or to free what a deleted file had.
        file.context.loop.startJob(&file.own, file.context.allocator);
        // Refused, for want of memory, descriptors or threads. Told here and not by its result, for a file system may answer the same
        // when it has closed the descriptor, and the number may be another's by then.
        const op = &file.own.op;
        if (op.state == .finished) op.result = sys.result(c.close(file.fd));
    }

    fn closeDone(op: *Op) void {
        const file: *File = @fieldParentPtr("own", Job.of(op));
        if (file.own_wait) |wait| {
            // Interrupted, it is closed all the same.
            wait.result = if (op.result == sys.negative(.INTR)) 0 else op.result;
            wait.waiter.wake();
        }
        file.free(file.context.allocator);
    }

    fn positionOf(file: *const File, at: i64) i64 {
        return if (file.is_stream) Call.no_position else at;
    }

    fn requestOf(file: *File, wait: *IoWait) error{OutOfMemory}!*Request {
        assert(!file.closing);
        const request = try file.context.takeRequest();
        request.file = file;
        request.wait = wait;
        return request;
    }

    fn start(file: *File, request: *Request, call: Call) i32 {
        assert(request.state == .free);
        request.state = .in_flight;
        request.job.call = call;
        request.job.is_stream = file.is_stream;
        request.prev = null;
        request.next = file.first;
        if (file.first) |other| other.prev = request;
        file.first = request;
        request.wait.waiter.arm();
        file.context.loop.startJob(&request.job, file.context.allocator);
        return parked;
    }

    fn forget(file: *File, request: *Request) void {
        if (request.prev) |prev| prev.next = request.next else file.first = request.next;
        if (request.next) |next| next.prev = request.prev;
    }
};

/// Whether a call without waiting came to nothing. A file that cannot tell is not asked again.
fn wouldWait(result: i32, can_tell: *bool) bool {
    if (result == sys.negative(.AGAIN)) return true;
    if (result != sys.negative(.OPNOTSUPP) and result != sys.negative(.NOSYS)) return false;
    can_tell.* = false;
    return true;
}

fn setNonblocking(fd: sys.fd_t) void {
    var flags = sys.flagsOf(fd) orelse return;
    flags.NONBLOCK = true;
    _ = sys.setFlags(fd, flags);
}
