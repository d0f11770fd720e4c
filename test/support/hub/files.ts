import type { HubFaults } from './faults.js';
import { partial, type Reply, redirect } from './reply.js';
import { gitId, type HubCommit, type HubFile, type HubRepository, sha256, xetHashOf } from './repository.js';

/** A request for a file of a commit. */
export interface FileRequest {
  readonly repository: HubRepository;
  readonly commit: HubCommit;
  readonly file: HubFile;
  readonly faults: HubFaults;
  readonly range: string | undefined;
}

/**
 * `GET /{repo}/resolve/{rev}/{path}`. `X-Repo-Commit`, `X-Linked-Etag`, `X-Linked-Size`, `X-Xet-Hash` and `Location` as
 * in huggingface_hub constants.py and file_download.py (`get_hf_file_metadata`). A file in Git is a relative 307 to
 * `/api/resolve-cache/models/{namespace}/{repo}/{rev}/{path}` of the hub's OpenAPI document.
 */
export function resolveFile(request: FileRequest, signed: (file: HubFile) => string): Reply {
  const { repository, commit, file, faults } = request;
  if (file.storage === 'git') {
    const path = `/api/resolve-cache/models/${repository.name}/${commit.sha}/${file.path}`;
    const original = encodeURIComponent(`/${repository.name}/resolve/${commit.sha}/${file.path}`);
    const location = `${path}?${original}=&etag=${encodeURIComponent(`"${gitId(file.content)}"`)}`;
    return redirect(307, `${faults.linkOrigin ?? ''}${location}`, headersOf(commit, file, faults));
  }
  if (faults.isDirect === true) return cachedFile(request);
  return redirect(302, signed(file), headersOf(commit, file, faults));
}

/** The end of the redirect of a file in Git: the file itself, from the hub's own host. */
export const cachedFile = ({ commit, file, faults, range }: FileRequest): Reply =>
  partial(faults.content?.(file.content) ?? file.content, range, {
    ...headersOf(commit, file, faults),
    'Content-Type': 'text/plain; charset=utf-8',
  });

/**
 * A signed URL at the CDN. Its `ETag` is the Xet hash (huggingface.js packages/hub/src/lib/file-download-info.ts prefers
 * `X-Linked-ETag` for this reason). A GET of a very large file without `Range` gets 400: here above 100,000 bytes.
 */
export function cdnFile(file: HubFile, range: string | undefined, faults: HubFaults): Reply {
  if (range === undefined && file.content.length > 100_000)
    return { status: 400, headers: { 'Content-Type': 'application/xml' }, body: '<Error/>' };
  const content = faults.content?.(file.content) ?? file.content;
  const reply = partial(content, range, {
    ETag: `"${xetHashOf(file)}"`,
    'Content-Type': 'application/octet-stream',
    ...faults.cdnHeaders,
  });
  return { ...reply, cutBytes: faults.cutBytes };
}

/** As CloudFront and S3 answer after the end of a signature. */
export const expired: Reply = {
  status: 403,
  headers: { 'Content-Type': 'application/xml' },
  body: '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
};

function headersOf({ sha }: HubCommit, file: HubFile, { answer }: HubFaults): Reply['headers'] {
  const isLfs = file.storage === 'lfs';
  return {
    'X-Repo-Commit': sha,
    'Accept-Ranges': 'bytes',
    'X-Linked-Size': isLfs ? String(file.content.length) : undefined,
    'X-Linked-ETag': isLfs ? `"${sha256(file.content)}"` : undefined,
    'X-Xet-Hash': isLfs ? xetHashOf(file) : undefined,
    ETag: isLfs ? undefined : `"${gitId(file.content)}"`,
    ...answer,
  };
}
