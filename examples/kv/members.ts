// The set type: like a JavaScript Set, but a random member costs constant time too, which SPOP needs. Pure.

export class Members {
  readonly #position = new Map<string, number>();
  /** The members without holes, in no order that means anything. */
  readonly values: string[] = [];

  get size(): number {
    return this.values.length;
  }

  has(member: string): boolean {
    return this.#position.has(member);
  }

  /** Whether the member is new. */
  add(member: string): boolean {
    if (this.#position.has(member)) return false;
    this.#position.set(member, this.values.length);
    this.values.push(member);
    return true;
  }

  /** Whether the member was there. */
  delete(member: string): boolean {
    const at = this.#position.get(member);
    if (at === undefined) return false;
    const last = this.values.pop() as string;
    this.#position.delete(member);
    if (last !== member) {
      this.values[at] = last;
      this.#position.set(last, at);
    }
    return true;
  }

  /** Takes a random member; undefined when there is none. */
  pop(): string | undefined {
    const member = this.values[Math.floor(Math.random() * this.values.length)];
    if (member !== undefined) this.delete(member);
    return member;
  }
}
