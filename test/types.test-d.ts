// Types: what each operator infers, and that no `any` comes out of the package. The type check is the test; nothing here runs.

import type * as zigcoro from "zigcoro";
import {
  type AsReady,
  all,
  allSettled,
  any,
  asyncio,
  block,
  Channel,
  CoroT,
  type Coroutine,
  call,
  channelFrom,
  type Frame,
  Local,
  type Operation,
  type Permit,
  race,
  readableFrom,
  retry,
  run,
  Semaphore,
  type Settled,
  SharedChannel,
  type SharedChannelHandle,
  scope,
  select,
  shield,
  sleep,
  spawn,
  until,
  withTimeout,
  xasync,
  xawait,
  xawaitAsReady,
  xframe,
  xsuspend,
} from "zigcoro";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type IsAny<T> = 0 extends 1 & T ? true : false;

/** Fails the type check unless `T` is what the value has, exactly. */
function is<T>() {
  return <V>(_value: V, ..._proof: Equal<V, T> extends true ? [] : [never]) => {};
}

function* numbers(n: number): Coroutine<number> {
  yield* sleep(n);
  return n;
}

async function text(): Promise<string> {
  return "";
}

export function* operators(): Coroutine<void> {
  // Frames.
  is<Frame<number>>()(xasync(numbers, [1]));
  is<Frame<string>>()(xasync(text));
  is<Frame<boolean>>()(xasync(() => true as boolean));
  is<Frame<number>>()(spawn(numbers, [1], { name: "n", signal: AbortSignal.timeout(1) }));
  is<Operation<number>>()(xawait(xasync(numbers, [1])));
  is<Operation<void>>()(xasync(numbers, [1]).cancel());
  is<number>()(yield* xasync(numbers, [1]));
  is<unknown>()(yield* xsuspend());
  is<void>()(yield* sleep(1));

  // Storage has the type of what it begins with, and is unknown where nobody says what it is.
  const counting = xasync(numbers, [1], { storage: { calls: 0 } });
  is<Frame<number, { calls: number }>>()(counting);
  is<number>()(counting.storage.calls);
  is<unknown>()(xasync(numbers, [1]).storage);
  is<Frame<string, string[]>>()(xasync(text, [], { storage: [""] }));
  is<Frame<string, number>>()(spawn(() => "", [], { storage: 1 }));
  is<Frame<unknown, { calls: number }>>()(xframe<{ calls: number }>());
  is<unknown>()(xframe().storage);
  const any_: Frame<unknown> = counting;
  is<unknown>()(any_.storage);
  is<Operation<number>>()(xawait(counting));

  // Channels.
  const channel = new Channel<string>();
  is<string | undefined>()(yield* channel.recv());
  is<string[]>()(yield* channel.recvMany(1));
  is<IteratorResult<string, undefined>>()(yield* channel.next());
  is<Channel<number>>()(Channel.sliding<number>(1));
  is<Channel<number>>()(channelFrom([1, 2]));
  is<Channel<Uint8Array>>()(channelFrom(new ReadableStream<Uint8Array>()));
  is<ReadableStream<string>>()(readableFrom(channel));

  // Shared channels.
  const shared = new SharedChannel<string>(1);
  is<string | undefined>()(yield* shared.recv());
  is<string | undefined>()(yield* shared.tryRecv());
  is<string[]>()(yield* shared.recvMany(1));
  is<IteratorResult<string, undefined>>()(yield* shared.next());
  is<void>()(yield* shared.send("", { transfer: [new ArrayBuffer(1)] }));
  is<boolean>()(yield* shared.trySend(""));
  is<SharedChannelHandle>()(shared.handle());
  is<SharedChannel<number>>()(SharedChannel.from<number>(shared.handle()));
  is<SharedChannel<unknown>>()(SharedChannel.from(shared.handle()));
  yield* shared.forEach((value) => {
    is<string>()(value);
  });
  const either = yield* select({ near: channel.recv(), far: shared.next(), sent: shared.trySend("") });
  if (either.key === "far") is<IteratorResult<string, undefined>>()(either.value);
  if (either.key === "sent") is<boolean>()(either.value);

  // Select narrows by its key.
  const event = yield* select({ message: channel.recv(), idle: sleep(1), done: xasync(numbers, [1]), page: text(), sub: numbers(1) });
  is<"message" | "idle" | "done" | "page" | "sub">()(event.key);
  if (event.key === "message") is<string | undefined>()(event.value);
  if (event.key === "idle") is<void>()(event.value);
  if (event.key === "done") is<number>()(event.value);
  if (event.key === "page") is<string>()(event.value);
  if (event.key === "sub") is<number>()(event.value);

  // Several.
  is<number | string>()(yield* race([numbers(1), text()]));
  is<number | string>()(yield* race({ a: numbers(1), b: text() }));
  // biome-ignore lint/suspicious/noConfusingVoidType: what a sleep gives
  is<[number, string, void]>()(yield* all([numbers(1), text(), sleep(1)]));
  is<{ a: number; b: string }>()(yield* all({ a: numbers(1), b: text() }));
  is<number[]>()(yield* all([1, 2].map(numbers), { concurrency: 2 }));
  is<number[]>()(yield* all(new Set([numbers(1)])));
  is<[Settled<number>, Settled<string>]>()(yield* allSettled([numbers(1), text()]));
  is<number | string>()(yield* any([numbers(1), text()]));
  is<AsReady<number>>()(xawaitAsReady([xasync(numbers, [1])]));
  for (const next of xawaitAsReady([numbers(1)])) is<number>()(yield* next);

  // Wrappers keep what they wrap.
  is<number>()(yield* withTimeout(1, numbers(1)));
  is<string>()(yield* withTimeout(1, text()));
  is<number>()(yield* shield(numbers(1)));
  is<number>()(yield* call(numbers(1)));
  is<number>()(yield* call(() => numbers(1)));
  is<Response>()(yield* until(fetch("http://localhost")));
  is<Response>()(yield* until((signal) => fetch("http://localhost", { signal })));
  is<number>()(yield* retry(() => numbers(1)));
  is<Permit>()(yield* new Semaphore(1).acquire());

  // Scopes.
  is<number>()(yield* scope((s) => s.spawn(numbers, [1]).then()));
  is<string>()(
    yield* scope(function* (s) {
      is<Frame<number>>()(s.spawn(numbers, [1]));
      is<Frame<number, string>>()(s.spawn(numbers, [1], { storage: "" }));
      yield* sleep(1);
      return "";
    }),
  );
}

