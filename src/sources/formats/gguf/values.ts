import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';

/** The value types of GGUF, by number (`gguf.h`, enum gguf_type). */
const valueTypes = ['u8', 'i8', 'u16', 'i16', 'u32', 'i32', 'f32', 'bool', 'string', 'array'] as const;
const wideTypes = ['u64', 'i64', 'f64'] as const;

export type ValueType = (typeof valueTypes)[number] | (typeof wideTypes)[number];

const typesByNumber: readonly ValueType[] = [...valueTypes, ...wideTypes];

const scalarBytes: Readonly<Record<Exclude<ValueType, 'string' | 'array'>, number>> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  u64: 8,
  i64: 8,
  f64: 8,
};

/** A value: `number` is set for the types that a rule reads. */
export interface Value {
  readonly type: ValueType;
  readonly number: number | undefined;
  readonly at: number;
}

/** Reads a value with its type. */
export function readValue(reader: HeaderReader): Value {
  const at = reader.at;
  const type = readType(reader);
  return { type, number: readContent(reader, type), at };
}

function readType(reader: HeaderReader): ValueType {
  const at = reader.at;
  const type = typesByNumber[reader.u32()];
  if (type === undefined) throw new InvalidFormat('gguf_value_type', at);
  return type;
}

function readContent(reader: HeaderReader, type: ValueType): number | undefined {
  switch (type) {
    case 'u16':
      return reader.u16();
    case 'u32':
      return reader.u32();
    case 'i32':
      return reader.i32();
    case 'bool':
      return void checkBools(reader, 1);
    case 'string':
      return void checkString(reader);
    case 'array':
      return void checkArray(reader);
    default:
      return void reader.skip(scalarBytes[type]);
  }
}

/** An array has elements of one type that is not an array, and fits into the file. */
function checkArray(reader: HeaderReader): void {
  const at = reader.at;
  const type = readType(reader);
  const count = reader.u64();
  if (type === 'array') throw new InvalidFormat('gguf_array', at);
  const smallestBytes = type === 'string' ? 8 : scalarBytes[type];
  if (count * smallestBytes > reader.leftBytes) throw new InvalidFormat('gguf_array', at);
  if (type === 'bool') checkBools(reader, count);
  else if (type === 'string') for (let index = 0; index < count; index += 1) checkString(reader);
  else reader.skip(count * smallestBytes);
}

function checkString(reader: HeaderReader): void {
  const at = reader.at;
  const length = reader.u64();
  if (length > reader.leftBytes || !reader.isText(length)) throw new InvalidFormat('gguf_string', at);
}

function checkBools(reader: HeaderReader, count: number): void {
  const start = reader.skip(count);
  const other = reader.bytes.subarray(start, start + count).findIndex((byte) => byte > 1);
  if (other !== -1) throw new InvalidFormat('gguf_bool', start + other);
}
