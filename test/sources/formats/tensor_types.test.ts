import t from 'tap';
import { tensorTypes } from '../../../src/sources/formats/gguf/tensor_types.js';
import { checkFiles } from '../../support/formats.js';
import { ggufFile } from '../../support/gguf.js';

/**
 * The output of `ggml_blck_size` and `ggml_type_size` of ggml d99724f2 (August 2026) for each type that it has:
 * number, elements of a block, bytes of a block.
 */
const sizesOfGgml = [
  [0, 1, 4],
  [1, 1, 2],
  [2, 32, 18],
  [3, 32, 20],
  [6, 32, 22],
  [7, 32, 24],
  [8, 32, 34],
  [9, 32, 36],
  [10, 256, 84],
  [11, 256, 110],
  [12, 256, 144],
  [13, 256, 176],
  [14, 256, 210],
  [15, 256, 292],
  [16, 256, 66],
  [17, 256, 74],
  [18, 256, 98],
  [19, 256, 50],
  [20, 32, 18],
  [21, 256, 110],
  [22, 256, 82],
  [23, 256, 136],
  [24, 1, 1],
  [25, 1, 2],
  [26, 1, 4],
  [27, 1, 8],
  [28, 1, 8],
  [29, 256, 56],
  [30, 1, 2],
  [34, 256, 54],
  [35, 256, 66],
  [39, 32, 17],
  [40, 64, 36],
  [41, 128, 18],
  [42, 64, 18],
] as const;

t.test('each type of ggml has the block that ggml gives it, and no other type is known', async (t) => {
  const known = [...tensorTypes].filter(([, block]) => block !== 'removed');
  t.strictSame(
    known.map(([number, block]) => [number, ...block]),
    sizesOfGgml,
  );
});

t.test('a tensor of each type has the size of its blocks: one byte less is refused', async (t) => {
  for (const [type, elements, bytes] of sizesOfGgml) {
    const tensors = [{ name: 'a', type, dimensions: [2 * elements, 3], bytes: 6 * bytes }];
    const file = ggufFile({ tensors, trailing: Buffer.alloc(0) });
    t.match(checkFiles({ 'm.gguf': file }), [{ tensors: 1 }], `type ${type}`);
    t.match(checkFiles({ 'm.gguf': file.subarray(0, -1) }), { rule: 'gguf_tensor_end' }, `type ${type}`);
  }
});
