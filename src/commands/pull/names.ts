import { createHash } from 'node:crypto';
import type { SourceReference } from '../../sources/reference.js';
import { prefixFrom } from '../client/numbers.js';
import { modelNameOf } from '../push/options.js';

/** The prefix of shard ids for a source: the name of its file, else of its repository, with the quantization. */
export function prefixOf(source: SourceReference): string {
  switch (source.type) {
    case 'file':
      return prefixOfPath(source.path);
    case 'http':
      return prefixOfPath(new URL(source.url).pathname);
    case 's3':
      return prefixOfPath(source.key);
    case 'hf':
    case 'hf_cache':
      return prefixOfFiles(source.repo, source.files, source.quantization);
    case 'oci':
      return prefixOfFiles(source.repository, source.files);
  }
}

function prefixOfFiles(repository: string, files: readonly string[] | undefined, quantization = ''): string {
  const [file] = files ?? [];
  if (file === undefined) return prefixFrom(`${lastOf(repository)} ${quantization}`);
  // A pattern, such as `*-instruct.gguf`, names only a part.
  return file.includes('*') ? prefixFrom(`${lastOf(repository)} ${modelNameOf(lastOf(file))}`) : prefixOfPath(file);
}

const prefixOfPath = (path: string): string => prefixFrom(modelNameOf(lastOf(path)));

const lastOf = (path: string): string => path.split('/').findLast((part) => part !== '') ?? '';

/**
 * The id of a pull, from its body: the same command is the same pull, so that it joins one that still runs. A pull that
 * has ended is not repeated, so a later attempt has a number.
 */
export function pullIdOf(body: object, attempt: number): string {
  const digest = createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 16);
  return attempt === 1 ? `pull-${digest}` : `pull-${digest}-${attempt}`;
}
