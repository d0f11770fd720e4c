import t from 'tap';
import type { FormatRule } from '../../../src/sources/formats/rules.js';
import { checkFiles } from '../../support/formats.js';
import { array, type GgufParts, ggufFile, key, text, u16, u32, u64 } from '../../support/gguf.js';

const formatOf = (file: Buffer) => checkFiles({ 'm.gguf': file });
const bool = (value: number) => Buffer.from([value]);
const alignment = (bytes: number) => key('general.alignment', 'u32', u32(bytes));

/** The smallest header of each part, from its first byte. */
const afterCounts = 4 + 4 + 8 + 8;

t.test('a file with each type of value and several tensors is valid', async (t) => {
  const keys = [
    key('a.u8', 'u8', Buffer.alloc(1)),
    key('a.i8', 'i8', Buffer.alloc(1)),
    key('a.u16', 'u16', u16(1)),
    key('a.i16', 'i16', u16(1)),
    key('a.u32', 'u32', u32(1)),
    key('a.i32', 'i32', u32(1)),
    key('a.f32', 'f32', u32(1)),
    key('a.bool', 'bool', bool(1)),
    key('a.string', 'string', text('naïve')),
    key('a.u64', 'u64', u64(1)),
    key('a.i64', 'i64', u64(1)),
    key('a.f64', 'f64', u64(1)),
    key('a.strings', 'array', array('string', text('a'), text(''))),
    key('a.bools', 'array', array('bool', bool(0), bool(1))),
    key('a.empty', 'array', array('f32')),
  ];
  const tensors = [
    { name: 'a', dimensions: [32, 3], type: 2, bytes: 54 },
    { name: 'b'.repeat(63) },
    { name: 'scalar', dimensions: [], bytes: 4 },
    { name: 'empty', dimensions: [0, 5], bytes: 0 },
    { name: 'four', dimensions: [1, 2, 3, 4], bytes: 96 },
  ];
  for (const version of [2, 3]) {
    const file = ggufFile({ version, keys, tensors });
    t.match(formatOf(file), [{ path: 'm.gguf', format: 'gguf', tensors: 5 }]);
  }
});

t.test('the header ends before the padding and the data', async (t) => {
  const file = ggufFile({ tensors: [{ name: 'a' }] });
  t.strictSame(formatOf(file), [
    { path: 'm.gguf', format: 'gguf', tensors: 1, headerBytes: afterCounts + 8 + 1 + 4 + 8 + 4 + 8 },
  ]);
});

t.test('the padding of the last tensor may be missing, and a file needs no tensors', async (t) => {
  t.match(formatOf(ggufFile({ tensors: [{ name: 'a' }], trailing: Buffer.alloc(0) })), [{ tensors: 1 }]);
  t.match(formatOf(ggufFile()), [{ tensors: 0 }]);
  t.match(formatOf(ggufFile({ trailing: Buffer.alloc(8) })), [{ tensors: 0 }], '24 bytes and padding to 32');
});

t.test('tensors follow the alignment of the file', async (t) => {
  for (const bytes of [1, 8, 64, 4096]) {
    const tensors = [{ name: 'a' }, { name: 'b' }];
    t.match(formatOf(ggufFile({ alignment: bytes, keys: [alignment(bytes)], tensors })), [{ tensors: 2 }], `${bytes}`);
  }
});

