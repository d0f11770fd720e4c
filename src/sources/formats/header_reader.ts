import { isUtf8 } from 'node:buffer';
import { InvalidFormat, ShortHeader } from './invalid_format.js';
import type { NameBudget } from './names.js';

/** The bytes of a file that were read, from its start, and how many more may be read. */
export interface HeaderBytes {
  readonly bytes: Buffer;
  readonly fileBytes: number;
  /** The most bytes of a header that the worker reads. */
  readonly limitBytes: number;
  readonly budget: NameBudget;
}

const shortTextBytes = 64;

/** Reads little-endian fields of a header in order. Each read is checked against the file, the limit and the bytes. */
export class HeaderReader {
  readonly bytes: Buffer;
  readonly fileBytes: number;
  /** Of the names that the parse keeps. */
  readonly budget: NameBudget;
  readonly #limitBytes: number;
  #at = 0;

  constructor({ bytes, fileBytes, limitBytes, budget }: HeaderBytes) {
    this.bytes = bytes;
    this.fileBytes = fileBytes;
    this.#limitBytes = limitBytes;
    this.budget = budget;
  }

  /** The offset of the next field. */
  get at(): number {
    return this.#at;
  }

  /** The bytes of the file after `at`. */
  get leftBytes(): number {
    return this.fileBytes - this.#at;
  }

  /**
   * Passes over bytes, and returns their offset. @throws InvalidFormat if the file ends before them, or if they are
   * above the limit. @throws ShortHeader if they have not been read.
   */
  skip(bytes: number): number {
    const start = this.#at;
    const end = start + bytes;
    if (end > this.bytes.length) {
      if (end > this.fileBytes) throw new InvalidFormat('truncated', start);
      if (end > this.#limitBytes) throw new InvalidFormat('header_limit', start);
      throw new ShortHeader(end);
    }
    this.#at = end;
    return start;
  }

  u8(): number {
    return this.bytes.readUInt8(this.skip(1));
  }

  u16(): number {
    return this.bytes.readUInt16LE(this.skip(2));
  }

  u32(): number {
    return this.bytes.readUInt32LE(this.skip(4));
  }

  i32(): number {
    return this.bytes.readInt32LE(this.skip(4));
  }

  /** A u64. It is exact up to 2^53, and rounded above: compare it with a limit below 2^53 before you use it. */
  u64(): number {
    const start = this.skip(8);
    return this.bytes.readUInt32LE(start + 4) * 2 ** 32 + this.bytes.readUInt32LE(start);
  }

  /** Whether the next `length` bytes are UTF-8. Passes over them. */
  isText(length: number): boolean {
    const start = this.skip(length);
    return this.#isAscii(start, this.#at) || isUtf8(this.bytes.subarray(start, this.#at));
  }

  /** The next `length` bytes as text; undefined if they are not UTF-8. Passes over them. */
  text(length: number): string | undefined {
    const start = this.skip(length);
    if (this.#isAscii(start, this.#at)) return this.bytes.toString('latin1', start, this.#at);
    if (!isUtf8(this.bytes.subarray(start, this.#at))) return undefined;
    return this.bytes.toString('utf8', start, this.#at);
  }

  /** Whether a short text is ASCII, as most are. The native check costs more than such a text has bytes. */
  #isAscii(start: number, end: number): boolean {
    if (end - start > shortTextBytes) return false;
    for (let at = start; at < end; at += 1) if ((this.bytes[at] ?? 0) > 0x7f) return false;
    return true;
  }
}
