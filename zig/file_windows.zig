//! Files of Windows with the face of POSIX's: each function returns a result >= 0 or a negative errno. Flags are the C library's of Windows,
//! which are those of node:fs there. Only files and folders are opened: consoles, pipes and devices are refused with ENOTSUP.

const std = @import("std");
const assert = std.debug.assert;
const sys = @import("sys.zig");
const win32 = @import("win32.zig");
const os = @import("sys_windows.zig");
const fd_t = os.c.fd_t;

pub const O = packed struct(u32) {
    /// 0 to read, 1 to write, 2 both.
    ACCMODE: u2 = 0,
    unused: u1 = 0,
    APPEND: bool = false,
    unused2: u4 = 0,
    CREAT: bool = false,
    TRUNC: bool = false,
    EXCL: bool = false,
    unused3: u15 = 0,
    /// Of libuv: files have no such flag there.
    DSYNC: bool = false,
    SYNC: bool = false,
    unused4: u3 = 0,
    /// Always, whatever it says.
    CLOEXEC: bool = false,
};

comptime {
    assert(@as(u32, @bitCast(O{ .APPEND = true })) == 0x8);
    assert(@as(u32, @bitCast(O{ .CREAT = true, .TRUNC = true, .EXCL = true })) == 0x700);
    assert(@as(u32, @bitCast(O{ .DSYNC = true, .SYNC = true })) == 0x0c00_0000);
}

const synchronize = 0x0010_0000;
const generic_read = 0x8000_0000;
const generic_write = 0x4000_0000;
const read_attributes = 0x80;
/// Of GENERIC_WRITE, without writing in place.
const append_only = 0x0012_0114;

/// `path` is UTF-8; relative ones begin at the folder of the process. Longer ones than MAX_PATH are no trouble.
pub fn openat(_: i32, path: [*:0]const u8, flags: O, mode: u32) i32 {
    const access: u32 = switch (flags.ACCMODE) {
        0 => generic_read,
        1 => if (flags.APPEND) append_only else generic_write,
        2 => generic_read | @as(u32, if (flags.APPEND) append_only else generic_write),
        3 => return sys.negative(.INVAL),
    };
    const disposition: u32 = if (flags.CREAT and flags.EXCL)
        2 // FILE_CREATE
    else if (flags.TRUNC)
        if (flags.CREAT) 5 else 4 // FILE_OVERWRITE_IF, FILE_OVERWRITE
    else if (flags.CREAT) 3 else 1; // FILE_OPEN_IF, FILE_OPEN
    const read_only = flags.CREAT and mode & 0o200 == 0;
    return open(path, access, disposition, read_only, flags.SYNC or flags.DSYNC);
}

fn open(path: [*:0]const u8, access: u32, disposition: u32, read_only: bool, write_through: bool) i32 {
    var wide: [32 * 1024]u16 = undefined;
    const text = std.mem.span(path);
    if (text.len >= wide.len) return sys.negative(.NAMETOOLONG);
    const len = std.unicode.wtf8ToWtf16Le(&wide, text) catch return sys.negative(.NOENT);
    wide[len] = 0;
    var name: win32.UnicodeString = undefined;
    if (win32.RtlDosPathNameToNtPathName_U(wide[0..len :0], &name, null, null) == 0) return sys.negative(.NOENT);
    defer win32.RtlFreeUnicodeString(&name);
    const case_insensitive = 0x40;
    const attributes: win32.ObjectAttributes = .{ .name = &name, .attributes = case_insensitive };
    const waits = 0x20;
    // A folder can be opened to be asked about, as elsewhere.
    const no_folder: u32 = if (access == generic_read) 0 else 0x40;
    const through: u32 = if (write_through) 0x2 else 0;
    const share_all = 7;
    const file_attributes: u32 = if (read_only) 0x1 else 0x80;
    var handle: win32.HANDLE = undefined;
    var io: [2]usize = undefined;
    const all = access | synchronize | read_attributes;
    const status = win32.NtCreateFile(&handle, all, &attributes, &io, null, file_attributes, share_all, disposition, waits | no_folder | through, null, 0);
    if (status < 0) return failureOf(@bitCast(status), disposition);
    const disk = 1;
    const value = @intFromPtr(handle);
    const refused: ?sys.E = if (win32.GetFileType(handle) != disk) .NOTSUP else if (value > std.math.maxInt(fd_t)) .MFILE else null;
    if (refused) |why| {
        _ = win32.CloseHandle(handle);
        return sys.negative(why);
    }
    return @intCast(value);
}

