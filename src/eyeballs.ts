// Happy eyeballs (RFC 8305): one connection out of several addresses. Attempts start one after the other, each as soon as the one before it
// has failed or had its time; the first that connects wins, and the others are cancelled and closed.

import { Channel } from "./channel.ts";
import { Cancelled } from "./error.ts";
import type { Coroutine, Frame } from "./frame.ts";
import { select } from "./select.ts";
import { shield } from "./shield.ts";
import { sleep } from "./sleep.ts";
import { startGenerator } from "./start.ts";

/** Milliseconds that an attempt has before the next begins beside it: section 5 of the RFC. */
const attemptDelay = 250;

type Outcome<C> = { readonly connection: C } | { readonly error: unknown };

/**
 * The first connection that `connectTo` makes to one of `addresses` (at least one). With `inOrder`, an address is tried only when the one
 * before it has failed.
 *
 * @throws the error when there is one address; when all of several have failed, an AggregateError with the first one's fields
 */
export function* firstConnected<C extends Disposable>(
  addresses: readonly string[],
  connectTo: (address: string) => Coroutine<C>,
  inOrder = false,
): Coroutine<C> {
  if (addresses.length === 1) return yield* connectTo(addresses[0] as string);
  const race: Race<C> = { outcomes: new Channel(addresses.length), isOver: false };
  const attempts: Frame<void>[] = [];
  const errors: unknown[] = [];
  let winner: C | undefined;
  try {
    while (winner === undefined && errors.length < addresses.length) {
      // An address that failed, or took too long, makes way for the next.
      const next = addresses[attempts.length];
      if (next !== undefined) attempts.push(startGenerator(attempt(connectTo(next), race), `connect to ${next}`));
      const mayOverlap = !inOrder && attempts.length < addresses.length;
      const told = race.outcomes.recv();
      const outcome = mayOverlap ? (yield* select({ told, late: sleep(attemptDelay) })).value : yield* told;
      if (outcome === undefined) continue;
      if ("connection" in outcome) winner = outcome.connection;
      else errors.push(outcome.error);
    }
  } finally {
    race.isOver = true;
    for (let other = race.outcomes.tryRecv(); other !== undefined; other = race.outcomes.tryRecv()) {
      if ("connection" in other) other.connection[Symbol.dispose]();
    }
    for (const frame of attempts) frame.cancel();
    try {
      for (const frame of attempts) yield* shield(frame.cancel());
    } catch (cancelled) {
      winner?.[Symbol.dispose]();
      // biome-ignore lint/correctness/noUnsafeFinally: it is a cancel as the other would be
      throw cancelled;
    }
  }
  if (winner === undefined) throw allFailed(errors as Error[]);
  return winner;
}

interface Race<C> {
  readonly outcomes: Channel<Outcome<C>>;
  /** Nobody listens any more: whoever connects now has lost. */
  isOver: boolean;
}

function* attempt<C extends Disposable>(connecting: Coroutine<C>, race: Race<C>): Coroutine<void> {
  try {
    const connection = yield* connecting;
    if (race.isOver) connection[Symbol.dispose]();
    else race.outcomes.trySend({ connection });
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    race.outcomes.trySend({ error });
  }
}

/** As Node has it: an AggregateError that can be looked at like the first of its errors. */
function allFailed(errors: readonly Error[]): AggregateError {
  const first = errors[0] as Error;
  return Object.assign(new AggregateError(errors, `${first.message} (and ${errors.length - 1} more)`), first);
}

/** Address families in turn, beginning with the first address's, and otherwise in order: section 4 of the RFC. */
export function interleaved(addresses: readonly { readonly address: string; readonly family: number }[]): string[] {
  const [first] = addresses;
  const rows = [addresses.filter(({ family }) => family === first?.family), addresses.filter(({ family }) => family !== first?.family)];
  return addresses.flatMap((_, i) => rows.flatMap((row) => row[i]?.address ?? []));
}
