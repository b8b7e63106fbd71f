// Deque: values in order, in a ring that grows when it has to. A place that was left holds nothing.

const firstLength = 8;

export class Deque<T> {
  length = 0;
  private items: (T | undefined)[] = [];
  private head = 0;

  push(value: T): void {
    if (this.length === this.items.length) this.grow();
    const items = this.items;
    items[(this.head + this.length) & (items.length - 1)] = value;
    this.length++;
  }

  /** Puts `value` before all others. */
  unshift(value: T): void {
    if (this.length === this.items.length) this.grow();
    this.head = (this.head - 1) & (this.items.length - 1);
    this.items[this.head] = value;
    this.length++;
  }

  /** The first; there must be one. */
  shift(): T {
    const { items, head } = this;
    const value = items[head] as T;
    items[head] = undefined;
    this.head = (head + 1) & (items.length - 1);
    this.length--;
    return value;
  }

  /** To a length that is a power of two. */
  private grow(): void {
    const { items, head } = this;
    const grown: (T | undefined)[] = new Array(Math.max(firstLength, items.length * 2)).fill(undefined);
    for (let i = 0; i < this.length; i++) grown[i] = items[(head + i) & (items.length - 1)];
    this.items = grown;
    this.head = 0;
  }
}
