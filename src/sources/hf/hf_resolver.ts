import { AbortScope } from '../egress/abort_scope.js';
import { SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { selectFiles } from '../file_selection.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../model.js';
import { type ChosenFiles, patternsOf } from '../quantization.js';
import type { HfReference } from '../reference.js';
import { textOf } from '../reference_text.js';
import type { SourceRegistry } from '../registry.js';
import { readChecked } from './checked_content.js';
import { Hub } from './hub.js';
import { HubFile } from './hub_file.js';
import { checkRepo, checkRevision } from './repo_name.js';
import { type ResolvedRevision, resolveRevision } from './revision.js';
import { splitByStorage } from './stored_files.js';
import { listTree, type TreeFile } from './tree.js';

/** Finds the files of a model in a Hugging Face hub, or in a mirror of one. */
export class HfResolver implements ModelResolver<HfReference> {
  readonly #registry: SourceRegistry;

  constructor(registry: SourceRegistry) {
    this.#registry = registry;
  }

  async resolve(reference: HfReference, options: TransferOptions): Promise<ResolvedModel> {
    const hub = Hub.of(this.#registry.find('hf', reference.name));
    const repo = checkRepo(reference.repo);
    const revision = checkRevision(reference.revision ?? 'main');
    hub.requireAllowed(repo, revision);
    const scope = new AbortScope(options.signal);
    const { timeoutMs } = options;
    if (timeoutMs !== undefined) scope.abortAfter(hub.egress.environment.clock, timeoutMs, late);
    try {
      return await find(hub, { repo, revision, chosen: reference }, { ...options, signal: scope.signal });
    } finally {
      scope.dispose();
    }
  }
}

const late = () => new SourceFault('SOURCE_TIMEOUT', 'The hub did not describe the repository in time');

interface Wanted {
  readonly repo: string;
  readonly revision: string;
  readonly chosen: ChosenFiles;
}

async function find(hub: Hub, { chosen, ...wanted }: Wanted, options: TransferOptions): Promise<ResolvedModel> {
  const revision = await resolveRevision(hub, wanted, options);
  const tree = await listTree(hub, revision, options);
  const paths = [...tree.keys()];
  const { shards, indexes, skipped } = splitByStorage(selectFiles(paths, patternsOf(chosen, paths)), tree);
  const { repo, commit } = revision;
  return {
    modelRef: textOf({ type: 'hf', repo, revision: commit }),
    isImmutable: true,
    shards: shards.map((file) => entryOf(hub, revision, file)),
    indexes: indexes.map((file) => indexOf(entryOf(hub, revision, file), file)),
    skipped,
  };
}

function entryOf(hub: Hub, { repo, commit }: ResolvedRevision, file: TreeFile): ModelFileEntry {
  const source = new HubFile(hub, { ...file, repo, commit });
  return {
    path: file.path,
    bytes: file.bytes,
    claim: source.claim,
    pinned: { type: 'hf', name: hub.name, repo, revision: commit, files: [file.path] },
    open: async () => source,
  };
}

/** The worker interprets an index, so opening one reads it and checks its bytes. */
const indexOf = (entry: ModelFileEntry, { path, gitOid }: TreeFile): ModelFileEntry => ({
  ...entry,
  open: async (options) => readChecked(await entry.open(options), { path, gitOid }, options),
});
