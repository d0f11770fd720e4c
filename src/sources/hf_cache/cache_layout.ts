import { isCommit } from '../hf/repo_name.js';

/** A revision file holds 40 hex digits. Some tools end it with a line feed. */
export const maxRefBytes = 64;

/**
 * The paths of one repository in a Hugging Face cache, relative to the cache: `models--org--name` with `refs`,
 * `snapshots` and `blobs`. The name of a repository has no `--`, so folders are unique.
 */
export class CacheLayout {
  readonly #folder: string;

  constructor(repo: string) {
    this.#folder = `models--${repo.replace('/', '--')}`;
  }

  ref(revision: string): string {
    return `${this.#folder}/refs/${revision}`;
  }

  snapshot(commit: string): string {
    return `${this.#folder}/snapshots/${commit}`;
  }

  blob(name: string): string {
    return `${this.#folder}/blobs/${name}`;
  }

  /**
   * The blob that a file of a snapshot is. Undefined unless the link leads to `blobs` of the same repository, in the form
   * that huggingface_hub writes, and the name is a SHA-256 or a Git object id.
   */
  blobOfLink(path: string, target: string | undefined): string | undefined {
    const up = '../'.repeat(path.split('/').length + 1);
    const name = target?.startsWith(`${up}blobs/`) === true ? target.slice(up.length + 'blobs/'.length) : '';
    return /^(?:[0-9a-f]{64}|[0-9a-f]{40})$/.test(name) ? name : undefined;
  }
}

/** The commit in a revision file; undefined for other content. */
export function commitOfRef(content: string): string | undefined {
  const commit = content.replace(/\r?\n$/, '');
  return isCommit(commit) ? commit : undefined;
}
