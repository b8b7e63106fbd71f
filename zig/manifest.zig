//! Manifest: the C ABI as data, made at compile time from the functions themselves. The library carries its fingerprint, and
//! describe.zig prints it for TypeScript and C; nobody writes a signature twice.

const std = @import("std");
const code = @import("code.zig");
const datagram = @import("io/datagram.zig");
const library = @import("library.zig");
const Plan = @import("abi/process.zig").Plan;
const ring = @import("ring.zig");

/// A type that crosses the boundary.
pub const Kind = enum {
    u32,
    i32,
    f64,
    /// An address that native code owns.
    pointer,
    /// Bytes of the caller's, used during the call only.
    bytes,
    none,

    fn of(comptime T: type) Kind {
        return switch (T) {
            u32 => .u32,
            i32 => .i32,
            f64 => .f64,
            void => .none,
            [*]u8, [*]const u8 => .bytes,
            else => switch (@typeInfo(T)) {
                .pointer => .pointer,
                .optional => |o| if (@typeInfo(o.child) == .pointer) .pointer else @compileError(@typeName(T)),
                else => @compileError("not a type of the C ABI: " ++ @typeName(T)),
            },
        };
    }
};

pub const Function = struct {
    name: []const u8,
    params: []const Kind,
    result: Kind,
    /// For native bodies, not for TypeScript.
    body_only: bool = false,
};
pub const Constant = struct { name: []const u8, value: i32 };

pub const functions: []const Function = blk: {
    @setEvalBranchQuota(100_000);
    var list: []const Function = &.{.{ .name = "zc_abi_version", .params = &.{}, .result = .u32 }};
    for (library.groups ++ library.body_groups, 0..) |group, i| {
        for (@typeInfo(group).@"struct".decls) |decl| {
            const info = @typeInfo(@TypeOf(@field(group, decl.name))).@"fn";
            var params: []const Kind = &.{};
            for (info.params) |param| params = params ++ .{Kind.of(param.type.?)};
            list = list ++ .{Function{ .name = "zc_" ++ decl.name, .params = params, .result = Kind.of(info.return_type.?), .body_only = i >= library.groups.len }};
        }
    }
    break :blk list;
};

pub const codes: []const Constant = blk: {
    var list: []const Constant = &.{};
    for (@typeInfo(code).@"struct".decls) |decl| list = list ++ .{Constant{ .name = decl.name, .value = @field(code, decl.name) }};
    break :blk list;
};

/// Byte offsets and sizes that TypeScript reads shared memory by.
pub const layouts: []const Constant = &.{
    .{ .name = "shared_tail", .value = @offsetOf(ring.Shared, "tail") },
    .{ .name = "shared_pending", .value = @offsetOf(ring.Shared, "pending") },
    .{ .name = "shared_errno", .value = @offsetOf(ring.Shared, "errno") },
    .{ .name = "shared_value", .value = @offsetOf(ring.Shared, "value") },
    .{ .name = "shared_size", .value = @sizeOf(ring.Shared) },
    .{ .name = "entry_token", .value = @offsetOf(ring.Entry, "token") },
    .{ .name = "entry_status", .value = @offsetOf(ring.Entry, "status") },
    .{ .name = "entry_value", .value = @offsetOf(ring.Entry, "value") },
    .{ .name = "entry_size", .value = @sizeOf(ring.Entry) },
    .{ .name = "plan_paths", .value = @offsetOf(Plan, "paths") },
    .{ .name = "plan_leads_session", .value = @offsetOf(Plan, "leads_session") },
    .{ .name = "plan_stdio", .value = @offsetOf(Plan, "stdio") },
    .{ .name = "plan_pid", .value = @offsetOf(Plan, "pid") },
    .{ .name = "plan_streams", .value = @offsetOf(Plan, "streams") },
    .{ .name = "plan_stage", .value = @offsetOf(Plan, "stage") },
    .{ .name = "plan_size", .value = @sizeOf(Plan) },
    .{ .name = "max_args", .value = @import("native.zig").max_args },
    .{ .name = "datagram_batch", .value = datagram.max_batch },
    .{ .name = "datagram_size", .value = datagram.slot_size },
    .{ .name = "slot_bits", .value = @import("slot.zig").Slot.index_bits },
};

pub fn fingerprint() u32 {
    @setEvalBranchQuota(1_000_000);
    var hash: std.hash.Fnv1a_32 = .init();
    for (functions) |f| {
        hash.update(f.name);
        for (f.params) |param| hash.update(@tagName(param));
        hash.update(@tagName(f.result));
    }
    for (codes ++ layouts) |c| {
        hash.update(c.name);
        hash.update(std.mem.asBytes(&c.value));
    }
    return hash.final();
}
