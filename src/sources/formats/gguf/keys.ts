import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';
import { NameSet } from '../names.js';
import { readValue, type Value } from './values.js';

const maxKeyBytes = 65_535;

/** The keys that a rule needs. Values of other keys are checked and dropped. */
const kept = new Set(['general.alignment', 'split.no', 'split.count', 'split.tensors.count']);

/** Reads all keys. Returns the values that rules need. */
export function readKeys(reader: HeaderReader, count: number): ReadonlyMap<string, Value> {
  const names = new NameSet(reader.budget);
  const values = new Map<string, Value>();
  for (let index = 0; index < count; index += 1) {
    const at = reader.at;
    const name = readKey(reader);
    if (!names.add(name, at)) throw new InvalidFormat('gguf_duplicate_key', at);
    const value = readValue(reader);
    if (kept.has(name)) values.set(name, value);
  }
  return values;
}

/** llama.cpp compares keys up to a NUL, so a key with one could replace another. */
function readKey(reader: HeaderReader): string {
  const at = reader.at;
  const length = reader.u64();
  if (length === 0 || length > maxKeyBytes) throw new InvalidFormat('gguf_key', at);
  const name = reader.text(length);
  if (name === undefined || name.includes('\0')) throw new InvalidFormat('gguf_key', at);
  return name;
}
