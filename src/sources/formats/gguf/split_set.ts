import type { CheckedFile } from '../checked_file.js';
import { InvalidFormat } from '../invalid_format.js';
import type { SplitKeys } from './split_keys.js';

const splitName = /^(.*)-([0-9]{5})-of-([0-9]{5})\.gguf$/s;

/** A file of a split GGUF. `set` is the same for the files of one. */
interface SplitFile {
  readonly path: string;
  readonly set: string;
  readonly split: SplitKeys;
  readonly tensorNames: ReadonlySet<string>;
}

/** Each split GGUF of a model is complete, and its files agree with their names and with each other. */
export function checkSplitSets(files: readonly CheckedFile[]): void {
  const sets = new Map<string, SplitFile[]>();
  for (const file of files.flatMap(splitFileOf)) {
    const set = sets.get(file.set) ?? [];
    set.push(file);
    sets.set(file.set, set);
  }
  for (const set of sets.values()) {
    checkComplete(set);
    checkTensors(set);
  }
}

/** The file names of a split GGUF count from 1, its keys from 0. */
function splitFileOf({ path, format, header }: CheckedFile): SplitFile[] {
  if (format !== 'gguf' || header === undefined) return [];
  const [, prefix = '', number, count] = splitName.exec(path) ?? [];
  const { split, tensorNames } = header;
  if (split === undefined && (count === undefined || Number(count) < 2)) return [];
  if (split === undefined || Number(number) !== split.number + 1 || Number(count) !== split.count) {
    throw new InvalidFormat('split_name', 0, path);
  }
  return [{ path, set: `${prefix}-of-${count}`, split, tensorNames }];
}

function checkComplete(set: readonly SplitFile[]): void {
  const numbers = new Set(set.map(({ split }) => split.number));
  for (const { path, split } of set) {
    if (numbers.size !== split.count) throw new InvalidFormat('split_missing', 0, path);
  }
}

function checkTensors(set: readonly SplitFile[]): void {
  const names = new Set<string>();
  for (const { path, tensorNames } of set) {
    for (const name of tensorNames) {
      if (names.has(name)) throw new InvalidFormat('split_duplicate_tensor', 0, path);
      names.add(name);
    }
  }
  for (const { path, split } of set) {
    if (split.tensors !== names.size) throw new InvalidFormat('split_tensors', 0, path);
  }
}
