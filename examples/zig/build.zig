//! A program that depends on zigcoro, as any other would: `zig build run-pipeline`, `zig build run-echo`, `zig build test`.

const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const optimize = b.standardOptimizeOption(.{});
    const libcoro = b.dependency("zigcoro", .{ .target = target, .optimize = optimize }).module("libcoro");
    const test_step = b.step("test", "Run the examples' tests");
    for ([_][]const u8{ "pipeline", "echo", "moved" }) |name| {
        const module = b.createModule(.{
            .root_source_file = b.path(b.fmt("src/{s}.zig", .{name})),
            .target = target,
            .optimize = optimize,
            .imports = &.{.{ .name = "libcoro", .module = libcoro }},
        });
        const program = b.addExecutable(.{ .name = name, .root_module = module });
        b.step(b.fmt("run-{s}", .{name}), b.fmt("Run {s}", .{name})).dependOn(&b.addRunArtifact(program).step);
        test_step.dependOn(&b.addRunArtifact(b.addTest(.{ .root_module = module })).step);
    }
}
