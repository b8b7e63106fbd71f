// Random reads of 4 KiB from a file that is in memory, at 1 and at 64 at a time: `File.pread` and `File.preadInto` against Bun's
// `FileHandle.read`, which reads in threads. Time is what has passed; beside it stands the CPU time of all threads of the process.
// `--concurrency 64` and `--mode guest` choose some, `--mib 4` another size of the file: what of it is in the processor's caches costs less.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { all, asyncio, type Coroutine, run } from "zigcoro";
import { median, ratio, rounds, smoke, table } from "./measure.ts";

const { values } = parseArgs({
  options: { mode: { type: "string" }, concurrency: { type: "string" }, mib: { type: "string" }, smoke: { type: "boolean" } },
  strict: false,
});
const concurrencies = String(values.concurrency ?? "1,64")
  .split(",")
  .map(Number);
const modes = String(values.mode ?? "guest,owner").split(",");
const size = 4096;
const pages = smoke ? 16 : Number(values.mib ?? 64) * 256;
const reads = smoke ? 128 : 64 * 1024;

const folder = mkdtempSync(join(tmpdir(), "zigcoro-bench-"));
const path = join(folder, "file");
writeFileSync(path, Buffer.alloc(pages * size, 7));

/** The same places for everybody. */
const places = Array.from({ length: reads }, (_, i) => (Math.imul(i, 2654435761) >>> 0) % pages);

interface Contender {
  readonly name: string;
  /** Makes all reads, so many at a time. */
  readonly work: (concurrency: number) => void | Promise<void>;
}

const handle = await open(path);
const file = await asyncio.File.open(path);

/** Each of so many coroutines makes its share of the reads. */
function* readers(concurrency: number, one: (place: number, buffer: Uint8Array) => Coroutine<void>): Coroutine<void> {
  const share = reads / concurrency;
  function* reader(first: number): Coroutine<void> {
    const buffer = new Uint8Array(size);
    for (let i = first; i < first + share; i++) yield* one((places[i] as number) * size, buffer);
  }
  yield* all(Array.from({ length: concurrency }, (_, i) => reader(i * share)));
}

function* pread(place: number): Coroutine<void> {
  check((yield* file.pread(size, place)).byteLength);
}

function* preadInto(place: number, buffer: Uint8Array): Coroutine<void> {
  check(yield* file.preadInto(buffer, place));
}

function check(count: number): void {
  if (count !== size) throw new Error(`a read gave ${count} bytes`);
}

/** FileHandle.read, into one array or into a new one each time, as `pread` does. */
function promises(name: string, isFresh: boolean): Contender {
  const work = async (concurrency: number) => {
    const share = reads / concurrency;
    const reader = async (first: number) => {
      let buffer = new Uint8Array(size);
      for (let i = first; i < first + share; i++) {
        if (isFresh) buffer = new Uint8Array(size);
        check((await handle.read(buffer, 0, size, (places[i] as number) * size)).bytesRead);
      }
    };
    await Promise.all(Array.from({ length: concurrency }, (_, i) => reader(i * share)));
  };
  return { name, work };
}

const contenders = [promises("fs.promises", false), promises("fs.promises, new array", true)];
for (const [name, one] of Object.entries({ preadInto, "pread, new array": pread })) {
  if (modes.includes("guest")) contenders.push({ name: `${name}, guest`, work: (concurrency) => run(() => readers(concurrency, one)) });
  if (modes.includes("owner")) {
    contenders.push({
      name: `${name}, owner`,
      work: (concurrency) => asyncio.run(new asyncio.Loop(), () => readers(concurrency, one)),
    });
  }
}

/** Nanoseconds a read, of time and of CPU. */
async function measured({ work }: Contender, concurrency: number): Promise<{ time: number; cpu: number }> {
  const before = { time: Bun.nanoseconds(), cpu: process.cpuUsage() };
  await work(concurrency);
  const { user, system } = process.cpuUsage(before.cpu);
  return { time: (Bun.nanoseconds() - before.time) / reads, cpu: ((user + system) * 1000) / reads };
}

try {
  for (const concurrency of concurrencies) {
    const samples = contenders.map((contender) => ({ contender, times: [] as number[], cpus: [] as number[] }));
    for (let round = smoke ? 1 : 0; round <= rounds; round++) {
      for (const { contender, times, cpus } of samples) {
        const { time, cpu } = await measured(contender, concurrency);
        if (round === 0) continue;
        times.push(time);
        cpus.push(cpu);
      }
    }
    const medians = samples.map(({ contender, times, cpus }) => ({ name: contender.name, time: median(times), cpu: median(cpus) }));
    const peer = medians[0] as (typeof medians)[0];
    table(
      `Random reads of 4 KiB of a cached file, ${concurrency} at a time`,
      ["reader", "us/read", "as fast as fs.promises", "CPU us/read", "CPU, to fs.promises"],
      medians.map(({ name, time, cpu }) => [
        name,
        (time / 1000).toFixed(2),
        ratio(peer.time, time),
        (cpu / 1000).toFixed(2),
        ratio(cpu, peer.cpu),
      ]),
    );
  }
} finally {
  await file.close();
  await handle.close();
  rmSync(folder, { recursive: true });
}
