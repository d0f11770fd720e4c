import { WorkerError } from '../errors.js';
import { type FileKind, kindOfFile, matchesPattern, naturalOrder } from './file_pattern.js';

/** More than any model has. */
const maxShards = 4096;

/** The steps of all comparisons of one selection, which runs between two turns of the event loop. */
const maxSteps = 100_000_000;

/** The files of a repository, divided by their use. */
export interface FileSelection {
  /** In the order of their shard indexes. */
  readonly shards: readonly string[];
  readonly indexes: readonly string[];
  readonly skipped: readonly string[];
  /** The files that the client named in full. */
  readonly named: ReadonlySet<string>;
}

/**
 * Divides the files of a repository: by the client's patterns, or else by the names of weights. A pattern that is the
 * path of a file means this file alone. A pattern without a slash that matches no file at the top matches the names of
 * files in folders. An index without shards selects the safetensors files next to it. `kindOf` replaces the names of
 * weights, for a source that knows more than names.
 * @throws WorkerError SOURCE_NOT_FOUND, which names the pattern; SOURCE_UNSUPPORTED, INVALID_PARAMS
 */
export function selectFiles(
  paths: readonly string[],
  patterns?: readonly string[],
  kindOf: (path: string) => FileKind = kindOfFile,
): FileSelection {
  const known = new Set(paths);
  const chosen =
    patterns === undefined
      ? new Set(paths.filter((path) => kindOf(path) !== 'other'))
      : new Set(matchesOfAll(patterns, paths, known));
  const indexes = [...chosen].filter((path) => kindOf(path) === 'index');
  const own = [...chosen].filter((path) => kindOf(path) !== 'index');
  const shards = own.length > 0 ? own : [...new Set(indexes.flatMap((index) => neighbors(index, paths)))];
  if (shards.length === 0) throw notFound('The model has no files *.gguf or *.safetensors');
  if (shards.length > maxShards) {
    throw new WorkerError('SOURCE_UNSUPPORTED', `The model has more than ${maxShards} files: name fewer of them`);
  }
  const used = new Set([...shards, ...indexes]);
  return {
    shards: shards.sort(naturalOrder),
    indexes: indexes.sort(naturalOrder),
    skipped: paths.filter((path) => !used.has(path)),
    named: new Set(patterns?.filter((pattern) => known.has(pattern))),
  };
}

function matchesOfAll(patterns: readonly string[], paths: readonly string[], known: ReadonlySet<string>): string[] {
  const lost = patterns.find((pattern) => !pattern.includes('*') && !known.has(pattern));
  if (lost !== undefined) throw noMatch(lost);
  const wildcards = patterns.filter((pattern) => !known.has(pattern));
  if (lengthOf(wildcards) * lengthOf(paths) > maxSteps) {
    throw new WorkerError('INVALID_PARAMS', 'The patterns in files are too many or too long for this repository');
  }
  return patterns.flatMap((pattern) => {
    const found = known.has(pattern) ? [pattern] : matchesOf(pattern, paths);
    if (found.length === 0) throw noMatch(pattern);
    return found;
  });
}

function matchesOf(pattern: string, paths: readonly string[]): readonly string[] {
  const found = paths.filter((path) => matchesPattern(pattern, path));
  if (found.length > 0 || pattern.includes('/')) return found;
  return paths.filter((path) => matchesPattern(pattern, path.slice(path.lastIndexOf('/') + 1)));
}

/** The safetensors files in the folder of an index. */
function neighbors(index: string, paths: readonly string[]): readonly string[] {
  const folder = index.slice(0, index.lastIndexOf('/') + 1);
  return paths.filter((path) => matchesPattern(`${folder}*.safetensors`, path));
}

const lengthOf = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + text.length, 0);

const noMatch = (pattern: string): WorkerError => notFound(`No file of the model matches ${pattern}`);

const notFound = (message: string): WorkerError => new WorkerError('SOURCE_NOT_FOUND', message);
