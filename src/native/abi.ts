// The C ABI as bun:ffi wants it. Generated from zig/abi by `zig build describe -- ts`; do not edit.

export const abiVersion = 1194406527;

export const symbols = {
  zc_abi_version: { args: [], returns: "u32" },
  zc_env_create: { args: ["u32"], returns: "ptr" },
  zc_env_destroy: { args: ["ptr"], returns: "void" },
  zc_env_backend: { args: ["ptr"], returns: "u32" },
  zc_env_shared: { args: ["ptr"], returns: "ptr" },
  zc_env_shared_size: { args: ["ptr"], returns: "u32" },
  zc_env_reserve: { args: ["ptr", "u32"], returns: "i32" },
  zc_env_tick: { args: ["ptr", "u32", "u32"], returns: "i32" },
  zc_env_wake_fd: { args: ["ptr"], returns: "i32" },
  zc_env_park: { args: ["ptr", "u32"], returns: "i32" },
  zc_env_unpark: { args: ["ptr"], returns: "void" },
  zc_op_cancel: { args: ["ptr", "u32"], returns: "i32" },
  zc_op_sleep: { args: ["ptr", "u32", "f64"], returns: "i32" },
  zc_now: { args: [], returns: "f64" },
  zc_tcp_listen: { args: ["ptr", "buffer", "u32", "u32", "u32", "u32"], returns: "u32" },
  zc_tcp_open: { args: ["ptr", "buffer", "u32", "u32"], returns: "u32" },
  zc_op_tcp_accept: { args: ["ptr", "u32", "u32"], returns: "i32" },
  zc_op_tcp_connect: { args: ["ptr", "u32", "u32"], returns: "i32" },
  zc_op_tcp_read: { args: ["ptr", "u32", "u32", "u32"], returns: "i32" },
  zc_tcp_take: { args: ["ptr", "u32", "buffer", "u32"], returns: "i32" },
  zc_op_tcp_write: { args: ["ptr", "u32", "u32", "buffer", "f64", "u32"], returns: "i32" },
  zc_tcp_shutdown: { args: ["ptr", "u32", "u32"], returns: "i32" },
  zc_tcp_close: { args: ["ptr", "u32"], returns: "i32" },
  zc_tcp_address: { args: ["ptr", "u32", "u32", "buffer"], returns: "i32" },
  zc_tcp_no_delay: { args: ["ptr", "u32", "u32"], returns: "i32" },
  zc_frame_start: { args: ["ptr", "ptr", "buffer", "u32", "u32", "u32", "buffer", "u32", "u32"], returns: "u32" },
  zc_frame_resume: { args: ["ptr", "u32", "f64"], returns: "i32" },
  zc_frame_cancel: { args: ["ptr", "u32"], returns: "i32" },
  zc_frame_is_resumable: { args: ["ptr", "u32"], returns: "i32" },
  zc_stack_alloc: { args: ["ptr", "u32"], returns: "u32" },
  zc_stack_free: { args: ["ptr", "u32"], returns: "i32" },
  zc_stack_size: { args: ["ptr", "u32"], returns: "u32" },
  zc_stack_remaining: { args: [], returns: "f64" },
  zc_frame_stack_remaining: { args: ["ptr", "u32"], returns: "u32" },
} as const;

export const codes = {
  canceled: -125,
  parked: -10000,
  badHandle: -10002,
  badToken: -10003,
  busy: -10004,
  notResumable: -10006,
  suspended: -10007,
} as const;

export const layouts = {
  sharedTail: 0,
  sharedPending: 8,
  sharedErrno: 12,
  sharedValue: 16,
  sharedSize: 32,
  entryToken: 0,
  entryStatus: 4,
  entryValue: 8,
  entrySize: 16,
  maxArgs: 8,
  slotBits: 22,
} as const;
