import { WorkerError } from '../../errors.js';

/**
 * Checks the name of a repository: `org/name`, or `name` for some old ones. The rules are those of the hub, and those
 * that keep the names of cache folders unique: no `..`, no `--`, no `.git` at the end.
 * @throws WorkerError INVALID_PARAMS
 */
export function checkRepo(repo: string): string {
  if (isRepo(repo)) return repo;
  throw new WorkerError('INVALID_PARAMS', 'repo is not the name of a repository: use org/name');
}

/** Whether the Hub accepts it as the name of a repository, with or without an organization. */
export function isRepo(repo: string): boolean {
  if (!/^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,95}\/)?[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/.test(repo)) return false;
  return repo.split('/').every((part) => !/\.\.|--|[.-]$|\.git$/.test(part));
}

/** Whether a revision is the full id of a commit. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/**
 * Checks a branch, tag or commit by the rules of Git for names of refs. Such a name cannot leave its folder in a URL or
 * in the cache.
 * @throws WorkerError INVALID_PARAMS
 */
export function checkRevision(revision: string): string {
  const isSafe = revision.length <= 255 && !/\.\.|@\{|[\p{Cc}\p{Cs} ~^:?*[\\\u007f]/u.test(revision);
  const hasParts = revision.split('/').every((part) => part !== '' && !/^\.|\.$|\.lock$/.test(part));
  if (isSafe && hasParts && !revision.startsWith('-')) return revision;
  throw new WorkerError('INVALID_PARAMS', 'revision is not the name of a branch, tag or commit');
}
