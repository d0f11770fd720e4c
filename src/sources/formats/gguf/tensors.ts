import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';
import { NameSet } from '../names.js';
import { aligned } from './alignment.js';
import { readDimensions } from './dimensions.js';
import { readTensorName } from './tensor_name.js';
import { tensorBytes } from './tensor_types.js';

export interface Tensors {
  readonly tensorNames: ReadonlySet<string>;
  /** The offset in the file where the last tensor ends; without tensors, where the header ends. */
  readonly dataEnd: number;
}

/**
 * Reads all tensors. Each starts at the aligned end of the previous one, the first at 0, counted from the aligned end of
 * the header. The last ends inside the file, and after it there is at most its padding.
 */
export function readTensors(reader: HeaderReader, count: number, alignment: number): Tensors {
  const tensors = new NameSet(reader.budget);
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    const at = reader.at;
    const name = readTensorName(reader);
    if (!tensors.add(name, at)) throw new InvalidFormat('gguf_duplicate_tensor', at);
    const bytes = tensorBytes(reader, readDimensions(reader));
    const offset = checkOffset(reader, aligned(end, alignment));
    end = offset + bytes;
    if (end > reader.fileBytes) throw new InvalidFormat('gguf_tensor_end', at);
  }
  return { tensorNames: tensors.names, dataEnd: checkEnd(reader, count === 0 ? undefined : end, alignment) };
}

function checkOffset(reader: HeaderReader, expected: number): number {
  const at = reader.at;
  const offset = reader.u64();
  if (offset !== expected) throw new InvalidFormat('gguf_offset', at);
  return offset;
}

/** `lastEnd` counts from the start of the data. It is undefined if the file has no data. */
function checkEnd({ at, fileBytes }: HeaderReader, lastEnd: number | undefined, alignment: number): number {
  const dataStart = aligned(at, alignment);
  const dataEnd = lastEnd === undefined ? at : dataStart + lastEnd;
  if (dataEnd > fileBytes) throw new InvalidFormat('gguf_tensor_end', fileBytes);
  if (fileBytes > aligned(dataEnd, alignment)) throw new InvalidFormat('gguf_trailing_bytes', dataEnd);
  return dataEnd;
}
