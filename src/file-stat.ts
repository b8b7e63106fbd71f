// FileStat: what a stat of a file tells.

import { constants } from "node:fs";

/** How many 64-bit numbers native code writes. */
export const statFields = 14;

const { S_IFMT, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK } = constants;
const nsPerMs = 1e6;

/**
 * What is known about a file, as Node's `Stats`. Numbers beyond 2^53 are rounded to the nearest that there is; `exact` has those that can be so
 * large.
 */
export class FileStat {
  readonly dev: number;
  readonly ino: number;
  /** Kind and permissions. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Bytes. 0 for files whose content is made as it is read, as those in /proc. */
  readonly size: number;
  readonly blksize: number;
  /** Of 512 bytes each, that the file takes on the disk. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  /** `ctimeMs` where the file system does not know it. */
  readonly birthtimeMs: number;
  readonly exact: {
    readonly ino: bigint;
    readonly size: bigint;
    /** Nanoseconds since 1970. */
    readonly atimeNs: bigint;
    readonly mtimeNs: bigint;
    readonly ctimeNs: bigint;
    readonly birthtimeNs: bigint;
  };

  /** @internal */
  constructor(fields: BigInt64Array) {
    const unsigned = (i: number) => BigInt.asUintN(64, fields[i] as bigint);
    const number = (i: number) => Number(unsigned(i));
    const time = (i: number) => fields[i] as bigint;
    this.dev = number(0);
    this.ino = number(1);
    this.mode = number(2);
    this.nlink = number(3);
    this.uid = number(4);
    this.gid = number(5);
    this.rdev = number(6);
    this.size = number(7);
    this.blksize = number(8);
    this.blocks = number(9);
    this.exact = {
      ino: unsigned(1),
      size: unsigned(7),
      atimeNs: time(10),
      mtimeNs: time(11),
      ctimeNs: time(12),
      birthtimeNs: time(13),
    };
    this.atimeMs = Number(time(10)) / nsPerMs;
    this.mtimeMs = Number(time(11)) / nsPerMs;
    this.ctimeMs = Number(time(12)) / nsPerMs;
    this.birthtimeMs = Number(time(13)) / nsPerMs;
  }

  get mtime(): Date {
    return new Date(this.mtimeMs);
  }

  isFile(): boolean {
    return this.#is(S_IFREG);
  }

  isDirectory(): boolean {
    return this.#is(S_IFDIR);
  }

  isCharacterDevice(): boolean {
    return this.#is(S_IFCHR);
  }

  isBlockDevice(): boolean {
    return this.#is(S_IFBLK);
  }

  isFIFO(): boolean {
    return this.#is(S_IFIFO);
  }

  isSocket(): boolean {
    return this.#is(S_IFSOCK);
  }

  #is(kind: number): boolean {
    return (this.mode & S_IFMT) === kind;
  }
}
