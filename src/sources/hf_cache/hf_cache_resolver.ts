import { WorkerError } from '../../errors.js';
import type { TransferOptions } from '../egress/request.js';
import { isFilePath } from '../file_path.js';
import { selectFiles } from '../file_selection.js';
import { readChecked } from '../hf/checked_content.js';
import { checkRepo, checkRevision, isCommit } from '../hf/repo_name.js';
import { splitByStorage } from '../hf/stored_files.js';
import type { LocalFiles } from '../local_files.js';
import type { ModelFileEntry, ModelResolver, ResolvedModel } from '../model.js';
import { patternsOf } from '../quantization.js';
import type { HfCacheReference } from '../reference.js';
import { textOf } from '../reference_text.js';
import { CacheLayout, commitOfRef, maxRefBytes } from './cache_layout.js';
import { absentAs, type CachedBlob, CachedFile } from './cached_file.js';

const maxFiles = 20_000;

/** A snapshot of a repository in the cache. */
interface Snapshot {
  readonly repo: string;
  readonly commit: string;
  readonly layout: CacheLayout;
}

interface SizedBlob extends CachedBlob {
  readonly bytes: number;
  readonly etag: string | undefined;
}

/** Finds the files of a model in the Hugging Face cache of this host. It opens no connection. */
export class HfCacheResolver implements ModelResolver<HfCacheReference> {
  readonly #files: LocalFiles;

  constructor(files: LocalFiles) {
    this.#files = files;
  }

  async resolve(reference: HfCacheReference, { signal }: TransferOptions): Promise<ResolvedModel> {
    const { repo, revision } = reference;
    const snapshot = await this.#snapshot(checkRepo(repo), checkRevision(revision ?? 'main'), signal);
    const paths = await this.#list(snapshot, signal);
    const selection = selectFiles(paths, patternsOf(reference, paths));
    const blobs = new Map<string, SizedBlob>();
    for (const path of [...selection.shards, ...selection.indexes]) {
      blobs.set(path, await this.#blob(snapshot, path, signal));
    }
    const { shards, indexes, skipped } = splitByStorage(selection, blobs);
    return {
      modelRef: textOf({ type: 'hf_cache', repo, revision: snapshot.commit }),
      isImmutable: true,
      shards: shards.map((blob) => this.#entry(snapshot, blob)),
      indexes: indexes.map((blob) => this.#index(snapshot, blob)),
      skipped,
    };
  }

  /** @throws WorkerError SOURCE_NOT_FOUND, SOURCE_INVALID */
  async #snapshot(repo: string, revision: string, signal: AbortSignal): Promise<Snapshot> {
    const layout = new CacheLayout(repo);
    if (isCommit(revision)) return { repo, commit: revision, layout };
    try {
      const commit = commitOfRef(await this.#files.readText('hf_cache', layout.ref(revision), maxRefBytes, signal));
      if (commit !== undefined) return { repo, commit, layout };
    } catch (error) {
      throw absentAs(error, `The cache has no revision ${revision} of ${repo}`);
    }
    throw new WorkerError('SOURCE_INVALID', `The cache holds no commit for the revision ${revision} of ${repo}`);
  }

  async #list({ repo, commit, layout }: Snapshot, signal: AbortSignal): Promise<readonly string[]> {
    try {
      const paths = await this.#files.list('hf_cache', layout.snapshot(commit), maxFiles, signal);
      return paths.filter(isFilePath);
    } catch (error) {
      throw absentAs(error, `The cache has no commit ${commit} of ${repo}`);
    }
  }

  /** @throws WorkerError SOURCE_INVALID if a file is not a link to a blob of its repository */
  async #blob({ commit, layout }: Snapshot, path: string, signal: AbortSignal): Promise<SizedBlob> {
    const name = layout.blobOfLink(path, await this.#linkOf(`${layout.snapshot(commit)}/${path}`, signal));
    if (name === undefined) {
      throw new WorkerError(
        'SOURCE_INVALID',
        `The file ${path} of the cache is not a link to a blob of its repository`,
      );
    }
    const digest = name.length === 64 ? (`sha256:${name}` as const) : undefined;
    const blob = { path, blobPath: layout.blob(name), digest, gitOid: name };
    const file = await CachedFile.open(this.#files, blob, signal);
    file.close();
    return { ...blob, bytes: file.totalBytes, etag: file.etag };
  }

  async #linkOf(path: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return await this.#files.readLink('hf_cache', path, signal);
    } catch (error) {
      throw absentAs(error, 'The cache has changed while the worker read it');
    }
  }

  #entry({ repo, commit }: Snapshot, blob: SizedBlob): ModelFileEntry {
    const { path, bytes, digest, etag } = blob;
    return {
      path,
      bytes,
      claim: digest && { digest, from: 'cache' },
      pinned: { type: 'hf_cache', repo, revision: commit, files: [path] },
      open: async ({ signal }) => {
        const file = await CachedFile.open(this.#files, blob, signal);
        if (file.etag === etag) return file;
        file.close();
        throw new WorkerError('SOURCE_CHANGED', `The content of ${path} in the cache has changed`);
      },
    };
  }

  /** The worker interprets an index, so opening one reads it and checks its bytes. */
  #index(snapshot: Snapshot, blob: SizedBlob): ModelFileEntry {
    const entry = this.#entry(snapshot, blob);
    return {
      ...entry,
      open: async (options) => {
        const file = await entry.open(options);
        try {
          return await readChecked(file, blob, options);
        } finally {
          file.close();
        }
      },
    };
  }
}
