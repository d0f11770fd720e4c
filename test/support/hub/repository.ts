import { createHash } from 'node:crypto';

/**
 * A file of a fixture repository. The real hub keeps files of the patterns in `.gitattributes`, and all above 10 MB, in
 * LFS or Xet, and others in Git (huggingface.co/docs/hub/repositories-getting-started).
 */
export interface HubFile {
  readonly path: string;
  readonly content: Buffer;
  readonly storage: 'lfs' | 'git';
}

/** A commit: its id and its files. */
export interface HubCommit {
  readonly sha: string;
  readonly files: readonly HubFile[];
}

/** A model repository: branches and tags that name commits. */
export class HubRepository {
  readonly name: string;
  readonly #refs = new Map<string, HubCommit>();
  readonly #commits = new Map<string, HubCommit>();

  constructor(name: string) {
    this.name = name;
  }

  /** Makes a commit, and moves a branch to it. */
  commit(files: readonly HubFile[], branch = 'main'): HubCommit {
    const content = files.map(({ path, content: bytes }) => `${path} ${gitId(bytes)}`).join('\n');
    const sha = sha1(`${this.name} ${branch} ${content}`);
    const commit = { sha, files };
    this.#refs.set(branch, commit);
    this.#commits.set(sha, commit);
    return commit;
  }

  find(revision: string): HubCommit | undefined {
    return this.#refs.get(revision) ?? this.#commits.get(revision);
  }
}

export const lfs = (path: string, content: string | Buffer): HubFile => ({
  path,
  content: Buffer.from(content),
  storage: 'lfs',
});

export const git = (path: string, content: string | Buffer): HubFile => ({
  path,
  content: Buffer.from(content),
  storage: 'git',
});

export const sha1 = (content: string | Uint8Array): string => createHash('sha1').update(content).digest('hex');
export const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** The id of a Git blob (gitformat: SHA-1 of `blob`, length, NUL and content). */
export const gitId = (content: Buffer): string =>
  sha1(Buffer.concat([Buffer.from(`blob ${content.length}\0`), content]));

/** The text that Git stores for a file of LFS (git-lfs docs/spec.md). */
export const pointerOf = ({ content }: HubFile): Buffer =>
  Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`);

/** Of the form of a Xet hash: 64 hex digits that are not the SHA-256 of the content. */
export const xetHashOf = ({ content }: HubFile): string => sha256(Buffer.concat([Buffer.from('xet'), content]));
