import t from 'tap';
import { kindOfFile, matchesPattern, naturalOrder } from '../../src/sources/file_pattern.js';

t.test('shards and indexes are known by the end of their names, in any folder', async (t) => {
  t.equal(kindOfFile('model.gguf'), 'shard');
  t.equal(kindOfFile('a/b/model-00001-of-00002.safetensors'), 'shard');
  t.equal(kindOfFile('model.safetensors.index.json'), 'index');
  t.equal(kindOfFile('a/model.safetensors.index.fp16.json'), 'other');
  for (const path of ['LICENSE', 'config.json', 'model.gguf.sha256', 'model.GGUF', 'gguf', 'pytorch_model.bin']) {
    t.equal(kindOfFile(path), 'other', path);
  }
});

t.test('a star matches any characters but a slash', async (t) => {
  const cases: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
    ['model.gguf', 'model.gguf', true],
    ['model.gguf', 'modelXgguf', false],
    ['*.gguf', 'a.gguf', true],
    ['*.gguf', '.gguf', true],
    ['*.gguf', 'a/b.gguf', false],
    ['*/*.gguf', 'a/b.gguf', true],
    ['*Q4_K_M*.gguf', 'llama-Q4_K_M-00001-of-00002.gguf', true],
    ['*Q4_K_M*.gguf', 'llama-Q4_K_S.gguf', false],
    ['a*a', 'a', false],
    ['a**a', 'aa', true],
    ['*ab*ab', 'abxab', true],
    ['*ab*ab', 'ab', false],
    ['org/*', 'org/', true],
    ['org/*', 'organization/x', false],
    ['[a-z]?', 'ab', false],
    ['', '', true],
    ['*', '', true],
    ['', 'a', false],
  ];
  for (const [pattern, path, matches] of cases) t.equal(matchesPattern(pattern, path), matches, `${pattern} ${path}`);
});

t.test('a pattern with hundreds of stars takes no exponential time', async (t) => {
  const steps = 'a'.repeat(1023);
  t.equal(matchesPattern(`${'*a'.repeat(511)}b`, steps), false);
  t.equal(matchesPattern('*a'.repeat(512), steps), true);
});

t.test('numbers in names order by their value', async (t) => {
  const sorted = ['a/part-1', 'a/part-2', 'a/part-010', 'a/part-10', 'a/part-11', 'b', 'b1', 'b1a'];
  t.strictSame([...sorted].reverse().sort(naturalOrder), sorted);
  t.equal(naturalOrder('x', 'x'), 0);
  t.ok(naturalOrder('9'.repeat(40), `1${'0'.repeat(40)}`) < 0, 'numbers beyond 2^53');
});
