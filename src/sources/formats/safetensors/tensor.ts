import { InvalidFormat } from '../invalid_format.js';
import { bytesOf } from './dtypes.js';
import type { JsonReader } from './json_reader.js';

/** The bytes of a tensor, counted from the end of the header. */
export interface TensorRange {
  readonly start: number;
  readonly end: number;
}

/** Reads the value of a tensor: an object of exactly `dtype`, `shape` and `data_offsets`. `at` is for errors. */
export function readTensor(json: JsonReader, at: number): TensorRange {
  if (json.next() !== 'object') throw new InvalidFormat('safetensors_fields', json.at);
  let dtype: string | undefined;
  let elements: number | undefined;
  let range: TensorRange | undefined;
  json.fields((field, fieldAt) => {
    if (field === 'dtype') dtype = readDtype(json);
    else if (field === 'shape') elements = readShape(json);
    else if (field === 'data_offsets') range = readOffsets(json);
    else throw new InvalidFormat('safetensors_fields', fieldAt);
  });
  if (dtype === undefined || elements === undefined || range === undefined) {
    throw new InvalidFormat('safetensors_fields', at);
  }
  if (range.end - range.start !== bytesOf(dtype, elements, at)) throw new InvalidFormat('safetensors_size', at);
  return range;
}

function readDtype(json: JsonReader): string {
  if (json.next() !== 'string') throw new InvalidFormat('safetensors_fields', json.at);
  return json.string();
}

/** The number of elements. The library also multiplies from the left, and refuses what overflows before a 0. */
function readShape(json: JsonReader): number {
  let elements = 1;
  readIntegers(json, (size, at) => {
    elements *= size;
    if (!Number.isSafeInteger(elements)) throw new InvalidFormat('safetensors_overflow', at);
  });
  return elements;
}

function readOffsets(json: JsonReader): TensorRange {
  const offsets: number[] = [];
  readIntegers(json, (offset, at) => {
    if (offsets.push(offset) > 2) throw new InvalidFormat('safetensors_fields', at);
  });
  const [start, end] = offsets;
  if (start === undefined || end === undefined) throw new InvalidFormat('safetensors_fields', json.at);
  return { start, end };
}

function readIntegers(json: JsonReader, take: (value: number, at: number) => void): void {
  if (json.next() !== 'array') throw new InvalidFormat('safetensors_fields', json.at);
  json.elements((at) => {
    const value = json.next() === 'number' ? json.integer() : undefined;
    if (value === undefined) throw new InvalidFormat('safetensors_integer', at);
    take(value, at);
  });
}
