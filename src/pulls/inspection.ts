import type { TransferOptions } from '../sources/egress/request.js';
import type { Inspector } from '../sources/formats/inspector.js';
import { inspectModel, rangedFileOf } from '../sources/inspect_model.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../sources/model.js';
import type { FormatCheck } from './pull_request.js';
import { type SelectedFiles, selectListed } from './shard_files.js';

/** Where models come from, and how their files are checked. */
export interface PullSources {
  readonly resolver: ModelResolver;
  readonly inspector: Inspector;
}

/** The shards of a model: with an index, the safetensors files that it lists. Reads indexes, and nothing else. */
export async function selectShards(
  model: ResolvedModel,
  { inspector }: PullSources,
  options: TransferOptions,
): Promise<SelectedFiles> {
  if (model.indexes.length === 0) return selectListed(model, undefined);
  const listed = new Set<string>();
  for (const index of model.indexes) {
    const folder = index.path.slice(0, index.path.lastIndexOf('/') + 1);
    const source = await index.open(options);
    try {
      const names = await inspector.indexedFiles(rangedFileOf(index.path, source, options), options.signal);
      for (const name of names) listed.add(folder + name);
    } finally {
      source.close();
    }
  }
  return selectListed(model, listed);
}

/** Checks the formats of files by their headers. @throws WorkerError FORMAT_INVALID, and the errors of reads */
export async function checkFormats(
  check: FormatCheck,
  { shards, indexes }: { readonly shards: readonly ModelFileEntry[]; readonly indexes: readonly ModelFileEntry[] },
  { inspector }: PullSources,
  options: TransferOptions,
): Promise<void> {
  if (check === 'off') return;
  const whole = check === 'strict';
  await inspectModel(inspector, { shards, indexes: whole ? indexes : [] }, { ...options, whole });
}
