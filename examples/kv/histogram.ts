// Counts durations in buckets that grow with them, about 3 % wide, so that any number of them fits in a little memory. Pure.

const STEPS_PER_DOUBLING = 24;
const BUCKETS = STEPS_PER_DOUBLING * 40;

export class Histogram {
  #counts = new Uint32Array(BUCKETS);
  count = 0;

  /** Adds a duration in microseconds. */
  add(microseconds: number): void {
    const bucket = Math.round(Math.log2(Math.max(microseconds, 1)) * STEPS_PER_DOUBLING);
    const at = Math.min(bucket, BUCKETS - 1);
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.count++;
  }

  /** The duration in microseconds that `part` (0 to 1) of all stay below or equal; 0 when there are none. */
  quantile(part: number): number {
    let left = Math.ceil(this.count * part);
    for (let i = 0; i < BUCKETS && left > 0; i++) {
      left -= this.#counts[i] as number;
      if (left <= 0) return 2 ** (i / STEPS_PER_DOUBLING);
    }
    return 0;
  }
}
