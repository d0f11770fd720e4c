import t from 'tap';
import { checkFiles, type Files } from '../../support/formats.js';
import { ggufFile, key, u16, u32 } from '../../support/gguf.js';

const nameOf = (number: number, count: number, prefix = 'm') =>
  `${prefix}-${String(number).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`;

/** A file of a split GGUF, with a tensor of each name. */
function part(number: number, count: number, tensors: number, names: readonly string[]): Buffer {
  const keys = [key('split.no', 'u16', u16(number)), key('split.count', 'u16', u16(count))];
  keys.push(key('split.tensors.count', 'i32', u32(tensors)));
  return ggufFile({ keys, tensors: names.map((name) => ({ name })) });
}

const good: Files = {
  [nameOf(1, 3)]: part(0, 3, 3, ['a']),
  [nameOf(2, 3)]: part(1, 3, 3, ['b', 'c']),
  [nameOf(3, 3)]: part(2, 3, 3, []),
};

t.test('a complete split GGUF is valid, among other files and in any order', async (t) => {
  const other = { 'mmproj.gguf': ggufFile({ tensors: [{ name: 'a' }] }), 'x/m-00001-of-00001.gguf': ggufFile() };
  t.match(checkFiles({ ...other, ...good }), { length: 5 });
  t.match(checkFiles(Object.fromEntries(Object.entries(good).reverse())), { length: 3 });
});

t.test('two split GGUFs of a model may have the same tensors', async (t) => {
  const second = Object.fromEntries(Object.entries(good).map(([name, file]) => [`q8/${name}`, file]));
  t.match(checkFiles({ ...good, ...second }), { length: 6 });
});

t.test('a split GGUF that breaks a rule is refused', async (t) => {
  const without = (name: string) => Object.fromEntries(Object.entries(good).filter(([other]) => other !== name));
  const refused: readonly [string, Files, string][] = [
    ['the first file is missing', without(nameOf(1, 3)), 'split_missing'],
    ['the last file is missing', without(nameOf(3, 3)), 'split_missing'],
    ['another name', { 'm.gguf': part(0, 2, 1, ['a']) }, 'split_name'],
    ['another number', { [nameOf(2, 3)]: part(0, 3, 3, ['a']) }, 'split_name'],
    ['another count', { [nameOf(1, 2)]: part(0, 3, 3, ['a']) }, 'split_name'],
    ['files swapped', { [nameOf(1, 2)]: part(1, 2, 0, []), [nameOf(2, 2)]: part(0, 2, 0, []) }, 'split_name'],
    ['no keys', { [nameOf(1, 2)]: ggufFile(), [nameOf(2, 2)]: ggufFile() }, 'split_name'],
    ['more tensors than stated', { ...good, [nameOf(3, 3)]: part(2, 3, 3, ['d']) }, 'split_tensors'],
    ['a file that states another number', { ...good, [nameOf(3, 3)]: part(2, 3, 4, []) }, 'split_tensors'],
    ['a tensor in two files', { ...good, [nameOf(3, 3)]: part(2, 3, 3, ['a']) }, 'split_duplicate_tensor'],
    [
      'a file of another set',
      { ...without(nameOf(2, 3)), [nameOf(2, 3, 'n')]: part(1, 3, 3, ['b', 'c']) },
      'split_missing',
    ],
  ];
  for (const [title, files, rule] of refused) t.match(checkFiles(files), { rule, at: 0 }, title);
});

t.test('one file of a split GGUF is valid if it is not checked as a whole model', async (t) => {
  t.match(checkFiles({ 'renamed.gguf': part(1, 3, 3, ['b', 'c']) }, { whole: false }), [{ tensors: 2 }]);
});
