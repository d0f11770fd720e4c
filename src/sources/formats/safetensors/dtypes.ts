import { InvalidFormat } from '../invalid_format.js';

/** Elements that take whole bytes together, and these bytes. */
type Unit = readonly [elements: number, bytes: number];

/** The dtypes of the safetensors library 0.8 (`tensor.rs`, enum Dtype). */
export const dtypes: ReadonlyMap<string, Unit> = new Map<string, Unit>([
  ['F4', [2, 1]],
  ['F6_E2M3', [4, 3]],
  ['F6_E3M2', [4, 3]],
  ['BOOL', [1, 1]],
  ['U8', [1, 1]],
  ['I8', [1, 1]],
  ['F8_E5M2', [1, 1]],
  ['F8_E4M3', [1, 1]],
  ['F8_E8M0', [1, 1]],
  ['F8_E4M3FNUZ', [1, 1]],
  ['F8_E5M2FNUZ', [1, 1]],
  ['I16', [1, 2]],
  ['U16', [1, 2]],
  ['F16', [1, 2]],
  ['BF16', [1, 2]],
  ['I32', [1, 4]],
  ['U32', [1, 4]],
  ['F32', [1, 4]],
  ['C64', [1, 8]],
  ['F64', [1, 8]],
  ['I64', [1, 8]],
  ['U64', [1, 8]],
]);

/** The size of a tensor in bytes. `at` is for errors. */
export function bytesOf(dtype: string, elements: number, at: number): number {
  const unit = dtypes.get(dtype);
  if (unit === undefined) throw new InvalidFormat('safetensors_dtype', at);
  const [unitElements, unitBytes] = unit;
  if (elements % unitElements !== 0) throw new InvalidFormat('safetensors_size', at);
  const bytes = (elements / unitElements) * unitBytes;
  if (!Number.isSafeInteger(bytes)) throw new InvalidFormat('safetensors_overflow', at);
  return bytes;
}
