import t from 'tap';
import type { FormatRule } from '../../../src/sources/formats/rules.js';
import { dtypes } from '../../../src/sources/formats/safetensors/dtypes.js';
import { checkFiles } from '../../support/formats.js';
import { f32File, safetensorsFile, safetensorsOf } from '../../support/safetensors.js';

const formatOf = (file: Buffer) => checkFiles({ 'm.safetensors': file });
const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

t.test('a file with metadata, tensors in any order and white space is valid', async (t) => {
  const header = ` {"b" : ${entry('F32', '[2, 1]', '[ 2,\n10]')},\t"__metadata__":{"format":"pt","e":"\\u00e9\\"{"},
    "a":${entry('U8', '[2]', '[0,2]')}, "scalar":${entry('I64', '[]', '[10,18]')}, "":${entry('F16', '[0, 7]', '[2,2]')} }   `;
  const file = safetensorsOf(header.trimStart(), 18);
  t.strictSame(formatOf(file), [
    { path: 'm.safetensors', format: 'safetensors', tensors: 4, headerBytes: file.length - 18 },
  ]);
  t.match(formatOf(safetensorsOf('{}')), [{ tensors: 0, headerBytes: 10 }]);
  t.match(formatOf(f32File('a', 'b')), [{ tensors: 2 }]);
});

t.test('each dtype has its size, also below a byte', async (t) => {
  const bits = { F4: 4, F6_E2M3: 6, F6_E3M2: 6, BOOL: 8, C64: 64, BF16: 16 };
  for (const dtype of dtypes.keys()) {
    const size = bits[dtype as keyof typeof bits] ?? Number(/^[A-Z]+([0-9]+)/.exec(dtype)?.[1]);
    const bytes = (8 * size) / 8;
    const tensor = (end: number) => safetensorsFile({ a: { dtype, shape: [2, 4], data_offsets: [0, end] } });
    t.match(formatOf(tensor(bytes)), [{ tensors: 1 }], dtype);
    t.match(formatOf(tensor(bytes + 1)), { rule: 'safetensors_size' }, `${dtype} with a byte more`);
  }
});

const u8 = (offsets: string, shape = '[1]') => entry('U8', shape, offsets);
const large = 2 ** 53;

