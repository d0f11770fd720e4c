import type { HubFaults } from './faults.js';
import { json, type Reply } from './reply.js';
import {
  gitId,
  type HubCommit,
  type HubFile,
  type HubRepository,
  pointerOf,
  sha1,
  sha256,
  xetHashOf,
} from './repository.js';

/** What the API needs to know of a request. */
export interface ApiRequest {
  readonly url: URL;
  readonly repository: HubRepository;
  readonly commit: HubCommit;
  readonly faults: HubFaults;
  readonly pageSize: number;
}

/**
 * `GET /api/models/{repo}/revision/{rev}` (huggingface_hub hf_api.py, `model_info`). `sha` and `siblings` as in
 * huggingface.js packages/hub/src/types/api/api-model.ts.
 */
export const describe = ({ repository, commit }: ApiRequest): Reply =>
  json({
    _id: '621ffdc036468d709f17434d',
    id: repository.name,
    modelId: repository.name,
    sha: commit.sha,
    private: false,
    gated: false,
    disabled: false,
    downloads: 1,
    likes: 1,
    tags: ['gguf'],
    siblings: commit.files.map(({ path }) => ({ rfilename: path })),
  });

/**
 * `GET /api/models/{repo}/tree/{rev}` (huggingface_hub hf_api.py, `list_repo_tree`). Entries as in huggingface.js
 * packages/hub/src/types/api/api-index-tree.ts; `Link` as in its parseLinkHeader.ts, with an absolute URL.
 */
export function listTree({ url, commit, faults, pageSize }: ApiRequest): Reply {
  const start = Number(url.searchParams.get('cursor') ?? 0);
  const all = entriesOf(commit.files);
  const page = [...all.slice(start, start + pageSize), ...(start === 0 ? (faults.entries ?? []) : [])];
  const hasNext = start + pageSize < all.length && faults.hidesPages !== true;
  const next = new URL(`${faults.linkOrigin ?? url.origin}${url.pathname}${url.search}`);
  next.searchParams.set('cursor', String(start + pageSize));
  const link = faults.nextPage ?? (hasNext ? next.href : undefined);
  const reply = json(page, link === undefined ? {} : { Link: `<${link}>; rel="next"` });
  return faults.cutsPages === true ? { ...reply, body: String(reply.body).slice(0, -10) } : reply;
}

/** `POST /api/models/{repo}/paths-info/{rev}` (huggingface.js packages/hub/src/lib/paths-info.ts). */
export function pathsInfo({ commit }: ApiRequest, body: string): Reply {
  const { paths }: { readonly paths: readonly string[] } = JSON.parse(body);
  return json(commit.files.filter(({ path }) => paths.includes(path)).map(entryOf));
}

function entriesOf(files: readonly HubFile[]): readonly unknown[] {
  const folders = new Set(
    files.flatMap(({ path }) => (path.includes('/') ? [path.slice(0, path.lastIndexOf('/'))] : [])),
  );
  const directories = [...folders].map((path) => ({ type: 'directory', oid: sha1(path), size: 0, path }));
  return [...directories, ...files.map(entryOf)];
}

function entryOf(file: HubFile): unknown {
  const { path, content } = file;
  if (file.storage === 'git') return { type: 'file', oid: gitId(content), size: content.length, path };
  const pointer = pointerOf(file);
  return {
    type: 'file',
    oid: gitId(pointer),
    size: content.length,
    lfs: { oid: sha256(content), size: content.length, pointerSize: pointer.length },
    xetHash: xetHashOf(file),
    path,
  };
}
