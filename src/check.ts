// Checks of arguments, made before native code is reached. Each names the function, the argument, what it must be and what it was.

/** An integer from `min` to `max`, or a RangeError; not a number at all is a TypeError. */
export function checkInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== "number") throw new TypeError(`${what} must be an integer from ${min} to ${max}, got ${show(value)}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${what} must be an integer from ${min} to ${max}, got ${show(value)}`);
  }
  return value;
}

/** A number of milliseconds from 0 on; `Infinity` only where `what` allows it. */
export function checkMilliseconds(value: unknown, what: string): number {
  if (typeof value !== "number") throw new TypeError(`${what} must be a number of milliseconds, got ${show(value)}`);
  if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`${what} must be a number of milliseconds from 0 to 2^53 - 1, got ${show(value)}`);
  }
  return value;
}

export function checkString(value: unknown, what: string): string {
  if (typeof value !== "string") throw new TypeError(`${what} must be a string, got ${show(value)}`);
  return value;
}

export function checkFunction(value: unknown, what: string): void {
  if (typeof value !== "function") throw new TypeError(`${what} must be a function, got ${show(value)}`);
}

/** Options: an object. @throws TypeError */
export function checkOptions(value: unknown, what: string): void {
  if (typeof value !== "object" || value === null) throw new TypeError(`${what}: options must be an object, got ${show(value)}`);
}

/** A value as an error message shows it, whatever it is: it is not to hide what was wrong with it behind an error of its own. */
export function show(value: unknown): string {
  try {
    return shown(value);
  } catch {
    return typeof value === "function" ? "a function" : "an object";
  }
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
  if (typeof value === "function") return `function ${value.name || "(anonymous)"}`;
  if (typeof value === "object" && value !== null) return `an object of class ${value.constructor?.name ?? "null"}`;
  if (typeof value === "bigint") return `${value}n`;
  return String(value);
}
