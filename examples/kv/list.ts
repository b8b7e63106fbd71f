// The list type: a ring buffer that grows at both ends in constant time and gives any element by its index. Pure.

export class List {
  /** A power of two, so that wrapping round is a mask. */
  #slots: (string | undefined)[] = new Array(4);
  #head = 0;
  length = 0;

  pushLeft(value: string): void {
    if (this.length === this.#slots.length) this.#resize(this.length * 2);
    this.#head = (this.#head - 1) & (this.#slots.length - 1);
    this.#slots[this.#head] = value;
    this.length++;
  }

  pushRight(value: string): void {
    if (this.length === this.#slots.length) this.#resize(this.length * 2);
    this.#slots[(this.#head + this.length++) & (this.#slots.length - 1)] = value;
  }

  /** Takes the first element; undefined when there is none. */
  popLeft(): string | undefined {
    return this.length === 0 ? undefined : this.#remove(this.#head, this.#head + 1);
  }

  /** Takes the last element; undefined when there is none. */
  popRight(): string | undefined {
    return this.length === 0 ? undefined : this.#remove((this.#head + this.length - 1) & (this.#slots.length - 1), this.#head);
  }

  /** The elements `from` to `to`, both included and within the list. */
  range(from: number, to: number): string[] {
    const values = new Array<string>(Math.max(to - from + 1, 0));
    for (let i = 0; i < values.length; i++) values[i] = this.#slots[(this.#head + from + i) & (this.#slots.length - 1)] as string;
    return values;
  }

  #remove(slot: number, head: number): string | undefined {
    const value = this.#slots[slot];
    this.#slots[slot] = undefined;
    this.#head = head & (this.#slots.length - 1);
    this.length--;
    if (this.length >= 16 && this.length * 4 <= this.#slots.length) this.#resize(this.#slots.length / 2);
    return value;
  }

  #resize(capacity: number): void {
    const values: (string | undefined)[] = this.range(0, this.length - 1);
    values.length = capacity;
    this.#slots = values;
    this.#head = 0;
  }
}
