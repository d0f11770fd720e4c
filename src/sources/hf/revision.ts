import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { changed, invalid } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import type { Hub } from './hub.js';
import { isCommit } from './repo_name.js';

/** The description of a model repeats its card and configuration. */
const maxBytes = 4 * 1024 * 1024;

const isRevision = Compile(
  Type.Object({
    sha: Type.String({ pattern: '^[0-9a-f]{40}$' }),
    siblings: Type.Optional(Type.Array(Type.Object({ rfilename: Type.String() }))),
  }),
);

/** A revision, resolved to a commit. */
export interface ResolvedRevision {
  /** The current name of the repository, which differs from the requested one if it was renamed. */
  readonly repo: string;
  readonly commit: string;
  /** Files of the commit, as its description lists them. The list can be cut off. */
  readonly listed: readonly string[];
}

/**
 * Resolves a branch, tag or commit once. Every later request names the commit.
 * @throws WorkerError with a SOURCE_ code
 */
export async function resolveRevision(
  hub: Hub,
  { repo, revision }: { readonly repo: string; readonly revision: string },
  options: TransferOptions,
): Promise<ResolvedRevision> {
  const request = hub.request(hub.urls.revision(repo, revision), { repo, revision });
  const { value, url } = await hub.egress.json(request, maxBytes, options);
  if (!isRevision.Check(value)) throw invalid('The hub sent an invalid description of a revision');
  const { sha: commit, siblings = [] } = value;
  // A branch can have a name of 40 hex digits.
  if (isCommit(revision) && commit !== revision)
    throw changed(`The hub resolved the commit ${revision} to another one`);
  return { repo: hub.urls.repoOf(url) ?? repo, commit, listed: siblings.map(({ rfilename }) => rfilename) };
}
