export interface SafetensorsTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly number[];
}

/** A safetensors file of a header text and its data. */
export function safetensorsOf(header: string | Buffer, dataBytes = 0, statedLength?: bigint): Buffer {
  const text = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(statedLength ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(dataBytes, 7)]);
}

/** A safetensors file of tensors. The data ends with the last offset. */
export function safetensorsFile(
  tensors: Readonly<Record<string, SafetensorsTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Buffer {
  const dataBytes = Math.max(0, ...Object.values(tensors).map(({ data_offsets: [, end = 0] }) => end));
  return safetensorsOf(JSON.stringify({ ...(metadata && { __metadata__: metadata }), ...tensors }), dataBytes);
}

/** A file with F32 tensors of these names, of 4 elements each. */
export const f32File = (...names: readonly string[]): Buffer =>
  safetensorsFile(
    Object.fromEntries(
      names.map((name, index) => [name, { dtype: 'F32', shape: [4], data_offsets: [16 * index, 16 * index + 16] }]),
    ),
  );
