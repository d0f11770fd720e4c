import type { CheckedFile } from './checked_file.js';
import { parseGguf } from './gguf/header.js';
import { HeaderReader } from './header_reader.js';
import { InvalidFormat, ShortHeader } from './invalid_format.js';
import { formatOf } from './magic.js';
import type { FileSize } from './model.js';
import type { NameBudget } from './names.js';
import { parseSafetensors } from './safetensors/header.js';

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** The bounds of a check. The budget is shared by the files of a model. */
export interface Limits {
  /** The most bytes of a header. */
  readonly headerBytes: number;
  readonly budget: NameBudget;
}

/** Yields the ranges that it reads, and takes their bytes. */
export type Reading<Result> = Generator<ByteRange, Result, Uint8Array>;

const firstReadBytes = 256 * 1024;
/** The largest range that is read at once. Its bytes are copied on the event loop. */
const maxReadBytes = 4 * 1024 * 1024;

/** The first range that is read of a file. */
export const firstRange = ({ bytes }: FileSize, headerBytes: number): ByteRange => ({
  offset: 0,
  length: Math.min(firstReadBytes, bytes, headerBytes),
});

/** Reads a header: first 256 KiB, then twice as much each time, up to `headerBytes`. The parse starts again each time. */
export function* readHeader<Result>(
  file: FileSize,
  { headerBytes, budget }: Limits,
  parse: (reader: HeaderReader) => Result,
): Reading<Result> {
  const mostBytes = Math.min(file.bytes, headerBytes);
  let bytes: Buffer = Buffer.alloc(0);
  let wantedBytes = firstRange(file, headerBytes).length;
  for (;;) {
    bytes = yield* extend(bytes, wantedBytes);
    const left = budget.copy();
    try {
      const result = parse(new HeaderReader({ bytes, fileBytes: file.bytes, limitBytes: headerBytes, budget: left }));
      budget.set(left);
      return result;
    } catch (error) {
      if (!(error instanceof ShortHeader)) throw error;
      wantedBytes = Math.min(mostBytes, Math.max(2 * bytes.length, error.neededBytes));
    }
  }
}

/** Reads on until there are `wantedBytes` from the start of the file. */
function* extend(bytes: Buffer, wantedBytes: number): Reading<Buffer> {
  const extended = Buffer.allocUnsafe(wantedBytes);
  let offset = bytes.copy(extended);
  while (offset < wantedBytes) {
    const range = yield { offset, length: Math.min(maxReadBytes, wantedBytes - offset) };
    extended.set(range, offset);
    offset += range.length;
  }
  return extended;
}

/** Checks a file against the rules of its format. @throws InvalidFormat */
export function* checkFile(file: FileSize, limits: Limits): Reading<CheckedFile> {
  const checked = yield* readHeader(file, limits, (reader): CheckedFile => {
    const format = formatOf(reader.bytes);
    const parse = { gguf: parseGguf, safetensors: parseSafetensors, unknown: () => undefined }[format];
    return { path: file.path, format, header: parse(reader) };
  });
  const dataEnd = checked.header?.dataEnd ?? file.bytes;
  if (file.bytes - dataEnd > limits.headerBytes) throw new InvalidFormat('gguf_trailing_bytes', dataEnd);
  yield* checkPadding(dataEnd, file.bytes);
  return checked;
}

/** The bytes after the last tensor are zero. The format's own rules bound how many there are. */
function* checkPadding(start: number, end: number): Reading<void> {
  for (let offset = start; offset < end; ) {
    const bytes = yield { offset, length: Math.min(firstReadBytes, end - offset) };
    const other = bytes.findIndex((byte) => byte !== 0);
    if (other !== -1) throw new InvalidFormat('gguf_trailing_bytes', offset + other);
    offset += bytes.length;
  }
}
