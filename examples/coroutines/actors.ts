// Actors: each has a mailbox and a state that nobody else touches, and handles one message after the other. A bank account that waits for
// a slow ledger, and never overdraws. `bun examples/coroutines/actors.ts`

import { Channel, type Coroutine, run, scope, sleep } from "zigcoro";

interface Withdrawal {
  readonly amount: number;
  readonly reply: Channel<boolean>;
}

// With coroutines: the state is local variables, a message is handled to its end before the next one is received.

function* account(mailbox: Channel<Withdrawal>, balance: number): Coroutine<number> {
  for (let message = yield* mailbox.recv(); message !== undefined; message = yield* mailbox.recv()) {
    const isCovered = message.amount <= balance;
    yield* sleep(0); // the ledger takes its time
    if (isCovered) balance -= message.amount;
    yield* message.reply.send(isCovered);
  }
  return balance;
}

export function withActor(amounts: readonly number[], balance: number): Promise<number> {
  return run(function* main() {
    const mailbox = new Channel<Withdrawal>();
    const actor = yield* scope(function* (s) {
      const actor = s.spawn(account, [mailbox, balance]);
      yield* scope((customers) => {
        for (const amount of amounts) {
          customers.spawn(function* customer() {
            const reply = new Channel<boolean>(1);
            yield* mailbox.send({ amount, reply });
            yield* reply.recv();
          });
        }
      });
      mailbox.close();
      return actor;
    });
    return yield* actor;
  });
}

// Without: between the check and the booking others come in, unless each caller remembers to queue up behind the last one.

export async function withoutActor(amounts: readonly number[], balance: number): Promise<number> {
  let last: Promise<void> = Promise.resolve();
  const withdraw = (amount: number) => {
    last = last.then(async () => {
      const isCovered = amount <= balance;
      await sleep(0);
      if (isCovered) balance -= amount;
    });
    return last;
  };
  await Promise.all(amounts.map(withdraw));
  return balance;
}

if (import.meta.main) {
  console.log(await withActor([30, 50, 40], 100), await withoutActor([30, 50, 40], 100));
}
