/** A random model of the Llama architecture with two layers. */
import { metadata, type Tensor, tensorType, writeGguf } from './gguf.js';
import type { Vocabulary } from './vocabulary.js';

const layers = 2;
const embedding = 256;
const heads = 4;
const halfBytes = 2;

/** Random numbers from a seed: https://www.jstatsoft.org/article/view/v008i14 */
class Xorshift {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  next(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state >>> 0;
  }
}

/** Halves (IEEE 754) of both signs, with magnitudes from 2^-15 to almost 2^-4. */
const halves = Uint16Array.from({ length: 65_536 }, (_, index) => (index & 0x8000) | ((index & 0x7fff) % 0x2c00));

/** The size of the feed-forward layers of a model of about `bytes`. */
function feedForwardOf(bytes: number, vocabulary: Vocabulary): number {
  const left = bytes - 2 * vocabulary.tokens * embedding * halfBytes;
  const size = Math.floor(left / (layers * 3 * embedding * halfBytes));
  return Math.max(256, size - (size % 256));
}

export interface RandomModelOptions {
  readonly vocabulary: Vocabulary;
  /** About how large the file becomes. A large vocabulary makes it larger. */
  readonly bytes: number;
  readonly seed: number;
}

/** Writes a model, the same one for the same options. */
export function writeRandomModel(path: string, { vocabulary, bytes, seed }: RandomModelOptions): void {
  const random = new Xorshift(seed);
  const feedForward = feedForwardOf(bytes, vocabulary);

  const matrix = (name: string, columns: number, rows: number): Tensor => {
    const values = new Uint16Array(columns * rows);
    for (let index = 0; index < values.length; index += 2) {
      const bits = random.next();
      values[index] = halves[bits & 0xffff] ?? 0;
      values[index + 1] = halves[bits >>> 16] ?? 0;
    }
    return { name, shape: [columns, rows], type: tensorType.f16, data: new Uint8Array(values.buffer) };
  };

  const norm = (name: string): Tensor => {
    const data = new Uint8Array(new Float32Array(embedding).fill(1).buffer);
    return { name, shape: [embedding], type: tensorType.f32, data };
  };

  const layer = (index: number): Tensor[] => {
    const prefix = `blk.${index}.`;
    const attention = ['attn_q', 'attn_k', 'attn_v', 'attn_output'];
    return [
      norm(`${prefix}attn_norm.weight`),
      ...attention.map((name) => matrix(`${prefix}${name}.weight`, embedding, embedding)),
      norm(`${prefix}ffn_norm.weight`),
      matrix(`${prefix}ffn_gate.weight`, embedding, feedForward),
      matrix(`${prefix}ffn_up.weight`, embedding, feedForward),
      matrix(`${prefix}ffn_down.weight`, feedForward, embedding),
    ];
  };

  const tensors = [
    matrix('token_embd.weight', embedding, vocabulary.tokens),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    norm('output_norm.weight'),
    matrix('output.weight', embedding, vocabulary.tokens),
  ];
  writeGguf(path, [...entriesOf(vocabulary, feedForward), ...vocabulary.entries], tensors);
}

function entriesOf({ tokens }: Vocabulary, feedForward: number): Buffer[] {
  return [
    metadata.string('general.architecture', 'llama'),
    metadata.string('general.name', 'random'),
    metadata.uint32('general.file_type', 1),
    metadata.uint32('llama.block_count', layers),
    metadata.uint32('llama.context_length', 512),
    metadata.uint32('llama.embedding_length', embedding),
    metadata.uint32('llama.feed_forward_length', feedForward),
    metadata.uint32('llama.attention.head_count', heads),
    metadata.uint32('llama.attention.head_count_kv', heads),
    metadata.float32('llama.attention.layer_norm_rms_epsilon', 1e-5),
    metadata.uint32('llama.rope.dimension_count', embedding / heads),
    metadata.uint32('llama.vocab_size', tokens),
  ];
}
