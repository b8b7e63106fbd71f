// Preloaded where Bun runs under a loader of its own, as in scripts/ci-musl.mjs: programs that tests start with `process.execPath` shall be Bun.

Object.defineProperty(process, "execPath", { value: process.env.ZIGCORO_TEST_BUN });
