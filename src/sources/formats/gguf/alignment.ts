import { InvalidFormat } from '../invalid_format.js';
import type { Value } from './values.js';

const defaultAlignment = 32;

/** The alignment of tensor data in bytes: the key `general.alignment`, a u32 that is a power of two; 32 without it. */
export function alignmentOf(keys: ReadonlyMap<string, Value>): number {
  const value = keys.get('general.alignment');
  if (value === undefined) return defaultAlignment;
  const { type, number = 0, at } = value;
  if (type !== 'u32' || number === 0 || !Number.isInteger(Math.log2(number))) {
    throw new InvalidFormat('gguf_alignment', at);
  }
  return number;
}

/** The next multiple of an alignment. Exact below 2^53, because the alignment is a power of two. */
export const aligned = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment;
