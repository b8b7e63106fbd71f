// The words that the load works with: those of the repository's own text.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const PLACES = ["README.md", "docs", "src", "zig"];

/** All words of README, docs and sources in the order of the text, each as often as it is used. */
export async function readWords(root = ROOT): Promise<string[]> {
  const words: string[] = [];
  for (const file of (await Promise.all(PLACES.map((place) => filesOf(join(root, place))))).flat()) {
    words.push(...((await readFile(file, "utf8")).match(/[A-Za-z][A-Za-z0-9_]+/g) ?? []));
  }
  if (words.length === 0) throw new Error(`no text to make words of in ${root}: ${PLACES.join(", ")}`);
  return words;
}

/** The file itself, or the text files in the folder; nothing when it does not exist. */
async function filesOf(path: string): Promise<string[]> {
  if (/\.(md|ts|zig)$/.test(path)) return (await Bun.file(path).exists()) ? [path] : [];
  const entries = await readdir(path, { recursive: true }).catch(() => []);
  return entries
    .filter((entry) => /\.(md|ts|zig)$/.test(entry))
    .sort()
    .map((entry) => join(path, entry));
}
