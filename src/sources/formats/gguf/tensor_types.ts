import type { HeaderReader } from '../header_reader.js';
import { InvalidFormat } from '../invalid_format.js';
import type { Dimensions } from './dimensions.js';

/** The elements of a block, and its size in bytes. */
type Block = readonly [elements: number, bytes: number];

/**
 * The tensor types by number, as in `ggml.h` (enum ggml_type) with the sizes of `ggml-common.h` of August 2026.
 * `removed` types were dropped from ggml, which refuses them.
 */
export const tensorTypes: ReadonlyMap<number, Block | 'removed'> = new Map<number, Block | 'removed'>([
  [0, [1, 4]], // F32
  [1, [1, 2]], // F16
  [2, [32, 18]], // Q4_0
  [3, [32, 20]], // Q4_1
  [4, 'removed'], // Q4_2
  [5, 'removed'], // Q4_3
  [6, [32, 22]], // Q5_0
  [7, [32, 24]], // Q5_1
  [8, [32, 34]], // Q8_0
  [9, [32, 36]], // Q8_1
  [10, [256, 84]], // Q2_K
  [11, [256, 110]], // Q3_K
  [12, [256, 144]], // Q4_K
  [13, [256, 176]], // Q5_K
  [14, [256, 210]], // Q6_K
  [15, [256, 292]], // Q8_K
  [16, [256, 66]], // IQ2_XXS
  [17, [256, 74]], // IQ2_XS
  [18, [256, 98]], // IQ3_XXS
  [19, [256, 50]], // IQ1_S
  [20, [32, 18]], // IQ4_NL
  [21, [256, 110]], // IQ3_S
  [22, [256, 82]], // IQ2_S
  [23, [256, 136]], // IQ4_XS
  [24, [1, 1]], // I8
  [25, [1, 2]], // I16
  [26, [1, 4]], // I32
  [27, [1, 8]], // I64
  [28, [1, 8]], // F64
  [29, [256, 56]], // IQ1_M
  [30, [1, 2]], // BF16
  [31, 'removed'], // Q4_0_4_4
  [32, 'removed'], // Q4_0_4_8
  [33, 'removed'], // Q4_0_8_8
  [34, [256, 54]], // TQ1_0
  [35, [256, 66]], // TQ2_0
  [36, 'removed'], // IQ4_NL_4_4
  [37, 'removed'], // IQ4_NL_4_8
  [38, 'removed'], // IQ4_NL_8_8
  [39, [32, 17]], // MXFP4
  [40, [64, 36]], // NVFP4
  [41, [128, 18]], // Q1_0
  [42, [64, 18]], // Q2_0
]);

/** Reads the type of a tensor. Returns the tensor's size in bytes. */
export function tensorBytes(reader: HeaderReader, { first, elements }: Dimensions): number {
  const at = reader.at;
  const type = tensorTypes.get(reader.u32());
  if (type === undefined) throw new InvalidFormat('gguf_tensor_type', at);
  if (type === 'removed') throw new InvalidFormat('gguf_removed_type', at);
  const [blockElements, blockBytes] = type;
  if (first % blockElements !== 0) throw new InvalidFormat('gguf_block', at);
  return (elements / blockElements) * blockBytes;
}
