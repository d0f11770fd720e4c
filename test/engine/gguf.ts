/** Writes GGUF files, version 3: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */
import { closeSync, openSync, writeSync } from 'node:fs';

/** Value types of metadata. */
export const valueType = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
/** Types of tensors. */
export const tensorType = { f32: 0, f16: 1 } as const;

export interface Tensor {
  readonly name: string;
  /** The fastest-changing dimension first. */
  readonly shape: readonly number[];
  readonly type: number;
  readonly data: Uint8Array;
}

const alignment = 32;
const magic = 'GGUF';
const version = 3;

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const uint64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const float32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};

const string = (value: string): Buffer => Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);

const entry = (key: string, type: number, value: Buffer): Buffer => Buffer.concat([string(key), uint32(type), value]);

/** Encoded entries of the metadata. */
export const metadata = {
  string: (key: string, value: string): Buffer => entry(key, valueType.string, string(value)),
  uint32: (key: string, value: number): Buffer => entry(key, valueType.uint32, uint32(value)),
  float32: (key: string, value: number): Buffer => entry(key, valueType.float32, float32(value)),
  bool: (key: string, value: boolean): Buffer => entry(key, valueType.bool, Buffer.of(value ? 1 : 0)),
  strings: (key: string, values: readonly string[]): Buffer => array(key, valueType.string, values.map(string)),
  float32s: (key: string, values: readonly number[]): Buffer => array(key, valueType.float32, values.map(float32)),
  int32s: (key: string, values: readonly number[]): Buffer => array(key, valueType.int32, values.map(uint32)),
};

function array(key: string, type: number, values: readonly Buffer[]): Buffer {
  return entry(key, valueType.array, Buffer.concat([uint32(type), uint64(values.length), ...values]));
}

const padding = (bytes: number): number => (alignment - (bytes % alignment)) % alignment;

/** Writes a model. */
export function writeGguf(path: string, entries: readonly Buffer[], tensors: readonly Tensor[]): void {
  let offset = 0;
  const infos = tensors.map(({ name, shape, type, data }) => {
    const dimensions = [uint32(shape.length), ...shape.map(uint64)];
    const info = Buffer.concat([string(name), ...dimensions, uint32(type), uint64(offset)]);
    offset += data.length + padding(data.length);
    return info;
  });
  const counts = [uint32(version), uint64(tensors.length), uint64(entries.length)];
  const header = Buffer.concat([Buffer.from(magic), ...counts, ...entries, ...infos]);
  const file = openSync(path, 'w');
  for (const part of [header, ...tensors.map(({ data }) => data)]) {
    for (let done = 0; done < part.length; ) done += writeSync(file, part, done);
    writeSync(file, Buffer.alloc(padding(part.length)));
  }
  closeSync(file);
}
