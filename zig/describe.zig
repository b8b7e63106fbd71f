//! Prints the ABI manifest: `describe ts` the TypeScript module src/native/abi.ts, `describe c` the C header
//! include/zigcoro.h. A test compares the checked-in copies.

const std = @import("std");
const datagram = @import("io/datagram.zig");
const library = @import("library.zig");
const manifest = @import("manifest.zig");
const NativeFrame = @import("native.zig").NativeFrame;

pub fn main(init: std.process.Init) !void {
    var buffer: [4096]u8 = undefined;
    var file = std.Io.File.stdout().writer(init.io, &buffer);
    const w = &file.interface;
    var args = try init.minimal.args.iterateAllocator(init.gpa);
    defer args.deinit();
    _ = args.next();
    const format = args.next() orelse "";
    if (std.mem.eql(u8, format, "ts")) {
        try typescript(w);
    } else if (std.mem.eql(u8, format, "c")) {
        try header(w);
    } else {
        std.debug.print("describe: say what to print: ts or c\n", .{});
        std.process.exit(2);
    }
    try w.flush();
}

fn typescript(w: *std.Io.Writer) !void {
    try w.writeAll(
        \\// The C ABI as bun:ffi wants it. Generated from zig/abi by `zig build describe -- ts`; do not edit.
        \\
        \\
    );
    try w.print("export const abiVersion = {d};\n\n", .{comptime manifest.fingerprint()});
    try w.writeAll("export const symbols = {\n");
    for (manifest.functions) |f| {
        if (f.body_only) continue;
        try w.print("  {s}: {{ args: [", .{f.name});
        for (f.params, 0..) |param, i| try w.print("{s}\"{s}\"", .{ if (i > 0) ", " else "", ffiName(param) });
        try w.print("], returns: \"{s}\" }},\n", .{ffiName(f.result)});
    }
    try w.writeAll("} as const;\n\n");
    try constants(w, "codes", manifest.codes);
    try w.writeAll("\n");
    try constants(w, "layouts", manifest.layouts);
}

fn constants(w: *std.Io.Writer, name: []const u8, list: []const manifest.Constant) !void {
    try w.print("export const {s} = {{\n", .{name});
    for (list) |c| {
        try w.writeAll("  ");
        // snake_case there, camelCase here
        var upper = false;
        for (c.name) |char| {
            if (char == '_') {
                upper = true;
                continue;
            }
            try w.writeByte(if (upper) std.ascii.toUpper(char) else char);
            upper = false;
        }
        try w.print(": {d},\n", .{c.value});
    }
    try w.writeAll("} as const;\n");
}

fn header(w: *std.Io.Writer) !void {
    try w.writeAll(
        \\/* zigcoro: coroutine bodies in C. Generated from zig/abi by `zig build describe -- c`; do not edit.
        \\ *
        \\ * A body is a function of type zc_body. TypeScript starts it with xasync(symbol, [numbers...]); it runs on a stack of its own
        \\ * and may suspend anywhere in its calls. `frame` is valid inside the body only. Functions give 0 or more, or a negative
        \\ * errno; -ECANCELED after a cancel, when the body should clean up and return.
        \\ *
        \\ *     ZC_COROUTINE(sum) {
        \\ *       double total = 0, value;
        \\ *       while (zc_suspend(frame, &value) >= 0) total += value;
        \\ *       return total;
        \\ *     }
        \\ */
        \\#ifndef ZIGCORO_H
        \\#define ZIGCORO_H
        \\
        \\#if defined(__TINYC__) && defined(_WIN32)
        \\/* Bun's compiler brings no headers for Windows. */
        \\typedef signed char int8_t;
        \\typedef unsigned char uint8_t;
        \\typedef short int16_t;
        \\typedef unsigned short uint16_t;
        \\typedef int int32_t;
        \\typedef unsigned int uint32_t;
        \\typedef long long int64_t;
        \\typedef unsigned long long uint64_t;
        \\#else
        \\#include <stdint.h>
        \\#endif
        \\
        \\#ifdef __cplusplus
        \\extern "C" {
        \\#endif
        \\
        \\typedef struct zc_frame zc_frame;
        \\typedef double (*zc_body)(zc_frame *frame);
        \\#define ZC_COROUTINE(name) double name(zc_frame *frame)
        \\/* A datagram: bytes that are there and bytes it had (more, when it was cut), and where it comes from or goes to. family: 4 or 6. */
        \\typedef struct {
        \\  uint32_t length, whole;
        \\  uint16_t family, port;
        \\  uint32_t scope;
        \\  uint8_t address[16];
        \\} zc_datagram;
        \\
    );
    inline for (library.body_groups) |group| {
        inline for (@typeInfo(group).@"struct".decls) |decl| {
            const info = @typeInfo(@TypeOf(@field(group, decl.name))).@"fn";
            try w.print("/* {s} */\n{s}zc_{s}(", .{ @field(docs, decl.name), cType(info.return_type.?), decl.name });
            inline for (info.params, 0..) |param, i| {
                try w.print("{s}{s}{s}", .{ if (i > 0) ", " else "", cType(param.type.?), @field(names, decl.name)[i] });
            }
            try w.writeAll(");\n");
        }
    }
    try w.writeAll(
        \\
        \\#ifdef __cplusplus
        \\}
        \\#endif
        \\#endif
        \\
    );
}

