//! Root of the shared library: exports every function of abi/ as `zc_` plus its name, and the version that the package
//! checks. Nothing is implemented here.

const builtin = @import("builtin");
const Env = @import("env.zig").Env;
const Handle = @import("handle.zig").Handle;
const sys = @import("sys.zig");

pub const groups = .{
    @import("abi/env.zig").exports,
    @import("abi/tcp.zig").exports,
    @import("abi/stream.zig").exports,
    @import("abi/file.zig").exports,
    @import("abi/lookup.zig").exports,
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

/// Groups that this system has nothing for.
const absent_groups = if (builtin.os.tag == .windows) .{
    @import("abi/process.zig").exports,
    @import("abi/signal.zig").exports,
} else .{};

comptime {
    for (groups ++ body_groups) |group| {
        const is_absent = for (absent_groups) |absent| {
            if (absent == group) break true;
        } else false;
        for (@typeInfo(group).@"struct".decls) |decl| {
            const function = if (is_absent) Absent.of(@TypeOf(@field(group, decl.name))) else &@field(group, decl.name);
            @export(function, .{ .name = "zc_" ++ decl.name });
        }
    }
    @export(&abi_version, .{ .name = "zc_abi_version" });
}

/// In place of functions that the system has nothing for: they fail with ENOSYS. The caller's arguments are ignored.
const Absent = struct {
    fn of(comptime Function: type) *const anyopaque {
        return switch (@typeInfo(Function).@"fn".return_type.?) {
            i32 => &errno,
            Handle => &handle,
            void => &nothing,
            else => @compileError(@typeName(Function)),
        };
    }

    fn errno() callconv(.c) i32 {
        return sys.negative(.NOSYS);
    }

    fn handle(env: *Env) callconv(.c) Handle {
        return env.failed(sys.negative(.NOSYS));
    }

    fn nothing() callconv(.c) void {}
};

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
    _ = @import("io/tcp.zig");
    _ = @import("io/udp.zig");
    _ = @import("notice.zig");
    _ = @import("io/notification.zig");
    _ = @import("native.zig");
    // On Windows the package's tests are those of files, and there is nothing of the rest.
    if (sys.is_posix) {
        _ = @import("io/readiness.zig");
        _ = @import("io/kqueue.zig");
        _ = @import("io/descriptor_test.zig");
        // Not from their own files, which the loop is made of: threads of the host need its libc.
        _ = @import("io/pool_test.zig");
        _ = @import("io/file_test.zig");
        _ = @import("io/lookup_test.zig");
        _ = @import("signal.zig");
        _ = @import("spawn.zig");
        _ = @import("io/child.zig");
    }
}
