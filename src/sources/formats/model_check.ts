import type { CheckedFile } from './checked_file.js';
import { checkFile, type Limits, type Reading, readHeader } from './file_check.js';
import { checkSplitSets } from './gguf/split_set.js';
import { type FormatFault, InvalidFormat } from './invalid_format.js';
import type { FileFormat, FileRange, FileSize, Model } from './model.js';
import { NameBudget } from './names.js';
import { parseIndex, type SafetensorsIndex } from './safetensors/index.js';
import { checkIndexedFiles } from './safetensors/indexed_files.js';

/** Yields the ranges that it reads, and takes their bytes. Returns the first fault, if there is one. */
export type ModelReading<Result> = Generator<FileRange, Result | FormatFault, Uint8Array>;

/** Checks each file of a model, then the rules that hold over its files. */
export function* checkModel(model: Model<FileSize>, headerBytes: number): ModelReading<readonly FileFormat[]> {
  return yield* faultsOf(checkFiles(model, { headerBytes, budget: new NameBudget() }));
}

/** The plain names of the files that an index lists, in order. They are stored next to it. */
export function* checkIndex(file: FileSize, headerBytes: number): ModelReading<readonly string[]> {
  return yield* faultsOf(listedFiles(file, { headerBytes, budget: new NameBudget() }));
}

function* checkFiles(model: Model<FileSize>, limits: Limits): Generator<FileRange, FileFormat[], Uint8Array> {
  const indexes: SafetensorsIndex[] = [];
  for (const [at, file] of model.indexes.entries()) {
    indexes.push(yield* ofFile(file.path, model.files.length + at, readIndex(file, limits)));
  }
  const checked: CheckedFile[] = [];
  for (const [at, file] of model.files.entries()) {
    const result = yield* ofFile(file.path, at, checkFile(file, limits));
    if (model.whole && result.format === 'unknown') throw new InvalidFormat('unknown_format', 0, file.path);
    checked.push(result);
  }
  if (model.whole) checkSplitSets(checked);
  for (const index of indexes) checkIndexedFiles(index, checked);
  return checked.map(({ path, format, header }) => ({
    path,
    format,
    tensors: header?.tensorNames.size ?? 0,
    headerBytes: header?.headerBytes ?? 0,
  }));
}

function* listedFiles(file: FileSize, limits: Limits): Generator<FileRange, string[], Uint8Array> {
  const { weightMap } = yield* ofFile(file.path, 0, readIndex(file, limits));
  return [...new Set(weightMap.values())].sort();
}

const readIndex = (file: FileSize, limits: Limits): Reading<SafetensorsIndex> =>
  readHeader(file, limits, (reader) => parseIndex(reader, file.path));

/** Adds the number of the file to the ranges, and its name to an error. */
function* ofFile<Result>(
  path: string,
  file: number,
  reading: Reading<Result>,
): Generator<FileRange, Result, Uint8Array> {
  try {
    let step = reading.next();
    while (!step.done) step = reading.next(yield { file, ...step.value });
    return step.value;
  } catch (error) {
    throw error instanceof InvalidFormat ? new InvalidFormat(error.rule, error.at, path) : error;
  }
}

function* faultsOf<Result>(
  reading: Generator<FileRange, Result, Uint8Array>,
): Generator<FileRange, Result | FormatFault, Uint8Array> {
  try {
    return yield* reading;
  } catch (error) {
    if (!(error instanceof InvalidFormat)) throw error;
    return { rule: error.rule, file: error.file ?? '', at: error.at };
  }
}
