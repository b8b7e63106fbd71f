//! Root of the shared library: exports every function of abi/ as `zc_` plus its name, and the version that the package
//! checks. Nothing is implemented here.

const std = @import("std");

pub const groups = .{
    @import("abi/env.zig").exports,
    @import("abi/tcp.zig").exports,
    @import("abi/stream.zig").exports,
    @import("abi/file.zig").exports,
    @import("abi/udp.zig").exports,
    @import("abi/notification.zig").exports,
    @import("abi/process.zig").exports,
    @import("abi/signal.zig").exports,
    @import("abi/frame.zig").exports,
    @import("abi/stack.zig").exports,
};

/// What native bodies call; TypeScript does not bind these.
pub const body_groups = .{
    @import("abi/body.zig").exports,
};

comptime {
    for (groups ++ body_groups) |group| {
        for (@typeInfo(group).@"struct".decls) |decl| {
            @export(&@field(group, decl.name), .{ .name = "zc_" ++ decl.name });
        }
    }
    @export(&abi_version, .{ .name = "zc_abi_version" });
}

/// Fingerprint of all signatures, layouts and codes, as the generated description carries it.
fn abi_version() callconv(.c) u32 {
    return comptime @import("manifest.zig").fingerprint();
}

test {
    _ = @import("env.zig");
    _ = @import("handle.zig");
    _ = @import("ring.zig");
    _ = @import("buffer.zig");
    _ = @import("loop.zig");
    _ = @import("slot.zig");
    _ = @import("host.zig");
    _ = @import("io/readiness.zig");
    _ = @import("io/kqueue.zig");
    _ = @import("io/tcp.zig");
    _ = @import("io/descriptor_test.zig");
    // Not from their own files, which the loop is made of: threads of the host need its libc.
    _ = @import("io/pool_test.zig");
    _ = @import("io/file_test.zig");
    _ = @import("io/udp.zig");
    _ = @import("notice.zig");
    _ = @import("io/notification.zig");
    _ = @import("signal.zig");
    _ = @import("spawn.zig");
    _ = @import("io/child.zig");
    _ = @import("native.zig");
}
