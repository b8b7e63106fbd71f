//! Prints the ABI manifest: `describe ts` the TypeScript module src/native/abi.ts, `describe c` the prototypes of
//! include/zigcoro_abi.h. A test compares the checked-in copies.

const std = @import("std");
const manifest = @import("manifest.zig");

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
    } else {
        std.debug.print("describe: say what to print: ts\n", .{});
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

fn ffiName(kind: manifest.Kind) []const u8 {
    return switch (kind) {
        .u32, .i32, .f64 => @tagName(kind),
        .pointer => "ptr",
        .bytes => "buffer",
        .none => "void",
    };
}