/** Each header breaks one rule. The data has 4 bytes. */
const invalid: readonly [FormatRule, string, string, at?: number][] = [
  ['safetensors_json', 'a list', '{[]}'.replace('{', '{ ')],
  ['safetensors_json', 'an unclosed object', '{"a":{'],
  ['safetensors_json', 'an unclosed string', '{"a'],
  ['safetensors_json', 'a comma at the end', `{"a":${u8('[0,4]', '[4]')},}`],
  ['safetensors_json', 'a missing comma', `{"a":${u8('[0,1]')} "b":${u8('[1,4]', '[3]')}}`],
  ['safetensors_json', 'a missing colon', '{"a" 1}'],
  ['safetensors_json', 'a key without quotes', '{ a:1}'],
  ['safetensors_json', 'a control character', '{"a\n":1}'],
  ['safetensors_json', 'an invalid escape', '{"\\x":1}'],
  ['safetensors_json', 'a lone surrogate', '{"\\ud800":1}'],
  ['safetensors_json', 'an escape at the end', '{"\\'],
  ['safetensors_json', 'a number with a leading 0', `{"a":${u8('[00,4]', '[4]')}}`],
  ['safetensors_json', 'a number that is cut', `{"a":${u8('[0,4]', '[4.]')}}`],
  ['safetensors_trailing_text', 'a second object', `{"a":${u8('[0,4]', '[4]')}}{}`],
  ['safetensors_trailing_text', 'a new line after the object', `{"a":${u8('[0,4]', '[4]')}}\n`],
  ['safetensors_trailing_text', 'NUL after the object', `{"a":${u8('[0,4]', '[4]')}} \0`],
  ['safetensors_duplicate_key', 'a tensor twice', `{"a":${u8('[0,1]')},"a":${u8('[1,4]', '[3]')}}`],
  ['safetensors_duplicate_key', 'a tensor twice, once escaped', `{"a":${u8('[0,1]')},"\\u0061":${u8('[1,4]', '[3]')}}`],
  ['safetensors_duplicate_key', 'a field twice', '{"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}'],
  ['safetensors_duplicate_key', 'metadata twice', '{"__metadata__":{},"__metadata__":{}}'],
  ['safetensors_duplicate_key', 'a key of the metadata twice', '{"__metadata__":{"a":"","a":""}}'],
  ['safetensors_metadata', 'metadata that is a string', '{"__metadata__":"a"}', 24],
  ['safetensors_metadata', 'metadata that is null', '{"__metadata__":null}'],
  ['safetensors_metadata', 'metadata with a number', '{"__metadata__":{"a":1}}'],
  ['safetensors_metadata', 'metadata with an object', '{"__metadata__":{"a":{}}}'],
  ['safetensors_fields', 'a tensor that is a list', '{"a":["U8",[4],[0,4]]}'],
  ['safetensors_fields', 'no dtype', '{"a":{"shape":[4],"data_offsets":[0,4]}}', 9],
  ['safetensors_fields', 'no shape', '{"a":{"dtype":"U8","data_offsets":[0,4]}}'],
  ['safetensors_fields', 'no offsets', '{"a":{"dtype":"U8","shape":[4]}}'],
  ['safetensors_fields', 'another field', '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1}}'],
  ['safetensors_fields', 'a dtype that is a number', '{"a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}'],
  ['safetensors_fields', 'a shape that is a number', `{"a":${u8('[0,4]', '4')}}`],
  ['safetensors_fields', 'one offset', `{"a":${u8('[4]', '[4]')}}`],
  ['safetensors_fields', 'three offsets', `{"a":${u8('[0,4,4]', '[4]')}}`],
  ['safetensors_integer', 'a negative dimension', `{"a":${u8('[0,4]', '[-4]')}}`],
  ['safetensors_integer', '-0', `{"a":${u8('[-0,4]', '[4]')}}`],
  ['safetensors_integer', 'a fraction', `{"a":${u8('[0,4]', '[4.0]')}}`],
  ['safetensors_integer', 'an exponent', `{"a":${u8('[0,4e0]', '[4]')}}`],
  ['safetensors_integer', 'a string', `{"a":${u8('[0,"4"]', '[4]')}}`],
  ['safetensors_integer', 'null', `{"a":${u8('[0,4]', '[null]')}}`],
  ['safetensors_integer', '2^53 + 1, which rounds', `{"a":${u8('[0,4]', '[9007199254740993]')}}`],
  ['safetensors_integer', '2^64, which wraps to 0', `{"a":${u8('[0,4]', '[18446744073709551616]')}}`],
  ['safetensors_dtype', 'an unknown dtype', `{"a":${entry('F33', '[1]', '[0,4]')}}`],
  ['safetensors_dtype', 'a dtype in lower case', `{"a":${entry('f32', '[1]', '[0,4]')}}`],
  ['safetensors_dtype', 'a dtype named as a property', `{"a":${entry('constructor', '[1]', '[0,4]')}}`],
  ['safetensors_overflow', 'elements that wrap to 0', `{"a":${u8('[0,0]', '[4294967296,4294967296]')}}`],
  ['safetensors_overflow', 'elements that wrap to 4', `{"a":${u8('[0,4]', `[${large / 2},2048,4]`)}}`],
  ['safetensors_overflow', 'bytes that wrap', `{"a":${entry('F64', `[${large / 4}]`, '[0,4]')}}`],
  ['safetensors_size', 'too few bytes', `{"a":${entry('F32', '[2]', '[0,4]')}}`],
  ['safetensors_size', 'too many bytes', `{"a":${u8('[0,4]', '[2]')}}`],
  ['safetensors_size', 'an end before the start', `{"a":${u8('[4,0]', '[4]')}}`],
  ['safetensors_size', 'half a byte', `{"a":${entry('F4', '[7]', '[0,4]')}}`],
  ['safetensors_size', '6 bits', `{"a":${entry('F6_E2M3', '[5]', '[0,4]')}}`],
  ['safetensors_offsets', 'a hole at the start', `{"a":${u8('[1,4]', '[3]')}}`, 9],
  ['safetensors_offsets', 'a hole', `{"a":${u8('[0,1]')},"b":${u8('[2,4]', '[2]')}}`],
  ['safetensors_offsets', 'an overlap', `{"a":${u8('[0,3]', '[3]')},"b":${u8('[2,4]', '[2]')}}`],
  ['safetensors_offsets', 'the same bytes twice', `{"a":${u8('[0,4]', '[4]')},"b":${u8('[0,4]', '[4]')}}`],
  ['safetensors_offsets', 'an empty tensor inside another', `{"a":${u8('[0,4]', '[4]')},"b":${u8('[2,2]', '[0]')}}`],
  ['safetensors_offsets', 'bytes after the last tensor', `{"a":${u8('[0,3]', '[3]')}}`],
  ['safetensors_offsets', 'a tensor that ends after the file', `{"a":${u8('[0,5]', '[5]')}}`],
  ['safetensors_offsets', 'data without tensors', '{}'],
  ['safetensors_offsets', 'only an empty tensor', `{"a":${u8('[0,0]', '[0]')}}`],
];

t.test('a header that breaks a rule is refused with its name and the offset', async (t) => {
  for (const [rule, title, header, at] of invalid) {
    const file = safetensorsOf(header, 4);
    const fault = formatOf(file);
    t.match(fault, { rule, file: 'm.safetensors', at: at ?? Number }, title);
    if ('rule' in fault) t.ok(fault.at <= file.length, `${title}: the offset is in the file`);
  }
});

t.test('the length of the header is checked before the header is read', async (t) => {
  for (const length of [3n, 100_000_001n, 2n ** 32n + 2n, 2n ** 63n, 2n ** 64n - 1n]) {
    const ranges: number[] = [];
    const fault = checkFiles({ m: safetensorsOf('{}', 0, length) }, { onRead: ({ length }) => ranges.push(length) });
    t.match(fault, { rule: 'safetensors_header_length', at: 0 }, `${length}`);
    t.strictSame(ranges, [10], 'one read of the whole file');
  }
});

t.test('a header that is not UTF-8 is refused', async (t) => {
  const header = Buffer.concat([Buffer.from('{"'), Buffer.from([0xc3, 0x28]), Buffer.from('":1}')]);
  t.match(formatOf(safetensorsOf(header)), { rule: 'safetensors_utf8' });
});

t.test('a tensor may be named as a property of every object', async (t) => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  const entries = names.map((name, index) => `"${name}":${u8(`[${index},${index + 1}]`)}`);
  t.match(formatOf(safetensorsOf(`{${entries.join()}}`, 4)), [{ tensors: 4 }]);
});
