//! An echo server and its clients: each connection is a coroutine that reads and writes as if it blocked.

const std = @import("std");
const libcoro = @import("libcoro");
const asyncio = libcoro.asyncio;
const xev = libcoro.xev;

pub const panic = libcoro.panic;

const clients = 8;

/// Serves until it is cancelled.
fn serve(listener: asyncio.TCP) !void {
    var connections: libcoro.Group = .init;
    defer connections.deinit(); //                 ends them, and waits until they have
    while (true) {
        const connection = try listener.accept();
        try connections.spawn(echo, .{connection}, .{ .name = "echo" });
    }
}

fn echo(connection: asyncio.TCP) !void {
    defer connection.close() catch {};
    var buffer: [1024]u8 = undefined;
    while (true) {
        const n = connection.read(.{ .slice = &buffer }) catch |err| return if (err == error.EOF) {} else err;
        try connection.writeAll(buffer[0..n]);
    }
}

fn ask(address: std.Io.net.IpAddress, number: usize) !void {
    const connection: asyncio.TCP = .init(null, try .init(address));
    defer connection.close() catch {};
    try connection.connect(address);
    var sent: [32]u8 = undefined;
    const message = std.fmt.bufPrint(&sent, "client {d}", .{number}) catch unreachable;
    try connection.writeAll(message);
    var received: [32]u8 = undefined;
    var n: usize = 0;
    while (n < message.len) n += try connection.read(.{ .slice = received[n..] });
    if (!std.mem.eql(u8, message, received[0..n])) return error.WrongEcho;
}

fn askAll(address: std.Io.net.IpAddress) !void {
    var group: libcoro.Group = .init;
    defer group.deinit();
    for (0..clients) |n| try group.spawn(ask, .{ address, n }, .{ .name = "client" });
    try group.wait();
}

fn program() !void {
    const any_port: std.Io.net.IpAddress = try .parse("127.0.0.1", 0);
    const socket: xev.TCP = try .init(any_port);
    try socket.bind(any_port);
    try socket.listen(clients);
    const listener: asyncio.TCP = .init(null, socket);
    defer listener.close() catch {};
    const server = try libcoro.xasync(serve, .{listener}, null);
    defer server.deinit();

    try libcoro.withTimeout(10_000, askAll, .{try listener.localAddress()});
    libcoro.xcancel(server) catch |err| if (err != error.Cancelled) return err;
}

fn run() !void {
    var pool: libcoro.StackPool = .{};
    defer pool.deinit();
    var loop = try xev.Loop.init(.{});
    defer loop.deinit();
    var executor: asyncio.Executor = .init(&loop);
    defer executor.deinit();
    asyncio.initEnv(.{ .executor = &executor, .pool = &pool, .default_stack_size = 64 * 1024 });
    try asyncio.run(null, program, .{}, null);
}

pub fn main() !void {
    try run();
    std.debug.print("{d} clients got their echo\n", .{clients});
}

test "every client gets its echo, and nothing is left" {
    try run();
}
