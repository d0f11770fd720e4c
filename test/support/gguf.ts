/** The numbers of the value types of GGUF (`gguf.h`, enum gguf_type). */
export const valueType = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

export interface GgufTensor {
  readonly name: string | Buffer;
  readonly dimensions?: readonly (number | bigint)[];
  readonly type?: number;
  /** The offset that the header states; by default the right one. */
  readonly offset?: number | bigint;
  /** The bytes of the tensor, to compute offsets and the length of the file. */
  readonly bytes?: number;
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  /** Each is a whole key with its value. */
  readonly keys?: readonly Buffer[];
  readonly tensors?: readonly GgufTensor[];
  readonly alignment?: number;
  /** Counts that the header states; by default the right ones. */
  readonly keyCount?: number | bigint;
  readonly tensorCount?: number | bigint;
  /** The bytes after the last tensor; by default the padding. */
  readonly trailing?: Buffer;
}

export const u16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
};
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
export const text = (value: string | Buffer): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
};

/** A key with its value, of which `content` is the encoding. */
export const key = (name: string | Buffer, type: keyof typeof valueType | number, content: Buffer): Buffer =>
  Buffer.concat([text(name), u32(typeof type === 'number' ? type : valueType[type]), content]);

/** The content of an array. */
export const array = (type: keyof typeof valueType, ...items: readonly Buffer[]): Buffer =>
  Buffer.concat([u32(valueType[type]), u64(items.length), ...items]);

const padded = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment;

/** A GGUF file. Without parts it has no keys and no tensors. Tensors are F32 of 4 elements unless they say otherwise. */
export function ggufFile(parts: GgufParts = {}): Buffer {
  const { magic = 'GGUF', version = 3, keys = [], tensors = [], alignment = 32 } = parts;
  let end = 0;
  const infos = tensors.map(({ name, dimensions = [4], type = 0, offset, bytes = 16 }) => {
    const start = padded(end, alignment);
    end = start + bytes;
    const info = [text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset ?? start)];
    return Buffer.concat(info);
  });
  const counts = [u64(parts.tensorCount ?? tensors.length), u64(parts.keyCount ?? keys.length)];
  const header = Buffer.concat([Buffer.from(magic), u32(version), ...counts, ...keys, ...infos]);
  if (tensors.length === 0) return Buffer.concat([header, parts.trailing ?? Buffer.alloc(0)]);
  const data = Buffer.alloc(padded(header.length, alignment) - header.length + end, 7);
  data.fill(0, 0, padded(header.length, alignment) - header.length);
  return Buffer.concat([header, data, parts.trailing ?? Buffer.alloc(padded(end, alignment) - end)]);
}
