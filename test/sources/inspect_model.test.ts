import t from 'tap';
import { rangedFileOf } from '../../src/sources/inspect_model.js';
import type { RangedSource } from '../../src/sources/ranged_source.js';
import { patternBytes } from '../support/bytes.js';
import { anySignal } from '../support/http_sources.js';

const bytes = patternBytes(1000);

t.test('a header of a source without ranges is read from the start of the file', async (t) => {
  const source: RangedSource = {
    totalBytes: bytes.length,
    etag: undefined,
    claim: undefined,
    supportsRanges: false,
    isPersistable: true,
    copyTo: async (sink, { offset, length }) => {
      t.equal(offset, 0);
      for (let start = 0; start < length; start += 7) {
        await sink.write(bytes.subarray(start, Math.min(start + 7, length)));
      }
    },
    close: () => undefined,
  };
  const file = rangedFileOf('a', source, { signal: anySignal() });
  for (const [offset, length] of [
    [0, 10],
    [5, 1],
    [14, 20],
    [999, 1],
  ] as const) {
    const read = Buffer.from(await file.read(offset, length, anySignal()));
    t.ok(read.equals(bytes.subarray(offset, offset + length)), `${length} bytes at ${offset}`);
  }
});
