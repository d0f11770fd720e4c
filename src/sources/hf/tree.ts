import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Digest } from '../../seal/digest.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { TransferOptions } from '../egress/request.js';
import { isFilePath } from '../file_path.js';
import { kindOfFile } from '../file_pattern.js';
import type { Hub } from './hub.js';
import type { ResolvedRevision } from './revision.js';

/** A page of the hub has 1000 entries. */
const maxPageBytes = 2 * 1024 * 1024;
const maxPages = 100;
const maxEntries = 20_000;

const size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Entry = Type.Object({
  type: Type.String(),
  path: Type.String(),
  size: Type.Optional(size),
  oid: Type.Optional(Type.String()),
  lfs: Type.Optional(Type.Object({ oid: Type.String({ pattern: '^[0-9a-f]{64}$' }), size })),
});
type Entry = Static<typeof Entry>;
const isPage = Compile(Type.Array(Entry));

/** A file of a commit, as the hub lists it. */
export interface TreeFile {
  readonly path: string;
  readonly bytes: number;
  /** The SHA-256 of the content; undefined for a file that Git stores itself. */
  readonly digest: Digest | undefined;
  /** The id of the Git object: of the content, or of the pointer to it. */
  readonly gitOid: string;
}

/**
 * The files of a commit, over all pages. Names that other systems read differently are left out.
 * @throws WorkerError SOURCE_INVALID for a list that contradicts itself, and other SOURCE_ codes
 */
export async function listTree(
  hub: Hub,
  revision: ResolvedRevision,
  options: TransferOptions,
): Promise<ReadonlyMap<string, TreeFile>> {
  const files = new Map<string, TreeFile>();
  for await (const page of pagesOf(hub, revision, options)) {
    for (const entry of page) addEntry(files, entry);
    if (files.size > maxEntries) {
      throw new SourceFault('SOURCE_UNSUPPORTED', `The repository has more than ${maxEntries} files`);
    }
  }
  requireListed(files, revision.listed);
  return files;
}

async function* pagesOf(hub: Hub, { repo, commit }: ResolvedRevision, options: TransferOptions) {
  let url: URL | undefined = hub.urls.tree(repo, commit);
  for (let pages = 0; url !== undefined; pages += 1) {
    if (pages === maxPages) throw invalid(`The hub lists a repository in more than ${maxPages} pages`);
    const page = await hub.egress.json(hub.request(url, { repo, revision: commit }), maxPageBytes, options);
    if (!isPage.Check(page.value)) throw invalid('The hub sent an invalid list of files');
    yield page.value;
    const next = hub.egress.nextPage(page, (link) => hub.follow(link, repo));
    if (next !== undefined && next.pathname !== page.url.pathname) {
      throw invalid('The next page of a list of files belongs to another list');
    }
    url = next;
  }
}

/** Git cannot store a name with an empty part, `.` or `..`. @throws SOURCE_INVALID */
function addEntry(files: Map<string, TreeFile>, { type, path, size, oid, lfs }: Entry): void {
  if (path.split('/').some((part) => part === '' || part === '.' || part === '..')) {
    throw invalid('The hub lists a file with an invalid path');
  }
  if (type !== 'file' || !isFilePath(path)) return;
  if (files.has(path)) throw invalid('The hub lists a file twice');
  if (size === undefined || oid === undefined || !/^[0-9a-f]{40}$/.test(oid)) {
    throw invalid('The hub lists a file without its size or object id');
  }
  if (lfs !== undefined && lfs.size !== size) throw invalid('The hub lists two sizes of a file');
  files.set(path, { path, bytes: size, digest: lfs && `sha256:${lfs.oid}`, gitOid: oid });
}

/** Weights in the description of the commit must be in its list: a cut list would lose shards. @throws SOURCE_INVALID */
function requireListed(files: ReadonlyMap<string, TreeFile>, listed: readonly string[]): void {
  const isLost = (path: string) => isFilePath(path) && kindOfFile(path) !== 'other' && !files.has(path);
  if (listed.some(isLost)) throw invalid('The list of files lacks weights that the description of the commit names');
}
