//! Errno: error numbers as errors, for the calls that are made here and not by libxev.

const std = @import("std");
const E = std.posix.E;

/// The error of `Set` that `e` means there, or `error.Unexpected`.
pub fn toError(comptime Set: type, e: E) Set {
    @setEvalBranchQuota(100_000);
    inline for (names) |entry| {
        const number, const name = entry;
        if (comptime has(Set, name)) if (e == number) return @field(Set, name);
    }
    return error.Unexpected;
}

pub fn has(comptime Set: type, comptime name: []const u8) bool {
    @setEvalBranchQuota(100_000);
    for (@typeInfo(Set).error_set.?) |err| if (std.mem.eql(u8, err.name, name)) return true;
    return false;
}

/// A number with several names means the first that the set has.
const names = .{
    .{ E.ACCES, "AccessDenied" },
    .{ E.ADDRINUSE, "AddressInUse" },
    .{ E.ADDRNOTAVAIL, "AddressNotAvailable" },
    .{ E.AFNOSUPPORT, "AddressFamilyNotSupported" },
    .{ E.AGAIN, "WouldBlock" },
    .{ E.BADF, "NotOpenForReading" },
    .{ E.BADF, "NotOpenForWriting" },
    .{ E.BUSY, "DeviceBusy" },
    .{ E.CANCELED, "Canceled" },
    .{ E.CHILD, "InvalidChild" },
    .{ E.CONNABORTED, "ConnectionAborted" },
    .{ E.CONNREFUSED, "ConnectionRefused" },
    .{ E.CONNRESET, "ConnectionResetByPeer" },
    .{ E.DQUOT, "DiskQuota" },
    .{ E.EXIST, "FileDescriptorAlreadyPresentInSet" },
    .{ E.FBIG, "FileTooBig" },
    .{ E.HOSTUNREACH, "HostUnreachable" },
    .{ E.HOSTUNREACH, "NetworkUnreachable" },
    .{ E.INVAL, "InvalidArgument" },
    .{ E.IO, "InputOutput" },
    .{ E.ISDIR, "IsDir" },
    .{ E.LOOP, "OperationCausesCircularLoop" },
    .{ E.MFILE, "ProcessFdQuotaExceeded" },
    .{ E.MSGSIZE, "MessageTooBig" },
    .{ E.NETDOWN, "NetworkDown" },
    .{ E.NETDOWN, "NetworkSubsystemFailed" },
    .{ E.NETUNREACH, "NetworkUnreachable" },
    .{ E.NFILE, "SystemFdQuotaExceeded" },
    .{ E.NOBUFS, "SystemResources" },
    .{ E.NOENT, "FileDescriptorNotRegistered" },
    .{ E.NOMEM, "SystemResources" },
    .{ E.NOSPC, "NoSpaceLeft" },
    .{ E.NOSPC, "UserResourceLimitReached" },
    .{ E.NOTCONN, "SocketNotConnected" },
    .{ E.NXIO, "Unseekable" },
    .{ E.OVERFLOW, "Unseekable" },
    .{ E.PERM, "PermissionDenied" },
    .{ E.PERM, "FileDescriptorIncompatibleWithEpoll" },
    .{ E.PIPE, "BrokenPipe" },
    .{ E.SPIPE, "Unseekable" },
    .{ E.TIMEDOUT, "ConnectionTimedOut" },
    .{ E.TIMEDOUT, "Timeout" },
};

test "a number is the name that the set has for it, or unexpected" {
    const Set = error{ BrokenPipe, UserResourceLimitReached, Unexpected };
    try std.testing.expectEqual(error.BrokenPipe, toError(Set, .PIPE));
    try std.testing.expectEqual(error.UserResourceLimitReached, toError(Set, .NOSPC));
    try std.testing.expectEqual(error.Unexpected, toError(Set, .CONNREFUSED));
    try std.testing.expectEqual(error.NoSpaceLeft, toError(Set || error{NoSpaceLeft}, .NOSPC));
}
