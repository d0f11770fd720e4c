import { WorkerError } from '../errors.js';
import type { SourceReference } from './reference.js';

/**
 * Parses the text form of a reference: `file:path`, `https://…`, `hf://org/name@rev/file`, `hf://org/name:Q4_K_M`,
 * `hf-cache://org/name@rev/file`, `oci://host/repo:tag`, `oci://host/repo@sha256:…`, `s3://bucket/key`. Inverse of `textOf`
 * for references without `name`.
 * @throws WorkerError INVALID_PARAMS
 */
export function parseReference(text: string): SourceReference {
  const [, scheme = '', rest = ''] = /^([a-z0-9-]+):(.*)$/s.exec(text) ?? [];
  const parsed = rest === '' ? undefined : parsers.get(scheme)?.(rest, text);
  if (parsed !== undefined) return parsed;
  throw new WorkerError('INVALID_PARAMS', `Not a source: ${text}`);
}

/** The text form of a reference. The name of a configured source and other files than the first are not in it. */
export function textOf(reference: SourceReference): string {
  switch (reference.type) {
    case 'file':
      return `file:${reference.path}`;
    case 'http':
      return reference.url;
    case 'hf':
      return hubText('hf', reference);
    case 'hf_cache':
      return hubText('hf-cache', reference);
    case 'oci':
      return ociText(reference);
    case 's3': {
      const version = reference.version_id === undefined ? '' : `?versionId=${reference.version_id}`;
      return `s3://${reference.bucket}/${reference.key}${version}`;
    }
  }
}

type Parser = (rest: string, text: string) => SourceReference | undefined;

const parsers = new Map<string, Parser>([
  ['file', (path) => ({ type: 'file', path })],
  ['http', (_, url) => ({ type: 'http', url })],
  ['https', (_, url) => ({ type: 'http', url })],
  ['hf', (rest) => hub('hf', rest)],
  ['hf-cache', (rest) => hub('hf_cache', rest)],
  ['oci', oci],
  ['s3', s3],
]);

function hub(type: 'hf' | 'hf_cache', rest: string): SourceReference | undefined {
  const form = /^\/\/([\w.-]+\/[\w.-]+)(?:@([^/:]+))?(?:\/(.+)|:([\w.-]+))?$/s.exec(rest);
  if (form === null) return undefined;
  const [, repo = '', revision, path, quantization] = form;
  const file = path ?? (quantization === undefined ? undefined : `*${quantization}*.gguf`);
  return {
    type,
    repo,
    ...(revision === undefined ? {} : { revision: decodeURIComponent(revision) }),
    ...(file === undefined ? {} : { files: [file] }),
  };
}

function hubText(
  scheme: string,
  { repo, revision, files }: { repo: string; revision?: string; files?: readonly string[] },
): string {
  const at = revision === undefined ? '' : `@${encodeURIComponent(revision)}`;
  const [file] = files ?? [];
  return `${scheme}://${repo}${at}${file === undefined ? '' : `/${file}`}`;
}

function oci(rest: string): SourceReference | undefined {
  const form = /^\/\/([^/]+)\/([\w./-]+?)(?:@(sha256:[0-9a-f]{64})|:([\w.-]+))?(?:#(.+))?$/s.exec(rest);
  if (form === null) return undefined;
  const [, registry = '', repository = '', digest, tag, file] = form;
  const reference = digest ?? tag;
  return {
    type: 'oci',
    registry,
    repository,
    ...(reference === undefined ? {} : { reference }),
    ...(file === undefined ? {} : { files: [file] }),
  };
}

function ociText({
  registry = '',
  repository,
  reference,
  files,
}: {
  registry?: string;
  repository: string;
  reference?: string;
  files?: readonly string[];
}): string {
  const separator = reference?.startsWith('sha256:') === true ? '@' : ':';
  const [file] = files ?? [];
  const at = reference === undefined ? '' : `${separator}${reference}`;
  return `oci://${registry}/${repository}${at}${file === undefined ? '' : `#${file}`}`;
}

function s3(rest: string): SourceReference | undefined {
  const form = /^\/\/([^/]+)\/(.+?)(?:\?versionId=([^?]+))?$/s.exec(rest);
  if (form === null) return undefined;
  const [, bucket = '', key = '', version] = form;
  return { type: 's3', bucket, key, ...(version === undefined ? {} : { version_id: version }) };
}
