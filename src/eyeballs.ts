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
  const outcomes = new Channel<Outcome<C>>(addresses.length);
  const attempts: Frame<void>[] = [];
  const errors: unknown[] = [];
  try {
    while (errors.length < addresses.length) {
      // An address that failed, or took too long, makes way for the next.
      const next = addresses[attempts.length];
      if (next !== undefined) attempts.push(startGenerator(attempt(connectTo(next), outcomes), `connect to ${next}`));
      const mayOverlap = !inOrder && attempts.length < addresses.length;
      const outcome = mayOverlap ? (yield* select({ outcome: outcomes.recv(), late: sleep(attemptDelay) })).value : yield* outcomes.recv();
      if (outcome === undefined) continue;
      if ("connection" in outcome) return outcome.connection;
      errors.push(outcome.error);
    }
  } finally {
    for (const frame of attempts) frame.cancel();
    // Whoever has won must get it, even when cancelled meanwhile.
    for (const frame of attempts) yield* shield(frame.cancel());
    for (let other = outcomes.tryRecv(); other !== undefined; other = outcomes.tryRecv()) {
      if ("connection" in other) other.connection[Symbol.dispose]();
    }
  }
  throw allFailed(errors as Error[]);
}

function* attempt<C>(connecting: Coroutine<C>, outcomes: Channel<Outcome<C>>): Coroutine<void> {
  try {
    outcomes.trySend({ connection: yield* connecting });
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    outcomes.trySend({ error });
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
