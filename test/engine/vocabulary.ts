/** Vocabularies of SentencePiece: one of an existing GGUF file, or a small one. */
import { readFileSync } from 'node:fs';
import { metadata, valueType } from './gguf.js';

export interface Vocabulary {
  readonly tokens: number;
  /** Encoded metadata. */
  readonly entries: readonly Buffer[];
}

/** Token types of llama.cpp. */
const tokenType = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/** Special tokens, bytes, and the printable ASCII characters. */
export function smallVocabulary(): Vocabulary {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const characters = ['▁', ...Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index))];
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...characters];
  const types = [
    tokenType.unknown,
    tokenType.control,
    tokenType.control,
    ...bytes.map(() => tokenType.byte),
    ...characters.map(() => tokenType.normal),
  ];
  return {
    tokens: tokens.length,
    entries: [
      metadata.string('tokenizer.ggml.model', 'llama'),
      metadata.string('tokenizer.ggml.pre', 'default'),
      metadata.strings('tokenizer.ggml.tokens', tokens),
      metadata.float32s(
        'tokenizer.ggml.scores',
        tokens.map((_, index) => -index),
      ),
      metadata.int32s('tokenizer.ggml.token_type', types),
      metadata.uint32('tokenizer.ggml.bos_token_id', 1),
      metadata.uint32('tokenizer.ggml.eos_token_id', 2),
      metadata.uint32('tokenizer.ggml.unknown_token_id', 0),
      metadata.bool('tokenizer.ggml.add_bos_token', true),
    ],
  };
}

/** The vocabulary of a GGUF file. */
export function vocabularyOf(path: string): Vocabulary {
  const reader = new Reader(readFileSync(path));
  reader.skip(4 + 4 + 8); // magic, version, number of tensors
  const entries: Buffer[] = [];
  let tokens = 0;
  for (let left = reader.uint64(); left > 0; left--) {
    const start = reader.offset;
    const key = reader.string();
    const length = reader.value(reader.uint32());
    if (key === 'tokenizer.ggml.tokens') tokens = length;
    if (key.startsWith('tokenizer.')) entries.push(reader.since(start));
  }
  return { tokens, entries };
}

/** Lengths of values of a fixed size, in bytes, by their type. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

class Reader {
  readonly #bytes: Buffer;
  offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(bytes: number): void {
    this.offset += bytes;
  }

  uint32(): number {
    this.offset += 4;
    return this.#bytes.readUInt32LE(this.offset - 4);
  }

  uint64(): number {
    this.offset += 8;
    return Number(this.#bytes.readBigUInt64LE(this.offset - 8));
  }

  string(): string {
    const length = this.uint64();
    this.offset += length;
    return this.#bytes.toString('utf8', this.offset - length, this.offset);
  }

  /** Skips a value. Returns the number of elements of an array, otherwise 1. */
  value(type: number): number {
    if (type === valueType.string) this.string();
    else if (type !== valueType.array) this.skip(valueBytes[type] ?? 0);
    if (type !== valueType.array) return 1;
    const elementType = this.uint32();
    const length = this.uint64();
    for (let left = length; left > 0; left--) this.value(elementType);
    return length;
  }

  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.offset);
  }
}
