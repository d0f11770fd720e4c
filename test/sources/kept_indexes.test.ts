import t from 'tap';
import { KeptIndexes } from '../../src/sources/kept_indexes.js';
import { MemorySource } from '../../src/sources/memory_source.js';
import type { ModelFileEntry } from '../../src/sources/model.js';
import { readRange } from '../../src/sources/read_range.js';
import { anySignal } from '../support/http_sources.js';

const options = { signal: anySignal() };

/** An index whose bytes differ each time it is opened. */
function changingIndex(bytes: number, opened = bytes) {
  const index = { opens: 0 };
  const entry: ModelFileEntry = {
    path: 'model.safetensors.index.json',
    bytes,
    claim: undefined,
    pinned: undefined,
    open: async () => new MemorySource(Buffer.alloc(opened, String(++index.opens)), undefined),
  };
  return { index, entry };
}

const contentOf = async (entry: ModelFileEntry): Promise<string> => {
  const source = await entry.open(options);
  return String(await readRange(source, { offset: 0, length: source.totalBytes }, options));
};

t.test('an index is read once, so later readers see the same bytes', async (t) => {
  const { index, entry } = changingIndex(3);
  const kept = await new KeptIndexes().keep(entry, options);
  t.equal(await contentOf(kept), '111');
  t.equal(await contentOf(kept), '111');
  t.equal(index.opens, 1);
});

t.test('the indexes that are kept have a bound', async (t) => {
  const indexes = new KeptIndexes();
  const [first, second] = [changingIndex(5 * 1024 * 1024), changingIndex(5 * 1024 * 1024)];
  await indexes.keep(first.entry, options);
  t.equal(await indexes.keep(second.entry, options), second.entry, 'it is read again when it is needed');
  t.equal(second.index.opens, 0);
});

t.test('an index of another length than its source stated is refused', async (t) => {
  await t.rejects(new KeptIndexes().keep(changingIndex(3, 4).entry, options), { code: 'SOURCE_CHANGED' });
});
