import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { Inspector } from '../../../src/sources/formats/inspector.js';
import type { RangedFile } from '../../../src/sources/formats/model.js';
import { checkFiles, fileInMemory, mebibyte } from '../../support/formats.js';
import { ggufFile, key, text, u32, u64, valueType } from '../../support/gguf.js';
import { f32File, safetensorsOf } from '../../support/safetensors.js';
import { until } from '../../support/until.js';

const { signal } = new AbortController();
const inspector = new Inspector({ headerBytes: 64 * mebibyte });
const errorOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (reason) => reason,
  );
const oneFile = (file: RangedFile, whole = true) => ({ files: [file], indexes: [], whole });

/** A GGUF header of about a size, whose tokens have 8 characters. */
function largeHeader(bytes: number): Buffer {
  const count = bytes / 16;
  const tokens = Buffer.alloc(16 * count, text('a token.'));
  const content = Buffer.concat([u32(valueType.string), u64(count), tokens]);
  return ggufFile({ keys: [key('tokenizer.ggml.tokens', 'array', content)] });
}

t.test('the formats of a model are those of its files, in their order', async (t) => {
  const files = [
    fileInMemory('model-00001-of-00001.safetensors', f32File('a')),
    fileInMemory('model.gguf', ggufFile({ tensors: [{ name: 'a' }, { name: 'b' }] })),
  ];
  const index = fileInMemory(
    'model.safetensors.index.json',
    Buffer.from('{"weight_map":{"a":"model-00001-of-00001.safetensors"}}'),
  );
  t.match(await inspector.inspect({ files, indexes: [index], whole: true }, signal), [
    { path: 'model-00001-of-00001.safetensors', format: 'safetensors', tensors: 1 },
    { path: 'model.gguf', format: 'gguf', tensors: 2 },
  ]);
  t.strictSame(await inspector.indexedFiles(index, signal), ['model-00001-of-00001.safetensors']);
});

t.test('a broken rule is FORMAT_INVALID, and the message repeats nothing of the file', async (t) => {
  const file = fileInMemory('bad.gguf', ggufFile({ tensors: [{ name: 'sentinel' }, { name: 'sentinel' }] }));
  const error = await errorOf(inspector.inspect(oneFile(file), signal));
  t.match(error, { code: 'FORMAT_INVALID', format: { rule: 'gguf_duplicate_tensor', file: 'bad.gguf', at: Number } });
  t.notMatch(error.message, /sentinel/);
  const index = fileInMemory('i.json', Buffer.from('{"weight_map":{"a":"../sentinel"}}'));
  t.match(await errorOf(inspector.indexedFiles(index, signal)), {
    format: { rule: 'index_file_name', file: 'i.json' },
  });
});

t.test('an unknown format is refused in a whole model only', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('ggml'), Buffer.alloc(4096, 0x7b), Buffer.from('PK\x03\x04')]) {
    t.match(checkFiles({ 'model.bin': bytes }), { rule: 'unknown_format', file: 'model.bin', at: 0 });
    t.match(checkFiles({ 'model.bin': bytes }, { whole: false }), [{ format: 'unknown', tensors: 0, headerBytes: 0 }]);
  }
  {
    const file = fileInMemory('model.bin', Buffer.alloc(0));
    const error = await errorOf(inspector.inspect(oneFile(file), signal));
    t.match(error, { format: { rule: 'unknown_format', at: 0 } });
    t.strictSame(await inspector.inspect(oneFile(file, false), signal), [
      { path: 'model.bin', format: 'unknown', tensors: 0, headerBytes: 0 },
    ]);
  }
});

