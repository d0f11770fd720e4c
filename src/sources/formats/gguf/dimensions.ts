import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';

/** GGML_MAX_DIMS. */
const maxDimensions = 4;

export interface Dimensions {
  /** The first dimension, 1 for a scalar. */
  readonly first: number;
  readonly elements: number;
}

/**
 * Up to 4 dimensions. ggml bounds the product by 2^63. Here each factor and the product are below 2^53, where numbers
 * are exact: no type takes less than an eighth of a byte, so a tensor above it is larger than any file.
 */
export function readDimensions(reader: HeaderReader): Dimensions {
  const at = reader.at;
  const count = reader.u32();
  if (count > maxDimensions) throw new InvalidFormat('gguf_dimensions', at);
  let first = 1;
  let elements = 1;
  for (let index = 0; index < count; index += 1) {
    const size = reader.u64();
    if (index === 0) first = size;
    elements *= size;
    if (!Number.isSafeInteger(size) || !Number.isSafeInteger(elements)) throw new InvalidFormat('gguf_dimensions', at);
  }
  return { first, elements };
}
