import { posix } from 'node:path';
import type { CheckedFile } from '../checked_file.js';
import { InvalidFormat } from '../invalid_format.js';
import type { SafetensorsIndex } from './index.js';

/** Each tensor of an index is in the file that the index names, and in no other file of the index. */
export function checkIndexedFiles({ path, weightMap }: SafetensorsIndex, files: readonly CheckedFile[]): void {
  const directory = posix.dirname(path);
  const checked = new Map(files.map((file) => [file.path, file]));
  const namesOf = new Map<string, ReadonlySet<string>>();
  for (const file of new Set(weightMap.values())) {
    const listed = checked.get(posix.join(directory, file));
    if (listed?.format !== 'safetensors' || listed.header === undefined) {
      throw new InvalidFormat('index_file_missing', 0, path);
    }
    namesOf.set(file, listed.header.tensorNames);
  }
  for (const [tensor, file] of weightMap) {
    if (namesOf.get(file)?.has(tensor) !== true) throw new InvalidFormat('index_tensor_missing', 0, path);
  }
  for (const [file, names] of namesOf) {
    for (const name of names) {
      if (weightMap.has(name) && weightMap.get(name) !== file) {
        throw new InvalidFormat('index_tensor_elsewhere', 0, path);
      }
    }
  }
}