export async function outside(): Promise<void> {
  is<number>()(await xasync(numbers, [1]));
  is<Promise<number>>()(run(numbers, [1]));
  is<Promise<string>>()(run(text));
  is<number>()(asyncio.run(new asyncio.Loop(), numbers, [1]));
  is<number>()(block(numbers(1)));
  const co = new CoroT<string, number, boolean>(function* (co) {
    is<number>()(yield* co.xyield(""));
    return true as boolean;
  });
  is<string>()(co.xnextStart());
  is<string>()(co.xnext(1));
  is<boolean>()(co.xnextEnd(1));
  is<boolean>()(co.xreturned());
  for (const line of co) is<string>()(line);
  for await (const line of co) is<string>()(line);
  is<IteratorResult<string, boolean>>()(await co.next(1));
  for await (const value of new Channel<number>()) is<number>()(value);
  for await (const value of new SharedChannel<number>(1)) is<number>()(value);
  is<number | undefined>()(await new SharedChannel<number>(1).recv());
  is<number>()(new Local(0).get());
}

export function wrong(): void {
  // @ts-expect-error arguments are checked against the body's parameters
  xasync(numbers, ["1"]);
  // @ts-expect-error a body with parameters needs its arguments
  xasync(numbers);
  // @ts-expect-error storage keeps its type
  xasync(numbers, [1], { storage: { calls: 0 } }).storage = { calls: "0" };
  // @ts-expect-error there is no such field in it
  xframe<{ calls: number }>().storage.call;
  // @ts-expect-error what nobody has typed must be looked at first
  xframe().storage.calls;
  // @ts-expect-error a channel takes its own type only
  new Channel<string>().send(1);
  // @ts-expect-error so does a shared one
  new SharedChannel<string>(1).send(1);
  // @ts-expect-error only bytes are moved
  new SharedChannel<string>(1).send("", { transfer: [new MessageChannel().port1] });
  // @ts-expect-error there is no default capacity
  new SharedChannel<string>();
  // @ts-expect-error a port alone is no handle
  SharedChannel.from(new MessageChannel().port1);
  // @ts-expect-error a number is nothing to wait for
  select({ a: 1 });
  // @ts-expect-error nor to limit
  withTimeout(1, 1);
  // @ts-expect-error what is injected is typed
  new CoroT<string, number, void>(function* () {}).xnext("");
}

// No function, method or class of the package gives an `any`.
type Leaks<T> = {
  [K in keyof T]-?: IsAny<T[K]> extends true
    ? K
    : T[K] extends (...args: infer A) => infer R
      ? IsAny<R> extends true
        ? K
        : true extends IsAny<A[number]>
          ? K
          : never
      : T[K] extends abstract new (
            ...args: never[]
          ) => infer I
        ? IsAny<I> extends true
          ? K
          : InstanceLeaks<I> extends never
            ? never
            : K
        : never;
}[keyof T];
type InstanceLeaks<I> = {
  [K in keyof I]-?: IsAny<I[K]> extends true ? K : I[K] extends (...args: never[]) => infer R ? (IsAny<R> extends true ? K : never) : never;
}[keyof I];

is<never>()(undefined as unknown as Leaks<typeof zigcoro>);
is<never>()(undefined as unknown as Leaks<typeof asyncio>);
is<never>()(undefined as unknown as InstanceLeaks<Frame<number>>);
is<never>()(undefined as unknown as InstanceLeaks<Channel<number>>);
is<never>()(undefined as unknown as InstanceLeaks<SharedChannel<number>>);
is<never>()(undefined as unknown as InstanceLeaks<CoroT<number, number, number>>);
is<never>()(undefined as unknown as InstanceLeaks<zigcoro.Scope>);
is<never>()(undefined as unknown as InstanceLeaks<asyncio.Process>);
is<never>()(undefined as unknown as InstanceLeaks<asyncio.AsyncNotification>);
is<never>()(undefined as unknown as InstanceLeaks<asyncio.SignalSource>);

// A child has the streams that were asked for.
export function children(): void {
  const plain = asyncio.Process.spawn("true");
  is<null>()(plain.stdin);
  is<asyncio.Reader>()(plain.stdout);
  is<null>()(plain.stderr);
  const piped = asyncio.Process.spawn("true", [], { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
  is<asyncio.Writer>()(piped.stdin);
  is<null>()(piped.stdout);
  is<asyncio.Reader>()(piped.stderr);
  const any: asyncio.Process = piped;
  is<asyncio.Writer | null>()(any.stdin);
}
