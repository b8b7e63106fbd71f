/** The same work in a peer; each gives nanoseconds an operation. */
export interface Peer {
  /** What its channels can have. */
  readonly capacities: readonly number[];
  channel(count: number, capacity: number): Promise<number>;
  spawn?(count: number): Promise<number>;
  cancel?(count: number): Promise<number>;
}

export function peers(): Promise<Record<string, Peer>>;
