// A parser of chunks: it reads a format from pieces that arrive as they like, and is written as if it had the whole input. The format
// is that of Redis commands, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n". `bun examples/coroutines/parser.ts`

import { CoroT, type Coroutine } from "zigcoro";

// With a coroutine: who needs more input yields what there is so far, wherever it is in the grammar.

type Parser = CoroT<string[][], string>;

class Input {
  readonly #co: Parser;
  #text = "";
  #commands: string[][] = [];

  constructor(co: Parser) {
    this.#co = co;
  }

  found(command: string[]): void {
    this.#commands.push(command);
  }

  *line(): Coroutine<string> {
    let end = this.#text.indexOf("\r\n");
    for (; end < 0; end = this.#text.indexOf("\r\n")) yield* this.#more();
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 2);
    return line;
  }

  *exactly(length: number): Coroutine<string> {
    while (this.#text.length < length) yield* this.#more();
    const text = this.#text.slice(0, length);
    this.#text = this.#text.slice(length);
    return text;
  }

  *#more(): Coroutine<void> {
    const commands = this.#commands;
    this.#commands = [];
    this.#text += yield* this.#co.xyield(commands);
  }
}

function* parse(co: Parser): Coroutine<void> {
  const input = new Input(co);
  for (;;) {
    const command: string[] = [];
    for (let left = Number((yield* input.line()).slice(1)); left > 0; left--) {
      const length = Number((yield* input.line()).slice(1));
      command.push(yield* input.exactly(length));
      yield* input.exactly(2);
    }
    input.found(command);
  }
}

export function coroutineParser(): (chunk: string) => string[][] {
  const parser: Parser = new CoroT(parse);
  parser.xnextStart();
  return (chunk) => parser.xnext(chunk);
}

// Without: where it stands in the grammar has to be written down between chunks.

export function stateMachineParser(): (chunk: string) => string[][] {
  let text = "";
  let state: "count" | "length" | "bytes" = "count";
  let [left, length] = [0, 0];
  let command: string[] = [];
  return (chunk) => {
    text += chunk;
    const commands: string[][] = [];
    for (;;) {
      if (state === "bytes") {
        if (text.length < length + 2) return commands;
        command.push(text.slice(0, length));
        text = text.slice(length + 2);
        if (--left > 0) state = "length";
        else {
          commands.push(command);
          command = [];
          state = "count";
        }
        continue;
      }
      const end = text.indexOf("\r\n");
      if (end < 0) return commands;
      const number = Number(text.slice(1, end));
      text = text.slice(end + 2);
      if (state === "count") {
        left = number;
        state = "length";
      } else {
        length = number;
        state = "bytes";
      }
    }
  };
}

if (import.meta.main) {
  const stream = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nbc\r\n";
  for (const parser of [coroutineParser, stateMachineParser]) {
    const feed = parser();
    const commands = [...stream.matchAll(/[\s\S]{1,3}/g)].flatMap(([chunk]) => feed(chunk));
    console.log(JSON.stringify(commands));
  }
}
