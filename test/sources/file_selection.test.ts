import t from 'tap';
import { selectFiles } from '../../src/sources/file_selection.js';

const paths = [
  'README.md',
  'model.safetensors.index.json',
  'model-00010-of-00010.safetensors',
  'model-00002-of-00010.safetensors',
  'a*.gguf',
  'ab.gguf',
  'folder/c.gguf',
  'pytorch_model.bin',
];

t.test('without patterns, shards and indexes are selected, and the rest is listed', async (t) => {
  const { shards, indexes, skipped } = selectFiles(paths);
  t.strictSame(shards, [
    'a*.gguf',
    'ab.gguf',
    'folder/c.gguf',
    'model-00002-of-00010.safetensors',
    'model-00010-of-00010.safetensors',
  ]);
  t.strictSame(indexes, ['model.safetensors.index.json']);
  t.strictSame(skipped, ['README.md', 'pytorch_model.bin']);
});

t.test('a name selects any file, and a name with a star that file alone', async (t) => {
  t.strictSame(selectFiles(paths, ['pytorch_model.bin', 'pytorch_model.bin']).shards, ['pytorch_model.bin']);
  t.strictSame(selectFiles(paths, ['a*.gguf']).shards, ['a*.gguf']);
  t.strictSame(selectFiles(paths, ['a*gguf', 'c*']).shards, ['a*.gguf', 'ab.gguf', 'folder/c.gguf']);
});

t.test('a pattern without a match is an error, because the model would be incomplete', async (t) => {
  t.throws(() => selectFiles(paths, ['ab.gguf', 'missing.gguf']), {
    code: 'SOURCE_NOT_FOUND',
    message: /missing.gguf/,
  });
  t.throws(() => selectFiles(['README.md']), { code: 'SOURCE_NOT_FOUND' });
});

t.test('a source that knows more than names decides about the kind of a file', async (t) => {
  const kindOf = (path: string) => (path === 'README.md' ? 'shard' : 'other');
  t.strictSame(selectFiles(paths, undefined, kindOf).shards, ['README.md']);
});

t.test('hostile patterns are refused before they are compared', async (t) => {
  const long = Array.from({ length: 4000 }, (_, index) => `${index}${'a'.repeat(1000)}`);
  t.throws(() => selectFiles(long, [`${'*a'.repeat(500)}b`]), { code: 'INVALID_PARAMS' });
  t.equal(selectFiles(long, long.slice(0, 2000)).shards.length, 2000, 'names are looked up');
});
