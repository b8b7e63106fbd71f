//! Builds the core: the `libcoro` Zig module, the C-ABI shared library, the generated ABI description, tests and
//! benchmarks. Artifacts first, steps last.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const default_stack_size = b.option(usize, "default_stack_size", "Bytes of a coroutine's stack when none is given (default 16384)") orelse 16 * 1024;
    const fp_control = b.option(
        bool,
        "fp_control",
        "Give each coroutine its own floating-point control words, rounding among them; a switch costs twice as much (default false)",
    ) orelse false;
    // What they are for: docs/debugging.md.
    const tsan = b.option(bool, "tsan", "Build for ThreadSanitizer (default false)") orelse false;
    const asan = b.option(bool, "asan", "Tell the program's AddressSanitizer of coroutines (default false)") orelse false;
    const valgrind = b.option(bool, "valgrind", "Tell Valgrind of coroutines (default: in Debug builds)");
    // Zig's own backend instruments nothing.
    const use_llvm: ?bool = if (tsan or valgrind == true) true else null;
    const imitate_macos = b.option(
        bool,
        "imitate_macos",
        "Build and test on Linux what the library does on macOS, with a kqueue that is made of epoll (default false)",
    ) orelse false;
    const filters = b.option([]const []const u8, "test-filter", "Run only tests whose name contains this") orelse &.{};

    const options = b.addOptions();
    options.addOption(usize, "default_stack_size", default_stack_size);
    options.addOption(bool, "fp_control", fp_control);
    options.addOption(bool, "asan", asan);
    options.addOption(bool, "imitate_macos", imitate_macos);

    // Without target and optimize libxev's module inherits ours; its own build script panics on some targets otherwise.
    const xev = b.dependency("libxev", .{}).module("xev");
    const imports: []const std.Build.Module.Import = &.{
        .{ .name = "xev", .module = xev },
        .{ .name = "libcoro_options", .module = options.createModule() },
    };

    const libcoro = b.addModule("libcoro", .{
        .root_source_file = b.path("zig/libcoro.zig"),
        .target = target,
        .optimize = optimize,
        .link_libc = if (tsan) true else null,
        .sanitize_thread = tsan,
        .valgrind = valgrind,
        .imports = imports,
    });

    // One libc-free library serves glibc and musl alike; `.pic` belongs to the library only.
    const library = b.addLibrary(.{
        .name = "zigcoro",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig/library.zig"),
            .target = target,
            .optimize = optimize,
            .pic = true,
            .strip = optimize != .Debug,
            .link_libc = if (tsan) true else null,
            .sanitize_thread = tsan,
            .valgrind = valgrind,
            .imports = imports,
        }),
        .use_llvm = use_llvm,
    });

    const tests = b.addTest(.{
        .root_module = libcoro,
        .filters = filters,
        .use_llvm = use_llvm,
    });
    const library_tests = b.addTest(.{
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig/library.zig"),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
            .sanitize_thread = tsan,
            .valgrind = valgrind,
            .imports = imports,
        }),
        .filters = filters,
        .use_llvm = use_llvm,
    });

    // What scripts/ci-sanitizers.mjs links with C.
    const sanitized = b.addLibrary(.{
        .name = "sanitized",
        .linkage = .static,
        .root_module = b.createModule(.{
            .root_source_file = b.path("test/fixtures/sanitized.zig"),
            .target = target,
            .optimize = optimize,
            .pic = true,
            .link_libc = true,
            .sanitize_thread = tsan,
            .valgrind = valgrind,
            .imports = &.{.{ .name = "libcoro", .module = libcoro }},
        }),
        .use_llvm = use_llvm,
    });
    sanitized.bundle_compiler_rt = true;

    const describe = b.addExecutable(.{
        .name = "describe",
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig/describe.zig"),
            .target = b.graph.host,
            .optimize = .Debug,
            .link_libc = true,
            .imports = imports,
        }),
    });

    const benchmark = b.addExecutable(.{
        .name = "benchmark",
        .root_module = b.createModule(.{
            .root_source_file = b.path("bench/native.zig"),
            .target = target,
            .optimize = .ReleaseFast,
            .imports = &.{.{ .name = "libcoro", .module = b.createModule(.{
                .root_source_file = b.path("zig/libcoro.zig"),
                .target = target,
                .optimize = .ReleaseFast,
                .imports = imports,
            }) }},
        }),
    });

    library.installHeader(b.path("include/zigcoro.h"), "zigcoro.h");
    // Room for a signature, which x86_64 libraries do not come with.
    if (target.result.os.tag == .macos) library.headerpad_size = 0x1000;
    b.installArtifact(library);

    // The library and its event loops are written for these; the rest of the core is tested elsewhere, too.
    const has_library = switch (target.result.os.tag) {
        .linux, .windows => target.result.ptrBitWidth() == 64,
        .macos => true,
        else => false,
    };
    const compile_tests = b.step("compile-tests", "Compile the core's tests for a target that they cannot run on here");
    compile_tests.dependOn(&tests.step);
    const test_step = b.step("test", "Run the core's tests");
    test_step.dependOn(&b.addRunArtifact(tests).step);
    if (has_library) {
        compile_tests.dependOn(&library_tests.step);
        test_step.dependOn(&b.addRunArtifact(library_tests).step);
    }

    const sanitizers_step = b.step("sanitized", "Install what scripts/ci-sanitizers.mjs runs: the tests, and coroutines for C");
    // AddressSanitizer's own functions come with the C that is linked with.
    if (!asan) sanitizers_step.dependOn(&b.addInstallArtifact(library_tests, .{}).step);
    sanitizers_step.dependOn(&b.addInstallArtifact(sanitized, .{}).step);

    const run_benchmark = b.addRunArtifact(benchmark);
    run_benchmark.addArgs(b.args orelse &.{});
    run_benchmark.setCwd(b.path(".")); // it builds its peers, which lie under bench/
    b.step("benchmark", "Run the native benchmarks: -- --context_switch, -- --ncoros N, -- --spawn, -- --channel, -- --all").dependOn(&run_benchmark.step);

    const run_describe = b.addRunArtifact(describe);
    run_describe.addArgs(b.args orelse &.{});
    b.step("describe", "Print the ABI for TypeScript (-- ts) or C (-- c)").dependOn(&run_describe.step);
}
