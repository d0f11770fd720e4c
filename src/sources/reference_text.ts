import { WorkerError } from '../errors.js';
import type { SourceReference } from './reference.js';

/** More than the longest URL of a reference. */
const maxLength = 8192;

const forms = 'file:, hf://, hf-cache://, oci://, s3://, https:// or http://';

type Hub = Extract<SourceReference, { type: 'hf' | 'hf_cache' }>;
type Oci = Extract<SourceReference, { type: 'oci' }>;
type Parser = (rest: string, text: string) => SourceReference;

/**
 * Parses the text form of a reference: `file:path`, `https://…`, `hf://org/name@rev/file`, `hf://org/name:Q4_K_M`,
 * `hf-cache://org/name@rev/file`, `oci://host/repo:tag#file`, `oci://host/repo@sha256:…`, `s3://bucket/key?versionId=…`.
 * A slash in a revision is `%2F`. Inverse of `textOf` for references without `name`, with at most one file.
 * @throws WorkerError INVALID_PARAMS that says what is wrong
 */
export function parseReference(text: string): SourceReference {
  if (text.length > maxLength) throw invalid(`A source has at most ${maxLength} characters`);
  if (/[\p{Cc}\p{Cs}]/u.test(text)) throw invalid('A source must not contain control characters');
  const [, scheme, rest = ''] = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(text) ?? [];
  if (scheme === undefined) throw invalid(withoutScheme(text));
  const parser = parsers.get(scheme.toLowerCase());
  if (parser === undefined) throw invalid(`Unknown type of source ${scheme}: use ${forms}`);
  return parser(rest, text);
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
      // An empty version marks the end of a key that itself looks as if it had one.
      const hasVersion = reference.version_id !== undefined || reference.key.includes(versionMark);
      const version = hasVersion ? `${versionMark}${reference.version_id ?? ''}` : '';
      return `s3://${reference.bucket}/${reference.key}${version}`;
    }
  }
}

const parsers = new Map<string, Parser>([
  ['file', file],
  ['http', http],
  ['https', http],
  ['hf', (rest) => hub('hf', rest)],
  ['hf-cache', (rest) => hub('hf_cache', rest)],
  ['oci', oci],
  ['s3', s3],
]);

const invalid = (message: string): WorkerError => new WorkerError('INVALID_PARAMS', message);

function withoutScheme(text: string): string {
  if (text === '') return `The source is empty: use ${forms}`;
  const suggestion = /^[\w.-]+\/[\w.-]+(?:[@:/].*)?$/.test(text) ? `hf://${text} or file:${text}` : forms;
  return `The source has no type: use ${suggestion}`;
}

function file(path: string): SourceReference {
  if (path === '') throw invalid('file: needs a path, such as file:model.gguf');
  if (path.startsWith('/'))
    throw invalid("file: needs a path relative to the worker's model directory, without a leading slash");
  return { type: 'file', path };
}

function http(_: string, url: string): SourceReference {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^https?:\/\//i.test(url)) throw invalid('The URL of the source is invalid');
  // The message has no URL, because this one contains a secret.
  if (parsed.username !== '' || parsed.password !== '')
    throw invalid("The URL of a source must not contain a user or a password: put them into the worker's sources file");
  if (url.includes('#')) throw invalid('The URL of a source must not contain a fragment (#)');
  return { type: 'http', url };
}

const repositoryName = /^[A-Za-z0-9._-]+$/;

