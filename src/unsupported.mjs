// What any runtime but Bun imports: one clear sentence instead of a missing module.

throw new Error(
  `zigcoro needs Bun 1.4 or newer (this is ${typeof process === "object" && process.version ? `Node.js ${process.version.slice(1)}` : "not Bun"})`,
);
