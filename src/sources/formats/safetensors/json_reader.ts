import { InvalidFormat } from '../invalid_format.js';
import { NameBudget, NameSet } from '../names.js';
import type { FormatRule } from '../rules.js';

const maxDepth = 32;
const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
const numberBytes = new Set(Buffer.from('-+.0123456789eE'));
const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;

export type JsonType = 'object' | 'array' | 'string' | 'number' | 'literal';

/** The rules that invalid JSON and a duplicate key break, and the bound of the keys. */
export interface JsonRules {
  readonly syntax: FormatRule;
  readonly duplicate: FormatRule;
  /** Of the keys that the reader keeps while it reads an object. */
  readonly budget: NameBudget;
}

/**
 * Reads JSON (RFC 8259) in order from bytes that are valid UTF-8, and builds no values. `JSON.parse` would build them
 * before their shape is checked: of 64 MiB of `{},` it makes over a gigabyte. No object may have a key twice.
 */
export class JsonReader {
  #at: number;

  constructor(
    private readonly bytes: Buffer,
    start: number,
    private readonly rules: JsonRules,
  ) {
    this.#at = start;
  }

  /** The offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  /** The type of the next value by its first character, after white space. */
  next(): JsonType {
    const byte = this.#peek();
    if (byte === openBrace) return 'object';
    if (byte === openBracket) return 'array';
    if (byte === quote) return 'string';
    return isDigit(byte) || byte === 0x2d ? 'number' : 'literal';
  }

  /** Reads an object. `member` reads the value of each key. Returns the keys. */
  members(member: (key: string, at: number) => void, budget = this.rules.budget): Set<string> {
    const keys = new NameSet(budget);
    this.#list(openBrace, closeBrace, () => {
      if (this.#peek() !== quote) throw this.#invalid();
      const at = this.#at;
      const key = this.string();
      if (!keys.add(key, at)) throw new InvalidFormat(this.rules.duplicate, at);
      this.#take(colon);
      member(key, at);
    });
    return keys.names;
  }

  /** Reads an array. `element` reads each value. */
  elements(element: (at: number) => void): void {
    this.#list(openBracket, closeBracket, () => {
      this.#peek();
      element(this.#at);
    });
  }

  /** Reads a string. Its escapes are decoded, and it has no lone surrogate. */
  string(): string {
    this.#take(quote);
    const start = this.#at;
    let hasEscapes = false;
    for (;;) {
      const byte = this.bytes[this.#at];
      if (byte === undefined || byte < 0x20) throw this.#invalid();
      if (byte === quote) break;
      if (byte === backslash) hasEscapes = true;
      this.#at += byte === backslash ? 2 : 1;
    }
    const text = this.bytes.toString('utf8', start, this.#at);
    this.#at += 1;
    return hasEscapes ? this.#decode(text, start) : text;
  }

  /** Reads a number. Returns undefined if it is not an integer from 0 to 2^53 - 1 in plain digits. */
  integer(): number | undefined {
    const text = this.#number();
    const value = Number(text);
    return /^(?:0|[1-9][0-9]*)$/.test(text) && Number.isSafeInteger(value) ? value : undefined;
  }

  /** Passes over a value of any type. */
  skipValue(depth = 1): void {
    if (depth > maxDepth) throw this.#invalid();
    const skip = () => this.skipValue(depth + 1);
    const type = this.next();
    if (type === 'object') this.members(skip);
    else if (type === 'array') this.elements(skip);
    else if (type === 'string') this.string();
    else if (type === 'number') this.#number();
    else this.#literal();
  }

  /** Only white space follows. */
  end(): void {
    if (this.#peek() !== undefined) throw this.#invalid();
  }

  /** Reads an object of a few fields, whose names are not kept: they take nothing from the budget. */
  fields(field: (name: string, at: number) => void): void {
    this.members(field, new NameBudget());
  }

  #list(open: number, close: number, item: () => void): void {
    this.#take(open);
    if (this.#peek() !== close) {
      item();
      while (this.#peek() !== close) {
        this.#take(comma);
        item();
      }
    }
    this.#take(close);
  }

  #peek(): number | undefined {
    while (isSpace(this.bytes[this.#at])) this.#at += 1;
    return this.bytes[this.#at];
  }

  #take(byte: number): void {
    if (this.#peek() !== byte) throw this.#invalid();
    this.#at += 1;
  }

  #number(): string {
    this.#peek();
    const start = this.#at;
    while (numberBytes.has(this.bytes[this.#at] ?? 0)) this.#at += 1;
    const text = this.bytes.toString('latin1', start, this.#at);
    if (!/^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$/.test(text)) throw this.#invalid(start);
    return text;
  }

  #literal(): void {
    const text = ['true', 'false', 'null'].find(
      (name) => this.bytes.toString('latin1', this.#at, this.#at + name.length) === name,
    );
    if (text === undefined) throw this.#invalid();
    this.#at += text.length;
  }

  #decode(text: string, start: number): string {
    let decoded: unknown;
    try {
      decoded = JSON.parse(`"${text}"`);
    } catch {
      throw this.#invalid(start);
    }
    if (typeof decoded !== 'string' || /\p{Surrogate}/u.test(decoded)) throw this.#invalid(start);
    return decoded;
  }

  #invalid(at = this.#at): InvalidFormat {
    return new InvalidFormat(this.rules.syntax, at);
  }
}