function hub(type: Hub['type'], rest: string): Hub {
  const scheme = type === 'hf' ? 'hf' : 'hf-cache';
  const example = `${scheme}://org/name, ${scheme}://org/name@revision/model.gguf or ${scheme}://org/name:Q4_K_M`;
  if (!rest.startsWith('//')) throw invalid(`${scheme}: needs two slashes: use ${example}`);
  const form = /^\/\/([^/@:]*)(?:\/([^/@:]*))?(?:@([^/:]*))?(?:(\/.*)|:(.*))?$/s.exec(rest);
  const [, first = '', second, revision, path, quantization] = form ?? [];
  const names = second === undefined ? [first] : [first, second];
  if (form === null || !names.every((name) => repositoryName.test(name)))
    throw invalid(`The repository is invalid: use ${example}`);
  if (revision === '') throw invalid('The revision after @ is empty');
  if (path === '/') throw invalid('The source ends in a slash: name a file, or remove the slash for the whole model');
  if (quantization !== undefined && !/^[A-Za-z0-9._-]{1,64}$/.test(quantization))
    throw invalid('The quantization after : is invalid: use a word of a file name, such as Q4_K_M');
  return {
    type,
    repo: names.join('/'),
    ...(revision === undefined ? {} : { revision: decoded(revision) }),
    ...(path === undefined ? {} : { files: [path.slice(1)] }),
    ...(quantization === undefined ? {} : { quantization }),
  };
}

function decoded(revision: string): string {
  try {
    return decodeURIComponent(revision);
  } catch {
    throw invalid(`The revision ${revision} is invalid: write a slash as %2F and a percent sign as %25`);
  }
}

function hubText(scheme: string, { repo, revision, files, quantization }: Hub): string {
  const at = revision === undefined ? '' : `@${encodeURIComponent(revision)}`;
  const [file] = files ?? [];
  const chosen = quantization === undefined ? '' : `:${quantization}`;
  return `${scheme}://${repo}${at}${file === undefined ? chosen : `/${file}`}`;
}

const digestPattern = /^sha256:[0-9a-f]{64}$/;

function oci(rest: string): Oci {
  const example = 'oci://host/repository:tag or oci://host/repository@sha256:…';
  if (!rest.startsWith('//')) throw invalid(`oci: needs two slashes: use ${example}`);
  const form = /^\/\/([^/]*)\/([^@:#]*)(?::([^@#]*))?(?:@([^#]*))?(?:#(.*))?$/s.exec(rest);
  if (form === null) throw invalid(`The source has no repository: use ${example}`);
  const [, registry = '', repository = '', tag, digest, file] = form;
  if (!/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{1,5})?$/.test(registry))
    throw invalid(`The registry ${registry} is invalid: use a host, or host:port`);
  if (!repository.split('/').every((name) => repositoryName.test(name)))
    throw invalid(`The repository is invalid: use ${example}`);
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) throw invalid('The tag after : is invalid');
  if (digest !== undefined && !digestPattern.test(digest))
    throw invalid('The digest after @ is invalid: use sha256: and 64 lower-case hex digits');
  if (file === '') throw invalid('The name of the file after # is empty');
  const reference = digest ?? tag;
  return {
    type: 'oci',
    ...(registry === '' ? {} : { registry }),
    repository,
    ...(reference === undefined ? {} : { reference }),
    ...(file === undefined ? {} : { files: [file] }),
  };
}

function ociText({ registry = '', repository, reference, files }: Oci): string {
  const separator = reference?.startsWith('sha256:') === true ? '@' : ':';
  const [file] = files ?? [];
  const at = reference === undefined ? '' : `${separator}${reference}`;
  return `oci://${registry}/${repository}${at}${file === undefined ? '' : `#${file}`}`;
}

const versionMark = '?versionId=';

function s3(rest: string): SourceReference {
  const example = 's3://bucket/key, or s3://bucket/prefix/ for all objects below a prefix';
  const [, bucket = '', object = ''] = /^\/\/([^/]*)\/?(.*)$/s.exec(rest) ?? [];
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$/.test(bucket)) throw invalid(`The bucket is invalid: use ${example}`);
  const mark = object.lastIndexOf(versionMark);
  const key = mark === -1 ? object : object.slice(0, mark);
  const version = mark === -1 ? '' : object.slice(mark + versionMark.length);
  if (key === '') throw invalid(`The source has no key: use ${example}`);
  return { type: 's3', bucket, key, ...(version === '' ? {} : { version_id: version }) };
}
