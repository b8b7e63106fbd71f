//! Win32: the functions of Windows that the library calls and Zig's std does not declare, as the system names them. Nothing else is here.

const std = @import("std");
const windows = std.os.windows;

pub const HANDLE = windows.HANDLE;
pub const BOOL = c_int;
pub const SOCKET = usize;

pub const invalid_socket: SOCKET = std.math.maxInt(SOCKET);
pub const infinite: u32 = std.math.maxInt(u32);

// The one layout that libxev's completions have, too.
pub const Overlapped = @FieldType(@import("xev").IOCP.Completion, "overlapped");

pub const Entry = extern struct {
    key: usize,
    overlapped: ?*Overlapped,
    internal: usize,
    bytes: u32,
};

pub const UnicodeString = extern struct { bytes: u16, capacity: u16, text: [*:0]const u16 };

pub const ByHandleFileInformation = extern struct {
    attributes: u32,
    times: [6]u32,
    volume: u32,
    size_high: u32,
    size_low: u32,
    links: u32,
    index_high: u32,
    index_low: u32,
};

pub const FileStandardInfo = extern struct { allocation: i64, end: i64, links: u32, is_deleted: u8, is_folder: u8 };
pub const FileBasicInfo = extern struct { creation: i64, access: i64, write: i64, change: i64, attributes: u32 };

pub const ObjectAttributes = extern struct {
    size: u32 = @sizeOf(ObjectAttributes),
    root: ?HANDLE = null,
    name: *const UnicodeString,
    attributes: u32 = 0,
    security: ?*const anyopaque = null,
    quality: ?*const anyopaque = null,
};

