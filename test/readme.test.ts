// The programs of the README and of the guides do what they say: each fenced `ts` block is run as it stands, in a process of its own.

import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

function blocks(language: string, text = readme): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map((match) => match[1] as string);
}

/** Runs `program` in a folder inside the checkout, where the package resolves, beside `files`. */
async function output(program: string, files: Record<string, string> = {}): Promise<string> {
  const folder = mkdtempSync(join(root, "test", "readme-"));
  try {
    for (const [name, text] of Object.entries({ ...files, "program.ts": program })) writeFileSync(join(folder, name), text);
    const child = Bun.spawn([process.execPath, "program.ts"], { cwd: folder, stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    return out;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("the tour", async () => {
  expect(await output(blocks("ts")[0] as string)).toBe("ann did 2\nbob did 2\nhello world\n");
});

test("the native body", async () => {
  expect(await output(blocks("ts")[1] as string, { "sum.c": blocks("c")[0] as string })).toBe("155\n");
});

// The Zig code of the documents stands, line for line, in the package under examples/zig, which is built and run.
test("Zig code", () => {
  const folder = join(root, "examples", "zig");
  const files = ["build.zig", ...readdirSync(join(folder, "src")).map((name) => join("src", name))];
  const code = (text: string) => text.split("\n").map((line) => line.replace(/ *\/\/.*/, "").trim());
  const known = new Set(files.flatMap((name) => code(readFileSync(join(folder, name), "utf8"))));
  const documents = ["README.md", "docs/zig.md", "docs/from-zigcoro.md"].map((name) => readFileSync(join(root, name), "utf8"));
  const lines = documents.flatMap((text) => blocks("zig", text).flatMap(code));
  expect(lines.length).toBeGreaterThan(30);
  expect(lines.filter((line) => line !== "" && !known.has(line))).toEqual([]);
});

// A program of a guide ends with what it prints, as comments.
for (const guide of ["typescript.md", "io-streams.md", "io-process.md"]) {
  for (const [i, program] of blocks("ts", readFileSync(join(root, "docs", guide), "utf8")).entries()) {
    test(`${guide}, program ${i + 1}`, async () => {
      const prints = program.match(/(?:^\/\/ .*\n)+$/m)?.[0] ?? "";
      expect(prints).not.toBe("");
      expect(await output(program)).toBe(prints.replaceAll(/^\/\/ /gm, ""));
    });
  }
}