t.test('a header is read from its start: 256 KiB, then twice as much each time', async (t) => {
  const ranges: [number, number][] = [];
  const file = largeHeader(3 * mebibyte);
  t.match(checkFiles({ m: file }, { onRead: ({ offset, length }) => ranges.push([offset, length]) }), [{}]);
  const kibibyte = 1024;
  t.strictSame(ranges, [
    [0, 256 * kibibyte],
    [256 * kibibyte, 256 * kibibyte],
    [512 * kibibyte, 512 * kibibyte],
    [1024 * kibibyte, 1024 * kibibyte],
    [2048 * kibibyte, file.length - 2048 * kibibyte],
  ]);
});

t.test('the data of a large file is not read', async (t) => {
  const head = ggufFile({ tensors: [{ name: 'a', type: 24, dimensions: [2 ** 40], bytes: 64 }] });
  let readBytes = 0;
  const file = {
    path: 'm.gguf',
    bytes: 2 ** 40 + head.length - 64,
    read: async (offset: number, length: number) => {
      readBytes += length;
      return Buffer.concat([head, Buffer.alloc(length)]).subarray(offset, offset + length);
    },
  };
  t.match(await inspector.inspect(oneFile(file), signal), [{ tensors: 1 }]);
  t.equal(readBytes, 256 * 1024);
});

t.test('a header above the limit is refused, also if the file says that it continues', async (t) => {
  const file = largeHeader(mebibyte);
  const options = { headerBytes: 512 * 1024 };
  t.match(checkFiles({ m: file }, options), { rule: 'header_limit' });
  t.match(checkFiles({ m: safetensorsOf(`{${' '.repeat(mebibyte)}}`) }, options), { rule: 'header_limit' });
  t.match(checkFiles({ m: file }, { headerBytes: file.length }), [{ format: 'gguf' }], 'the limit itself is allowed');
});

t.test('an error of a read ends the inspection, and the reads ahead are aborted', async (t) => {
  const signals: AbortSignal[] = [];
  const broken = (path: string): RangedFile => ({
    path,
    bytes: 100,
    read: async (_offset, _length, readSignal) => {
      signals.push(readSignal);
      throw new Error(`no ${path}`);
    },
  });
  const files = [fileInMemory('a', f32File('a')), broken('b'), broken('c')];
  await t.rejects(inspector.inspect({ files, indexes: [], whole: true }, signal), { message: 'no b' });
  t.equal(signals.length, 2, 'both were read ahead');
  t.ok(signals.every(({ aborted }) => aborted));
});

t.test('a read of another length is refused', async (t) => {
  for (const length of [99, 101]) {
    const file = { path: 'a', bytes: 100, read: async () => Buffer.alloc(length, 'GGUF') };
    await t.rejects(inspector.inspect(oneFile(file), signal), { code: 'SOURCE_INVALID' });
  }
});

t.test('a signal ends an inspection that waits for a read, and one that waits for a thread', async (t) => {
  const one = new Inspector({ headerBytes: mebibyte, threads: 1 });
  const [first, second] = [new AbortController(), new AbortController()];
  const readSignals: AbortSignal[] = [];
  const stuck: RangedFile = {
    path: 'a',
    bytes: 100,
    read: (_offset, _length, readSignal) => {
      readSignals.push(readSignal);
      return new Promise(() => undefined);
    },
  };
  const reading = errorOf(one.inspect(oneFile(stuck), first.signal));
  await until(() => readSignals.length === 1);
  const waiting = errorOf(one.inspect(oneFile(stuck), second.signal));
  await setImmediate();
  second.abort(new Error('second'));
  t.match(await waiting, { message: 'second' });
  t.equal(readSignals.length, 1, 'the second inspection never read');
  const third = one.inspect(oneFile(fileInMemory('b', f32File('a'))), signal);
  first.abort(new Error('first'));
  t.match(await reading, { message: 'first' });
  t.equal(readSignals[0]?.aborted, true);
  t.match(await third, [{ tensors: 1 }], 'the next inspection has the thread');
  await t.rejects(one.inspect(oneFile(stuck), first.signal), { message: 'first' }, 'an aborted signal starts nothing');
});
