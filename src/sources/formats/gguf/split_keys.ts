import { InvalidFormat } from '../invalid_format.js';
import type { Value, ValueType } from './values.js';

/** The place of a file in a split GGUF. */
export interface SplitKeys {
  /** From 0. */
  readonly number: number;
  readonly count: number;
  /** The tensors of all files. */
  readonly tensors: number;
}

/** The split keys of a file; undefined if it is a whole GGUF. llama.cpp refuses other types of these keys. */
export function splitKeysOf(keys: ReadonlyMap<string, Value>): SplitKeys | undefined {
  const number = numberOf(keys, 'split.no', 'u16');
  const count = numberOf(keys, 'split.count', 'u16');
  const tensors = numberOf(keys, 'split.tensors.count', 'i32');
  if (count === undefined || count < 2) return undefined;
  if (number === undefined || tensors === undefined || number >= count || tensors < 0) {
    throw new InvalidFormat('split_keys', keys.get('split.count')?.at ?? 0);
  }
  return { number, count, tensors };
}

function numberOf(keys: ReadonlyMap<string, Value>, name: string, type: ValueType): number | undefined {
  const value = keys.get(name);
  if (value !== undefined && value.type !== type) throw new InvalidFormat('split_keys', value.at);
  return value?.number;
}
