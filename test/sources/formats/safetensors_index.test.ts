import t from 'tap';
import type { FormatRule } from '../../../src/sources/formats/rules.js';
import { checkFiles, checkIndexFile, type Files } from '../../support/formats.js';
import { ggufFile } from '../../support/gguf.js';
import { f32File } from '../../support/safetensors.js';

const [first, second] = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;
const weights = { a: first, b: first, c: second };
const files: Files = { [first]: f32File('a', 'b'), [second]: f32File('c') };
const indexOf = (weightMap: unknown) =>
  Buffer.from(JSON.stringify({ metadata: { total_size: 48 }, weight_map: weightMap }));
const checkWith = (index: Buffer, others = files, path = 'model.safetensors.index.json') =>
  checkFiles(others, { indexes: { [path]: index } });

t.test('an index whose tensors are in the files that it names is valid', async (t) => {
  t.match(checkWith(indexOf(weights)), { length: 2 });
  const moved = Object.fromEntries(Object.entries(files).map(([name, file]) => [`unet/${name}`, file]));
  t.match(checkWith(indexOf(weights), moved, 'unet/model.safetensors.index.json'), { length: 2 }, 'in a folder');
  t.match(checkWith(indexOf({ a: 'model.safetensors' }), { 'model.safetensors': f32File('a') }), [{ tensors: 1 }]);
});

t.test('the files of an index are listed once each', async (t) => {
  t.strictSame(checkIndexFile(indexOf(weights)), [first, second]);
});

t.test('fields next to the weight map are not interpreted, but are JSON', async (t) => {
  const text = '{"metadata":{"total_size":1.5e10,"x":[true,false,null,-1,{"y":"\\n"}]},"weight_map":{"a":"m"}}\n';
  t.strictSame(checkIndexFile(Buffer.from(text)), ['m']);
});

t.test('an index that breaks a rule is refused', async (t) => {
  const map = (file: string) => indexOf({ a: file });
  const refused: readonly [FormatRule, string, Buffer][] = [
    ['index_json', 'an empty file', Buffer.alloc(0)],
    ['index_json', 'a list', Buffer.from('[]')],
    ['index_json', 'no weight map', Buffer.from('{"metadata":{}}')],
    ['index_json', 'a weight map that is a list', indexOf([])],
    ['index_json', 'a file that is a number', indexOf({ a: 1 })],
    ['index_json', 'text after the object', Buffer.from('{"weight_map":{}} x')],
    ['index_json', 'an unknown literal', Buffer.from('{"x":nul,"weight_map":{}}')],
    ['index_json', 'bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['index_json', 'more than 32 levels', Buffer.from(`{"x":${'['.repeat(40)}${']'.repeat(40)},"weight_map":{}}`)],
    ['index_duplicate_key', 'a tensor twice', Buffer.from('{"weight_map":{"a":"m","a":"n"}}')],
    ['index_duplicate_key', 'a weight map twice', Buffer.from('{"weight_map":{},"weight_map":{}}')],
    ['index_duplicate_key', 'a deep key twice', Buffer.from('{"x":[{"y":1,"y":2}],"weight_map":{}}')],
    ['index_file_name', 'a folder above', map('../m.safetensors')],
    ['index_file_name', 'an escaped folder above', Buffer.from('{"weight_map":{"a":"\\u002e\\u002e\\u002fm"}}')],
    ['index_file_name', 'an absolute path', map('/etc/passwd')],
    ['index_file_name', 'a folder', map('sub/m.safetensors')],
    ['index_file_name', 'a backslash', map('..\\m')],
    ['index_file_name', 'a drive', map('C:m')],
    ['index_file_name', 'an encoded folder above', map('%2e%2e%2fm')],
    ['index_file_name', 'NUL', map('m\0')],
    ['index_file_name', 'two dots', map('..')],
    ['index_file_name', 'one dot', map('.')],
    ['index_file_name', 'an empty name', map('')],
    ['index_file_name', 'a name of 256 characters', map('m'.repeat(256))],
    ['index_incomplete', 'the second file is missing', map(first)],
    ['index_incomplete', 'number 0', map('model-00000-of-00001.safetensors')],
    ['index_incomplete', 'a number above the count', map('model-00002-of-00001.safetensors')],
    ['index_incomplete', 'two counts', indexOf({ a: first, b: 'model-00002-of-00003.safetensors' })],
  ];
  for (const [rule, title, index] of refused) t.match(checkIndexFile(index), { rule }, title);
});

t.test('an index that names more than 10,000 files is refused', async (t) => {
  const weightMap = Object.fromEntries(Array.from({ length: 10_001 }, (_, index) => [`t${index}`, `f${index}`]));
  t.match(checkIndexFile(indexOf(weightMap)), { rule: 'index_file_count' });
});

t.test('an index that does not match its files is refused', async (t) => {
  const refused: readonly [FormatRule, string, Buffer, Files][] = [
    ['index_file_missing', 'a file is missing', indexOf(weights), { [first]: f32File('a', 'b') }],
    ['index_file_missing', 'a file is GGUF', indexOf(weights), { ...files, [second]: ggufFile() }],
    ['index_tensor_missing', 'a tensor is missing', indexOf({ ...weights, d: first }), files],
    ['index_tensor_missing', 'a tensor is in the other file', indexOf({ ...weights, c: first, b: second }), files],
    ['index_tensor_elsewhere', 'a tensor is in two files', indexOf(weights), { ...files, [second]: f32File('c', 'a') }],
  ];
  for (const [rule, title, index, others] of refused) {
    t.match(checkWith(index, others), { rule, file: 'model.safetensors.index.json' }, title);
  }
});
