import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { dtypes } from '../../../src/sources/formats/safetensors/dtypes.js';
import { checkFiles } from '../../support/formats.js';
import { array, ggufFile, key, text, u32, u64 } from '../../support/gguf.js';
import { type SafetensorsTensor, safetensorsFile } from '../../support/safetensors.js';
import { requireTool, unlessTool } from '../../support/tools.js';

const numRuns = 50;

/** A server of one file that answers ranges, as a hub does. */
const serving = (file: Buffer): typeof fetch => {
  const answer = async (_url: unknown, init?: RequestInit) => {
    const [, first = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
    const body = file.subarray(Number(first), Number(last) + 1);
    const range = `bytes ${first}-${Number(first) + body.length - 1}/${file.length}`;
    return new Response(Uint8Array.from(body), { status: 206, headers: { etag: '"1"', 'content-range': range } });
  };
  return answer as typeof fetch;
};

const url = 'https://hub.example/m';
const name = fc.stringMatching(/^[a-z0-9._]{1,40}$/);
const names = fc.uniqueArray(name, { maxLength: 8 });
const pick = <Item>(items: readonly Item[], index: number): Item | undefined => items[index % items.length];

/** Types that @huggingface/gguf knows: number, elements and bytes of a block. */
const types = [
  [0, 1, 4],
  [1, 1, 2],
  [2, 32, 18],
  [8, 32, 34],
  [12, 256, 144],
  [14, 256, 210],
  [30, 1, 2],
] as const;

const goodGguf = fc
  .record({ keys: names, tensors: names, seed: fc.nat(1000), alignment: fc.constantFrom(8, 32, 64) })
  .map(({ keys, tensors, seed, alignment }) =>
    ggufFile({
      alignment,
      keys: [
        key('general.alignment', 'u32', u32(alignment)),
        ...keys.map((name, index) =>
          index % 2 === 0
            ? key(`k.${name}`, 'array', array('string', text(name), text('é')))
            : key(`k.${name}`, 'u64', u64(index)),
        ),
      ],
      tensors: tensors.map((name, index) => {
        const [type, elements, bytes] = pick(types, seed + index) ?? types[0];
        return { name, type, dimensions: [2 * elements, index + 1], bytes: 2 * bytes * (index + 1) };
      }),
    }),
  );

t.test('@huggingface/gguf finds the same tensors in good files', unlessTool('@huggingface/gguf'), async (t) => {
  const { gguf }: typeof import('@huggingface/gguf') = requireTool('@huggingface/gguf');
  const property = fc.asyncProperty(goodGguf, async (file) => {
    const verdict = checkFiles({ m: file });
    const { tensorInfos } = await gguf(url, { fetch: serving(file) });
    t.match(verdict, [{ format: 'gguf', tensors: tensorInfos.length }]);
  });
  await fc.assert(property, { numRuns });
});

/** Dtypes that @huggingface/hub knows. */
const knownDtypes = [...dtypes.keys()].filter((dtype) =>
  /^(BOOL|[UI]\d+|F16|BF16|F32|F64|F8_E4M3|F8_E5M2)$/.test(dtype),
);

const goodSafetensors = fc.record({ tensors: names, seed: fc.nat(1000) }).map(({ tensors, seed }) => {
  let end = 0;
  const entries = tensors.map((name, index): [string, SafetensorsTensor] => {
    const dtype = pick(knownDtypes, seed + index) ?? 'U8';
    const [, bytes] = dtypes.get(dtype) ?? [1, 1];
    const start = end;
    end += bytes * 3 * index;
    return [name, { dtype, shape: [index, 3], data_offsets: [start, end] }];
  });
  return safetensorsFile(Object.fromEntries(entries), { format: 'pt' });
});

t.test('@huggingface/hub finds the same tensors in good files', unlessTool('@huggingface/hub'), async (t) => {
  const { parseSafetensorsMetadata }: typeof import('@huggingface/hub') = requireTool('@huggingface/hub');
  const property = fc.asyncProperty(goodSafetensors, async (file) => {
    const verdict = checkFiles({ m: file });
    const repo = { repo: 'org/name', path: 'm.safetensors', hubUrl: 'https://hub.example' };
    const parsed = await parseSafetensorsMetadata({ ...repo, fetch: serving(file) });
    const found = parsed.sharded ? {} : parsed.header;
    t.match(verdict, [{ format: 'safetensors', tensors: Object.keys(found).length - 1 }], 'without __metadata__');
  });
  await fc.assert(property, { numRuns });
});

/** The folder of real models, which are not part of the repository. */
const models = process.env.MODELS_DIR;

const withModels = models === undefined ? { skip: 'MODELS_DIR is not set' } : unlessTool('@huggingface/gguf');

t.test('real models are valid', withModels, async (t) => {
  const { gguf }: typeof import('@huggingface/gguf') = requireTool('@huggingface/gguf');
  const folder = models ?? '';
  for (const file of readdirSync(folder).filter((name) => /\.(gguf|safetensors)$/.test(name))) {
    const bytes = readFileSync(join(folder, file));
    const [verdict] = [checkFiles({ [file]: bytes })].flat();
    t.match(verdict, { path: file, format: String, headerBytes: Number });
    if (!file.endsWith('.gguf')) continue;
    const { tensorInfos, tensorInfoByteRange } = await gguf(url, { fetch: serving(bytes) });
    t.match(
      verdict,
      { tensors: tensorInfos.length, headerBytes: tensorInfoByteRange[1] },
      `${file} to @huggingface/gguf`,
    );
  }
});
