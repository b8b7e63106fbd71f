/** The same work in a peer; each gives nanoseconds an operation. */
export interface Peer {
  channel(count: number, capacity: number): Promise<number>;
  spawn?(count: number): Promise<number>;
  cancel?(count: number): Promise<number>;
}

export function peers(): Promise<Record<string, Peer>>;