/** Each file breaks one rule. `at` is the offset of the field that does. */
const invalid: readonly [FormatRule, string, GgufParts | Buffer, at?: number][] = [
  ['gguf_version', 'version 0', { version: 0 }, 4],
  ['gguf_version', 'version 1', { version: 1 }, 4],
  ['gguf_version', 'version 4', { version: 4 }, 4],
  ['gguf_byte_order', 'version 3 in big-endian', { version: 0x03000000 }, 4],
  ['gguf_counts', 'more keys than fit', { keyCount: 1 }, 8],
  ['gguf_counts', 'more tensors than fit', { tensorCount: 1000, tensors: [{ name: 'a' }] }, 8],
  ['gguf_counts', '2^64 - 1 keys', { keyCount: 2n ** 64n - 1n }, 8],
  ['gguf_counts', '2^63 tensors', { tensorCount: 2n ** 63n }, 8],
  ['gguf_counts', 'counts whose sizes wrap at 2^64', { keyCount: 2n ** 62n, tensorCount: 2n ** 62n }, 8],
  ['gguf_key', 'an empty key', { keys: [key('', 'u32', u32(1))] }, afterCounts],
  ['gguf_key', 'a key of 65536 bytes', { keys: [key('k'.repeat(65_536), 'u32', u32(1))] }, afterCounts],
  ['gguf_key', 'a key that is not UTF-8', { keys: [key(Buffer.from([0xff]), 'u32', u32(1))] }],
  ['gguf_key', 'a key with NUL', { keys: [key('general.alignment\0x', 'u32', u32(3))] }],
  ['gguf_key', 'a key length of 2^64 - 1', { keys: [Buffer.concat([u64(2n ** 64n - 1n), Buffer.alloc(64)])] }],
  ['gguf_duplicate_key', 'a key twice', { keys: [key('a', 'u8', bool(1)), key('a', 'u32', u32(1))] }, afterCounts + 14],
  ['gguf_value_type', 'type 13', { keys: [key('a', 13, u64(1))] }, afterCounts + 9],
  ['gguf_value_type', 'type 2^32 - 1', { keys: [key('a', 2 ** 32 - 1, u64(1))] }],
  ['gguf_value_type', 'an array of type 13', { keys: [key('a', 'array', Buffer.concat([u32(13), u64(0)]))] }],
  ['gguf_array', 'an array of arrays', { keys: [key('a', 'array', array('array', array('u8')))] }],
  ['gguf_array', 'an array longer than the file', { keys: [key('a', 'array', Buffer.concat([u32(4), u64(9)]))] }],
  ['gguf_array', '2^61 numbers', { keys: [key('a', 'array', Buffer.concat([u32(10), u64(2n ** 61n)]))] }],
  ['gguf_array', '2^61 strings', { keys: [key('a', 'array', Buffer.concat([u32(8), u64(2n ** 61n)]))] }],
  ['gguf_string', 'a string longer than the file', { keys: [key('a', 'string', u64(1))] }],
  ['gguf_string', 'a string of 2^64 - 1 bytes', { keys: [key('a', 'string', u64(2n ** 64n - 1n))] }],
  ['gguf_string', 'a short string that is not UTF-8', { keys: [key('a', 'string', text(Buffer.from([0xc3])))] }],
  ['gguf_string', 'a long string that is not UTF-8', { keys: [key('a', 'string', text(Buffer.alloc(99, 0x80)))] }],
  ['gguf_string', 'a string in an array', { keys: [key('a', 'array', array('string', text(Buffer.from([0xff]))))] }],
  ['gguf_bool', 'a bool of 2', { keys: [key('a', 'bool', bool(2))] }, afterCounts + 13],
  ['gguf_bool', 'a bool in an array', { keys: [key('a', 'array', array('bool', bool(1), bool(255)))] }],
  ['gguf_alignment', 'an alignment of 0', { keys: [alignment(0)] }],
  ['gguf_alignment', 'an alignment of 48', { keys: [alignment(48)] }],
  ['gguf_alignment', 'an alignment that is an i32', { keys: [key('general.alignment', 'i32', u32(32))] }],
  ['gguf_alignment', 'an alignment that is a u64', { keys: [key('general.alignment', 'u64', u64(32))] }],
  ['gguf_tensor_name', 'an empty name', { tensors: [{ name: '' }] }, afterCounts],
  ['gguf_tensor_name', 'a name of 64 bytes', { tensors: [{ name: 'n'.repeat(64) }] }, afterCounts],
  ['gguf_tensor_name', 'a name that is not UTF-8', { tensors: [{ name: Buffer.from([0xff]) }] }],
  ['gguf_tensor_name', 'names that are equal up to NUL', { tensors: [{ name: 'a' }, { name: 'a\0b' }] }],
  ['gguf_duplicate_tensor', 'a name twice', { tensors: [{ name: 'a' }, { name: 'a' }] }],
  ['gguf_dimensions', '5 dimensions', { tensors: [{ name: 'a', dimensions: [1, 1, 1, 1, 4] }] }],
  ['gguf_dimensions', '2^32 - 1 dimensions', withoutDimensions()],
  ['gguf_dimensions', 'a product of 2^63', { tensors: [{ name: 'a', dimensions: [2 ** 32, 2 ** 31] }] }],
  [
    'gguf_dimensions',
    'a product of 2^64, which wraps to 0',
    { tensors: [{ name: 'a', dimensions: [2 ** 32, 2 ** 32] }] },
  ],
  ['gguf_dimensions', 'a negative dimension', { tensors: [{ name: 'a', dimensions: [2n ** 64n - 1n] }] }],
  ['gguf_tensor_type', 'type 43', { tensors: [{ name: 'a', type: 43 }] }],
  ['gguf_tensor_type', 'type -1', { tensors: [{ name: 'a', type: 2 ** 32 - 1 }] }],
  ['gguf_block', '4 elements of Q4_0', { tensors: [{ name: 'a', type: 2 }] }],
  ['gguf_block', '128 elements of Q4_K', { tensors: [{ name: 'a', type: 12, dimensions: [128, 2] }] }],
  ['gguf_block', 'a scalar of Q8_0', { tensors: [{ name: 'a', type: 8, dimensions: [] }] }],
  ['gguf_offset', 'an offset that is not aligned', { tensors: [{ name: 'a', offset: 4 }] }],
  ['gguf_offset', 'tensors that overlap', { tensors: [{ name: 'a' }, { name: 'b', offset: 0 }] }],
  ['gguf_offset', 'a hole', { tensors: [{ name: 'a' }, { name: 'b', offset: 64 }] }],
  ['gguf_offset', 'an offset of 2^64 - 32', { tensors: [{ name: 'a', offset: 2n ** 64n - 32n }] }],
  ['gguf_tensor_end', 'a tensor that ends after the file', { tensors: [{ name: 'a', dimensions: [64] }] }],
  ['gguf_tensor_end', 'a tensor of 2^53 - 1 bytes', { tensors: [{ name: 'a', dimensions: [2 ** 53 - 1], type: 24 }] }],
  ['gguf_tensor_end', 'a tensor of 2^55 bytes', { tensors: [{ name: 'a', dimensions: [2 ** 52], type: 27 }] }],
  [
    'gguf_tensor_end',
    'a tensor without its last byte',
    ggufFile({ tensors: [{ name: 'a' }], trailing: Buffer.alloc(0) }).subarray(0, -1),
  ],
  ['gguf_tensor_end', 'an alignment after the end', { keys: [alignment(2 ** 31)], tensors: [{ name: 'a' }] }],
  ['gguf_trailing_bytes', 'more than the padding', { tensors: [{ name: 'a' }], trailing: Buffer.alloc(17) }],
  ['gguf_trailing_bytes', 'padding that is not zero', { tensors: [{ name: 'a' }], trailing: Buffer.from('\0\0x') }],
  ['gguf_trailing_bytes', 'bytes after a file without tensors', { trailing: Buffer.alloc(9) }],
  ['split_keys', 'a count without a number', { keys: [key('split.count', 'u16', u16(2))] }],
  ['split_keys', 'a count that is a u32', { keys: [key('split.count', 'u32', u32(1))] }],
  ['split_keys', 'a number that is not below the count', splitKeys(2, 2, 1)],
  ['split_keys', 'a negative number of tensors', splitKeys(0, 2, 2 ** 32 - 1)],
  ['truncated', 'the magic alone', Buffer.from('GGUF')],
  ['truncated', 'half a count', ggufFile().subarray(0, 20)],
  ['truncated', 'half a value', { keys: [key('abcdef', 'u64', u16(1))] }],
];

function withoutDimensions(): Buffer {
  return ggufFile({ trailing: Buffer.concat([text('a'), u32(2 ** 32 - 1), Buffer.alloc(64)]) }).fill(1, 8, 9);
}

function splitKeys(number: number, count: number, tensors: number): GgufParts {
  const keys = [key('split.no', 'u16', u16(number)), key('split.count', 'u16', u16(count))];
  return { keys: [...keys, key('split.tensors.count', 'i32', u32(tensors))] };
}

t.test('a file that breaks a rule is refused with its name and the offset', async (t) => {
  for (const [rule, title, parts, at] of invalid) {
    const file = Buffer.isBuffer(parts) ? parts : ggufFile(parts);
    const fault = formatOf(file);
    t.match(fault, { rule, file: 'm.gguf', at: at ?? Number }, title);
    if ('rule' in fault) t.ok(fault.at <= file.length, `${title}: the offset is in the file`);
  }
});

t.test('types that ggml removed are refused by name', async (t) => {
  for (const type of [4, 5, 31, 32, 33, 36, 37, 38]) {
    t.match(formatOf(ggufFile({ tensors: [{ name: 'a', type }] })), { rule: 'gguf_removed_type' }, `${type}`);
  }
});
