import type { TransferOptions } from './egress/request.js';
import type { Inspector } from './formats/inspector.js';
import { rangedFileOf } from './inspect_model.js';
import type { ModelFileEntry, ResolvedModel } from './model.js';

const indexSuffix = '.safetensors.index.json';

/** Files beside an index that are looked up at once. */
const concurrency = 4;

export const isIndexPath = (path: string): boolean => path.endsWith(indexSuffix);

/** A file, or an index and the files that it lists, which `beside` finds by their plain names. */
export async function filesOf(
  entry: ModelFileEntry,
  inspector: Inspector,
  beside: (name: string) => Promise<ModelFileEntry>,
  options: TransferOptions,
): Promise<Pick<ResolvedModel, 'shards' | 'indexes' | 'skipped'>> {
  if (!isIndexPath(entry.path)) return { shards: [entry], indexes: [], skipped: [] };
  const source = await entry.open(options);
  try {
    const index = rangedFileOf(entry.path, source, options);
    const names = await inspector.indexedFiles(index, options.signal);
    const shards: ModelFileEntry[] = [];
    for (let start = 0; start < names.length; start += concurrency) {
      shards.push(...(await Promise.all(names.slice(start, start + concurrency).map(beside))));
    }
    return { shards, indexes: [entry], skipped: [] };
  } finally {
    source.close();
  }
}
