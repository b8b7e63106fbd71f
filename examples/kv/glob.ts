// Patterns of KEYS, SCAN and CONFIG GET, as Redis reads them: * ? [abc] [a-c] [^a] and \ before a character that means itself. Pure.

/** Whether all of `text` matches `pattern`. Takes at most pattern x text steps, whatever the pattern. */
export function matches(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  // Where to go on when what follows the last '*' fails: let that '*' swallow one character more. An earlier '*' never has to be tried again.
  let star = -1;
  let swallowed = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      swallowed = t;
      continue;
    }
    const next = p < pattern.length ? matchOne(pattern, p, text[t] as string) : -1;
    if (next >= 0) {
      p = next;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++swallowed;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p >= pattern.length;
}

/** Where the pattern goes on when its element at `p` matches `char`, else -1. */
function matchOne(pattern: string, p: number, char: string): number {
  switch (pattern[p]) {
    case "?":
      return p + 1;
    case "[":
      return matchClass(pattern, p + 1, char);
    case "\\":
      if (p + 1 < pattern.length) return pattern[p + 1] === char ? p + 2 : -1;
      return char === "\\" ? p + 1 : -1;
    default:
      return pattern[p] === char ? p + 1 : -1;
  }
}

/** The class that begins after '['. One that never closes ends with the pattern, as in Redis. */
function matchClass(pattern: string, from: number, char: string): number {
  const negated = pattern[from] === "^";
  let p = negated ? from + 1 : from;
  let found = false;
  for (; p < pattern.length && pattern[p] !== "]"; p++) {
    const low = pattern[p] as string;
    if (low === "\\" && p + 1 < pattern.length) {
      p++;
      if (pattern[p] === char) found = true;
    } else if (pattern[p + 1] === "-" && p + 2 < pattern.length) {
      const high = pattern[p + 2] as string;
      if (low <= high ? low <= char && char <= high : high <= char && char <= low) found = true;
      p += 2;
    } else if (low === char) found = true;
  }
  return found !== negated ? p + 1 : -1;
}
