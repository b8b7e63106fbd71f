// What failed, as text: class and exact message, so that a test can compare both at once.

import type { Coroutine, Operation } from "zigcoro";

/** "TypeError: ..." of what `run` throws. */
export function thrown(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}

/** "TypeError: ..." of what `promise` rejects with. */
export async function rejected(promise: PromiseLike<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}

/** The error that `promise` rejects with, with its fields. */
export async function failure(promise: PromiseLike<unknown>): Promise<Error & Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    return error as Error & Record<string, unknown>;
  }
  throw new Error("nothing was thrown");
}

/** Lets async bodies, which go on in microtasks, come to the operation they wait for. */
export async function microtasks(): Promise<void> {
  for (let i = 0; i < 20; i++) await null;
}

/** Waits for an operation inside a generator and says how it failed. */
export function* failed(operation: Operation<unknown>): Coroutine<string> {
  try {
    yield* operation;
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}