fn failureOf(status: u32, disposition: u32) i32 {
    return switch (status) {
        0xC000_00BA => sys.negative(.ISDIR), // FILE_IS_A_DIRECTORY
        0xC000_0035 => sys.negative(if (disposition == 2) .EXIST else .ISDIR), // OBJECT_NAME_COLLISION
        else => os.failure(win32.RtlNtStatusToDosError(@bitCast(status))),
    };
}

pub fn pread(fd: fd_t, bytes: [*]u8, len: usize, at: i64) i32 {
    var place = placeOf(at);
    var count: u32 = 0;
    if (win32.ReadFile(os.handleOf(fd), bytes, lengthOf(len), &count, &place) != 0) return @intCast(count);
    const handle_eof = 38;
    const invalid_function = 1;
    return switch (win32.GetLastError()) {
        handle_eof => 0,
        invalid_function => sys.negative(.ISDIR),
        else => transferFailure(),
    };
}

pub fn pwrite(fd: fd_t, bytes: [*]const u8, len: usize, at: i64) i32 {
    var place = placeOf(at);
    var count: u32 = 0;
    if (win32.WriteFile(os.handleOf(fd), bytes, lengthOf(len), &count, &place) != 0) return @intCast(count);
    return transferFailure();
}

/// It is not open for that.
fn transferFailure() i32 {
    const access_denied = 5;
    return if (win32.GetLastError() == access_denied) sys.negative(.BADF) else failure();
}

fn placeOf(at: i64) win32.Overlapped {
    const bits: u64 = @bitCast(at);
    return .{ .DUMMYUNIONNAME = .{ .DUMMYSTRUCTNAME = .{ .Offset = @truncate(bits), .OffsetHigh = @truncate(bits >> 32) } } };
}

fn lengthOf(len: usize) u32 {
    return @intCast(@min(len, std.math.maxInt(i32)));
}

fn failure() i32 {
    return os.failure(win32.GetLastError());
}

pub fn ftruncate(fd: fd_t, length: i64) i32 {
    const end_of_file_info = 6;
    return if (win32.SetFileInformationByHandle(os.handleOf(fd), end_of_file_info, &length, @sizeOf(i64)) != 0) 0 else failure();
}

pub fn sync(fd: fd_t) i32 {
    return if (win32.FlushFileBuffers(os.handleOf(fd)) != 0) 0 else failure();
}

pub const Stat = struct {
    about: win32.ByHandleFileInformation,
    basic: win32.FileBasicInfo,
    standard: win32.FileStandardInfo,

    /// 0 or a negative errno.
    pub fn read(stat: *Stat, fd: fd_t) i32 {
        const handle = os.handleOf(fd);
        if (win32.GetFileInformationByHandle(handle, &stat.about) == 0) return failure();
        const basic_info = 0;
        if (win32.GetFileInformationByHandleEx(handle, basic_info, &stat.basic, @sizeOf(win32.FileBasicInfo)) == 0) return failure();
        const standard_info = 1;
        if (win32.GetFileInformationByHandleEx(handle, standard_info, &stat.standard, @sizeOf(win32.FileStandardInfo)) == 0) return failure();
        return 0;
    }

    /// Of what Windows knows; the rest as libuv has it.
    pub fn values(stat: *const Stat) sys.StatValues {
        const about = &stat.about;
        const is_read_only = about.attributes & 0x1 != 0;
        const kind: u64 = if (about.attributes & 0x10 != 0) 0o040_000 else 0o100_000;
        return .{
            .dev = about.volume,
            .ino = join(about.index_high, about.index_low),
            .mode = kind | @as(u64, if (is_read_only) 0o444 else 0o666),
            .nlink = about.links,
            .uid = 0,
            .gid = 0,
            .rdev = 0,
            .size = join(about.size_high, about.size_low),
            .blksize = 4096,
            .blocks = @as(u64, @intCast(stat.standard.allocation)) / 512,
            .atime = nanoseconds(stat.basic.access),
            .mtime = nanoseconds(stat.basic.write),
            .ctime = nanoseconds(stat.basic.change),
            .birthtime = nanoseconds(stat.basic.creation),
        };
    }

    fn join(high: u32, low: u32) u64 {
        return @as(u64, high) << 32 | low;
    }

    /// From 100 ns since 1601.
    fn nanoseconds(time: i64) i64 {
        return (time - 116_444_736_000_000_000) *| 100;
    }
};
