import { monitorEventLoopDelay } from 'node:perf_hooks';
import fc from 'fast-check';
import t from 'tap';
import { Inspector } from '../../src/sources/formats/inspector.js';
import type { FileRange } from '../../src/sources/formats/model.js';
import { formatRules } from '../../src/sources/formats/rules.js';
import { checkFiles, checkIndexFile, fileInMemory, mebibyte } from '../support/formats.js';
import { array, ggufFile, key, text, u16, u32, u64, valueType } from '../support/gguf.js';
import { mutate, mutations } from '../support/mutants.js';
import { f32File, safetensorsFile, safetensorsOf } from '../support/safetensors.js';
import { long, scale, seeded } from './scale.js';

const numRuns = scale(2_000, 1_000_000);

const gguf = ggufFile({
  keys: [
    key('general.architecture', 'string', text('llama')),
    key('general.alignment', 'u32', u32(64)),
    key('tokens', 'array', array('string', text('a'), text('é'))),
    key('flags', 'array', array('bool', Buffer.from([0]), Buffer.from([1]))),
    key('split.no', 'u16', u16(0)),
    key('split.count', 'u16', u16(1)),
  ],
  alignment: 64,
  tensors: [{ name: 'token_embd.weight', type: 2, dimensions: [32, 2], bytes: 36 }, { name: 'output.weight' }],
});
const safetensors = safetensorsFile(
  {
    'a.weight': { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
    b: { dtype: 'F4', shape: [6], data_offsets: [16, 19] },
  },
  { format: 'pt' },
);
const index = Buffer.from('{"metadata":{"total_size":1e3},"weight_map":{"a":"m-00001-of-00001.safetensors"}}');

const rules = new Set(Object.keys(formatRules));

for (const [name, file] of Object.entries({ gguf, safetensors })) {
  t.test(`a mutant of a ${name} file has a format or breaks a rule, and reads at most the file`, async (t) => {
    t.match(checkFiles({ m: file }), [{ format: name }], 'the original is valid');
    const property = fc.property(mutations, fc.boolean(), (changes, whole) => {
      const mutant = changes.reduce(mutate, file);
      let readBytes = 0;
      const onRead = ({ length }: FileRange) => {
        readBytes += length;
      };
      const verdict = checkFiles({ m: mutant }, { whole, onRead });
      if (readBytes > 2 * mutant.length) throw new Error(`${readBytes} bytes were read`);
      if (!('rule' in verdict)) return verdict.length === 1;
      return rules.has(verdict.rule) && verdict.file === 'm' && verdict.at >= 0 && verdict.at <= mutant.length;
    });
    fc.assert(property, { numRuns, ...seeded() });
    t.comment(`figure: mutants of a ${name} header with a verdict ${numRuns} of ${numRuns}`);
    t.pass('each has a verdict');
  });
}

t.test('a mutant of an index has names or breaks a rule', async (t) => {
  const property = fc.property(mutations, (changes) => {
    const verdict = checkIndexFile(changes.reduce(mutate, index));
    if ('rule' in verdict) return rules.has(verdict.rule);
    return verdict.every((name) => !/[/\\\0]/.test(name));
  });
  fc.assert(property, { numRuns, ...seeded() });
  t.comment(`figure: mutants of an index with a verdict ${numRuns} of ${numRuns}`);
  t.pass('each has a verdict');
});

t.test('random bytes after a magic have a format or break a rule', async (t) => {
  const magic = fc.constantFrom(
    Buffer.from('GGUF\x03\0\0\0'),
    Buffer.from('\x20\0\0\0\0\0\0\0{"'),
    f32File('a').subarray(0, 30),
  );
  const property = fc.property(magic, fc.uint8Array({ maxLength: 300 }), (start, rest) => {
    const verdict = checkFiles({ m: Buffer.concat([start, rest]) });
    return !('rule' in verdict) || rules.has(verdict.rule);
  });
  fc.assert(property, { numRuns, ...seeded() });
  t.pass('each has a verdict');
});

/** Repeats an item with its number until there are `bytes`. */
function repeat(bytes: number, item: (index: number) => Buffer | string): { readonly content: Buffer; count: number } {
  const content = Buffer.alloc(bytes);
  let [length, count] = [0, 0];
  for (let next = Buffer.from(item(0)); length + next.length <= bytes; next = Buffer.from(item(count))) {
    length += next.copy(content, length);
    count += 1;
  }
  return { content: content.subarray(0, length), count };
}

const nameOf = (index: number) => index.toString(36);
const json = (open: string, item: (index: number) => string, close: string) => (bytes: number) => {
  const { content } = repeat(bytes - 64, (index) => `${index === 0 ? '' : ','}${item(index)}`);
  return safetensorsOf(Buffer.concat([Buffer.from(open), content, Buffer.from(close)]));
};

/** Headers that take the most time or memory for their size. */
const largest: Readonly<Record<string, (bytes: number) => Buffer>> = {
  'empty tensors': json('{', (index) => `"${nameOf(index)}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, '}'),
  metadata: json('{"__metadata__":{', (index) => `"${nameOf(index)}":""`, '}}'),
  'nested arrays': (bytes) => safetensorsOf(`{"a":${'['.repeat(bytes - 64)}`),
  escapes: (bytes) => safetensorsOf(`{"__metadata__":{"a":"${'\\u00e9'.repeat(bytes / 6 - 16)}"}}`),
  spaces: (bytes) => safetensorsOf(`{}${' '.repeat(bytes - 64)}`),
  'GGUF tensors': (bytes) => {
    const info = Buffer.concat([u32(1), u64(0), u32(0), u64(0)]);
    const { content, count } = repeat(bytes - 64, (index) => Buffer.concat([text(nameOf(index)), info]));
    return ggufFile({ tensorCount: count, trailing: content });
  },
  'GGUF keys': (bytes) => {
    const { content, count } = repeat(bytes - 64, (index) => key(nameOf(index), 'u8', Buffer.alloc(1)));
    return ggufFile({ keyCount: count, keys: [content] });
  },
  'GGUF strings': (bytes) => {
    const { content, count } = repeat(bytes - 64, () => text('a'));
    return ggufFile({ keys: [key('a', 'array', Buffer.concat([u32(valueType.string), u64(count), content]))] });
  },
};

t.test('the largest headers have a verdict, and leave the event loop to others', async (t) => {
  const headerBytes = long ? 64 * mebibyte : 4 * mebibyte;
  const inspector = new Inspector({ headerBytes });
  for (const [name, make] of Object.entries(largest)) {
    const file = fileInMemory('m', make(headerBytes));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const since = performance.now();
    const inspection = inspector.inspect({ files: [file], indexes: [], whole: true }, new AbortController().signal);
    const verdict = await inspection.catch((error) => error.format?.rule ?? String(error));
    delay.disable();
    const seconds = ((performance.now() - since) / 1000).toFixed(1);
    const milliseconds = (delay.percentile(99) / 1e6).toFixed(0);
    t.comment(`figure: ${headerBytes / mebibyte} MiB of ${name}: ${seconds} s, event loop p99 ${milliseconds} ms`);
    t.ok(Array.isArray(verdict) || rules.has(verdict), `${name}: ${JSON.stringify(verdict)}`);
  }
});
