import type { FormatFault } from '../../src/sources/formats/invalid_format.js';
import type { FileFormat, FileRange, RangedFile } from '../../src/sources/formats/model.js';
import { checkIndex, checkModel } from '../../src/sources/formats/model_check.js';

export const mebibyte = 2 ** 20;

export type Files = Readonly<Record<string, Buffer>>;

export interface CheckOptions {
  readonly indexes?: Files;
  readonly whole?: boolean;
  readonly headerBytes?: number;
  /** Called with each range that the check reads. */
  readonly onRead?: (range: FileRange) => void;
}

const sizesOf = (files: Files) => Object.entries(files).map(([path, { length }]) => ({ path, bytes: length }));

/** Answers the reads of a check from memory. */
function answer<Result>(
  reading: Generator<FileRange, Result, Uint8Array>,
  files: Buffer[],
  onRead = (_: FileRange) => {},
) {
  let step = reading.next();
  while (!step.done) {
    const { file, offset, length } = step.value;
    onRead(step.value);
    step = reading.next(Uint8Array.from(files[file]?.subarray(offset, offset + length) ?? []));
  }
  return step.value;
}

/** Checks files without a thread: their formats, or the first fault. */
export function checkFiles(files: Files, options: CheckOptions = {}): readonly FileFormat[] | FormatFault {
  const { indexes = {}, whole = true, headerBytes = 64 * mebibyte, onRead } = options;
  const reading = checkModel({ files: sizesOf(files), indexes: sizesOf(indexes), whole }, headerBytes);
  return answer(reading, [...Object.values(files), ...Object.values(indexes)], onRead);
}

/** The names in an index, or its fault. */
export const checkIndexFile = (bytes: Buffer, path = 'model.safetensors.index.json', headerBytes = 64 * mebibyte) =>
  answer(checkIndex({ path, bytes: bytes.length }, headerBytes), [bytes]);

/** A file of a source that is in memory. */
export const fileInMemory = (path: string, bytes: Buffer): RangedFile => ({
  path,
  bytes: bytes.length,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
});