pub extern "kernel32" fn CreateIoCompletionPort(file: HANDLE, port: ?HANDLE, key: usize, threads: u32) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn GetQueuedCompletionStatusEx(port: HANDLE, entries: [*]Entry, len: u32, count: *u32, ms: u32, alertable: BOOL) callconv(.winapi) BOOL;
pub extern "kernel32" fn PostQueuedCompletionStatus(port: HANDLE, bytes: u32, key: usize, overlapped: ?*Overlapped) callconv(.winapi) BOOL;
pub extern "kernel32" fn CancelIoEx(file: HANDLE, overlapped: ?*Overlapped) callconv(.winapi) BOOL;
pub extern "kernel32" fn ReadFile(file: HANDLE, bytes: [*]u8, len: u32, count: *u32, overlapped: ?*Overlapped) callconv(.winapi) BOOL;
pub extern "kernel32" fn WriteFile(file: HANDLE, bytes: [*]const u8, len: u32, count: *u32, overlapped: ?*Overlapped) callconv(.winapi) BOOL;
pub extern "kernel32" fn FlushFileBuffers(file: HANDLE) callconv(.winapi) BOOL;
pub extern "kernel32" fn GetFileType(file: HANDLE) callconv(.winapi) u32;
pub extern "kernel32" fn GetFileInformationByHandle(file: HANDLE, out: *ByHandleFileInformation) callconv(.winapi) BOOL;
pub extern "kernel32" fn GetFileInformationByHandleEx(file: HANDLE, class: u32, out: *anyopaque, len: u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn SetFileInformationByHandle(file: HANDLE, class: u32, in: *const anyopaque, len: u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn CloseHandle(handle: HANDLE) callconv(.winapi) BOOL;
pub extern "kernel32" fn CreateThread(security: ?*anyopaque, stack: usize, start: *const fn (?*anyopaque) callconv(.winapi) u32, argument: ?*anyopaque, flags: u32, id: ?*u32) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn WaitForSingleObject(handle: HANDLE, ms: u32) callconv(.winapi) u32;
pub extern "kernel32" fn Sleep(ms: u32) callconv(.winapi) void;
pub extern "kernel32" fn GetLastError() callconv(.winapi) u32;
pub extern "kernel32" fn FlsAlloc(callback: ?*const fn (?*anyopaque) callconv(.winapi) void) callconv(.winapi) u32;
pub extern "kernel32" fn FlsSetValue(index: u32, value: ?*anyopaque) callconv(.winapi) BOOL;
pub extern "ntdll" fn RtlDosPathNameToNtPathName_U(dos: [*:0]const u16, nt: *UnicodeString, file_part: ?*anyopaque, relative: ?*anyopaque) callconv(.winapi) u8;
pub extern "ntdll" fn RtlFreeUnicodeString(string: *UnicodeString) callconv(.winapi) void;
pub extern "ntdll" fn NtCreateFile(handle: *HANDLE, access: u32, attributes: *const ObjectAttributes, status: *[2]usize, size: ?*const i64, file_attributes: u32, share: u32, disposition: u32, options: u32, ea: ?*const anyopaque, ea_len: u32) callconv(.winapi) i32;
pub extern "ntdll" fn NtDeviceIoControlFile(file: HANDLE, event: ?HANDLE, apc: ?*const anyopaque, context: ?*anyopaque, status: *anyopaque, code: u32, in: ?*const anyopaque, in_len: u32, out: ?*anyopaque, out_len: u32) callconv(.winapi) i32;
pub extern "ntdll" fn RtlNtStatusToDosError(status: i32) callconv(.winapi) u32;
pub extern "ntdll" fn RtlWaitOnAddress(word: *const u32, expected: *const u32, size: usize, timeout: ?*const i64) callconv(.winapi) i32;
pub extern "ntdll" fn RtlWakeAddressSingle(word: *const u32) callconv(.winapi) void;
pub extern "ntdll" fn RtlDllShutdownInProgress() callconv(.winapi) u8;

pub extern "iphlpapi" fn ConvertInterfaceAliasToLuid(alias: [*:0]const u16, luid: *u64) callconv(.winapi) u32;
pub extern "iphlpapi" fn ConvertInterfaceLuidToIndex(luid: *const u64, index: *u32) callconv(.winapi) u32;

pub extern "ws2_32" fn WSAStartup(version: u16, data: *[512]u8) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSAGetLastError() callconv(.winapi) c_int;
pub extern "ws2_32" fn WSASocketW(family: c_int, kind: c_int, protocol: c_int, info: ?*anyopaque, group: u32, flags: u32) callconv(.winapi) SOCKET;
pub extern "ws2_32" fn closesocket(socket: SOCKET) callconv(.winapi) c_int;
pub extern "ws2_32" fn ioctlsocket(socket: SOCKET, command: c_long, argument: *u32) callconv(.winapi) c_int;
pub extern "ws2_32" fn bind(socket: SOCKET, address: *const anyopaque, len: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn listen(socket: SOCKET, backlog: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn connect(socket: SOCKET, address: *const anyopaque, len: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn accept(socket: SOCKET, address: ?*anyopaque, len: ?*c_int) callconv(.winapi) SOCKET;
pub extern "ws2_32" fn sendto(socket: SOCKET, bytes: [*]const u8, len: c_int, flags: c_int, to: ?*const anyopaque, to_len: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn recvfrom(socket: SOCKET, bytes: [*]u8, len: c_int, flags: c_int, from: ?*anyopaque, from_len: ?*c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn shutdown(socket: SOCKET, how: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn setsockopt(socket: SOCKET, level: c_int, name: c_int, value: [*]const u8, len: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getsockopt(socket: SOCKET, level: c_int, name: c_int, value: [*]u8, len: *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getsockname(socket: SOCKET, address: *anyopaque, len: *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getpeername(socket: SOCKET, address: *anyopaque, len: *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSAPoll(fds: *anyopaque, count: u32, ms: c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn select(unused: c_int, read: ?*anyopaque, write: ?*anyopaque, other: ?*anyopaque, timeout: ?*const [2]c_long) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSAIoctl(socket: SOCKET, code: u32, in: ?*const anyopaque, in_len: u32, out: ?*anyopaque, out_len: u32, returned: *u32, overlapped: ?*Overlapped, routine: ?*anyopaque) callconv(.winapi) c_int;
