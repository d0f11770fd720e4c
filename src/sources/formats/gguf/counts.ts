import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';

/** Length, one byte of text, type, and a value of one byte. */
const smallestKeyBytes = 8 + 1 + 4 + 1;
/** Length, one byte of text, number of dimensions, type, and offset. */
const smallestTensorBytes = 8 + 1 + 4 + 4 + 8;

export interface Counts {
  readonly tensors: number;
  readonly keys: number;
}

/** The numbers of tensors and keys. The file has room for them, so what is kept of them is bounded. */
export function readCounts(reader: HeaderReader): Counts {
  const at = reader.at;
  const tensors = reader.u64();
  const keys = reader.u64();
  if (tensors * smallestTensorBytes + keys * smallestKeyBytes > reader.leftBytes) {
    throw new InvalidFormat('gguf_counts', at);
  }
  return { tensors, keys };
}
