import { WorkerError } from '../errors.js';
import type { TransferOptions } from './egress/request.js';
import type { Inspector } from './formats/inspector.js';
import { rangedFileOf } from './inspect_model.js';
import { KeptIndexes } from './kept_indexes.js';
import type { ModelFileEntry, ResolvedModel } from './model.js';

const indexSuffix = '.safetensors.index.json';

/** Files next to an index that are looked up at once. */
const concurrency = 4;

const isIndexPath = (path: string): boolean => path.endsWith(indexSuffix);

/** A file, or an index and the files that it lists, which `sibling` finds by their plain names. */
export async function filesOf(
  entry: ModelFileEntry,
  inspector: Inspector,
  sibling: (name: string) => Promise<ModelFileEntry>,
  options: TransferOptions,
): Promise<Pick<ResolvedModel, 'shards' | 'indexes' | 'skipped'>> {
  if (!isIndexPath(entry.path)) return { shards: [entry], indexes: [], skipped: [] };
  const index = await new KeptIndexes().keep(entry, options);
  const names = await listedIn(index, inspector, options);
  const shards: ModelFileEntry[] = [];
  for (let start = 0; start < names.length; start += concurrency) {
    shards.push(...(await Promise.all(names.slice(start, start + concurrency).map(sibling))));
  }
  return { shards, indexes: [index], skipped: [] };
}

/**
 * Moves the safetensors files next to an index that it does not list to `skipped`: some repositories hold the same
 * tensors a second time. Files in `named` stay, and those of folders without an index.
 * @throws WorkerError FORMAT_INVALID for an invalid index, SOURCE_NOT_FOUND if a file that it lists does not exist, and the
 * errors of the source
 */
export async function withoutUnlisted(
  model: ResolvedModel,
  inspector: Inspector,
  named: readonly string[],
  options: TransferOptions,
): Promise<ResolvedModel> {
  const present = new Set(model.shards.map(({ path }) => path));
  const listed = new Set(named);
  const folders = new Set<string>();
  const kept = new KeptIndexes();
  const indexes: ModelFileEntry[] = [];
  for (const entry of model.indexes) {
    const index = await kept.keep(entry, options);
    indexes.push(index);
    const folder = folderOf(index.path);
    folders.add(folder);
    for (const name of await listedIn(index, inspector, options)) {
      const path = folder + name;
      if (!present.has(path))
        throw new WorkerError('SOURCE_NOT_FOUND', `The index lists ${path}, which does not exist`);
      listed.add(path);
    }
  }
  const isKept = ({ path }: ModelFileEntry) =>
    !path.endsWith('.safetensors') || !folders.has(folderOf(path)) || listed.has(path);
  const unlisted = model.shards.filter((shard) => !isKept(shard)).map(({ path }) => path);
  return { ...model, shards: model.shards.filter(isKept), indexes, skipped: [...model.skipped, ...unlisted] };
}

const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1);

async function listedIn(
  entry: ModelFileEntry,
  inspector: Inspector,
  options: TransferOptions,
): Promise<readonly string[]> {
  const source = await entry.open(options);
  try {
    return await inspector.indexedFiles(rangedFileOf(entry.path, source, options), options.signal);
  } finally {
    source.close();
  }
}