/// What reflection does not know: the meaning of each function and the names of its parameters.
const docs = .{
    .arg = "Argument number index (from 0) of xasync; 0 when there is none.",
    .@"suspend" = "Suspends until TypeScript resumes it; *value (unless null) is what the resume brought.",
    .remaining_stack = "Bytes left of the stack that the body runs on.",
    .sleep = "Waits at least ms milliseconds.",
    .tcp_read = "Reads 1 to len bytes; 0 at the end of the stream. connection: an argument that was a stream.",
    .tcp_write = "Writes all len (at most 2^31 - 1) bytes.",
    .file_pread = "Reads len (at most 2^31 - 1) bytes at position, fewer where the file ends; of a pipe what there is. file: an argument that was a File.",
    .file_pwrite = "Writes all len (at most 2^31 - 1) bytes at position, which a pipe ignores.",
    .udp_read = "Waits for a datagram and gives how many bytes of it fitted, 0 for an empty one. *from (unless null) is about it.",
    .udp_write = "Sends len bytes as one datagram to where *to says, as a read left it; null: where the socket is connected to.",
    .notification_wait = "Waits until it is notified. notification: an argument that was an AsyncNotification of this thread.",
    .notify = "From any thread, also outside of bodies and in signal handlers; never waits. 0, or -EBADF when it names nothing open (any more).",
};
const names = .{
    .arg = .{ "frame", "index" },
    .@"suspend" = .{ "frame", "value" },
    .remaining_stack = .{"frame"},
    .sleep = .{ "frame", "ms" },
    .tcp_read = .{ "frame", "connection", "bytes", "len" },
    .tcp_write = .{ "frame", "connection", "bytes", "len" },
    .file_pread = .{ "frame", "file", "bytes", "len", "position" },
    .file_pwrite = .{ "frame", "file", "bytes", "len", "position" },
    .udp_read = .{ "frame", "socket", "bytes", "len", "from" },
    .udp_write = .{ "frame", "socket", "bytes", "len", "to" },
    .notification_wait = .{ "frame", "notification" },
    .notify = .{"notification"},
};

fn cType(comptime T: type) []const u8 {
    return switch (T) {
        u32 => "uint32_t ",
        i32 => "int32_t ",
        f64 => "double ",
        ?*f64 => "double *",
        [*]u8 => "uint8_t *",
        [*]const u8 => "const uint8_t *",
        *NativeFrame => "zc_frame *",
        ?*datagram.Record => "zc_datagram *",
        ?*const datagram.Record => "const zc_datagram *",
        else => @compileError(@typeName(T)),
    };
}

fn ffiName(kind: manifest.Kind) []const u8 {
    return switch (kind) {
        .u32, .i32, .f64 => @tagName(kind),
        .pointer => "ptr",
        .bytes => "buffer",
        .none => "void",
    };
}
