import { isUtf8 } from 'node:buffer';
import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';
import { JsonReader } from './json_reader.js';

/** An index of a model in several safetensors files: `model.safetensors.index.json`. */
export interface SafetensorsIndex {
  readonly path: string;
  /** The plain file name of each tensor. The files are next to the index. */
  readonly weightMap: ReadonlyMap<string, string>;
}

const maxFiles = 10_000;
const numbered = /^(.*)-([0-9]{5})-of-([0-9]{5})(\..*)$/s;

/** Parses a whole index. Fields other than `weight_map` are not interpreted. */
export function parseIndex(reader: HeaderReader, path: string): SafetensorsIndex {
  reader.skip(reader.fileBytes);
  if (!isUtf8(reader.bytes)) throw new InvalidFormat('index_json', 0);
  const json = new JsonReader(reader.bytes, 0, {
    syntax: 'index_json',
    duplicate: 'index_duplicate_key',
    budget: reader.budget,
  });
  if (json.next() !== 'object') throw new InvalidFormat('index_json', json.at);
  let weightMap: ReadonlyMap<string, string> | undefined;
  json.members((field) => {
    if (field === 'weight_map') weightMap = readWeightMap(json);
    else json.skipValue();
  });
  json.end();
  if (weightMap === undefined) throw new InvalidFormat('index_json', 0);
  checkComplete(new Set(weightMap.values()));
  return { path, weightMap };
}

function readWeightMap(json: JsonReader): ReadonlyMap<string, string> {
  if (json.next() !== 'object') throw new InvalidFormat('index_json', json.at);
  const weightMap = new Map<string, string>();
  /** One string for each file, whatever the number of its tensors. */
  const files = new Map<string, string>();
  json.members((tensor) => {
    if (json.next() !== 'string') throw new InvalidFormat('index_json', json.at);
    const at = json.at;
    const file = json.string();
    if (!isPlainName(file)) throw new InvalidFormat('index_file_name', at);
    if (!files.has(file)) files.set(file, file);
    if (files.size > maxFiles) throw new InvalidFormat('index_file_count', at);
    weightMap.set(tensor, files.get(file) ?? file);
  });
  return weightMap;
}

/** A file name without a folder, a drive, a percent-encoded character, or one that is not visible. */
const isPlainName = (name: string): boolean =>
  name.length > 0 && name.length <= 255 && !/^\.\.?$|[/\\:%\p{C}\p{Zl}\p{Zp}]/u.test(name);

/** If a name counts its files, the index names all of them. */
function checkComplete(files: ReadonlySet<string>): void {
  const missing = new Map<string, number>();
  for (const file of files) {
    const [, prefix, number, count, suffix] = numbered.exec(file) ?? [];
    if (number === undefined) continue;
    if (Number(number) < 1 || Number(number) > Number(count)) throw new InvalidFormat('index_incomplete', 0);
    const set = `${prefix}/${count}/${suffix}`;
    missing.set(set, (missing.get(set) ?? Number(count)) - 1);
  }
  if ([...missing.values()].some((count) => count > 0)) throw new InvalidFormat('index_incomplete', 0);
}
