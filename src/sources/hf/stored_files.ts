import { SourceFault } from '../egress/fault.js';
import { kindOfFile } from '../file_pattern.js';
import type { FileSelection } from '../file_selection.js';

/** What a repository states of a file. */
interface StoredFile {
  readonly path: string;
  readonly bytes: number;
  /** The SHA-256 of the content; undefined for a file that Git stores itself. */
  readonly digest: unknown;
}

const partOfSet = /-[0-9]{5}-of-[0-9]{5}\./;

/**
 * The files of a selection. A file without SHA-256 cannot become a shard: it is skipped, unless the client named it or
 * the model would be incomplete without it.
 * @throws SourceFault SOURCE_UNSUPPORTED, which names the file
 */
export function splitByStorage<F extends StoredFile>(selection: FileSelection, files: ReadonlyMap<string, F>) {
  const find = (path: string): F[] => {
    const file = files.get(path);
    return file === undefined ? [] : [file];
  };
  const chosen = selection.shards.flatMap(find);
  const shards = chosen.filter(({ digest }) => digest !== undefined);
  const plain = chosen.filter(({ digest }) => digest === undefined);
  const needed = plain.find(
    ({ path }) => selection.named.has(path) || shards.length === 0 || (isWeights(path) && partOfSet.test(path)),
  );
  if (needed !== undefined) {
    throw new SourceFault(
      'SOURCE_UNSUPPORTED',
      `The repository states no SHA-256 of ${needed.path}: it is stored in Git`,
    );
  }
  const empty = shards.find(({ bytes }) => bytes === 0);
  if (empty !== undefined) throw new SourceFault('SOURCE_UNSUPPORTED', `The file ${empty.path} is empty`);
  return {
    shards,
    indexes: selection.indexes.flatMap(find),
    skipped: [...selection.skipped, ...plain.map(({ path }) => path)].sort(),
  };
}

const isWeights = (path: string): boolean => kindOfFile(path) === 'shard';
