// What the benchmarks share: medians over repeated runs, and tables. Shared machines are noisy, so peers are measured in turns
// in the same run and figures are compared as ratios of medians.

import { readFileSync } from "node:fs";

export const smoke = process.argv.includes("--smoke");

/** How often each case is measured. */
export const rounds = smoke ? 1 : Number(process.env.ROUNDS ?? 7);

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/**
 * Nanoseconds that this thread has run, where the system tells (Linux); else those that have passed. On a machine that others use, too, only
 * the first can be repeated.
 */
export function cpuTime(thread = `/proc/self/task/${process.pid}`): number {
  if (process.platform !== "linux") return Bun.nanoseconds();
  return Number(readFileSync(`${thread}/schedstat`, "utf8").split(" ")[0]);
}

export interface Case {
  readonly name: string;
  /** Runs it once; gives nanoseconds an operation. */
  readonly run: () => number | Promise<number>;
}

/** Measures all cases in turns, after one turn to warm up; the median of each, in nanoseconds. */
export async function compare(cases: readonly Case[]): Promise<Map<string, number>> {
  const samples = new Map(cases.map(({ name }) => [name, [] as number[]]));
  for (let round = smoke ? 1 : 0; round <= rounds; round++) {
    for (const { name, run } of cases) {
      const ns = await run();
      if (round > 0) samples.get(name)?.push(ns);
    }
  }
  return new Map([...samples].map(([name, values]) => [name, median(values)]));
}

/** Nanoseconds an operation of `work`, which does `count` of them. */
export function timed(count: number, work: () => void): number {
  const start = cpuTime();
  work();
  return (cpuTime() - start) / count;
}

/** Prints rows under a title, numbers right-aligned. */
export function table(title: string, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ");
  console.log(`\n${title}\n${line(head)}\n${widths.map((width) => "-".repeat(width)).join("  ")}`);
  for (const row of rows) console.log(line(row));
}

export function ratio(value: number, to: number): string {
  return `${(value / to).toFixed(2)}x`;
}
